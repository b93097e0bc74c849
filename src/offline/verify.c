#include "offline/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/embedded/index_check.h"
#include "store/embedded/state_check.h"
#include "store_reading_internal.h"
#include "verify_checkpoint_internal.h"

#define CHECKPOINT_EVERY_MS INT64_C(30000)

struct verification {
    const struct verify_options *options;
    struct verify_report *report;
    struct store_reading reading;
    struct version_table versions;
    struct id_set *ids;
    struct index_check *index; /* NULL = there is none, or it is known to be wrong */
    struct status index_fault; /* told last: the log comes first, and an index can be made anew */
    char segment_name[32];
    struct log_end end; /* after the last frame */
    int64_t saved_at_us;

    /* What the checkpoint of this run will say, and what that of an earlier one said. */
    struct verify_checkpoint made;
    struct verify_checkpoint earlier;
    bool resumes;
    size_t skipped; /* segments of the earlier run seen so far */
    bool misfits;   /* the store is not the one, or not as, the earlier run has read */
};

/* Versions count 1, 2, 3 …; only an explicit creation has 0. */
static int32_t first_version(const struct event_fields *fields)
{
    return bytes_equal(fields->type, BYTES_LITERAL(TYPE_AGGREGATE_CREATED)) ? 0 : 1;
}

/* --- the index --- */

static struct status note_index_fault(struct verification *verification, const struct status *status)
{
    if (status->code != STATUS_DATA_LOSS && status->code != STATUS_FAILED_PRECONDITION)
        return *status; /* no memory, no reading: not about the index */
    verification->index_fault = *status;
    index_check_free(verification->index);
    verification->index = NULL;
    return status_ok();
}

static struct status open_index(struct verification *verification)
{
    const struct store_reading *reading = &verification->reading;
    verification->index_fault = status_ok();
    const struct status status =
        index_check_open(reading->files, reading->store_id, &reading->identity, &verification->index);
    if (status.code == STATUS_OK || status.code == STATUS_NOT_FOUND)
        return status_ok();
    return note_index_fault(verification, &status);
}

static struct status check_event(struct verification *verification, const struct scanned_event *event)
{
    if (verification->index == NULL)
        return status_ok();
    const struct status status = index_check_event(verification->index, event);
    return status.code == STATUS_OK ? status : note_index_fault(verification, &status);
}

static struct status end_index(struct verification *verification)
{
    if (verification->index == NULL)
        return verification->index_fault;
    struct index_check_report report;
    STATUS_TRY(index_check_end(verification->index, &report));
    verification->report->index_events = report.events;
    return status_ok();
}

/* --- events --- */

static struct status on_event(void *context, const struct scanned_event *event)
{
    struct verification *verification = context;
    const struct event_fields *fields = event->fields;
    struct version_entry *aggregate = NULL;
    bool is_new = false;
    STATUS_TRY(version_table_get(&verification->versions, fields->aggregate_id, &aggregate, &is_new));
    const int32_t expected = is_new ? first_version(fields) : aggregate->version + 1;
    if (fields->version != expected)
        return status_reason(
            REASON_DAMAGED,
            "%s/log/%s is wrong: the event at position %" PRId64 ", offset %" PRIu64
            ", has version %d of aggregate \"%.*s\" where %d comes next; restore the store from a "
            "backup and report this",
            verification->reading.store_id, verification->segment_name, event->position, event->offset,
            fields->version, BYTES_FORMAT(fields->aggregate_id), expected);
    aggregate->version = fields->version;
    STATUS_TRY(id_set_add(verification->ids, fields->id, event->position));
    return check_event(verification, event);
}

/* --- segments, and what an earlier run knows of them --- */

static struct status misfit(struct verification *verification, const char *what)
{
    verification->misfits = true;
    return status_error(STATUS_FAILED_PRECONDITION, "%s", what);
}

static struct status compare_segment(struct verification *verification, const struct scanned_segment *segment)
{
    const struct verify_checkpoint *earlier = &verification->earlier;
    const struct verified_segment *segments =
        (const struct verified_segment *)(const void *)earlier->segments.data;
    const size_t count = verify_checkpoint_segment_count(earlier);
    if (!segment->skipped)
        return verification->skipped == count && segment->first_position == earlier->resume.first_position
                   ? status_ok()
                   : misfit(verification, "a segment that it has verified is not there");
    if (verification->skipped == count)
        return misfit(verification, "there are other segments than it has verified");
    const struct verified_segment *known = &segments[verification->skipped++];
    if (known->first_position != segment->first_position || known->epoch != segment->epoch ||
        memcmp(&known->chain, &segment->chain, sizeof known->chain) != 0)
        return misfit(verification, "a segment that it has verified is another now");
    return status_ok();
}

