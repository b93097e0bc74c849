#include "import_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli_internal.h"
#include "import_event_internal.h"
#include "lines_internal.h"
#include "cli/progress.h"
#include "strata/v1/event_service.pb-c.h"

#define BATCH_EVENTS_MAX 1000U
#define BATCH_BYTES_MAX  ((size_t)2 * 1024 * 1024)
#define RETRIES_MAX      100
#define RETRY_MS         100
#define RECORDS_BEGIN    "STRATARX" /* docs/export-format.md */

/* Numbers of AppendEventsRequest.events and of AppendStreamRequest.append. */
enum { REQUEST_EVENTS = 2, STREAM_APPEND = 1 };

struct batch_item {
    uint64_t line_number;
    size_t offset; /* of the packed NewEvent in the batch's events */
    size_t size_bytes;
};

/* Events that go as one append. */
struct batch {
    struct buffer
        events; /* tag, length, NewEvent each: AppendEventsRequest.events as they stand on the wire */
    struct batch_item items[BATCH_EVENTS_MAX];
    size_t count;
};

struct import {
    const struct import_options *options;
    struct import_report *report;
    struct client *client;
    struct client_turns *stream;
    struct arena *line_arena; /* the caller's, as the next */
    struct arena *reply_arena;
    struct lines lines;
    struct progress progress;
    struct batch *filling;
    struct batch *sent;           /* waits for its answer; count 0 = none does */
    struct buffer last_append_id; /* of the line before */
};

/* --- names of lines --- */

static struct status at_line(const struct import *import, uint64_t line_number, struct status status)
{
    const char *file = import->options->file;
    return status_prefix(status, "%s:%" PRIu64,
                         file == NULL || strcmp(file, "-") == 0 ? "standard input" : file, line_number);
}

/* Not about the event: the same request may succeed a little later. */
static bool is_passing(const struct status *status)
{
    return status->reason == REASON_QUEUE_FULL || status->reason == REASON_RATE_LIMITED ||
           status->reason == REASON_BEHIND;
}

static void wait_a_little(void)
{
    const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
    (void)nanosleep(&pause, NULL); /* shorter is fine */
}

/* A unary call, repeated as long as it is refused for want of room. */
static struct status call(struct import *import, enum schema_method_id id, struct bytes request,
                          struct bytes *ret_reply)
{
    for (int tries = 0;; tries++) {
        const struct status status = client_unary(import->client, schema_method(id)->path, request,
                                                  CLI_TIMEOUT_MS, import->reply_arena, ret_reply);
        if (!is_passing(&status) || tries == RETRIES_MAX)
            return status;
        wait_a_little();
    }
}

/* --- one event by itself --- */

static void count(struct import *import, int64_t events, bool repeated)
{
    if (repeated)
        import->report->repeated += events;
    else
        import->report->appended += events;
}

enum presence { ABSENT, PRESENT, OTHER_EVENT };

/* What the service has under the event's id. */
static struct status look_up(struct import *import, struct bytes sent, enum presence *ret)
{
    struct buffer request = buffer_in(import->reply_arena, 0);
    struct bytes stored = BYTES_NONE;
    struct wire_field id;
    size_t at = 0;
    bool same = false;
    if (!wire_next(sent, &at, &id)) /* it stands first */
        return status_error(STATUS_INTERNAL, "an event lost its id");
    wire_put_bytes(&request, 1, id.bytes); /* GetEventRequest.event_id */
    STATUS_TRY(buffer_status(&request));
    const struct status status =
        call(import, METHOD_EVENT_SERVICE_GET_EVENT, buffer_bytes(&request), &stored);
    *ret = ABSENT;
    if (status.code == STATUS_NOT_FOUND)
        return status_ok();
    STATUS_TRY(status);
    STATUS_TRY(import_event_is_stored(import->reply_arena, sent, stored, &same));
    *ret = same ? PRESENT : OTHER_EVENT;
    return status_ok();
}

/* `number`: of the field `replayed` in this kind of reply. */
static bool was_replayed(struct bytes reply, uint32_t number)
{
    struct wire_field field;
    for (size_t at = 0; at < reply.size_bytes && wire_next(reply, &at, &field);)
        if (field.number == number && field.type == WIRE_VARINT && field.value != 0)
            return true;
    return false;
}

static struct status append_alone(struct import *import, struct bytes sent)
{
    struct buffer request = buffer_in(import->reply_arena, 0);
    struct bytes reply = BYTES_NONE;
    wire_put_bytes(&request, REQUEST_EVENTS, sent);
    STATUS_TRY(buffer_status(&request));
    STATUS_TRY(call(import, METHOD_EVENT_SERVICE_APPEND_EVENTS, buffer_bytes(&request), &reply));
    count(import, 1, was_replayed(reply, 7)); /* AppendEventsResponse.replayed */
    return status_ok();
}

