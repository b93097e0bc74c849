/* GetEvent and ListEvents: stored bytes, copied as they are. */
#include <string.h>

#include "bus/read_plan.h"
#include "service/checks_internal.h"
#include "service/loader_internal.h"
#include "service/page_token_internal.h"
#include "service/replies_internal.h"

/* A page may end early, with a token, after looking at so many events: a rare match must not hold a worker. */
#define LOOKED_AT_MAX      100000
#define EVENT_EXTRA_BYTES  40U /* of an event in a reply beside its record */
#define RESERVED_MAX_BYTES ((size_t)256 * 1024)

/* --- GetEvent --- */

struct one_event {
    struct service *service;
    struct buffer *reply;
    bool found;
};

static bool take_event(void *context, int64_t position, struct record record)
{
    struct one_event *one = context;
    wire_put_event_message(one->reply, one->service, position, record);
    one->found = true;
    return false;
}

static struct status get_event_run(struct service *service, struct call *call, const void *request,
                                   struct reply *ret)
{
    const Strata__V1__GetEventRequest *get = request;
    struct event_store *store = service->parts.store;
    const struct bytes id = bytes_of_text(get->event_id);
    FIELD_TRY(call_arena(call), "event_id", id_check("event_id", id, ID_SYSTEM_ALLOWED));
    int64_t position = 0;
    STATUS_TRY(store->ops->find_id(store, id, &position));
    if (position == 0)
        return status_reason(REASON_EVENT_UNKNOWN,
                             "there is no event \"%.*s\"; check the id, ids are compared byte by byte",
                             BYTES_FORMAT(id));
    struct buffer reply = buffer_in(call_arena(call), 0);
    struct one_event one = {service, &reply, false};
    const struct read_query query = {
        .by = READ_BY_POSITION,
        .after_position = position - 1,
        .to_position = position,
        .to_version = INT32_MAX,
    };
    STATUS_TRY(store->ops->read(store, &query, take_event, &one));
    STATUS_TRY(buffer_status(&reply));
    if (!one.found)
        return status_reason(REASON_POSITION_MISSING,
                             "event \"%.*s\" stands at position %lld, which is missing; run strata verify",
                             BYTES_FORMAT(id), (long long)position);
    ret->bytes = buffer_bytes(&reply);
    return status_ok();
}

static void get_event_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, get_event_run);
}

const struct method_handler get_event_handler = {.start = get_event_start};

/* --- ListEvents: what is asked --- */

struct listing {
    struct service *service;
    struct call *call;
    struct query_item item;
    struct event_query filter;
    struct read_query read; /* with the interval */
    size_t page_size;
    int64_t head;
    bool empty; /* the interval holds nothing */

    struct buffer reply;
    size_t expected; /* events, at most: what the reply gets room for at its first */
    size_t count;
    size_t record_bytes;
    int64_t looked_at;
    int64_t last;    /* looked at, or the end at which the interval begins */
    int64_t missing; /* a position that should have come; 0 = none */
    bool more;
    struct status status;
};

static void narrow_after(struct listing *listing, int64_t after)
{
    if (after > listing->read.after_position)
        listing->read.after_position = after;
}

static void narrow_to(struct listing *listing, int64_t to)
{
    if (to < listing->read.to_position)
        listing->read.to_position = to;
}

static void check_versions(struct faults *faults, const Strata__V1__ListEventsRequest *request,
                           struct listing *listing)
{
    const bool to_given = request->_to_version_case != STRATA__V1__LIST_EVENTS_REQUEST___TO_VERSION__NOT_SET;
    listing->read.from_version = request->from_version;
    listing->read.to_version = INT32_MAX;
    if ((request->from_version != 0 || to_given) && request->aggregate_id[0] == '\0')
        faults_add(faults, request->from_version != 0 ? "from_version" : "to_version",
                   status_reason(
                       REASON_INVALID_FIELD,
                       "versions count within one aggregate; give aggregate_id too, or bound by position or "
                       "timestamp"));
    if (request->from_version < 0)
        faults_add(faults, "from_version",
                   status_reason(REASON_INVALID_FIELD, "from_version is %d; versions begin at 0",
                                 request->from_version));
    if (to_given && request->to_version < 0)
        faults_add(faults, "to_version",
                   status_reason(REASON_INVALID_FIELD, "to_version is %d; versions begin at 0",
                                 request->to_version));
    else if (to_given && request->to_version == 0)
        listing->empty = true;
    else if (to_given)
        listing->read.to_version = request->to_version - 1; /* excluded */
}

