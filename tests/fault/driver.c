#include "fault/driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "record/record.h"
#include "support/cmocka.h"

#include "store/embedded/embedded_internal.h"

#define BATCH_RECORDS_MAX 64U

void driver_init(struct driver *driver, struct files *files, uint64_t seed)
{
    *driver = (struct driver){.files = files};
    driver->options = (struct embedded_options){.segment_max_bytes = 12288, .segment_max_events = 40};
    driver->clock = manual_clock_at_us(INT64_C(1700000000000000));
    driver->entropy = seeded_entropy_from(seed);
    driver->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(driver->log_fd >= 0);
    driver->log = log_new(driver->log_fd, LOG_WARN, LOG_FORMAT_TEXT, &driver->clock.clock);
    assert_non_null(driver->log);
}

void driver_done(struct driver *driver)
{
    driver_close(driver);
    log_free(driver->log);
    (void)close(driver->log_fd); /* memory */
}

int64_t driver_log_bytes(const struct driver *driver)
{
    struct stat about;
    assert_int_equal(fstat(driver->log_fd, &about), 0);
    return about.st_size;
}

static struct status note(struct driver *driver, const char *what, struct status status)
{
    if (status.code != STATUS_OK && !driver->failed) {
        driver->failed = true;
        snprintf(driver->first_failure, sizeof driver->first_failure, "%s: %.200s", what, status.message);
    }
    return status;
}

static struct bytes aggregate_name(size_t which)
{
    static const char *const names[DRIVER_AGGREGATES] = {"user-1", "order-2", "order-3", "payment-4",
                                                         "custom-5"};
    return bytes_of_text(names[which]);
}

static struct bytes aggregate_type(size_t which)
{
    static const char *const types[DRIVER_AGGREGATES] = {"user", "order", "order", "payment", "custom"};
    return bytes_of_text(types[which]);
}

/* ---- state ---- */

static uint64_t new_number(struct driver *driver, struct driver_value *value)
{
    do
        value->attempted = random_next(&driver->entropy.state);
    while (value->attempted == 0);
    return value->attempted;
}

static struct status settle(struct driver *driver, const char *what, struct driver_value *value,
                            struct status status)
{
    if (status.code == STATUS_OK) {
        value->acknowledged = value->attempted;
        value->attempted = 0;
    }
    return note(driver, what, status);
}

struct status driver_put_snapshot(struct driver *driver, size_t which, size_t payload_bytes)
{
    struct driver_value *value = &driver->snapshot[which];
    /* Of several failed attempts any may have survived; the books hold one, so no second is made. */
    if (value->attempted != 0)
        return status_ok();
    uint8_t *data = calloc(1, payload_bytes + 8);
    assert_non_null(data);
    put_u64_le(data, new_number(driver, value));
    const struct snapshot snapshot = {
        .aggregate_id = aggregate_name(which),
        .aggregate_type = aggregate_type(which),
        .version = 1,
        .state = SNAPSHOT_VERIFIED,
        .data = bytes_of(data, payload_bytes + 8),
    };
    const struct status status = driver->snapshots->ops->put(driver->snapshots, &snapshot);
    free(data);
    return settle(driver, "snapshot put", value, status);
}

struct status driver_put_state(struct driver *driver)
{
    if (driver->state.attempted != 0)
        return status_ok();
    uint8_t number[8];
    put_u64_le(number, new_number(driver, &driver->state));
    return settle(driver, "state put", &driver->state,
                  driver->store->ops->state_put(driver->store, BYTES_LITERAL("checkpoint"),
                                                bytes_of(number, sizeof number)));
}

/* A put that failed may still show after the next opening, but not come and go: `settled` = just opened. */
static void compare_value(const char *what, struct driver_value *value, uint64_t found, bool settled)
{
    if (found != value->acknowledged && (value->attempted == 0 || found != value->attempted))
        fail_msg("%s holds %" PRIx64 "; %" PRIx64 " was acknowledged, %" PRIx64 " attempted since", what,
                 found, value->acknowledged, value->attempted);
    if (settled)
        *value = (struct driver_value){.acknowledged = found};
}

static struct status check_state(struct driver *driver, bool settled)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (size_t i = 0; i < DRIVER_SNAPSHOTS; i++) {
        struct snapshot snapshot = {0};
        bool found = false;
        STATUS_TRY(note(driver, "snapshot get",
                        driver->snapshots->ops->get(driver->snapshots, aggregate_name(i), SNAPSHOT_PICK_EXACT,
                                                    1, arena, &snapshot, &found)));
        compare_value("a snapshot", &driver->snapshot[i], found ? get_u64_le(snapshot.data.data) : 0,
                      settled);
    }
    struct bytes value = BYTES_NONE;
    const struct status status =
        driver->store->ops->state_get(driver->store, BYTES_LITERAL("checkpoint"), arena, &value);
    if (status.code != STATUS_NOT_FOUND)
        STATUS_TRY(note(driver, "state get", status));
    compare_value("the state", &driver->state, status.code == STATUS_NOT_FOUND ? 0 : get_u64_le(value.data),
                  settled);
    return status_ok();
}