static struct status on_segment_begin(void *context, const struct scanned_segment *segment)
{
    struct verification *verification = context;
    memcpy(verification->segment_name, segment->name, sizeof verification->segment_name);
    if (verification->resumes &&
        verification->skipped <= verify_checkpoint_segment_count(&verification->earlier) &&
        segment->first_position <= verification->earlier.resume.first_position)
        STATUS_TRY(compare_segment(verification, segment));
    verification->report->segment_count++;
    if (segment->skipped)
        verification->report->bytes += segment->file_bytes;
    const struct verified_segment read = {segment->first_position, segment->epoch, segment->chain};
    buffer_add(&verification->made.segments, &read, sizeof read);
    return buffer_status(&verification->made.segments);
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
    report->aggregate_count = (int64_t)verification->versions.count;
    report->bytes += frame.size_bytes;
    verification->end = *end;
    store_reading_note(&verification->reading, end);
    if (verification->options->on_progress != NULL)
        verification->options->on_progress(verification->options->context, report);
    return status_ok();
}

static struct status save(struct verification *verification)
{
    const struct verify_options *options = verification->options;
    struct verify_checkpoint *made = &verification->made;
    const struct id_set_run *runs = NULL;
    size_t run_count = 0;
    STATUS_TRY(id_set_save(verification->ids, &runs, &run_count));
    memcpy(made->uuid, verification->reading.identity.uuid, sizeof made->uuid);
    made->resume = (struct log_resume){verification->end.position + 1, verification->end};
    made->remembered_position = verification->reading.remembered.position;
    made->remembered_chain = verification->reading.remembered.chain;
    made->remembered_seen = verification->reading.remembered_seen;
    buffer_clear(&made->runs);
    buffer_add(&made->runs, runs, run_count * sizeof *runs);
    STATUS_TRY(buffer_status(&made->runs));
    STATUS_TRY(
        verify_checkpoint_write(options->scratch, options->checkpoint_name, made, &verification->versions));
    verification->saved_at_us = clock_monotonic_us(verification->reading.clock);
    return status_ok();
}

/* Between segments: there a later run can begin. */
static struct status on_segment_end(void *context, const struct scanned_segment *segment)
{
    struct verification *verification = context;
    const struct verify_options *options = verification->options;
    if (options->checkpoint_name == NULL || segment->last)
        return status_ok();
    const int64_t every_ms =
        options->checkpoint_every_ms == 0 ? CHECKPOINT_EVERY_MS : options->checkpoint_every_ms;
    const bool stop = options->wants_stop != NULL && options->wants_stop(options->context);
    const int64_t since_us = clock_monotonic_us(verification->reading.clock) - verification->saved_at_us;
    if (stop || since_us >= every_ms * 1000)
        STATUS_TRY(save(verification));
    if (!stop)
        return status_ok();
    return status_error(STATUS_CANCELLED, "stopped at position %" PRId64 "; everything up to there is good",
                        verification->end.position);
}

/* --- beginning --- */

/*
 * The remembered head must have been passed. Where it lies in what is not read again, only the earlier run can say so, and
 * only if it is still the same.
 */
static bool knows_remembered_head(const struct verification *verification)
{
    const struct remembered_head *now = &verification->reading.remembered;
    const struct verify_checkpoint *earlier = &verification->earlier;
    if (now->position > earlier->resume.end.position || now->position == 0)
        return true;
    return earlier->remembered_seen && earlier->remembered_position == now->position &&
           memcmp(&earlier->remembered_chain, &now->chain, sizeof now->chain) == 0;
}

/* Fills table, ids and `earlier` from the checkpoint; NOT_FOUND when there is none. */
static struct status take_up(struct verification *verification)
{
    const struct verify_options *options = verification->options;
    struct verify_checkpoint *earlier = &verification->earlier;
    if (options->checkpoint_name == NULL)
        return status_error(STATUS_NOT_FOUND, "no checkpoint is kept");
    STATUS_TRY(
        verify_checkpoint_read(options->scratch, options->checkpoint_name, &verification->versions, earlier));
    if (memcmp(earlier->uuid, verification->reading.identity.uuid, sizeof earlier->uuid) != 0)
        return status_error(STATUS_FAILED_PRECONDITION, "%s is about another store",
                            options->checkpoint_name);
    if (!knows_remembered_head(verification))
        return status_error(STATUS_FAILED_PRECONDITION, "the store was opened since %s was written",
                            options->checkpoint_name);
    const struct id_set_options id_options = {options->scratch, options->scratch_name, options->chunk_ids};
    const struct status status =
        id_set_new(&id_options, (const struct id_set_run *)(const void *)earlier->runs.data,
                   earlier->runs.size_bytes / sizeof(struct id_set_run), &verification->ids);
    if (status.code == STATUS_NOT_FOUND)
        return status_error(STATUS_FAILED_PRECONDITION, "%s is missing beside %s", options->scratch_name,
                            options->checkpoint_name);
    STATUS_TRY(status);
    verification->reading.remembered_seen = earlier->remembered_seen;
    verification->resumes = true;
    return status_ok();
}