static void check_filter(struct faults *faults, const Strata__V1__ListEventsRequest *request,
                         struct listing *listing)
{
    char *types[] = {request->type};
    char *aggregate_types[] = {request->aggregate_type};
    char *aggregate_ids[] = {request->aggregate_id};
    const struct flat_query flat = {
        .types = types,
        .type_count = request->type[0] != '\0',
        .aggregate_types = aggregate_types,
        .aggregate_type_count = request->aggregate_type[0] != '\0',
        .aggregate_ids = aggregate_ids,
        .aggregate_id_count = request->aggregate_id[0] != '\0',
        .tags = request->tags,
        .tag_count = request->n_tags,
        .correlation_id = request->correlation_id,
    };
    event_query_item_build(faults, "", &flat, &listing->item);
    listing->filter = (struct event_query){&listing->item, 1};
    if (request->direction != STRATA__V1__DIRECTION__DIRECTION_UNSPECIFIED &&
        request->direction != STRATA__V1__DIRECTION__FORWARD &&
        request->direction != STRATA__V1__DIRECTION__BACKWARD)
        faults_add(faults, "direction",
                   status_reason(REASON_INVALID_FIELD, "direction is %d; give FORWARD or BACKWARD",
                                 (int)request->direction));
    listing->read.backward = request->direction == STRATA__V1__DIRECTION__BACKWARD;
    faults_add(faults, "page_size", page_size_check(request->page_size, &listing->page_size));
    faults_add(faults, "from_position", position_check("from_position", request->from_position));
    faults_add(faults, "after_position", position_check("after_position", request->after_position));
    faults_add(faults, "to_position", position_check("to_position", request->to_position));
}

/* Times become positions: from includes its bound, to excludes it. */
static struct status narrow_by_time(const Strata__V1__ListEventsRequest *request, int64_t from_us,
                                    int64_t to_us, struct listing *listing)
{
    struct event_store *store = listing->service->parts.store;
    int64_t position = 0;
    if (request->from_timestamp != NULL) {
        STATUS_TRY(store->ops->find_time(store, from_us - 1, &position));
        narrow_after(listing, position);
    }
    if (request->to_timestamp != NULL) {
        STATUS_TRY(store->ops->find_time(store, to_us - 1, &position));
        narrow_to(listing, position);
    }
    return status_ok();
}

static struct status listing_filter(struct service *service, const Strata__V1__ListEventsRequest *request,
                                    struct arena *arena, uint64_t *ret)
{
    Strata__V1__ListEventsRequest same = *request;
    same.page_size = 0;
    same.page_token = (char *)protobuf_c_empty_string;
    same.min_position = 0;
    return page_filter(service, &same.base, arena, ret);
}

static struct status listing_build(const Strata__V1__ListEventsRequest *request, uint64_t filter,
                                   struct listing *listing)
{
    struct arena *arena = call_arena(listing->call);
    struct faults faults;
    faults_init(&faults, arena);
    int64_t from_us = 0;
    int64_t to_us = 0;
    check_filter(&faults, request, listing);
    check_versions(&faults, request, listing);
    if (request->from_timestamp != NULL)
        faults_add(&faults, "from_timestamp",
                   time_check("from_timestamp", request->from_timestamp, &from_us));
    if (request->to_timestamp != NULL)
        faults_add(&faults, "to_timestamp", time_check("to_timestamp", request->to_timestamp, &to_us));
    STATUS_TRY(faults_status(&faults));

    struct store_head head;
    STATUS_TRY(listing->service->parts.store->ops->head(listing->service->parts.store, &head));
    struct page_token token = {.head = head.position};
    const bool first = request->page_token[0] == '\0';
    if (!first)
        FIELD_TRY(arena, "page_token",
                  page_token_read(request->page_token, filter, head.position, arena, &token));
    listing->head = token.head;
    listing->read.after_position = 0;
    listing->read.to_position = token.head;
    narrow_after(listing, request->after_position);
    narrow_after(listing, request->from_position - 1);
    if (request->to_position > 0)
        narrow_to(listing, request->to_position - 1);
    STATUS_TRY(narrow_by_time(request, from_us, to_us, listing));
    if (!first && listing->read.backward)
        narrow_to(listing, token.at - 1);
    else if (!first)
        narrow_after(listing, token.at);
    /* For the store 0 means "the head": an interval that holds nothing is not read at all. */
    listing->empty = listing->empty || listing->read.to_position <= listing->read.after_position;
    read_plan_item(&listing->item, &listing->read);
    return status_ok();
}

