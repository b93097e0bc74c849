/* What verify, cleanup and rebuild do, find and refuse. */
#include "operations_world.h"

#include "support/manual_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bus/subscribers.h"

static int set_up(void **state)
{
    static struct world world;
    gated_world_open(&world, &system_clock);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    world_close(*state);
    return 0;
}

static const ProtobufCBinaryData none = {0, NULL};

static void assert_succeeded(const Strata__V1__Operation *operation)
{
    if (operation->state != SUCCEEDED)
        fail_msg("%s is in state %d, code %d: %s", operation->kind, (int)operation->state,
                 operation->error_code, operation->message);
}

static void assert_result(const Strata__V1__Operation *operation, const char *key, const char *value)
{
    if (strcmp(result_of(operation, key), value) != 0)
        fail_msg("%s is \"%s\", not \"%s\"", key, result_of(operation, key), value);
}

/* --- what is refused --- */

static void test_requests_are_refused_by_name(void **state)
{
    struct world *world = *state;
    append_thousands(world, 1);
    static uint8_t chain[33];
    static Strata__V1__Cleanup__What snapshots[] = {STRATA__V1__CLEANUP__WHAT__SNAPSHOTS};
    static Strata__V1__Cleanup__What nothing[] = {STRATA__V1__CLEANUP__WHAT__WHAT_UNSPECIFIED};
    Google__Protobuf__Timestamp no_time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    no_time.nanos = -1;
#define VERIFY(...)                                                                                          \
    &(Strata__V1__Verify)                                                                                    \
    {                                                                                                        \
        PROTOBUF_C_MESSAGE_INIT(&strata__v1__verify__descriptor), __VA_ARGS__                                \
    }
#define CLEANUP_OF(...)                                                                                      \
    &(Strata__V1__Cleanup)                                                                                   \
    {                                                                                                        \
        PROTOBUF_C_MESSAGE_INIT(&strata__v1__cleanup__descriptor), __VA_ARGS__                               \
    }
#define REBUILD(what)                                                                                        \
    &(Strata__V1__Rebuild)                                                                                   \
    {                                                                                                        \
        PROTOBUF_C_MESSAGE_INIT(&strata__v1__rebuild__descriptor), T(what)                                   \
    }
    const struct {
        Strata__V1__Verify *verify;
        Strata__V1__Cleanup *cleanup;
        Strata__V1__Rebuild *rebuild;
        const char *field;
        const char *says;
    } rows[] = {
        {NULL, NULL, NULL, "work", "verify, cleanup and rebuild"},
        {VERIFY(-1, none), NULL, NULL, "verify.from_position", "-1 and the head is 1000"},
        {VERIFY(1002, none), NULL, NULL, "verify.from_position", "give 1 to 1001"},
        {VERIFY(500, none), NULL, NULL, "verify.from_position", "begins at 1;"},
        {VERIFY(2, {31, chain}), NULL, NULL, "verify.trusted_checkpoint", "31 bytes; a chain has 32"},
        {VERIFY(2, {33, chain}), NULL, NULL, "verify.trusted_checkpoint", "33 bytes"},
        {VERIFY(1, {32, chain}), NULL, NULL, "verify.trusted_checkpoint", "begins at position 1"},
        {VERIFY(0, {32, chain}), NULL, NULL, "verify.trusted_checkpoint", "begins at position 1"},
        {NULL, CLEANUP_OF(NULL, 0, NULL), NULL, "cleanup.what", "[\"SNAPSHOTS\"]"},
        {NULL, CLEANUP_OF(NULL, 1, nothing), NULL, "cleanup.what", "value 0"},
        {NULL, CLEANUP_OF(&no_time, 1, snapshots), NULL, "cleanup.before", "cleanup.before"},
        {NULL, NULL, REBUILD(""), "rebuild.what", "\"snapshots\" or \"cache\""},
        {NULL, NULL, REBUILD("index"), "rebuild.what", "remove the folder index/"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Strata__V1__StartOperationRequest request = STRATA__V1__START_OPERATION_REQUEST__INIT;
        if (rows[i].verify != NULL) {
            request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_VERIFY;
            request.verify = rows[i].verify;
        } else if (rows[i].cleanup != NULL) {
            request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_CLEANUP;
            request.cleanup = rows[i].cleanup;
        } else if (rows[i].rebuild != NULL) {
            request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_REBUILD;
            request.rebuild = rows[i].rebuild;
        }
        struct test_reply reply =
            test_call(world->table, METHOD_SYSTEM_SERVICE_START_OPERATION, &request.base);
        if (reply.status.reason != REASON_INVALID_FIELD || reply.fault_count != 1 ||
            strcmp(reply.faults[0], rows[i].field) != 0 || strstr(reply.status.message, rows[i].says) == NULL)
            fail_msg("row %zu: %zu faults, first \"%s\": %s", i, reply.fault_count, reply.faults[0],
                     reply.status.message);
        test_reply_done(&reply);
    }
}

/* --- verify --- */

static void test_verify_gives_the_chain_of_the_store(void **state)
{
    struct world *world = *state;
    create(world, "created", "custom", "{\"n\":0}"); /* has a version 0 */
    (void)publish_custom(world, "created", "{\"n\":1}");
    (void)publish_custom(world, "b", "{\"n\":1}"); /* begins with 1 */
    append_thousands(world, 3);
    struct store_head head;
    assert_status_ok(world->store->ops->head(world->store, &head));
    char chain[65];
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(chain + 2 * i, 3, "%02x", head.chain.bytes[i]);
    Strata__V1__Operation *ended = wait_operation(world, start_verify(world, 0, none));
    assert_succeeded(ended);
    assert_result(ended, "chain", chain);
    assert_result(ended, "chain_checked", "true");
    assert_result(ended, "events", "3003");
    assert_result(ended, "from_position", "1");
    assert_result(ended, "to_position", "3003");
    assert_int_equal(ended->done, 3003);
    test_message_free(ended);
}

static void test_verify_of_an_empty_store_succeeds(void **state)
{
    struct world *world = *state;
    Strata__V1__Operation *ended = wait_operation(world, start_verify(world, 0, none));
    assert_succeeded(ended);
    assert_result(ended, "events", "0");
    test_message_free(ended);
}

static void test_verify_begins_at_a_trusted_checkpoint(void **state)
{
    struct world *world = *state;
    append_thousands(world, 2);
    struct store_head before;
    assert_status_ok(world->store->ops->head(world->store, &before));
    append_thousands(world, 1);
    ProtobufCBinaryData checkpoint = {SHA256_BYTES, before.chain.bytes};
    Strata__V1__Operation *ended = wait_operation(world, start_verify(world, 2001, checkpoint));
    assert_succeeded(ended);
    assert_result(ended, "events", "1000");
    assert_result(ended, "chain_checked", "true");
    test_message_free(ended);

    ended = wait_operation(world, start_verify(world, 2001, none)); /* all but the chain */
    assert_succeeded(ended);
    assert_result(ended, "chain_checked", "false");
    test_message_free(ended);

    before.chain.bytes[0] ^= 1; /* the history is not that of the checkpoint */
    ended = wait_operation(world, start_verify(world, 2001, checkpoint));
    assert_int_equal(ended->state, FAILED);
    assert_int_equal(ended->error_code, STATUS_DATA_LOSS);
    assert_non_null(strstr(ended->message, "trusted_checkpoint"));
    test_message_free(ended);

    assert_status_ok(world->store->ops->head(world->store, &before));
    checkpoint = (ProtobufCBinaryData){SHA256_BYTES, before.chain.bytes};
    ended =
        wait_operation(world, start_verify(world, 3001, checkpoint)); /* behind the head: nothing to read */
    assert_succeeded(ended);
    test_message_free(ended);
}

/* One record of a read as somebody has altered it: the text that is looked for, and the byte of it that changes. */
static struct {
    int64_t position;
    const char *text; /* NULL = the record is left out */
    size_t at;
} alteration;

struct altered_reader {
    record_sink sink;
    void *context;
};

static bool alter(void *context, int64_t position, struct record record)
{
    const struct altered_reader *reader = context;
    if (position != alteration.position)
        return reader->sink(reader->context, position, record);
    if (alteration.text == NULL)
        return true;
    uint8_t copy[1024];
    assert_true(record.bytes.size_bytes <= sizeof copy);
    memcpy(copy, record.bytes.data, record.bytes.size_bytes);
    uint8_t *found = memmem(copy, record.bytes.size_bytes, alteration.text, strlen(alteration.text));
    assert_non_null(found);
    found[alteration.at] ^= 1;
    record.bytes.data = copy;
    return reader->sink(reader->context, position, record);
}

static struct status altered_read(struct event_store *store, const struct read_query *query, record_sink sink,
                                  void *context)
{
    if (query->by != READ_BY_POSITION)
        return gate_inner()->read(store, query, sink, context);
    struct altered_reader reader = {sink, context};
    return gate_inner()->read(store, query, alter, &reader);
}

static struct status unreachable_read(struct event_store *store, const struct read_query *query,
                                      record_sink sink, void *context)
{
    (void)store;
    (void)query;
    (void)sink;
    (void)context;
    return status_reason(REASON_STORE_UNREACHABLE, "the store has gone away");
}

/* Position 3's id leads to position 1, or nowhere. */
static int64_t wrong_position;
static struct status wrong_find_id(struct event_store *store, struct bytes event_id, int64_t *ret_position)
{
    const struct status status = gate_inner()->find_id(store, event_id, ret_position);
    if (*ret_position == 3)
        *ret_position = wrong_position;
    return status;
}

static void publish_tagged(struct world *world)
{
    Strata__V1__PublishEventRequest request = publish_request("custom", "a", "custom", "{\"colour\":1}");
    char *tags[] = {T("marked")};
    request.tags = tags;
    request.n_tags = 1;
    test_message_free(publish(world, &request, NULL));
}

static void test_verify_names_what_is_damaged(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 5; i++)
        publish_tagged(world);
    const struct {
        const char *why;
        int64_t position;
        const char *text;
        size_t at;
        const char *says;
    } rows[] = {
        {"the payload", 3, "colour", 0, "position 3"},
        {"a header that nothing else knows", 3, "marked", 0, "one of them was altered"},
        {"the version", 3, "custom(", 7, "position 3 has version 2"},
        {"the version of the first one", 1, "custom(", 7, "position 1 has a version that its type"},
        {"one that is not there", 3, NULL, 0, "position 2 is followed by position 4"},
        {"the last one is not there", 5, NULL, 0, "position 5 is missing"},
    };
    gate_read_by(altered_read);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        alteration.position = rows[i].position;
        alteration.text = rows[i].text;
        alteration.at = rows[i].at;
        Strata__V1__Operation *ended = wait_operation(world, start_verify(world, 0, none));
        if (ended->state != FAILED || ended->error_code != STATUS_DATA_LOSS ||
            strstr(ended->message, rows[i].says) == NULL)
            fail_msg("%s: state %d, code %d: %s", rows[i].why, (int)ended->state, ended->error_code,
                     ended->message);
        test_message_free(ended);
    }
    gate_read_by(NULL);
    static const char *const says[] = {"position 3 is not found by its id",
                                       "positions 1 and 3 have the same id"};
    gate_find_id_by(wrong_find_id);
    for (wrong_position = 0; wrong_position < 2; wrong_position++) {
        Strata__V1__Operation *ended = wait_operation(world, start_verify(world, 0, none));
        assert_int_equal(ended->error_code, STATUS_DATA_LOSS);
        assert_non_null(strstr(ended->message, says[wrong_position]));
        test_message_free(ended);
    }
    gate_find_id_by(NULL);
    gate_read_by(unreachable_read); /* no damage, but not verified either */
    Strata__V1__Operation *ended = wait_operation(world, start_verify(world, 0, none));
    assert_int_equal(ended->state, FAILED);
    assert_int_equal(ended->error_code, STATUS_UNAVAILABLE);
    test_message_free(ended);
    gate_read_by(NULL);
    ended = wait_operation(world, start_verify(world, 0, none));
    assert_succeeded(ended);
    test_message_free(ended);
}