static struct status begin(struct verification *verification, bool use_checkpoint)
{
    const struct verify_options *options = verification->options;
    uint64_t seed = 0;
    entropy_fill(verification->reading.entropy, &seed, sizeof seed);
    STATUS_TRY(version_table_init(&verification->versions, seed));
    verification->made.segments = buffer_make(0);
    verification->made.runs = buffer_make(0);
    verification->saved_at_us = clock_monotonic_us(verification->reading.clock);
    if (use_checkpoint) {
        const struct status status = take_up(verification);
        if (status.code == STATUS_OK || status.code == STATUS_RESOURCE_EXHAUSTED)
            return status;
        if (status.code != STATUS_NOT_FOUND)
            return misfit(verification, status.message);
    }
    const struct id_set_options id_options = {options->scratch, options->scratch_name, options->chunk_ids};
    return id_set_new(&id_options, NULL, 0, &verification->ids);
}

static void end(struct verification *verification)
{
    version_table_done(&verification->versions);
    index_check_free(verification->index);
    verification->index = NULL;
    id_set_free(verification->ids);
    verification->ids = NULL;
    verify_checkpoint_done(&verification->made);
    verify_checkpoint_done(&verification->earlier);
}

/* --- what the log alone does not say --- */

static struct status check_ids(struct verification *verification)
{
    int64_t earlier = 0;
    int64_t later = 0;
    STATUS_TRY(id_set_find_repeated(verification->ids, &earlier, &later));
    if (later == 0)
        return status_ok();
    return status_reason(REASON_DAMAGED,
                         "%s/log is wrong: the events at positions %" PRId64 " and %" PRId64
                         " have the same id; restore the store from a backup and report this",
                         verification->reading.store_id, earlier, later);
}

/* What stands beside the log and is made from it, or is not history. */
static struct status check_beside(struct verification *verification)
{
    struct store_reading *reading = &verification->reading;
    const struct state_check_options options = {.store_id = reading->store_id,
                                                .identity = &reading->identity};
    struct state_check_report state;
    STATUS_TRY(state_check(reading->files, &options, reading->clock, reading->entropy, &state));
    verification->report->snapshot_count = state.snapshot_count;
    return end_index(verification);
}

static struct status scan(struct verification *verification)
{
    struct verify_report *report = verification->report;
    const struct log_sink sink = {
        .context = verification,
        .on_segment_begin = on_segment_begin,
        .on_event = on_event,
        .on_frame = on_frame,
        .on_segment_end = on_segment_end,
    };
    struct log_scan_result found = {0};
    const struct status status = store_reading_scan(
        &verification->reading, &sink, verification->resumes ? &verification->earlier.resume : NULL, &found);
    if (status.code == STATUS_OK || found.segment_count > 0) { /* the scan came to the end of the log */
        report->bytes = found.bytes;
        report->clean = verification->reading.remembered.clean;
        report->torn_bytes = found.last.dirty_end - found.last.end_offset;
    }
    if (verification->resumes && status.code != STATUS_CANCELLED && found.segment_count > 0 &&
        found.last.skipped)
        return misfit(verification, "the log ends before the place where it was to go on");
    return status;
}

static struct status run(struct verification *verification, bool use_checkpoint)
{
    STATUS_TRY(begin(verification, use_checkpoint));
    STATUS_TRY(open_index(verification));
    if (verification->resumes) {
        verification->report->resumed_position = verification->earlier.resume.end.position;
        verification->report->head_position = verification->report->resumed_position;
    }
    STATUS_TRY(scan(verification));
    STATUS_TRY(check_ids(verification));
    return check_beside(verification);
}

static void remove_scratch(const struct verify_options *options, const char *name)
{
    if (options->scratch != NULL && name != NULL) {
        const struct status status = files_remove(options->scratch, name);
        (void)status; /* it may never have been made; what is left over is overwritten by the next run */
    }
}

static struct status verify(struct verification *verification)
{
    struct verify_report *report = verification->report;
    struct status status = run(verification, true);
    if (verification->misfits) {
        /* Never a reason to trust less or more: all is read again. */
        const uint64_t total_bytes = report->total_bytes;
        struct store_reading reading = verification->reading;
        const struct verify_options *options = verification->options;
        reading.remembered_seen = false;
        *report = (struct verify_report){.total_bytes = total_bytes};
        snprintf(report->resume_refused, sizeof report->resume_refused, "%.299s", status.message);
        end(verification);
        *verification = (struct verification){.options = options, .report = report, .reading = reading};
        status = run(verification, false);
    }
    end(verification);
    /* What was verified before a fault stays so, and the next run can begin there. */
    if (status.code == STATUS_OK || verification->options->checkpoint_name == NULL)
        remove_scratch(verification->options, verification->options->scratch_name);
    if (status.code == STATUS_OK)
        remove_scratch(verification->options, verification->options->checkpoint_name);
    return status;
}

struct status verify_store(struct files *files, const struct verify_options *options,
                           const struct clock *clock, const struct entropy *entropy,
                           struct verify_report *ret)
{
    *ret = (struct verify_report){0};
    struct verification verification = {.options = options, .report = ret};
    STATUS_TRY(store_reading_open(files, options->store_id, clock, entropy, &verification.reading));
    ret->total_bytes = verification.reading.log_bytes;
    const struct status status = verify(&verification);
    store_reading_close(&verification.reading);
    return status;
}
