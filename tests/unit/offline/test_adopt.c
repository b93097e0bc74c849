/* Adopting records: the same history in another store, byte for byte, or a refusal by name and no trace. */
#include <stdio.h>
#include <string.h>

#include "support/cmocka.h"
#include "support/memory_files.h"

#include "contract/store_driver.h"
#include "history.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "store/adopt.h"
#include "store/embedded/embedded_store.h"
#include "store/memory/memory_store.h"

/* Both engines; the embedded one on the disk in memory, with segments that a few events fill. */
struct place {
    bool embedded;
    struct memory_files disk;
};

static struct event_store *open_store(struct place *place)
{
    struct event_store *store = NULL;
    if (!place->embedded) {
        assert_status_ok(memory_store_open(&system_clock, &store));
        return store;
    }
    const struct embedded_options options = {.segment_max_bytes = 64 * 1024, .segment_max_events = 3};
    assert_status_ok(
        embedded_store_open(&place->disk.files, &options, &system_clock, &system_entropy, NULL, &store));
    return store;
}

static struct store_head head_of(struct event_store *store)
{
    struct store_head head;
    assert_status_ok(store->ops->head(store, &head));
    return head;
}

static void assert_heads_equal(const struct store_head *a, const struct store_head *b)
{
    assert_int_equal(a->position, b->position);
    assert_int_equal(a->timestamp_us, b->timestamp_us);
    assert_int_equal(a->aggregate_count, b->aggregate_count);
    assert_memory_equal(a->chain.bytes, b->chain.bytes, SHA256_BYTES);
}

static struct status adopt(struct event_store *store, const struct bytes *records, size_t count)
{
    struct store_head head;
    STATUS_TRY(event_store_adopt(store, records, count, &system_entropy, &head));
    const struct store_head stands = head_of(store);
    assert_heads_equal(&head, &stands);
    return status_ok();
}

struct comparison {
    const struct history *history;
    int64_t seen;
};

static bool compare(void *context, int64_t position, struct record record)
{
    struct comparison *comparison = context;
    assert_int_equal(position, ++comparison->seen);
    const struct bytes wanted = comparison->history->records[position - 1];
    assert_int_equal(record.bytes.size_bytes, wanted.size_bytes);
    assert_memory_equal(record.bytes.data, wanted.data, wanted.size_bytes);
    return true;
}

static void assert_holds(struct event_store *store, const struct history *history)
{
    struct comparison comparison = {.history = history};
    const struct read_query all = {.by = READ_BY_POSITION, .to_version = INT32_MAX};
    assert_status_ok(store->ops->read(store, &all, compare, &comparison));
    assert_int_equal(comparison.seen, history->count);
    const struct store_head head = head_of(store);
    assert_heads_equal(&head, &history->head);
}

/* Positions after which an append of the history ends. */
static const size_t append_ends[] = {1, 4, 5, 7};

static void test_a_history_is_adopted_byte_for_byte_with_an_equal_chain(void **state)
{
    (void)state;
    struct history history;
    history_init(&history);
    for (int embedded = 0; embedded < 2; embedded++) {
        for (int piecewise = 0; piecewise < 2; piecewise++) {
            struct place place = {.embedded = embedded, .disk = memory_files_empty()};
            struct event_store *store = open_store(&place);
            if (piecewise == 0)
                assert_status_ok(adopt(store, history.records, history.count));
            size_t done = 0;
            for (size_t i = 0; piecewise == 1 && i < ARRAY_SIZE(append_ends); done = append_ends[i++])
                assert_status_ok(adopt(store, history.records + done, append_ends[i] - done));
            assert_holds(store, &history);
            if (embedded) {
                event_store_close(store);
                store = open_store(&place);
                assert_holds(store, &history);
            }
            event_store_close(store);
            memory_files_done(&place.disk);
        }
    }
    history_done(&history);
}

static void test_what_was_adopted_is_history_like_any_other(void **state)
{
    (void)state;
    struct history history;
    history_init(&history);
    struct place place = {.embedded = true, .disk = memory_files_empty()};
    struct event_store *store = open_store(&place);
    assert_status_ok(adopt(store, history.records, history.count));
    struct store_driver driver;
    store_driver_init(&driver, store);
    manual_clock_advance_ms(&driver.clock, 1000);
    const struct append_event next = sample_event("e8", "user-1", "user_updated", "user");
    const struct append append = sample_append(&next, 1);
    const struct append_outcome outcome = store_driver_append(&driver, &append);
    assert_int_equal(outcome.kind, APPEND_ACCEPTED);
    assert_int_equal(outcome.heads[0].version, 3);
    assert_int_equal(outcome.first_position, 8);
    const struct append_event again = sample_event("e5", "ledger", "custom", "custom");
    const struct append repeated = sample_append(&again, 1);
    assert_int_equal(store_driver_append(&driver, &repeated).kind, APPEND_REPLAYED);
    store_driver_done(&driver);
    event_store_close(store);
    memory_files_done(&place.disk);
    history_done(&history);
}