/* The event may be there as a part of another append than it would be now; then appending it is refused. */
static struct status send_alone(struct import *import, const struct batch *batch, size_t place)
{
    const struct batch_item *item = &batch->items[place];
    const struct bytes sent = bytes_of(batch->events.data + item->offset, item->size_bytes);
    enum presence presence = ABSENT;
    struct status status = look_up(import, sent, &presence);
    if (status.code == STATUS_OK && presence == PRESENT)
        count(import, 1, true);
    else if (status.code == STATUS_OK)
        status = append_alone(import, sent); /* another event's id is refused by it */
    return status.code == STATUS_OK ? status : at_line(import, item->line_number, status);
}

static struct status send_one_by_one(struct import *import, const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct status status = send_alone(import, batch, i);
        if (status.code != STATUS_OK) {
            import->report->lines = batch->items[i].line_number;
            return status;
        }
        arena_reset(import->reply_arena);
    }
    return status_ok();
}

/* --- batches --- */

static struct status send(struct import *import, const struct batch *batch)
{
    struct buffer request = buffer_in(import->reply_arena, 0);
    wire_put_bytes(&request, STREAM_APPEND, buffer_bytes(&batch->events));
    STATUS_TRY(buffer_status(&request));
    return client_turns_send(import->stream, buffer_bytes(&request));
}

/* What the service says of the batch. `*ret_refused` is OK when it was made. */
static struct status receive(struct import *import, const struct batch *batch, struct status *ret_refused)
{
    struct bytes reply = BYTES_NONE;
    STATUS_TRY(client_turns_receive(import->stream, import->reply_arena, &reply));
    Strata__V1__AppendStreamResponse *answer =
        strata__v1__append_stream_response__unpack(NULL, reply.size_bytes, reply.data);
    if (answer == NULL)
        return status_error(STATUS_DATA_LOSS, "the service sent an answer that cannot be read");
    *ret_refused = status_ok();
    if (answer->outcome_case == STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_APPENDED) {
        count(import, (int64_t)batch->count, answer->appended->replayed != 0);
    } else if (answer->outcome_case == STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_ERROR) {
        *ret_refused = status_error((enum status_code)answer->error->code, "%s", answer->error->message);
        ret_refused->reason = status_reason_from_name(answer->error->reason, strlen(answer->error->reason));
    } else {
        *ret_refused = status_error(STATUS_DATA_LOSS, "the service sent an answer without an outcome");
    }
    strata__v1__append_stream_response__free_unpacked(answer, NULL);
    return status_ok();
}

/* Waits for the answer to what was sent last. */
static struct status settle(struct import *import)
{
    struct batch *batch = import->sent;
    if (batch->count == 0)
        return status_ok();
    struct status refused = status_ok();
    STATUS_TRY(receive(import, batch, &refused));
    for (int tries = 0; is_passing(&refused) && tries < RETRIES_MAX; tries++) {
        wait_a_little();
        STATUS_TRY(send(import, batch));
        STATUS_TRY(receive(import, batch, &refused));
    }
    arena_reset(import->reply_arena);
    if (refused.code != STATUS_OK)
        STATUS_TRY(send_one_by_one(import, batch));
    buffer_clear(&batch->events);
    batch->count = 0;
    return status_ok();
}

/* Sends what was gathered, after the one before it was answered. */
static struct status dispatch(struct import *import)
{
    STATUS_TRY(settle(import));
    if (import->filling->count == 0)
        return status_ok();
    struct batch *full = import->filling;
    import->filling = import->sent;
    import->sent = full;
    return send(import, full);
}

static struct status flush(struct import *import)
{
    STATUS_TRY(dispatch(import));
    return settle(import);
}

/* --- lines --- */

/* Whether a batch may end in front of this event: the events of one append stay together where they fit. */
static bool begins_append(const struct import *import, const struct import_event *event)
{
    return event->append_index == 0 || event->append_id.size_bytes == 0 ||
           !bytes_equal(event->append_id, buffer_bytes(&import->last_append_id));
}

static bool must_dispatch(const struct import *import, const struct import_event *event)
{
    const struct batch *batch = import->filling;
    const size_t bytes = batch->events.size_bytes + event->request.size_bytes;
    if (batch->count == 0)
        return false;
    if (batch->count == BATCH_EVENTS_MAX || bytes > 2 * BATCH_BYTES_MAX)
        return true;
    if (!begins_append(import, event))
        return false;
    const size_t more = event->append_count > 0 ? (size_t)event->append_count : 1;
    return batch->count + more > (size_t)import->options->batch_events || bytes > BATCH_BYTES_MAX;
}

