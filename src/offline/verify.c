#include "offline/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/entropy.h"
#include "store/embedded/log_scan.h"
#include "store/embedded/remembered_head.h"
#include "store/embedded/store_file.h"

#define FIRST_SLOTS 1024U

struct aggregate {
    struct bytes id; /* data NULL = free */
    int32_t version;
};

/* Aggregate ids to the last version seen: open addressing, at most half full, a power of two. */
struct aggregates {
    struct aggregate *slots;
    size_t slot_count;
    size_t count;
    uint64_t seed; /* ids come from outside: nobody may choose ones that collide */
    struct arena *arena;
};

struct verification {
    const char *store_id;
    const struct verify_options *options;
    struct verify_report *report;
    struct aggregates aggregates;
    struct remembered_head remembered;
    bool remembered_seen;
    char segment_name[32];
};

static struct aggregate *slot_of(const struct aggregates *aggregates, struct bytes id)
{
    size_t at =
        (size_t)XXH3_64bits_withSeed(id.data, id.size_bytes, aggregates->seed) & (aggregates->slot_count - 1);
    while (aggregates->slots[at].id.data != NULL && !bytes_equal(aggregates->slots[at].id, id))
        at = (at + 1) & (aggregates->slot_count - 1);
    return &aggregates->slots[at];
}

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the table of aggregates");
}

static struct status grow(struct aggregates *aggregates)
{
    struct aggregates larger = *aggregates;
    larger.slot_count = aggregates->slot_count == 0 ? FIRST_SLOTS : aggregates->slot_count * 2;
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (larger.slots == NULL)
        return no_memory();
    for (size_t i = 0; i < aggregates->slot_count; i++) {
        if (aggregates->slots[i].id.data != NULL)
            *slot_of(&larger, aggregates->slots[i].id) = aggregates->slots[i];
    }
    free(aggregates->slots);
    *aggregates = larger;
    return status_ok();
}

/* Versions count 1, 2, 3 …; only an explicit creation has 0. */
static int32_t first_version(const struct event_fields *fields)
{
    return bytes_equal(fields->type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED)) ? 0 : 1;
}

static struct status on_event(void *context, const struct scanned_event *event)
{
    struct verification *verification = context;
    struct aggregates *aggregates = &verification->aggregates;
    if (aggregates->count * 2 >= aggregates->slot_count)
        STATUS_TRY(grow(aggregates));
    const struct event_fields *fields = event->fields;
    struct aggregate *aggregate = slot_of(aggregates, fields->aggregate_id);
    const bool known = aggregate->id.data != NULL;
    const int32_t expected = known ? aggregate->version + 1 : first_version(fields);
    if (fields->version != expected)
        return status_reason(
            REASON_DAMAGED,
            "%s/log/%s is wrong: the event at position %" PRId64 ", offset %" PRIu64
            ", has version %d of aggregate \"%.*s\" where %d comes next; restore the store from a "
            "backup and report this",
            verification->store_id, verification->segment_name, event->position, event->offset,
            fields->version, BYTES_FORMAT(fields->aggregate_id), expected);
    if (!known) {
        aggregate->id = arena_bytes(aggregates->arena, fields->aggregate_id);
        if (aggregate->id.data == NULL)
            return no_memory();
        aggregates->count++;
    }
    aggregate->version = fields->version;
    return status_ok();
}

static struct status on_segment_begin(void *context, const struct scanned_segment *segment)
{
    struct verification *verification = context;
    memcpy(verification->segment_name, segment->name, sizeof verification->segment_name);
    verification->report->segment_count++;
    return status_ok();
}

static struct status on_frame(void *context, const struct scanned_segment *segment, const struct log_end *end,
                              struct bytes frame)
{
    struct verification *verification = context;
    struct verify_report *report = verification->report;
    (void)segment;
    report->head_position = end->position;
    report->timestamp_us = end->timestamp_us;
    report->chain = end->chain;
    report->aggregate_count = (int64_t)verification->aggregates.count;
    report->bytes += frame.size_bytes;
    verification->remembered_seen =
        verification->remembered_seen || remembered_head_is(&verification->remembered, end);
    if (verification->options->on_progress != NULL)
        verification->options->on_progress(verification->options->context, report);
    return status_ok();
}

static struct status compare_end(const struct verification *verification, const struct log_scan_result *found)
{
    char difference[300];
    verification->report->bytes = found->bytes;
    verification->report->clean = verification->remembered.clean;
    if (found->segment_count > 0)
        verification->report->torn_bytes = found->last.dirty_end - found->last.end_offset;
    if (!remembered_head_differs(&verification->remembered, verification->remembered_seen, found, difference,
                                 sizeof difference))
        return status_ok();
    return status_error(STATUS_FAILED_PRECONDITION,
                        "%s/log: %s%s%s; restore log/ and state/ from one backup, or start once with "
                        "--accept-data-loss",
                        verification->store_id, difference, found->torn ? "; " : "",
                        found->torn ? found->last.why.message : "");
}

static struct status verify(struct files *files, struct verification *verification, const struct clock *clock,
                            const struct entropy *entropy)
{
    const char *store_id = verification->store_id;
    STATUS_TRY(store_id_check(store_id));
    CLEANUP(file_close_at) struct file *lock = NULL;
    struct status status = store_lock(files, store_id, false, &lock);
    if (status.code == STATUS_NOT_FOUND)
        return status_prefix(status, "there is no store \"%s\" here", store_id);
    STATUS_TRY(status);
    struct store_identity identity;
    STATUS_TRY(store_identity_read(files, store_id, &identity));
    status = remembered_head_read(files, store_id, &identity, clock, entropy, &verification->remembered);
    if (status.code == STATUS_NOT_FOUND)
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "%s/state/state.db is missing beside the log; restore it from a backup, or start once with "
            "--accept-state-loss",
            store_id);
    STATUS_TRY(status);
    const struct log_sink sink = {
        .context = verification,
        .on_segment_begin = on_segment_begin,
        .on_event = on_event,
        .on_frame = on_frame,
    };
    const struct log_scan_options options = {.check_every_leaf = true, .check_digests = true};
    struct log_scan_result found;
    STATUS_TRY(log_scan_run(files, store_id, &identity, &options, &sink, &found));
    return compare_end(verification, &found);
}

struct status verify_store(struct files *files, const struct verify_options *options,
                           const struct clock *clock, const struct entropy *entropy,
                           struct verify_report *ret)
{
    *ret = (struct verify_report){0};
    struct verification verification = {
        .store_id = options->store_id == NULL ? "main" : options->store_id,
        .options = options,
        .report = ret,
        .aggregates = {.arena = arena_new(0)},
    };
    if (verification.aggregates.arena == NULL)
        return no_memory();
    entropy_fill(entropy, &verification.aggregates.seed, sizeof verification.aggregates.seed);
    const struct status status = verify(files, &verification, clock, entropy);
    free(verification.aggregates.slots);
    arena_free(verification.aggregates.arena);
    return status;
}