/* --- cleanup --- */

static void take_snapshot_at(struct world *world, const char *id, int32_t version)
{
    Strata__V1__CreateSnapshotRequest request = STRATA__V1__CREATE_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T(id);
    request._version_case = STRATA__V1__CREATE_SNAPSHOT_REQUEST___VERSION_VERSION;
    request.version = version;
    test_message_free(call_method_of(world, METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT, &request.base,
                                     &strata__v1__snapshot__descriptor, NULL));
}

static int64_t snapshot_count(struct world *world)
{
    struct snapshot_store_stats stats;
    assert_status_ok(world->snapshots->ops->stats(world->snapshots, &stats));
    return stats.snapshot_count;
}

static Strata__V1__Operation *start_cleanup_of(struct world *world, const Strata__V1__Cleanup__What *what,
                                               size_t count, const Google__Protobuf__Timestamp *before,
                                               bool validate_only)
{
    Strata__V1__Cleanup cleanup = STRATA__V1__CLEANUP__INIT;
    cleanup.before = (Google__Protobuf__Timestamp *)(uintptr_t)before;
    cleanup.what = (Strata__V1__Cleanup__What *)(uintptr_t)what;
    cleanup.n_what = count;
    Strata__V1__StartOperationRequest request = STRATA__V1__START_OPERATION_REQUEST__INIT;
    request.work_case = STRATA__V1__START_OPERATION_REQUEST__WORK_CLEANUP;
    request.cleanup = &cleanup;
    request.validate_only = validate_only;
    return start_operation(world, &request, NULL);
}