/* --- what is refused --- */

static void change_nothing(struct event_fields *fields)
{
    (void)fields;
}
static void skip_a_position(struct event_fields *fields)
{
    fields->position++;
}
static void skip_a_version(struct event_fields *fields)
{
    fields->version++;
}
static void repeat_a_version(struct event_fields *fields)
{
    fields->version--;
}
static void fall_in_time(struct event_fields *fields)
{
    fields->timestamp_us -= 60 * 1000 * 1000;
}
static void stray_in_time(struct event_fields *fields)
{
    fields->timestamp_us++;
}
static void have_no_time(struct event_fields *fields)
{
    fields->timestamp_us = 0;
}
static void change_the_type(struct event_fields *fields)
{
    fields->aggregate_type = BYTES_LITERAL("other");
}
static void use_an_id(struct event_fields *fields)
{
    fields->id = BYTES_LITERAL("e1");
}
static void use_a_batch_mate_s_id(struct event_fields *fields)
{
    fields->id = BYTES_LITERAL("e4");
}
static void spoil_the_digest(struct event_fields *fields)
{
    fields->payload_digest = BYTES_LITERAL("0123456789abcdef0123456789abcdef");
}
static void have_no_salt(struct event_fields *fields)
{
    fields->salt = BYTES_NONE;
}
static void promise_another_event(struct event_fields *fields)
{
    fields->append_count++;
}
static void have_no_append(struct event_fields *fields)
{
    fields->append_count = 0;
}
static void begin_inside(struct event_fields *fields)
{
    fields->append_index = 1;
}
static void change_the_append(struct event_fields *fields)
{
    fields->append_id = BYTES_LITERAL("other");
}
static void create_again(struct event_fields *fields)
{
    fields->type = BYTES_LITERAL(TYPE_AGGREGATE_CREATED);
}
static void have_a_bad_id(struct event_fields *fields)
{
    fields->id = BYTES_LITERAL("a b");
}
static void have_no_aggregate(struct event_fields *fields)
{
    fields->aggregate_id = BYTES_NONE;
}
static void have_a_bad_actor(struct event_fields *fields)
{
    fields->actor = BYTES_LITERAL("\xff");
}
static void create_at_version_1(struct event_fields *fields)
{
    fields->version = 1;
}

