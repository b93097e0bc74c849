/*
 * Reads of the past, each against a replay of the events before it: among wrong snapshots of clients, snapshots of other
 * reducers and other histories, cached states, and with a clock that steps back. Over the engine in memory and the
 * embedded one.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/manual_clock.h"
#include "support/memory_files.h"
#include "support/seeded_entropy.h"

#include "base/json.h"
#include "store/embedded/embedded_store.h"

#define OUR_REDUCER 7
#define AGGREGATES  8U
#define EVENTS_MAX  4096U
#define ACTS        700
#define READS       1000
#define START_US    INT64_C(1700000000000000)
#define HOUR_US     INT64_C(3600000000)

struct past {
    struct world world;
    struct manual_clock clock;
    struct memory_files disk;
    bool embedded;
    uint64_t random;
    struct arena *arena; /* of the events */
    struct event_fields events[EVENTS_MAX];
    size_t event_count; /* events[i] has position i + 1 */
    int reads;
};

static uint64_t below(struct past *past, uint64_t bound)
{
    return random_below(&past->random, bound);
}

/* --- a world on either engine --- */

static struct service_options options_of(int32_t reducer_version)
{
    return (struct service_options){
        .snapshot_events = 5,
        .snapshot_interval_us = HOUR_US,
        .snapshots_max = 60,
        .reducer_version = reducer_version,
    };
}

static struct world_stores stores_open(struct past *past)
{
    const struct embedded_options small = {.segment_max_bytes = 64 * 1024, .segment_max_events = 40};
    struct world_stores stores;
    assert_status_ok(memory_snapshots_open(20, &stores.cache));
    if (past->embedded) {
        assert_status_ok(embedded_store_open(&past->disk.files, &small, &past->clock.clock, &system_entropy,
                                             NULL, &stores.store));
        assert_status_ok(embedded_store_snapshots(stores.store, &stores.snapshots));
    } else {
        assert_status_ok(memory_store_open(&past->clock.clock, &stores.store));
        assert_status_ok(memory_snapshots_open(0, &stores.snapshots));
    }
    return stores;
}

static struct past *past_open(bool embedded, uint64_t seed)
{
    struct past *past = calloc(1, sizeof *past);
    assert_non_null(past);
    past->clock = manual_clock_at_us(START_US);
    past->embedded = embedded;
    past->random = seed;
    past->arena = arena_new(0);
    if (embedded)
        past->disk = memory_files_empty();
    const struct world_stores stores = stores_open(past);
    const struct service_options options = options_of(OUR_REDUCER);
    world_open_over(&past->world, &options, &past->clock.clock, &stores);
    return past;
}

/* Another service: with an empty cache over what the disk has, or, in memory, over the same stores. */
static void past_restart(struct past *past, int32_t reducer_version)
{
    const struct service_options options = options_of(reducer_version);
    if (!past->embedded) {
        world_restart(&past->world, &options, &past->clock.clock);
        return;
    }
    world_close(&past->world);
    const struct world_stores stores = stores_open(past);
    world_open_over(&past->world, &options, &past->clock.clock, &stores);
}

static void past_close(struct past *past)
{
    world_close(&past->world);
    if (past->embedded)
        memory_files_done(&past->disk);
    arena_free(past->arena);
    free(past);
}

/* --- the other account: the events, and what a replay makes of them --- */

static bool learn_event(void *context, int64_t position, struct record record)
{
    struct past *past = context;
    struct record copy = {arena_bytes(past->arena, record.bytes), record.header_bytes};
    assert_true(past->event_count < EVENTS_MAX);
    struct event_fields *event = &past->events[past->event_count++];
    assert_status_ok(record_decode(copy, event));
    assert_int_equal(position, past->event_count);
    assert_int_equal(event->position, position);
    return true;
}

