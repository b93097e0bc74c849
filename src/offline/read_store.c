#include "offline/read_store.h"

#include "store_reading_internal.h"

struct read_run {
    const struct read_store_options *options;
    struct store_reading *reading;
    uint64_t bytes;
};

static struct status on_event(void *context, const struct scanned_event *event)
{
    const struct read_store_options *options = ((struct read_run *)context)->options;
    return options->on_record(options->context, event->position, event->record.bytes);
}

static struct status on_frame(void *context, const struct scanned_segment *segment, const struct log_end *end,
                              struct bytes frame)
{
    struct read_run *run = context;
    (void)segment;
    store_reading_note(run->reading, end);
    run->bytes += frame.size_bytes;
    run->options->on_progress(run->options->context, run->bytes);
    return status_ok();
}

struct status read_store(struct files *files, const struct read_store_options *options,
                         const struct clock *clock, const struct entropy *entropy)
{
    struct store_reading reading;
    struct log_scan_result found;
    STATUS_TRY(store_reading_open(files, options->store_id, clock, entropy, &reading));
    struct read_run run = {options, &reading, 0};
    const struct log_sink sink = {.context = &run, .on_event = on_event, .on_frame = on_frame};
    struct status status = options->on_begin(options->context, reading.identity.uuid, reading.log_bytes);
    if (status.code == STATUS_OK)
        status = store_reading_scan(&reading, &sink, NULL, &found);
    store_reading_close(&reading);
    return status;
}