static const struct {
    const char *why;
    size_t place; /* of the changed record; the store holds the first append, position 1 */
    void (*change)(struct event_fields *fields);
    enum status_code code;
    const char *said;
} refusals[] = {
    {"a gap", 1, skip_a_position, STATUS_FAILED_PRECONDITION, "position 3: position 2 comes next"},
    {"a later gap", 5, skip_a_position, STATUS_FAILED_PRECONDITION, "position 7: position 6 comes next"},
    {"a version that leaves one out", 1, skip_a_version, STATUS_FAILED_PRECONDITION,
     "position 2: it is version 2 of \"user-1\" where 1 comes next"},
    {"a version twice, within the batch", 3, repeat_a_version, STATUS_FAILED_PRECONDITION,
     "position 4: it is version 1 of \"user-1\" where 2 comes next"},
    {"a first version that is not 1", 4, skip_a_version, STATUS_FAILED_PRECONDITION,
     "position 5: it is version 2 of \"ledger\" where 1 comes next"},
    {"an append before the one before it", 4, fall_in_time, STATUS_FAILED_PRECONDITION,
     "position 5: its time"},
    {"an event at another time than its append", 2, stray_in_time, STATUS_FAILED_PRECONDITION,
     "position 3: its time"},
    {"no time", 4, have_no_time, STATUS_DATA_LOSS, "position 5: the timestamp 0 us is no time"},
    {"another type, known to the store", 1, change_the_type, STATUS_FAILED_PRECONDITION,
     "position 2: it has \"user-1\" as a \"other\""},
    {"another type, known from the batch", 5, change_the_type, STATUS_FAILED_PRECONDITION,
     "position 6: it has \"ledger\" as a \"other\""},
    {"an id that the store has", 4, use_an_id, STATUS_ALREADY_EXISTS,
     "position 5: the event id \"e1\" is used"},
    {"an id that the batch has", 5, use_a_batch_mate_s_id, STATUS_ALREADY_EXISTS,
     "position 6: the event id \"e4\" is used"},
    {"another payload than was proved", 2, spoil_the_digest, STATUS_DATA_LOSS,
     "position 3: the payload does not"},
    {"no salt", 2, have_no_salt, STATUS_DATA_LOSS, "position 3: the salt has 0 bytes"},
    {"an append that goes on behind the batch", 6, promise_another_event, STATUS_FAILED_PRECONDITION,
     "position 7: it is event 1 of 3"},
    {"an append that ends behind the batch", 4, promise_another_event, STATUS_FAILED_PRECONDITION,
     "position 6: it is event 0 of 2 of its append where event 1 of 2 comes next"},
    {"an append of no events", 4, have_no_append, STATUS_FAILED_PRECONDITION, "position 5: its append has 0"},
    {"an append without its beginning", 4, begin_inside, STATUS_FAILED_PRECONDITION,
     "position 5: it is event 1 of 1 of its append where event 0 of 1 comes next"},
    {"two appends in one", 2, change_the_append, STATUS_FAILED_PRECONDITION,
     "position 3: its append is \"other\""},
    {"a creation of what exists", 1, create_again, STATUS_FAILED_PRECONDITION,
     "position 2: it creates \"user-1\""},
    {"an id against the rule", 4, have_a_bad_id, STATUS_DATA_LOSS, "position 5: id "},
    {"an event of nothing", 4, have_no_aggregate, STATUS_DATA_LOSS, "position 5: aggregate_id "},
    {"a header that is not UTF-8", 4, have_a_bad_actor, STATUS_DATA_LOSS,
     "position 5: content_type, traceparent"},
};

static void refuse_one(size_t number, bool embedded)
{
    struct history history;
    history_init(&history);
    struct place place = {.embedded = embedded, .disk = memory_files_empty()};
    struct event_store *store = open_store(&place);
    assert_status_ok(adopt(store, history.records, 1));
    const struct store_head before = head_of(store);
    struct bytes changed[HISTORY_MAX];
    memcpy(changed, history.records, sizeof changed);
    changed[refusals[number].place] =
        history_changed(&history, refusals[number].place, refusals[number].change);
    const struct status status = adopt(store, changed + 1, history.count - 1);
    if (status.code != refusals[number].code ||
        strncmp(status.message, refusals[number].said, strlen(refusals[number].said)) != 0)
        fail_msg("%s: %s: %s", refusals[number].why, status_code_name(status.code), status.message);
    const struct store_head after = head_of(store);
    assert_heads_equal(&before, &after);
    assert_status_ok(
        adopt(store, history.records + 1, history.count - 1)); /* no trace: the right ones still fit */
    assert_holds(store, &history);
    event_store_close(store);
    memory_files_done(&place.disk);
    history_done(&history);
}

static void test_what_does_not_fit_is_refused_by_name_and_leaves_no_trace(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        refuse_one(i, false);
        refuse_one(i, true);
    }
}

static void test_the_first_records_must_be_the_store_s_next(void **state)
{
    (void)state;
    struct history history;
    struct event_store *store = NULL;
    history_init(&history);
    assert_status_ok(memory_store_open(&system_clock, &store));
    const struct status gap = adopt(store, history.records + 1, 3);
    assert_int_equal(gap.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(gap.message, "position 2: position 1 comes next"));
    assert_status_ok(adopt(store, history.records, history.count));
    assert_status(adopt(store, history.records, history.count), STATUS_FAILED_PRECONDITION);
    assert_status(adopt(store, history.records, 0), STATUS_INVALID_ARGUMENT);
    /* Only an explicit creation begins at version 0. */
    struct event_store *other = NULL;
    assert_status_ok(memory_store_open(&system_clock, &other));
    const struct bytes wrong = history_changed(&history, 0, create_at_version_1);
    const struct status version = adopt(other, &wrong, 1);
    assert_non_null(strstr(version.message, "position 1: it is version 1 of \"user-1\" where 0 comes next"));
    event_store_close(other);
    event_store_close(store);
    history_done(&history);
}

/* A store in which another process writes between the two questions that adopting begins with. */
struct shared_store {
    struct event_store store;
    struct event_store *below;
    const struct history *history;
};