/* Reads what was appended. The rule of time: as late as the clock, or a microsecond behind the last append. */
static void learn(struct past *past)
{
    const size_t before = past->event_count;
    const int64_t last_us = before == 0 ? 0 : past->events[before - 1].timestamp_us;
    const int64_t now_us = clock_now_us(&past->clock.clock);
    const struct read_query news = {
        .by = READ_BY_POSITION, .after_position = (int64_t)before, .to_version = INT32_MAX};
    assert_status_ok(past->world.store->ops->read(past->world.store, &news, learn_event, past));
    for (size_t i = before; i < past->event_count; i++)
        assert_int_equal(past->events[i].timestamp_us, now_us > last_us ? now_us : last_us + 1);
}

static const char *id_of(uint64_t aggregate)
{
    static const char *const ids[AGGREGATES] = {"c-0", "o-1", "u-2", "p-3", "c-4", "o-5", "u-6", "p-7"};
    return ids[aggregate];
}

static const char *type_of(uint64_t aggregate)
{
    static const char *const types[] = {"custom", "order", "user", "payment"};
    return types[aggregate % ARRAY_SIZE(types)];
}

struct bound {
    int64_t position;
    int32_t version;
    bool effective;
    int64_t effective_us;
};

static const struct bound newest = {.position = INT64_MAX, .version = INT32_MAX};

/* Every event of the aggregate up to the bound, folded from nothing. */
static struct fold *replay(struct past *past, struct arena *arena, const char *id, struct bound bound)
{
    struct fold *fold = fold_new(past->world.domain, arena, NULL);
    assert_non_null(fold);
    for (size_t i = 0; i < past->event_count; i++) {
        const struct event_fields *event = &past->events[i];
        const int64_t effective_us = event->has_occurred_at ? event->occurred_at_us : event->timestamp_us;
        if (bytes_equal(event->aggregate_id, bytes_of_text(id)) && event->position <= bound.position &&
            event->version <= bound.version && (!bound.effective || effective_us <= bound.effective_us))
            assert_status_ok(fold_apply(fold, event));
    }
    return fold;
}

static int32_t head_version(struct past *past, const char *id)
{
    for (size_t i = past->event_count; i-- > 0;)
        if (bytes_equal(past->events[i].aggregate_id, bytes_of_text(id)))
            return past->events[i].version;
    return -1;
}

/* --- acting --- */

static void set_time(Google__Protobuf__Timestamp *time, int64_t time_us)
{
    google__protobuf__timestamp__init(time);
    time->seconds = time_us / 1000000;
    time->nanos = (int32_t)(time_us % 1000000) * 1000;
}

static const char *const statuses[] = {"pending", "confirmed", "paid",      "shipped",  "delivered",
                                       "failed",  "refunded",  "completed", "cancelled"};

static void event_of(struct past *past, uint64_t aggregate, const char **ret_type, char data[160])
{
    const char *id = id_of(aggregate);
    const unsigned n = (unsigned)below(past, 1000);
    const char *status = statuses[below(past, ARRAY_SIZE(statuses))];
    const bool first = head_version(past, id) < 0;
    switch (aggregate % 4) {
    case 0: {
        static const char *const patches[] = {"{\"n\":%u}", "{\"a\":{\"b\":%u.50}}", "{\"a\":null,\"m\":%u}",
                                              "{\"list\":[%u,1e2]}"};
        *ret_type = "custom";
        snprintf(data, 160, patches[below(past, ARRAY_SIZE(patches))], n);
        return;
    }
    case 1:
        *ret_type = first ? "order_created" : "order_status_changed";
        snprintf(data, 160, first ? "{\"order_id\":\"%s\"}" : "{\"order_id\":\"%s\",\"new_status\":\"%s\"}",
                 id, status);
        return;
    case 2:
        *ret_type = first ? "user_created" : below(past, 30) == 0 ? "user_deleted" : "user_updated";
        snprintf(data, 160, "{\"user_id\":\"%s\",\"name\":\"%u\"}", id, n);
        return;
    default:
        *ret_type = "payment_processed";
        snprintf(data, 160, "{\"payment_id\":\"%s\",\"amount\":%u.10,\"status\":\"%s\"}", id, n, status);
    }
}