/* --- ListEvents: what is answered --- */

/* Of a read by position every position must come: a page never steps over one. */
static bool is_next(struct listing *listing, int64_t position)
{
    const int64_t expected = listing->read.backward ? listing->last - 1 : listing->last + 1;
    if (listing->read.by == READ_BY_POSITION && position != expected)
        listing->missing = expected;
    return listing->missing == 0;
}

/* Events of one list are often of one size. Growing step by step would copy the reply several times over. */
static void reserve_reply(struct listing *listing, struct record first)
{
    const size_t each = first.bytes.size_bytes + EVENT_EXTRA_BYTES;
    const size_t most = RESERVED_MAX_BYTES / each;
    wire_reserve(&listing->reply, each * (listing->expected < most ? listing->expected : most));
}

static bool list_take(void *context, int64_t position, struct record record)
{
    struct listing *listing = context;
    if (!is_next(listing, position))
        return false;
    struct event_fields header;
    listing->status = record_decode_header(record, &header);
    if (!status_is_ok(&listing->status))
        return false;
    if (query_matches(&listing->filter, &header)) {
        const bool full =
            listing->count == listing->page_size ||
            (listing->count > 0 && listing->record_bytes + record.bytes.size_bytes > PAGE_BYTES_MAX);
        if (full) {
            listing->more = true;
            return false;
        }
        if (listing->count == 0)
            reserve_reply(listing, record);
        wire_put_event(&listing->reply, 1, listing->service, position, record);
        listing->count++;
        listing->record_bytes += record.bytes.size_bytes;
    }
    listing->last = position;
    listing->looked_at++;
    if (listing->looked_at % 1024 == 0 && call_cancelled(listing->call)) {
        listing->status = status_error(STATUS_CANCELLED, "the caller gave up during the read");
        return false;
    }
    listing->more = listing->looked_at == LOOKED_AT_MAX;
    return !listing->more;
}

static struct status list_fill(struct event_store *store, struct listing *listing)
{
    const struct read_query *read = &listing->read;
    listing->last = read->backward ? read->to_position + 1 : read->after_position;
    STATUS_TRY(store->ops->read(store, read, list_take, listing));
    STATUS_TRY(listing->status);
    if (!listing->more) /* it came to its end, which must be the interval's */
        (void)is_next(listing, read->backward ? read->after_position : read->to_position + 1);
    if (listing->missing > 0 && listing->looked_at == 0)
        return status_position_missing(listing->missing);
    listing->more = listing->more || listing->missing > 0; /* the next page waits for it */
    return status_ok();
}

static struct status list_events_run(struct service *service, struct call *call, const void *request,
                                     struct reply *ret)
{
    const Strata__V1__ListEventsRequest *list = request;
    struct arena *arena = call_arena(call);
    struct event_store *store = service->parts.store;
    struct listing *listing = arena_zalloc(arena, sizeof *listing);
    if (listing == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the listing");
    listing->service = service;
    listing->call = call;
    listing->status = status_ok();
    listing->reply = buffer_in(arena, 0);
    uint64_t filter = 0;
    STATUS_TRY(listing_filter(service, list, arena, &filter));
    STATUS_TRY(listing_build(list, filter, listing));
    listing->expected = listing->page_size;
    if (list->aggregate_id[0] != '\0') {
        struct aggregate_head head = {0};
        STATUS_TRY(store->ops->aggregate(store, bytes_of_text(list->aggregate_id), arena, &head));
        if (!head.exists)
            return status_aggregate_unknown(bytes_of_text(list->aggregate_id));
        if ((size_t)head.event_count < listing->expected)
            listing->expected = (size_t)head.event_count;
    }
    if (!listing->empty)
        STATUS_TRY(list_fill(store, listing));
    if (listing->more) {
        const struct page_token next = {.head = listing->head, .at = listing->last};
        const char *token = page_token_write(arena, filter, &next);
        if (token == NULL)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the page token");
        wire_put_text(&listing->reply, 2, bytes_of_text(token));
    }
    wire_put_int(&listing->reply, 3, listing->head);
    STATUS_TRY(buffer_status(&listing->reply));
    ret->bytes = buffer_bytes(&listing->reply);
    return status_ok();
}

static void list_events_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    const Strata__V1__ListEventsRequest *list = (const Strata__V1__ListEventsRequest *)request;
    service_start(context, call, request, list->min_position, list_events_run);
}

const struct method_handler list_events_handler = {.start = list_events_start};