static struct status add(struct import *import, const struct import_event *event)
{
    if (must_dispatch(import, event))
        STATUS_TRY(dispatch(import));
    struct batch *batch = import->filling;
    struct batch_item *item = &batch->items[batch->count];
    wire_put_bytes(&batch->events, REQUEST_EVENTS, event->request);
    STATUS_TRY(buffer_status(&batch->events));
    item->line_number = import->lines.number;
    item->size_bytes = event->request.size_bytes;
    item->offset = batch->events.size_bytes - event->request.size_bytes;
    batch->count++;
    return status_ok();
}

static struct status make_call(struct import *import, const struct import_event *event)
{
    const bool creation = event->kind == IMPORT_CREATED;
    struct bytes reply = BYTES_NONE;
    STATUS_TRY(flush(import));
    const struct status status =
        call(import,
             creation ? METHOD_AGGREGATE_SERVICE_CREATE_AGGREGATE : METHOD_AGGREGATE_SERVICE_SAVE_AGGREGATE,
             event->request, &reply);
    if (status.code != STATUS_OK)
        return at_line(import, import->lines.number, status);
    count(import, 1, was_replayed(reply, 14)); /* Aggregate.replayed */
    import->report->by_call++;
    arena_reset(import->reply_arena);
    return status_ok();
}

static struct status take_line(struct import *import, struct bytes line)
{
    struct import_event event;
    arena_reset(import->line_arena);
    const struct status status = import_event_read(import->line_arena, line, import->lines.number,
                                                   bytes_of_text(import->options->key), &event);
    if (status.code != STATUS_OK) {
        const uint64_t number = import->lines.number;
        if (number == 1 && line.size_bytes >= strlen(RECORDS_BEGIN) &&
            memcmp(line.data, RECORDS_BEGIN, strlen(RECORDS_BEGIN)) == 0)
            return status_error(
                STATUS_INVALID_ARGUMENT,
                "%s holds records, not NDJSON; import it with --keep and --path DIR, the folder "
                "of a store that no service holds, or of a new one",
                import->options->file == NULL ? "the input" : import->options->file);
        STATUS_TRY(flush(import)); /* what comes before the line at fault stays, so it must be there */
        return at_line(import, number, status);
    }
    struct status taken = status_ok();
    if (event.kind == IMPORT_EVENT)
        taken = add(import, &event);
    else if (event.kind == IMPORT_SKIPPED)
        import->report->skipped++;
    else
        taken = make_call(import, &event);
    buffer_clear(&import->last_append_id);
    buffer_add_bytes(&import->last_append_id, event.append_id);
    return taken;
}

static struct status take_all(struct import *import)
{
    for (bool more = true; more;) {
        struct bytes line = BYTES_NONE;
        struct status status = lines_next(&import->lines, &line, &more);
        if (status.code != STATUS_OK) {
            STATUS_TRY(flush(import));
            return status;
        }
        import->report->lines = import->lines.number;
        if (more)
            STATUS_TRY(take_line(import, line));
        progress_show(&import->progress, import->lines.read_bytes,
                      import->report->appended + import->report->repeated);
    }
    return flush(import);
}

static struct status connect(struct import *import)
{
    STATUS_TRY(client_new(import->options->address, &import->client));
    return client_turns_new(import->client, schema_method(METHOD_EVENT_SERVICE_APPEND_STREAM)->path,
                            &import->stream);
}

static void done(struct import *import)
{
    client_turns_free(import->stream);
    client_free(import->client);
    for (int i = 0; i < 2; i++) {
        struct batch *batch = i == 0 ? import->filling : import->sent;
        if (batch != NULL)
            buffer_done(&batch->events);
        free(batch);
    }
    buffer_done(&import->last_append_id);
    lines_done(&import->lines);
}

struct status import_lines(const struct import_options *options, struct arena *line_arena,
                           struct arena *reply_arena, struct import_report *ret)
{
    *ret = (struct import_report){0};
    struct import import = {
        .options = options,
        .report = ret,
        .line_arena = line_arena,
        .reply_arena = reply_arena,
        .filling = calloc(1, sizeof *import.filling),
        .sent = calloc(1, sizeof *import.sent),
        .last_append_id = buffer_make(0),
    };
    struct status status = lines_open(options->file, &import.lines);
    if (status.code == STATUS_OK && (import.filling == NULL || import.sent == NULL))
        status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the import");
    if (status.code == STATUS_OK)
        status = connect(&import);
    if (status.code == STATUS_OK) {
        import.progress =
            progress_begin("importing", PROGRESS_BYTES, import.lines.size_bytes, 0, options->quiet);
        status = take_all(&import);
        progress_end(&import.progress);
    }
    done(&import);
    return status;
}