/* May that event follow? By the replayed state, never by a snapshot. */
static bool may_follow(struct past *past, uint64_t aggregate, const char *type, const char *data)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct event_fields event = {
        .type = bytes_of_text(type),
        .aggregate_id = bytes_of_text(id_of(aggregate)),
        .aggregate_type = bytes_of_text(type_of(aggregate)),
        .version = head_version(past, id_of(aggregate)) + 1,
        .data = bytes_of_text(data),
    };
    const struct status status =
        domain_check(past->world.domain, replay(past, arena, id_of(aggregate), newest), &event);
    return status_is_ok(&status);
}

static void act_publish(struct past *past, uint64_t aggregate)
{
    char data[160];
    const char *type = NULL;
    event_of(past, aggregate, &type, data);
    Strata__V1__PublishEventRequest request =
        publish_request(type, id_of(aggregate), type_of(aggregate), data);
    Google__Protobuf__Timestamp occurred;
    if (below(past, 3) == 0) {
        set_time(&occurred,
                 clock_now_us(&past->clock.clock) - (int64_t)below(past, 20) * HOUR_US / 4 + 2 * HOUR_US);
        request.occurred_at = &occurred;
    }
    const bool allowed = may_follow(past, aggregate, type, data);
    struct status status;
    test_message_free(publish(&past->world, &request, &status));
    const bool known_status = status_is_ok(&status) || status.reason == REASON_TRANSITION_REFUSED ||
                              status.reason == REASON_INVALID_FIELD; /* a status of another type */
    if (!known_status || (status_is_ok(&status) && !allowed) ||
        (status.reason == REASON_TRANSITION_REFUSED && allowed))
        fail_msg("%s %s of %s: %s, by the replayed state %s", type, data, id_of(aggregate),
                 status_is_ok(&status) ? "taken" : status.message, allowed ? "allowed" : "refused");
}

static void act_save(struct past *past, uint64_t aggregate)
{
    if (head_version(past, id_of(aggregate)) < 0)
        return;
    Strata__V1__SaveAggregateRequest request = STRATA__V1__SAVE_AGGREGATE_REQUEST__INIT;
    char text[64];
    snprintf(text, sizeof text, "{\"note\":\"%u\"}", (unsigned)below(past, 100));
    request.id = T(id_of(aggregate));
    request.if_match = T("*");
    if (aggregate % 4 == 0 && below(past, 2) == 0) {
        request.state = json(text);
    } else if (below(past, 2) == 0) {
        request.set_metadata = json(text);
    } else {
        request._active_case = STRATA__V1__SAVE_AGGREGATE_REQUEST___ACTIVE_ACTIVE;
        request.active = (protobuf_c_boolean)below(past, 2);
    }
    test_message_free(call_method_of(&past->world, METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE, &request.base,
                                     &strata__v1__aggregate__descriptor, NULL));
}

static bool equals_replay(struct past *past, const char *id, int32_t version, struct bytes data)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct aggregate_state state;
    const struct fold *fold =
        replay(past, arena, id, (struct bound){.position = INT64_MAX, .version = version});
    if (!fold_exists(fold))
        return false;
    assert_status_ok(fold_result(fold, &state));
    struct json_value *a = NULL;
    struct json_value *b = NULL;
    bool equal = false;
    assert_status_ok(json_parse(arena, state.state, &a));
    assert_status_ok(json_parse(arena, data, &b));
    assert_status_ok(json_equal(arena, a, b, &equal));
    return equal;
}