struct status driver_check_state(struct driver *driver)
{
    return check_state(driver, false);
}

/* ---- opening and closing ---- */

struct status driver_open(struct driver *driver)
{
    struct event_store *store = NULL;
    STATUS_TRY(note(driver, "open",
                    embedded_store_open_stepped(driver->files, &driver->options, &driver->clock.clock,
                                                &driver->entropy.entropy, driver->log, &store)));
    driver->store = store;
    struct status status = note(driver, "snapshots", embedded_store_snapshots(store, &driver->snapshots));
    struct store_head head = {0};
    if (status.code == STATUS_OK)
        status = store->ops->head(store, &head);
    if (status.code == STATUS_OK) {
        if (head.position < driver->acknowledged || head.position > driver->attempted ||
            (head.position != driver->acknowledged && head.position != driver->attempted))
            fail_msg("the store holds %" PRId64 " events; %" PRId64 " were acknowledged, %" PRId64
                     " attempted",
                     head.position, driver->acknowledged, driver->attempted);
        driver->acknowledged = head.position;
        driver->attempted = head.position;
        status = check_state(driver, true);
    }
    return status;
}

void driver_close(struct driver *driver)
{
    if (driver->store == NULL)
        return;
    if (driver->snapshots != NULL)
        driver->snapshots->ops->close(driver->snapshots);
    event_store_close(driver->store);
    driver->store = NULL;
    driver->snapshots = NULL;
}

void driver_step(struct driver *driver, int64_t ms)
{
    manual_clock_advance_ms(&driver->clock, ms);
    embedded_store_step(driver->store);
    (void)note(driver, "health", driver->store->ops->health(driver->store))
        .code; /* noted is all that is wanted */
}

/* ---- appending ---- */

struct building {
    struct arena *arena;
    struct commit_append appends[BATCH_RECORDS_MAX];
    struct record records[BATCH_RECORDS_MAX];
    struct event_fields fields[BATCH_RECORDS_MAX];
    size_t record_count;
    bool known[DRIVER_AGGREGATES];
    int32_t versions[DRIVER_AGGREGATES];
};

static struct bytes make_payload(struct driver *driver, struct arena *arena, size_t size)
{
    char *text = arena_alloc(arena, size + 20);
    assert_non_null(text);
    int used = snprintf(text, 20, "{\"n\":\"%08x", (unsigned)random_next(&driver->entropy.state));
    for (size_t i = 0; i < size; i++)
        text[used++] = (char)('a' + random_below(&driver->entropy.state, 26));
    text[used++] = '"';
    text[used++] = '}';
    return bytes_of(text, (size_t)used);
}

static void build_event(struct driver *driver, struct building *building, size_t which, size_t payload_bytes,
                        const char *append_id, int32_t index, int32_t count, int64_t position,
                        int64_t timestamp_us)
{
    const size_t at = building->record_count++;
    struct event_fields *fields = &building->fields[at];
    uint8_t salt[RECORD_SALT_BYTES];
    entropy_fill(&driver->entropy.entropy, salt, sizeof salt);
    building->versions[which]++;
    *fields = (struct event_fields){
        .id = bytes_of_text(arena_printf(building->arena, "%s-%d", append_id, index)),
        .type = BYTES_LITERAL("custom"),
        .aggregate_id = aggregate_name(which),
        .aggregate_type = aggregate_type(which),
        .version = building->versions[which],
        .position = position,
        .timestamp_us = timestamp_us,
        .append_id = bytes_of_text(append_id),
        .append_index = index,
        .append_count = count,
        .correlation_id = BYTES_LITERAL("corr-1"),
        .data = make_payload(driver, building->arena, payload_bytes),
        .salt = arena_bytes(building->arena, bytes_of(salt, sizeof salt)),
    };
    struct buffer buffer = buffer_in(building->arena, 0);
    record_encode(fields, &buffer, &building->records[at].header_bytes);
    assert_status_ok(buffer_status(&buffer));
    building->records[at].bytes = buffer_bytes(&buffer);
}

/* Fails when the store cannot say where an aggregate stands: that may need the disk. */
static struct status build_append(struct driver *driver, struct building *building,
                                  struct commit_append *append, struct store_head *head, size_t payload_bytes)
{
    char *append_id = arena_printf(building->arena, "ap-%016" PRIx64, random_next(&driver->entropy.state));
    const size_t count = 1 + (size_t)random_below(&driver->entropy.state, 3);
    struct sha256 leaves[3];
    append->first_position = head->position + 1;
    append->records = &building->records[building->record_count];
    append->fields = &building->fields[building->record_count];
    append->count = count;
    for (size_t i = 0; i < count; i++) {
        const size_t which = (size_t)random_below(&driver->entropy.state, DRIVER_AGGREGATES);
        if (!building->known[which]) {
            struct aggregate_head found = {0};
            STATUS_TRY(
                driver->store->ops->aggregate(driver->store, aggregate_name(which), building->arena, &found));
            building->known[which] = true;
            building->versions[which] = found.exists ? found.version : 0;
            head->aggregate_count += !found.exists;
        }
        build_event(driver, building, which, payload_bytes, append_id, (int32_t)i, (int32_t)count,
                    head->position + 1 + (int64_t)i, head->timestamp_us + 1);
        leaves[i] = record_leaf(append->records[i]);
    }
    head->chain = chain_next(&head->chain, append->first_position, leaves, count);
    head->position += (int64_t)count;
    head->timestamp_us++;
    append->chain_after = head->chain;
    return status_ok();
}

