/* ListSubscriptions: handlers in the process, by their registry in the bus, then the streams of Subscribe. */
#include <assert.h>
#include <string.h>

#include "bus/subscribers.h"
#include "service/checks_internal.h"
#include "service/page_token_internal.h"
#include "service/replies_internal.h"
#include "service/subscription_internal.h"

#define TYPES_MAX         1000U
#define CLIENT_PEER_MAX   64U
#define ID_PREFIX_HANDLER "handler-"
#define ID_PREFIX_STREAM  "stream-"

static const struct bytes every_type = {(const uint8_t *)"*", 1};

/* Which of the two lists the page token's number is of. */
enum part { PART_HANDLERS, PART_STREAMS };

struct subscriptions_listing {
    struct service *service;
    struct arena *arena;
    struct bytes type; /* empty = all */
    size_t page_size;
    enum part after_part; /* the page begins after this one */
    int64_t after_number;
    int64_t head;

    Strata__V1__Subscription **items;
    size_t count;
    size_t size_bytes;
    enum part last_part; /* the last on the page */
    int64_t last_number;
    bool more; /* there are some behind it */

    int64_t total;
    struct bytes *types; /* in the order of bytes */
    size_t type_count;
    bool out_of_memory;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the answer");
}

/* --- event types --- */

/* Where it is or belongs. */
static size_t find_type(const struct subscriptions_listing *listing, struct bytes type, bool *ret_found)
{
    size_t low = 0;
    *ret_found = false;
    for (size_t high = listing->type_count; low < high && !*ret_found;) {
        const size_t middle = low + (high - low) / 2;
        const int order = bytes_compare(listing->types[middle], type);
        *ret_found = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_type(struct subscriptions_listing *listing, struct bytes type)
{
    bool found = false;
    if (listing->type_count == TYPES_MAX || listing->out_of_memory)
        return;
    const size_t at = find_type(listing, type, &found);
    if (found)
        return;
    const struct bytes copy = arena_bytes(listing->arena, type);
    listing->out_of_memory = copy.data == NULL;
    if (listing->out_of_memory)
        return;
    assert(listing->types != NULL); /* its maker gave it room */
    memmove(listing->types + at + 1, listing->types + at,
            (listing->type_count - at) * sizeof *listing->types);
    listing->types[at] = copy;
    listing->type_count++;
}

static void add_types(struct subscriptions_listing *listing, const struct event_query *query)
{
    if (query->count == 0)
        add_type(listing, every_type);
    for (size_t i = 0; i < query->count; i++) {
        const struct bytes_list types = query->items[i].types;
        if (types.count == 0)
            add_type(listing, every_type);
        for (size_t k = 0; k < types.count; k++)
            add_type(listing, types.items[k]);
    }
}

/* --- a subscription as a message --- */

static char **copy_texts(struct arena *arena, struct bytes_list from, size_t *ret_count)
{
    char **texts = arena_array(arena, from.count, sizeof *texts);
    for (size_t i = 0; i < from.count && texts != NULL; i++) {
        texts[i] = arena_text(arena, from.items[i]);
        if (texts[i] == NULL)
            return NULL;
    }
    *ret_count = from.count;
    return texts;
}

static Strata__V1__QueryItem *copy_item(struct arena *arena, const struct query_item *from)
{
    Strata__V1__QueryItem *item = arena_alloc(arena, sizeof *item);
    if (item == NULL)
        return NULL;
    strata__v1__query_item__init(item);
    item->types = copy_texts(arena, from->types, &item->n_types);
    item->tags = copy_texts(arena, from->tags, &item->n_tags);
    item->aggregate_types = copy_texts(arena, from->aggregate_types, &item->n_aggregate_types);
    item->aggregate_ids = copy_texts(arena, from->aggregate_ids, &item->n_aggregate_ids);
    item->aggregate_id_prefixes =
        copy_texts(arena, from->aggregate_id_prefixes, &item->n_aggregate_id_prefixes);
    item->correlation_id = arena_text(arena, from->correlation_id);
    const bool whole = item->types != NULL && item->tags != NULL && item->aggregate_types != NULL &&
                       item->aggregate_ids != NULL && item->aggregate_id_prefixes != NULL &&
                       item->correlation_id != NULL;
    return whole ? item : NULL;
}

static Strata__V1__EventQuery *copy_query(struct arena *arena, const struct event_query *from)
{
    Strata__V1__EventQuery *query = arena_alloc(arena, sizeof *query);
    Strata__V1__QueryItem **items = arena_array(arena, from->count, sizeof *items);
    if (query == NULL || items == NULL)
        return NULL;
    strata__v1__event_query__init(query);
    for (size_t i = 0; i < from->count; i++) {
        items[i] = copy_item(arena, &from->items[i]);
        if (items[i] == NULL)
            return NULL;
    }
    query->n_items = from->count;
    query->items = items;
    return query;
}

/* What carries it to its client, who may be behind a gateway. */
static Strata__V1__Subscription__Kind kind_of(const struct call *call)
{
    const struct bytes said = call_client_transport(call);
    const struct bytes transport = said.size_bytes > 0 ? said : bytes_of_text(call_transport(call));
    if (bytes_equal(transport, BYTES_LITERAL("websocket")))
        return STRATA__V1__SUBSCRIPTION__KIND__WEBSOCKET;
    if (bytes_equal(transport, BYTES_LITERAL("http")))
        return STRATA__V1__SUBSCRIPTION__KIND__SSE;
    return STRATA__V1__SUBSCRIPTION__KIND__STREAM;
}

static bool is_address(struct bytes text)
{
    static const char more[] = ".:[]%_-";
    for (size_t i = 0; i < text.size_bytes; i++) {
        const uint8_t c = text.data[i];
        const bool fits = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c != '\0' && strchr(more, c) != NULL);
        if (!fits)
            return false;
    }
    return text.size_bytes > 0 && text.size_bytes <= CLIENT_PEER_MAX;
}

/* Anybody can say who his client is, so the address that is sure is shown in any case. */
static char *peer_text(struct arena *arena, const struct call *call)
{
    const struct bytes said = call_client_peer(call);
    if (!is_address(said))
        return arena_text(arena, call_peer(call));
    return arena_printf(arena, "%.*s via %.*s", BYTES_FORMAT(said), BYTES_FORMAT(call_peer(call)));
}

static Strata__V1__Subscription *make(struct subscriptions_listing *listing, const char *id_prefix,
                                      const struct subscription_view *view)
{
    struct arena *arena = listing->arena;
    Strata__V1__Subscription *item = arena_alloc(arena, sizeof *item);
    if (item == NULL)
        return NULL;
    strata__v1__subscription__init(item);
    item->id = arena_printf(arena, "%s%lld", id_prefix, (long long)view->number);
    item->name = arena_text(arena, bytes_of_text(view->name));
    item->query = copy_query(arena, view->query);
    item->position = view->position;
    item->lag = listing->head > view->position ? listing->head - view->position : 0;
    item->since = time_to_proto(arena, view->began_at_us);
    item->kind = STRATA__V1__SUBSCRIPTION__KIND__HANDLER;
    if (view->call != NULL) {
        item->kind = kind_of(view->call);
        item->principal = arena_text(arena, call_principal(view->call));
        item->peer = peer_text(arena, view->call);
    }
    const bool whole = item->id != NULL && item->name != NULL && item->query != NULL && item->since != NULL &&
                       item->principal != NULL && item->peer != NULL;
    return whole ? item : NULL;
}

/* --- the page --- */

static bool is_before_page(const struct subscriptions_listing *listing, enum part part, int64_t number)
{
    return part < listing->after_part || (part == listing->after_part && number <= listing->after_number);
}

static void put_on_page(struct subscriptions_listing *listing, enum part part,
                        const struct subscription_view *view)
{
    listing->more =
        listing->more || listing->count == listing->page_size || listing->size_bytes > PAGE_BYTES_MAX;
    if (listing->more || listing->out_of_memory)
        return;
    Strata__V1__Subscription *item =
        make(listing, part == PART_HANDLERS ? ID_PREFIX_HANDLER : ID_PREFIX_STREAM, view);
    if (item == NULL) {
        listing->out_of_memory = true;
        return;
    }
    listing->size_bytes += strata__v1__subscription__get_packed_size(item);
    listing->items[listing->count++] = item;
    listing->last_part = part;
    listing->last_number = view->number;
}

static void see(struct subscriptions_listing *listing, enum part part, const struct subscription_view *view)
{
    listing->total++;
    add_types(listing, view->query);
    if (!is_before_page(listing, part, view->number))
        put_on_page(listing, part, view);
}

static struct status see_handlers(struct subscriptions_listing *listing)
{
    struct bus_subscribers handlers;
    STATUS_TRY(bus_subscribers(listing->service->parts.bus, listing->type, listing->arena, &handlers));
    for (size_t i = 0; i < handlers.count; i++) {
        const struct bus_subscriber *handler = &handlers.items[i];
        const struct query_item item = {.types = handler->types,
                                        .aggregate_types = handler->aggregate_types,
                                        .aggregate_ids = handler->aggregate_ids};
        const bool all = item.types.count + item.aggregate_types.count + item.aggregate_ids.count == 0;
        const struct event_query query = {&item, all ? 0 : 1};
        const struct subscription_view view = {
            .number = handler->id,
            .name = handler->name,
            .query = &query,
            .position = handler->position,
            .began_at_us = handler->began_at_us,
        };
        if (handler->state == BUS_SUBSCRIBER_ACTIVE || handler->state == BUS_SUBSCRIBER_FAILING)
            see(listing, PART_HANDLERS, &view);
    }
    return status_ok();
}

static bool could_match(const struct event_query *query, struct bytes type)
{
    bool could = query->count == 0 || type.size_bytes == 0;
    for (size_t i = 0; i < query->count && !could; i++) {
        const struct bytes_list types = query->items[i].types;
        could = types.count == 0;
        for (size_t k = 0; k < types.count && !could; k++)
            could = bytes_equal(types.items[k], type);
    }
    return could;
}

/* Under streams.lock. An arena never waits. */
static void see_stream(void *context, struct stream_link *link)
{
    struct subscriptions_listing *listing = context;
    const struct subscription_view view = subscription_view(link);
    if (could_match(view.query, listing->type))
        see(listing, PART_STREAMS, &view);
}

/* --- the call --- */

static struct status page_begin(struct subscriptions_listing *listing,
                                const Strata__V1__ListSubscriptionsRequest *request, uint64_t *ret_filter)
{
    struct arena *arena = listing->arena;
    FIELD_TRY(arena, "type", type_check("type", listing->type, ID_OPTIONAL | ID_SYSTEM_ALLOWED));
    FIELD_TRY(arena, "page_size", page_size_check(request->page_size, &listing->page_size));
    Strata__V1__ListSubscriptionsRequest same = STRATA__V1__LIST_SUBSCRIPTIONS_REQUEST__INIT;
    same.type = request->type;
    STATUS_TRY(page_filter(listing->service, &same.base, arena, ret_filter));
    if (request->page_token[0] != '\0') {
        struct page_token token;
        FIELD_TRY(arena, "page_token",
                  page_token_read(request->page_token, *ret_filter, INT64_MAX, arena, &token));
        listing->after_part = token.version == PART_HANDLERS ? PART_HANDLERS : PART_STREAMS;
        listing->after_number = token.at;
    }
    listing->items = arena_array(arena, listing->page_size, sizeof(Strata__V1__Subscription *));
    listing->types = arena_array(arena, TYPES_MAX, sizeof *listing->types);
    return listing->items == NULL || listing->types == NULL ? no_memory() : status_ok();
}

static struct status page_end(struct subscriptions_listing *listing, uint64_t filter, struct reply *ret)
{
    struct arena *arena = listing->arena;
    Strata__V1__ListSubscriptionsResponse *response = arena_alloc(arena, sizeof *response);
    if (response == NULL || listing->out_of_memory)
        return no_memory();
    strata__v1__list_subscriptions_response__init(response);
    response->subscriptions = listing->items;
    response->n_subscriptions = listing->count;
    response->handler_count = listing->total;
    response->event_types =
        copy_texts(arena, (struct bytes_list){listing->types, listing->type_count}, &response->n_event_types);
    if (listing->more) {
        const struct page_token token = {.at = listing->last_number, .version = listing->last_part};
        response->next_page_token = page_token_write(arena, filter, &token);
    }
    if (response->event_types == NULL || response->next_page_token == NULL)
        return no_memory();
    ret->message = &response->base;
    return status_ok();
}

static struct status list_run(struct service *service, struct call *call, const void *context,
                              struct reply *ret)
{
    const Strata__V1__ListSubscriptionsRequest *request = context;
    struct subscriptions_listing listing = {
        .service = service,
        .arena = call_arena(call),
        .type = bytes_of_text(request->type),
        .head = bus_head(service->parts.bus),
    };
    uint64_t filter = 0;
    STATUS_TRY(page_begin(&listing, request, &filter));
    STATUS_TRY(see_handlers(&listing));
    streams_each(service, see_stream, &listing);
    return page_end(&listing, filter, ret);
}

static void list_subscriptions_start(void *context, struct call *call, const ProtobufCMessage *request)
{
    service_start(context, call, request, 0, list_run);
}

const struct method_handler list_subscriptions_handler = {.start = list_subscriptions_start};