/* What a client says of any version, mostly wrong. */
static void act_client_snapshot(struct past *past, uint64_t aggregate)
{
    static const char *const claims[] = {"{\"status\":\"paid\"}",
                                         "{\"status\":\"delivered\",\"order_id\":\"o-1\"}",
                                         "{\"n\":-1}",
                                         "{\"status\":\"deleted\",\"user_id\":\"u-2\"}",
                                         "{}",
                                         "{\"status\":\"pending\",\"order_id\":\"o-1\"}"};
    const char *id = id_of(aggregate);
    const int32_t head = head_version(past, id);
    if (head < 0)
        return;
    const char *claim = claims[below(past, ARRAY_SIZE(claims))];
    Strata__V1__CreateSnapshotRequest request = STRATA__V1__CREATE_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T(id);
    request._version_case = STRATA__V1__CREATE_SNAPSHOT_REQUEST___VERSION_VERSION;
    request.version = 1 + (int32_t)below(past, (uint64_t)head + 8);
    const bool ahead = request.version > head;
    if (ahead || below(past, 5) != 0)
        request.data = json(claim);
    struct status status;
    Strata__V1__Snapshot *got = call_method_of(&past->world, METHOD_SNAPSHOT_SERVICE_CREATE_SNAPSHOT,
                                               &request.base, &strata__v1__snapshot__descriptor, &status);
    const bool right =
        !ahead && (request.data.len == 0 || equals_replay(past, id, request.version, bytes_of_text(claim)));
    const int wanted = ahead   ? STRATA__V1__SNAPSHOT__STATE__PENDING
                       : right ? STRATA__V1__SNAPSHOT__STATE__VERIFIED
                               : STRATA__V1__SNAPSHOT__STATE__DIVERGENT;
    const bool refused = (ahead && status.reason == REASON_PENDING_TOO_MANY) ||
                         (!ahead && !right && status.reason == REASON_SNAPSHOT_EXISTS);
    if (got == NULL ? !refused : (int)got->state != wanted)
        fail_msg("%s of %s at %d of %d: %s, wanted state %d", claim, id, request.version, head,
                 got == NULL ? status.message : "another state", wanted);
    test_message_free(got);
}

static struct sha256 leaf_at(struct past *past, const char *id, int32_t version, int64_t *ret_position)
{
    for (size_t i = past->event_count; i-- > 0;) {
        const struct event_fields *event = &past->events[i];
        if (!bytes_equal(event->aggregate_id, bytes_of_text(id)) || event->version != version)
            continue;
        struct buffer encoded = buffer_make(0);
        size_t header_bytes = 0;
        record_encode(event, &encoded, &header_bytes);
        const struct sha256 leaf = record_leaf((struct record){buffer_bytes(&encoded), header_bytes});
        buffer_done(&encoded);
        *ret_position = event->position;
        return leaf;
    }
    fail_msg("%s has no version %d", id, version);
    return (struct sha256){0};
}

/*
 * Puts a VERIFIED snapshot of a state that never was into store or cache: of an older or newer reducer over the right
 * event, or of our reducer over an event of another history.
 */
static void act_forge(struct past *past, uint64_t aggregate, int32_t reducer_version)
{
    const char *id = id_of(aggregate);
    const int32_t head = head_version(past, id);
    if (head < 1)
        return;
    const int32_t version = 1 + (int32_t)below(past, (uint64_t)head);
    int64_t position = 0;
    struct sha256 leaf = leaf_at(past, id, version, &position);
    if (reducer_version == OUR_REDUCER)
        leaf.bytes[0] ^= 1;
    Strata__V1__Aggregate never = STRATA__V1__AGGREGATE__INIT;
    never.id = T(id);
    never.type = T(type_of(aggregate));
    never.version = version;
    never.state = json("{\"n\":666,\"status\":\"paid\"}");
    never.metadata = json("{}");
    never.active = true;
    never.position = position;
    uint8_t packed[256];
    const struct snapshot forged = {
        .aggregate_id = bytes_of_text(id),
        .aggregate_type = bytes_of_text(type_of(aggregate)),
        .version = version,
        .state = SNAPSHOT_VERIFIED,
        .created_at_us = clock_now_us(&past->clock.clock),
        .position = position,
        .event_digest = bytes_of(leaf.bytes, sizeof leaf.bytes),
        .reducer_version = reducer_version,
        .data = BYTES_LITERAL("{\"n\":666,\"status\":\"paid\"}"),
        .folded = bytes_of(packed, strata__v1__aggregate__pack(&never, packed)),
    };
    struct snapshot_store *to = below(past, 2) == 0 ? past->world.cache : past->world.snapshots;
    assert_status_ok(to->ops->put(to, &forged));
}