static Strata__V1__Operation *start_cleanup(struct world *world, const Google__Protobuf__Timestamp *before,
                                            bool validate_only)
{
    static const Strata__V1__Cleanup__What what[] = {STRATA__V1__CLEANUP__WHAT__SNAPSHOTS};
    return start_cleanup_of(world, what, 1, before, validate_only);
}

static void test_cleanup_removes_superseded_snapshots(void **state)
{
    (void)state;
    struct world world;
    struct manual_clock clock = manual_clock_at_us(INT64_C(1700000000000000));
    world_open_at(&world, NULL, &clock.clock);
    append_thousands(&world, 1);
    for (int32_t version = 1; version <= 100; version++)
        take_snapshot_at(&world, "a", version);
    manual_clock_advance_ms(&clock, 1000);
    for (int32_t version = 1; version <= 100; version++)
        take_snapshot_at(&world, "b", version);
    take_snapshot_at(&world, "c", 7);

    Strata__V1__Operation *checked = start_cleanup(&world, NULL, true);
    assert_int_equal(checked->total, 198);
    assert_int_equal(snapshot_count(&world), 201);
    test_message_free(checked);

    Google__Protobuf__Timestamp before = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    before.seconds = 1700000001; /* a's are older */
    Strata__V1__Operation *ended = wait_operation(&world, start_cleanup(&world, &before, false));
    assert_succeeded(ended);
    assert_result(ended, "snapshots", "99");
    assert_int_equal(ended->done, 99);
    assert_int_equal(ended->total, 99);
    test_message_free(ended);
    assert_int_equal(snapshot_count(&world), 102);

    ended = wait_operation(&world, start_cleanup(&world, NULL, false));
    assert_succeeded(ended);
    assert_result(ended, "snapshots", "99");
    test_message_free(ended);
    assert_int_equal(snapshot_count(&world), 3);
    Strata__V1__Aggregate *aggregate = get_state(&world, "a"); /* none of its events went */
    assert_int_equal(aggregate->version, 100);
    test_message_free(aggregate);
    world_close(&world);
}