static struct status head_before(struct event_store *store, struct store_head *ret)
{
    struct shared_store *shared = (struct shared_store *)store;
    struct store_head ignored;
    STATUS_TRY(shared->below->ops->head(shared->below, ret));
    return event_store_adopt(shared->below, shared->history->records, shared->history->count, &system_entropy,
                             &ignored);
}

static struct status facts_below(struct event_store *store, const struct facts_request *request,
                                 struct arena *arena, struct facts *ret)
{
    struct shared_store *shared = (struct shared_store *)store;
    return shared->below->ops->facts(shared->below, request, arena, ret);
}

/* The same records, sent by a process that was killed: not "used by another event", but a head that is read anew. */
static void test_a_head_that_moves_meanwhile_is_aborted(void **state)
{
    (void)state;
    struct history history;
    struct store_head head;
    history_init(&history);
    static const struct event_store_ops ops = {.head = head_before, .facts = facts_below};
    struct shared_store shared = {.store = {.ops = &ops}, .history = &history};
    assert_status_ok(memory_store_open(&system_clock, &shared.below));
    const struct status status =
        event_store_adopt(&shared.store, history.records, history.count, &system_entropy, &head);
    assert_status(status, STATUS_ABORTED);
    assert_non_null(strstr(status.message, "position 1 was next"));
    assert_holds(shared.below, &history);
    event_store_close(shared.below);
    history_done(&history);
}

/* A cut append is not whole: the batch must wait for the rest of it. */
static void test_half_an_append_is_refused(void **state)
{
    (void)state;
    struct history history;
    struct event_store *store = NULL;
    history_init(&history);
    assert_status_ok(memory_store_open(&system_clock, &store));
    const struct status status = adopt(store, history.records, 3);
    assert_int_equal(status.code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "position 2: its append has 3 events and 2 are here"));
    event_store_close(store);
    history_done(&history);
}

static void assert_damaged(struct bytes bytes, const char *why)
{
    struct event_store *store = NULL;
    assert_status_ok(memory_store_open(&system_clock, &store));
    const struct status status = adopt(store, &bytes, 1);
    if (status.reason != REASON_DAMAGED || strncmp(status.message, "position 1: ", 12) != 0)
        fail_msg("%s: %s: %s", why, status_code_name(status.code), status.message);
    event_store_close(store);
}

static void test_bytes_that_are_no_record_are_refused(void **state)
{
    (void)state;
    struct history history;
    history_init(&history);
    const struct bytes good = history_changed(&history, 0, change_nothing);
    assert_true(bytes_equal(good, history.records[0])); /* else the cases below show nothing */
    uint8_t bytes[2048];
    static const uint8_t computed[] = {0xC0, 0x02, 0x01};      /* field 40, processed: never stored */
    static const uint8_t unknown[] = {0x9A, 0x02, 0x01, 0x41}; /* field 35 behind the payload */
    static const uint8_t header_behind[] = {0x0A, 0x01, 0x41}; /* an id behind the payload */
    memcpy(bytes, good.data, good.size_bytes);
    assert_damaged(bytes_of(bytes, good.size_bytes - 1), "a cut record");
    memcpy(bytes + good.size_bytes, computed, sizeof computed);
    assert_damaged(bytes_of(bytes, good.size_bytes + sizeof computed), "a computed field");
    memcpy(bytes + good.size_bytes, unknown, sizeof unknown);
    assert_damaged(bytes_of(bytes, good.size_bytes + sizeof unknown), "a payload that is not proved");
    memcpy(bytes + good.size_bytes, header_behind, sizeof header_behind);
    assert_damaged(bytes_of(bytes, good.size_bytes + sizeof header_behind),
                   "a header field behind the payload");
    assert_damaged(BYTES_LITERAL("nonsense"), "no event at all");
    history_done(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_history_is_adopted_byte_for_byte_with_an_equal_chain),
        cmocka_unit_test(test_what_was_adopted_is_history_like_any_other),
        cmocka_unit_test(test_what_does_not_fit_is_refused_by_name_and_leaves_no_trace),
        cmocka_unit_test(test_the_first_records_must_be_the_store_s_next),
        cmocka_unit_test(test_a_head_that_moves_meanwhile_is_aborted),
        cmocka_unit_test(test_half_an_append_is_refused),
        cmocka_unit_test(test_bytes_that_are_no_record_are_refused),
    };
    return cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
}