static void act_clock(struct past *past)
{
    const int64_t most_us = below(past, 3) == 0 ? 3 * HOUR_US : 5000000;
    const int64_t step_us = 1 + (int64_t)below(past, (uint64_t)most_us);
    manual_clock_advance_us(&past->clock, below(past, 3) == 0 ? -step_us : step_us);
}

/* --- looking --- */

static int64_t time_us_of(const Google__Protobuf__Timestamp *time)
{
    return time == NULL ? 0 : time->seconds * 1000000 + time->nanos / 1000;
}

static bool same_blob(ProtobufCBinaryData blob, struct bytes bytes)
{
    return bytes_equal(bytes_of(blob.data, blob.len), bytes);
}

static bool same_state(const Strata__V1__Aggregate *got, const struct aggregate_state *wanted)
{
    return bytes_equal(bytes_of_text(got->id), wanted->id) &&
           bytes_equal(bytes_of_text(got->type), wanted->type) && got->version == wanted->version &&
           same_blob(got->state, wanted->state) && same_blob(got->metadata, wanted->metadata) &&
           got->active == wanted->active && time_us_of(got->created_at) == wanted->created_at_us &&
           time_us_of(got->updated_at) == wanted->updated_at_us && got->position == wanted->position &&
           got->event_count == wanted->event_count;
}

/* A moment around that of an event, or anywhere. */
static int64_t some_moment(struct past *past)
{
    const struct event_fields *event = &past->events[below(past, past->event_count)];
    const int64_t at_us =
        event->has_occurred_at && below(past, 2) == 0 ? event->occurred_at_us : event->timestamp_us;
    if (below(past, 4) == 0)
        return at_us + (int64_t)below(past, (uint64_t)HOUR_US) - HOUR_US / 2;
    return at_us + (int64_t)below(past, 3) - 1;
}

/* The greatest position whose event is not later. */
static int64_t position_at(const struct past *past, int64_t time_us)
{
    int64_t position = 0;
    for (size_t i = 0; i < past->event_count; i++)
        if (past->events[i].timestamp_us <= time_us)
            position = past->events[i].position;
    return position;
}

static void look_at_the_past(struct past *past)
{
    const char *id = id_of(below(past, AGGREGATES));
    const int32_t head = head_version(past, id);
    if (head < 0)
        return;
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    Google__Protobuf__Timestamp as_of_time;
    Google__Protobuf__Timestamp effective_at;
    request.id = T(id);
    struct bound bound = newest;
    int64_t as_of_position = 0; /* wanted */
    switch (below(past, 4)) {
    case 0:
        request.as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_VERSION;
        request.as_of_version = bound.version = (int32_t)below(past, (uint64_t)head + 1);
        break;
    case 1:
        request.as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_POSITION;
        request.as_of_position = bound.position = 1 + (int64_t)below(past, past->event_count);
        as_of_position = bound.position;
        break;
    case 2:
        request.as_of_case = STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_TIME;
        const int64_t moment_us = some_moment(past);
        set_time(&as_of_time, moment_us);
        request.as_of_time = &as_of_time;
        bound.position = as_of_position = position_at(past, moment_us);
        break;
    default:
        break;
    }
    if (below(past, 4) == 0) {
        bound.effective = true;
        bound.effective_us = some_moment(past);
        set_time(&effective_at, bound.effective_us);
        request.effective_at = &effective_at;
    }

    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    const struct fold *fold = replay(past, arena, id, bound);
    struct status status;
    Strata__V1__Aggregate *got = get_aggregate(&past->world, &request, &status, NULL);
    past->reads++;
    struct aggregate_state wanted = {0};
    bool same = false;
    if (!fold_exists(fold)) {
        same = status.reason == REASON_AGGREGATE_UNKNOWN;
    } else if (status_is_ok(&status)) {
        assert_status_ok(fold_result(fold, &wanted));
        if (request.as_of_case == STRATA__V1__GET_AGGREGATE_REQUEST__AS_OF_AS_OF_VERSION)
            as_of_position = wanted.position;
        same = same_state(got, &wanted) && got->as_of_position == as_of_position &&
               (got->etag[0] == '\0') == bound.effective;
    }
    if (!same)
        fail_msg(
            "read %d: %s as of version %d, position %lld, effective %lld is version %d \"%.*s\" (%s), and the "
            "events make it version %d \"%.*s\"",
            past->reads, id, bound.version, (long long)bound.position, (long long)bound.effective_us,
            got == NULL ? -1 : got->version, got == NULL ? 0 : (int)got->state.len,
            got == NULL ? "" : (const char *)got->state.data, status.message, wanted.version,
            BYTES_FORMAT(wanted.state));
    test_message_free(got);
}