static enum bus_answer handle(void *context, const struct bus_delivery *delivery)
{
    (void)context;
    (void)delivery;
    return BUS_HANDLED;
}

static void test_cleanup_forgets_abandoned_subscriptions(void **state)
{
    struct world *world = *state;
    int64_t id = 0;
    for (uint64_t owner = 1; owner <= 3; owner++) {
        const struct bus_subscribe_options options = {.owner = owner, .handler = handle};
        assert_status_ok(bus_subscribe(world->bus, &options, &id));
    }
    assert_int_equal(bus_abandon(world->bus, 1), 1);
    assert_int_equal(bus_abandon(world->bus, 3), 1);
    const Strata__V1__Cleanup__What what[] = {STRATA__V1__CLEANUP__WHAT__SUBSCRIPTIONS};
    Strata__V1__Operation *checked = start_cleanup_of(world, what, 1, NULL, true);
    assert_int_equal(checked->total, 2);
    assert_string_equal(checked->message, "removes ended subscriptions");
    test_message_free(checked);
    Strata__V1__Operation *ended = wait_operation(world, start_cleanup_of(world, what, 1, NULL, false));
    assert_succeeded(ended);
    assert_result(ended, "subscriptions", "2");
    assert_result(ended, "snapshots", ""); /* not asked for */
    assert_int_equal(ended->done, 2);
    test_message_free(ended);
    struct bus_stats stats;
    bus_stats(world->bus, &stats);
    assert_int_equal(stats.ended, 0);
    assert_status_ok(bus_unsubscribe(world->bus, id - 1)); /* the one that lives */
}