static void take_answer(void *context, const struct status *status)
{
    *(struct status *)context = *status;
}

struct status driver_append(struct driver *driver, size_t appends, size_t payload_bytes)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct building *building = arena_zalloc(arena, sizeof *building);
    assert_non_null(building);
    building->arena = arena;
    struct commit_batch batch = {.appends = building->appends, .append_count = appends};
    assert_status_ok(driver->store->ops->head(driver->store, &batch.before));
    assert_int_equal(batch.before.position, driver->acknowledged);
    batch.after = batch.before;
    for (size_t i = 0; i < appends; i++)
        STATUS_TRY(note(driver, "aggregate",
                        build_append(driver, building, &building->appends[i], &batch.after, payload_bytes)));
    batch.record_count = building->record_count;
    const bool unknown_before = driver->attempted > driver->acknowledged;
    for (size_t i = 0; i < batch.record_count; i++) {
        const struct bytes part = building->records[i].bytes;
        batch.record_bytes += part.size_bytes;
        if (!unknown_before)
            driver->events[batch.before.position + (int64_t)i] = sha256_of(&part, 1);
    }
    struct status answer = status_error(STATUS_INTERNAL, "no answer came");
    driver->store->ops->commit(driver->store, &batch, take_answer, &answer);
    if (unknown_before && answer.reason != REASON_STORE_FAILED)
        fail_msg("an append after an unknown outcome is not refused: \"%s\"", answer.message);
    if (answer.code == STATUS_OK)
        driver->acknowledged = driver->attempted = batch.after.position;
    else if (answer.reason == REASON_OUTCOME_UNKNOWN)
        driver->attempted = batch.after.position;
    else if (answer.reason != REASON_STORE_FAILED)
        fail_msg("an append answers neither OUTCOME_UNKNOWN nor STORE_FAILED: %s", answer.message);
    return note(driver, "append", answer);
}

/* ---- checking ---- */

struct checking {
    struct driver *driver;
    int64_t next;
    int64_t step;
    int64_t seen;
};

static bool compare_event(void *context, int64_t position, struct record record)
{
    struct checking *checking = context;
    const struct driver *driver = checking->driver;
    if (checking->step != 0 && position != checking->next)
        fail_msg("position %" PRId64 " came where %" PRId64 " was due", position, checking->next);
    if (position < 1 || position > driver->acknowledged)
        fail_msg("position %" PRId64 " was served and %" PRId64 " events were acknowledged", position,
                 driver->acknowledged);
    const struct sha256 digest = sha256_of(&record.bytes, 1);
    if (memcmp(&digest, &driver->events[position - 1], sizeof digest) != 0)
        fail_msg("the event at position %" PRId64 " is not the one that was stored", position);
    checking->next += checking->step;
    checking->seen++;
    return true;
}

struct status driver_read(struct driver *driver, int64_t position)
{
    const struct read_query query = {.by = READ_BY_POSITION,
                                     .after_position = position - 1,
                                     .to_position = position,
                                     .to_version = INT32_MAX};
    struct checking checking = {driver, position, 1, 0};
    STATUS_TRY(
        note(driver, "read", driver->store->ops->read(driver->store, &query, compare_event, &checking)));
    assert_int_equal(checking.seen, 1);
    return status_ok();
}

struct status driver_check(struct driver *driver)
{
    struct event_store *store = driver->store;
    const struct read_query forward = {.by = READ_BY_POSITION, .to_version = INT32_MAX};
    struct checking checking = {driver, 1, 1, 0};
    STATUS_TRY(note(driver, "read", store->ops->read(store, &forward, compare_event, &checking)));
    assert_int_equal(checking.seen, driver->acknowledged);
    const struct read_query backward = {.by = READ_BY_POSITION, .backward = true, .to_version = INT32_MAX};
    checking = (struct checking){driver, driver->acknowledged, -1, 0};
    STATUS_TRY(note(driver, "read", store->ops->read(store, &backward, compare_event, &checking)));
    assert_int_equal(checking.seen, driver->acknowledged);
    checking = (struct checking){driver, 0, 0, 0};
    for (size_t i = 0; i < DRIVER_AGGREGATES; i++) {
        const struct read_query one = {
            .by = READ_BY_AGGREGATE, .key = aggregate_name(i), .to_version = INT32_MAX};
        STATUS_TRY(note(driver, "read", store->ops->read(store, &one, compare_event, &checking)));
    }
    assert_int_equal(checking.seen, driver->acknowledged);
    return status_ok();
}