/* What is VERIFIED by our reducer says what the events say, unless it is one of the forged ones. */
static void look_at_a_snapshot(struct past *past, int32_t reducer_version)
{
    const char *id = id_of(below(past, AGGREGATES));
    Strata__V1__GetSnapshotRequest request = STRATA__V1__GET_SNAPSHOT_REQUEST__INIT;
    request.aggregate_id = T(id);
    struct status status;
    Strata__V1__Snapshot *got = call_method_of(&past->world, METHOD_SNAPSHOT_SERVICE_GET_SNAPSHOT,
                                               &request.base, &strata__v1__snapshot__descriptor, &status);
    if (got == NULL) {
        assert_true(status.reason == REASON_SNAPSHOT_NONE || status.reason == REASON_AGGREGATE_UNKNOWN);
        return;
    }
    const struct bytes data = bytes_of(got->data.data, got->data.len);
    const bool verified =
        got->state == STRATA__V1__SNAPSHOT__STATE__VERIFIED && got->reducer_version == reducer_version;
    const bool forged = bytes_equal(data, BYTES_LITERAL("{\"n\":666,\"status\":\"paid\"}"));
    if (verified && !forged && !equals_replay(past, id, got->version, data))
        fail_msg("a verified snapshot of %s at %d says %.*s", id, got->version, BYTES_FORMAT(data));
    test_message_free(got);
}

static void act(struct past *past)
{
    const uint64_t aggregate = below(past, AGGREGATES);
    const uint64_t what = below(past, 100);
    if (what < 45)
        act_publish(past, aggregate);
    else if (what < 55)
        act_save(past, aggregate);
    else if (what < 70)
        act_client_snapshot(past, aggregate);
    else if (what < 78)
        act_forge(past, aggregate, OUR_REDUCER + (int32_t)below(past, 3) - 1);
    else if (what < 90)
        act_clock(past);
    else
        look_at_a_snapshot(past, OUR_REDUCER);
    learn(past);
}

static void run_past(bool embedded)
{
    struct past *past = past_open(embedded, embedded ? 20 : 13);
    for (int i = 0; i < ACTS; i++) {
        act(past);
        while (past->event_count > 0 && past->reads < READS * i / ACTS)
            look_at_the_past(past);
    }
    /* A service of a later release: what is stored was folded by rules that are not its own. */
    past_restart(past, OUR_REDUCER + 5);
    while (past->reads < 2 * READS) {
        look_at_the_past(past);
        look_at_a_snapshot(past, OUR_REDUCER + 5);
    }
    past_close(past);
}

static void test_reads_of_the_past_equal_a_replay_in_memory(void **state)
{
    (void)state;
    run_past(false);
}

static void test_reads_of_the_past_equal_a_replay_on_the_disk(void **state)
{
    (void)state;
    run_past(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_of_the_past_equal_a_replay_in_memory),
        cmocka_unit_test(test_reads_of_the_past_equal_a_replay_on_the_disk),
    };
    return cmocka_run_group_tests_name("as_of", tests, NULL, NULL);
}
