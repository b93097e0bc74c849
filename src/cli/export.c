#include "export_internal.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "cli_internal.h"
#include "offline/read_store.h"
#include "output_internal.h"
#include "cli/progress.h"
#include "strata/v1/event_service.pb-c.h"

#define FIELD_POSITION       6U
#define FIRST_COMPUTED_FIELD 40U

struct exporting {
    const struct export_source *source;
    const struct export_sink *sink;
    int64_t next; /* position that comes next */
    int64_t last; /* the last one wanted */
    int64_t head; /* how far the log of a folder was read */
    struct progress progress;
    struct status status; /* of what ran in a callback */
};

static struct status ends_before(int64_t head, int64_t wanted)
{
    return status_error(STATUS_FAILED_PRECONDITION,
                        "the store ends at position %" PRId64 " and %" PRId64 " is wanted", head, wanted);
}

/* --- from a running service --- */

/* What was stored of an event, and its position; false when the bytes are no event. */
static bool split_stored(struct bytes event, struct bytes *ret_stored, int64_t *ret_position)
{
    struct wire_field field;
    size_t end = event.size_bytes;
    *ret_position = 0;
    for (size_t at = 0; at < event.size_bytes;) {
        const size_t start = at;
        if (!wire_next(event, &at, &field))
            return false;
        if (field.number == FIELD_POSITION)
            *ret_position = (int64_t)field.value;
        if (field.number >= FIRST_COMPUTED_FIELD && start < end)
            end = start;
    }
    *ret_stored = bytes_of(event.data, end);
    return true;
}

static struct status take_event(struct exporting *exporting, struct bytes event)
{
    struct bytes stored = BYTES_NONE;
    int64_t position = 0;
    if (!split_stored(event, &stored, &position))
        return status_error(STATUS_DATA_LOSS, "the service sent an event that cannot be read");
    if (position != exporting->next)
        return status_reason(REASON_POSITION_MISSING,
                             "the service sent position %" PRId64 " where %" PRId64 " comes next", position,
                             exporting->next);
    exporting->next++;
    return exporting->sink->on_event(exporting->sink->context, position, stored);
}

/* ReadEventsResponse.events is field 1. */
static bool take_message(void *context, struct bytes message)
{
    struct exporting *exporting = context;
    struct wire_field field;
    for (size_t at = 0; at < message.size_bytes && exporting->status.code == STATUS_OK;) {
        if (!wire_next(message, &at, &field))
            exporting->status =
                status_error(STATUS_DATA_LOSS, "the service sent a message that cannot be read");
        else if (field.number == 1 && field.type == WIRE_LEN)
            exporting->status = take_event(exporting, field.bytes);
    }
    progress_show(&exporting->progress, (uint64_t)exporting->next - 1, 0);
    return exporting->status.code == STATUS_OK;
}

static struct status ask_head(struct client *client, struct arena *arena, int64_t *ret)
{
    Strata__V1__ListEventsRequest request;
    strata__v1__list_events_request__init(&request);
    request.direction = STRATA__V1__DIRECTION__BACKWARD;
    request.page_size = 1;
    struct bytes reply = BYTES_NONE;
    STATUS_TRY(client_unary(client, schema_method(METHOD_EVENT_SERVICE_LIST_EVENTS)->path,
                            cli_pack(arena, &request.base), CLI_TIMEOUT_MS, arena, &reply));
    Strata__V1__ListEventsResponse *page =
        strata__v1__list_events_response__unpack(NULL, reply.size_bytes, reply.data);
    if (page == NULL)
        return status_error(STATUS_DATA_LOSS, "the service sent a page that cannot be read");
    *ret = page->head_position;
    strata__v1__list_events_response__free_unpacked(page, NULL);
    return status_ok();
}

static struct status read_service(struct exporting *exporting, struct client *client, struct arena *arena,
                                  struct arena *messages)
{
    const struct export_source *source = exporting->source;
    int64_t head = 0;
    STATUS_TRY(ask_head(client, arena, &head));
    if (source->to > head || source->from > head + 1)
        return ends_before(head, source->to > head ? source->to : source->from);
    exporting->last = source->to > 0 ? source->to : head;
    STATUS_TRY(exporting->sink->on_begin(exporting->sink->context, NULL));
    if (exporting->next > exporting->last)
        return status_ok();
    Strata__V1__ReadEventsRequest request;
    strata__v1__read_events_request__init(&request);
    request.after_position = exporting->next - 1;
    request.to_position = exporting->last + 1;
    exporting->progress = progress_begin("exporting", PROGRESS_EVENTS, (uint64_t)exporting->last,
                                         (uint64_t)exporting->next - 1, source->quiet);
    const struct status status =
        client_stream(client, schema_method(METHOD_EVENT_SERVICE_READ_EVENTS)->path,
                      cli_pack(arena, &request.base), NULL, messages, take_message, exporting);
    progress_end(&exporting->progress);
    STATUS_TRY(exporting->status);
    STATUS_TRY(status);
    if (exporting->next != exporting->last + 1)
        return status_reason(REASON_POSITION_MISSING,
                             "the service ended the stream at position %" PRId64 " instead of %" PRId64,
                             exporting->next - 1, exporting->last);
    return status_ok();
}

static struct status export_from_service(struct exporting *exporting)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(arena_free_at) struct arena *messages = arena_new(0);
    CLEANUP(client_free_at) struct client *client = NULL;
    if (arena == NULL || messages == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the export");
    STATUS_TRY(client_new(exporting->source->address, &client));
    return read_service(exporting, client, arena, messages);
}

/* --- from the folder of a store --- */

static struct status begin_folder(void *context, const uint8_t store_uuid[16], uint64_t log_bytes)
{
    struct exporting *exporting = context;
    exporting->progress = progress_begin("exporting", PROGRESS_BYTES, log_bytes, 0, exporting->source->quiet);
    return exporting->sink->on_begin(exporting->sink->context, store_uuid);
}

static struct status take_record(void *context, int64_t position, struct bytes record)
{
    struct exporting *exporting = context;
    exporting->head = position;
    const bool wanted = (exporting->source->from_start || position >= exporting->source->from) &&
                        (exporting->source->to == 0 || position <= exporting->source->to);
    return wanted ? exporting->sink->on_event(exporting->sink->context, position, record) : status_ok();
}

static void show_folder(void *context, uint64_t bytes)
{
    struct exporting *exporting = context;
    progress_show(&exporting->progress, bytes, exporting->head);
}

static struct status export_from_folder(struct exporting *exporting)
{
    const struct export_source *source = exporting->source;
    CLEANUP(posix_files_free_at) struct files *files = NULL;
    STATUS_TRY(cli_folder(source->path, &files));
    const struct read_store_options options = {
        .store_id = source->store_id,
        .on_begin = begin_folder,
        .on_record = take_record,
        .on_progress = show_folder,
        .context = exporting,
    };
    const struct status status = read_store(files, &options, &system_clock, &system_entropy);
    progress_end(&exporting->progress);
    STATUS_TRY(status);
    const int64_t head = exporting->head;
    if (source->to > head || source->from > head + 1)
        return ends_before(head, source->to > head ? source->to : source->from);
    return status_ok();
}

struct status export_events(const struct export_source *source, const struct export_sink *sink)
{
    struct exporting exporting = {
        .source = source,
        .sink = sink,
        .next = source->from_start ? 1 : source->from,
        .status = status_ok(),
    };
    return source->path == NULL ? export_from_service(&exporting) : export_from_folder(&exporting);
}