/* --- rebuild --- */

static struct snapshot newest_of(struct world *world, const char *id, struct arena *arena)
{
    struct snapshot snapshot = {0};
    bool found = false;
    assert_status_ok(world->snapshots->ops->get(world->snapshots, bytes_of_text(id), SNAPSHOT_PICK_BEST,
                                                INT32_MAX, arena, &snapshot, &found));
    return snapshot;
}

static void test_rebuild_renews_snapshots_of_other_rules_and_takes_missing_ones(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 5; i++)
        (void)publish_custom(world, "old", "{\"n\":1}");
    for (int i = 0; i < 5; i++)
        (void)publish_custom(world, "many", "{\"n\":1}");
    (void)publish_custom(world, "few", "{\"n\":1}");
    take_snapshot_at(world, "old", 3);
    take_snapshot_at(world, "few", 1);
    struct service_options options = {.store_id = "main", .reducer_version = 77};
    world_restart(world, &options, &system_clock); /* from here on the rules are others */
    Strata__V1__Operation *ended = wait_operation(world, start_rebuild(world, "snapshots"));
    assert_succeeded(ended);
    assert_result(ended, "aggregates", "3");
    assert_result(ended, "taken", "2");
    assert_int_equal(ended->total, 3);
    test_message_free(ended);
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct snapshot renewed = newest_of(world, "old", arena);
    assert_int_equal(renewed.version, 5);
    assert_int_equal(renewed.reducer_version, 77);
    assert_int_equal(newest_of(world, "few", arena).reducer_version, 77);
    assert_int_equal(newest_of(world, "many", arena).version, 0); /* automatic ones are off */

    options.snapshot_events = 5;
    world_restart(world, &options, &system_clock);
    ended = wait_operation(world, start_rebuild(world, "snapshots"));
    assert_succeeded(ended);
    assert_result(ended, "taken", "1");
    test_message_free(ended);
    assert_int_equal(newest_of(world, "many", arena).version, 5);
}

static void test_rebuild_goes_over_all_aggregates(void **state)
{
    struct world *world = *state;
    char id[16];
    for (int i = 0; i < 130; i++) { /* two full pages and a part of one */
        snprintf(id, sizeof id, "u%d", i);
        (void)publish_custom(world, id, "{}");
    }
    const struct service_options options = {.store_id = "main", .snapshot_events = 1};
    world_restart(world, &options, &system_clock);
    Strata__V1__Operation *ended = wait_operation(world, start_rebuild(world, "snapshots"));
    assert_succeeded(ended);
    assert_result(ended, "taken", "130");
    assert_result(ended, "aggregates", "130");
    test_message_free(ended);
    assert_int_equal(snapshot_count(world), 130);
}

static void test_rebuild_drops_the_cached_states(void **state)
{
    struct world *world = *state;
    append_thousands(world, 1);
    char id[16];
    for (int i = 0; i < 150; i++) {
        snprintf(id, sizeof id, "u%d", i);
        (void)publish_custom(world, id, "{}");
        test_message_free(get_state(world, id));
    }
    struct snapshot_store_stats stats;
    assert_status_ok(world->cache->ops->stats(world->cache, &stats));
    assert_int_equal(stats.snapshot_count, 150);
    Strata__V1__Operation *ended = wait_operation(world, start_rebuild(world, "cache"));
    assert_succeeded(ended);
    assert_result(ended, "dropped", "150");
    test_message_free(ended);
    assert_status_ok(world->cache->ops->stats(world->cache, &stats));
    assert_int_equal(stats.snapshot_count, 0);
    test_message_free(get_state(world, "u0"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_requests_are_refused_by_name),
        CASE(test_verify_gives_the_chain_of_the_store),
        CASE(test_verify_of_an_empty_store_succeeds),
        CASE(test_verify_begins_at_a_trusted_checkpoint),
        CASE(test_verify_names_what_is_damaged),
        cmocka_unit_test(test_cleanup_removes_superseded_snapshots),
        CASE(test_cleanup_forgets_abandoned_subscriptions),
        CASE(test_rebuild_renews_snapshots_of_other_rules_and_takes_missing_ones),
        CASE(test_rebuild_goes_over_all_aggregates),
        CASE(test_rebuild_drops_the_cached_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
