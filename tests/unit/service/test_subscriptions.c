/* ListSubscriptions: who is shown, what is told of him, and pages of a list that changes. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "bus/subscribers.h"
#include "rpc/table.h"

#define SUBSCRIBE METHOD_SUBSCRIPTION_SERVICE_SUBSCRIBE
#define LIST      METHOD_SUBSCRIPTION_SERVICE_LIST_SUBSCRIPTIONS
#define KIND(of)  STRATA__V1__SUBSCRIPTION__KIND__##of

static struct status set_principal(void *context, struct call *call)
{
    (void)context;
    call_set_principal(call, BYTES_LITERAL("ada"));
    return status_ok();
}

static int set_up(void **state)
{
    static const struct interceptor tokens = {.before = set_principal};
    static struct world world;
    world_open(&world, NULL);
    rpc_table_intercept(world.table, &tokens);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    world_close(*state);
    return 0;
}

static Strata__V1__ListSubscriptionsResponse *list_by(struct world *world,
                                                      const Strata__V1__ListSubscriptionsRequest *request)
{
    return call_method_of(world, LIST, &request->base, &strata__v1__list_subscriptions_response__descriptor,
                          NULL);
}

static Strata__V1__ListSubscriptionsResponse *list(struct world *world, const char *type)
{
    Strata__V1__ListSubscriptionsRequest request =
        REQUEST(ListSubscriptionsRequest, LIST_SUBSCRIPTIONS_REQUEST);
    request.type = T(type);
    return list_by(world, &request);
}

/* The names on the page, each followed by a space. */
static void assert_names(const Strata__V1__ListSubscriptionsResponse *page, const char *names)
{
    char seen[256] = "";
    for (size_t i = 0; i < page->n_subscriptions; i++)
        (void)snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s ", page->subscriptions[i]->name);
    assert_string_equal(seen, names);
}

static void assert_types(const Strata__V1__ListSubscriptionsResponse *page, const char *types)
{
    char seen[256] = "";
    for (size_t i = 0; i < page->n_event_types; i++)
        (void)snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s ", page->event_types[i]);
    assert_string_equal(seen, types);
}

static Strata__V1__SubscribeRequest named(const char *name)
{
    Strata__V1__SubscribeRequest request = STRATA__V1__SUBSCRIBE_REQUEST__INIT;
    request.name = T(name);
    return request;
}

/* Has had its first message, so it is there. */
static struct test_stream *subscribed_by(struct world *world, const Strata__V1__SubscribeRequest *request,
                                         const struct test_client *client)
{
    struct test_stream *stream = test_stream_open_by(world->table, SUBSCRIBE, &request->base, 0, client);
    struct bytes message;
    assert_true(test_stream_read(stream, &message));
    free((void *)(uintptr_t)message.data);
    return stream;
}

static struct test_stream *subscribed(struct world *world, const char *name)
{
    static const struct test_client plain = {.transport = NULL};
    const Strata__V1__SubscribeRequest request = named(name);
    return subscribed_by(world, &request, &plain);
}

static void end(struct test_stream *stream)
{
    test_stream_cancel(stream);
    assert_int_equal(test_stream_close(stream).code, STATUS_CANCELLED);
}

static void test_a_stream_is_shown_with_all_that_it_asked_for(void **state)
{
    struct world *world = *state;
    const int64_t before_s = clock_now_us(&system_clock) / 1000000;
    for (int i = 0; i < 3; i++)
        (void)publish_custom(world, "a", "{}");
    Strata__V1__QueryItem first = STRATA__V1__QUERY_ITEM__INIT;
    char *types[] = {T("custom"), T("$aggregate_created")};
    char *tags[] = {T("t")};
    char *aggregate_types[] = {T("custom")};
    char *ids[] = {T("b"), T("c")};
    char *prefixes[] = {T("b")};
    first.types = types, first.n_types = 2;
    first.tags = tags, first.n_tags = 1;
    first.aggregate_types = aggregate_types, first.n_aggregate_types = 1;
    first.aggregate_ids = ids, first.n_aggregate_ids = 2;
    first.aggregate_id_prefixes = prefixes, first.n_aggregate_id_prefixes = 1;
    first.correlation_id = T("c-1");
    Strata__V1__QueryItem second = STRATA__V1__QUERY_ITEM__INIT;
    Strata__V1__QueryItem *items[] = {&first, &second};
    Strata__V1__EventQuery query = STRATA__V1__EVENT_QUERY__INIT;
    query.items = items, query.n_items = 2;
    Strata__V1__SubscribeRequest request = named("orders");
    request.query = &query;
    static const struct test_client client = {.transport = "grpc", .peer = "10.0.0.1:2"};
    struct test_stream *stream = subscribed_by(world, &request, &client);

    Strata__V1__ListSubscriptionsResponse *page = list(world, "");
    assert_int_equal(page->n_subscriptions, 1);
    assert_int_equal(page->handler_count, 1);
    assert_string_equal(page->next_page_token, "");
    assert_types(page, "$aggregate_created * custom ");
    const Strata__V1__Subscription *seen = page->subscriptions[0];
    assert_string_equal(seen->id, "stream-1");
    assert_string_equal(seen->name, "orders");
    assert_int_equal(seen->kind, KIND(STREAM));
    assert_string_equal(seen->principal, "ada");
    assert_string_equal(seen->peer, "10.0.0.1:2");
    assert_int_equal(seen->position, 3);
    assert_int_equal(seen->lag, 0);
    assert_in_range(seen->since->seconds, before_s, before_s + 3600);
    assert_int_equal(seen->query->n_items, 2);
    /* Packed, it is what was asked for, field by field. */
    uint8_t asked[512], shown[512];
    assert_int_equal(strata__v1__event_query__get_packed_size(seen->query),
                     strata__v1__event_query__get_packed_size(&query));
    const size_t size_bytes = strata__v1__event_query__pack(&query, asked);
    assert_true(size_bytes < sizeof asked);
    (void)strata__v1__event_query__pack(seen->query, shown);
    assert_memory_equal(shown, asked, size_bytes);
    test_message_free(page);
    end(stream);

    page = list(world, ""); /* who has gone is not shown */
    assert_int_equal(page->n_subscriptions, 0);
    assert_int_equal(page->handler_count, 0);
    assert_types(page, "");
    test_message_free(page);
}

/* A client without room keeps its position, and its lag grows. */
static void test_the_lag_of_a_client_that_does_not_read(void **state)
{
    struct world *world = *state;
    Strata__V1__SubscribeRequest request = named("slow");
    struct test_stream *stream = test_stream_open(world->table, SUBSCRIBE, &request.base, 1);
    while (!test_stream_has(stream)) /* caught_up, and now there is no room */
        bus_wake(world->bus);
    for (int i = 0; i < 5; i++)
        (void)publish_custom(world, "a", "{}");
    Strata__V1__ListSubscriptionsResponse *page = list(world, "");
    assert_int_equal(page->n_subscriptions, 1);
    assert_int_equal(page->subscriptions[0]->position, 0);
    assert_int_equal(page->subscriptions[0]->lag, 5);
    test_message_free(page);
    end(stream);
}

/* Where a client comes in, and who he is when something else says so for him. */
static void test_kinds_and_peers(void **state)
{
    static const struct {
        const char *why;
        struct test_client client;
        int kind;
        const char *peer;
    } cases[] = {
        {"gRPC", {"grpc", "1.2.3.4:5", NULL, NULL}, KIND(STREAM), "1.2.3.4:5"},
        {"the gateway in this process", {"http", "1.2.3.4:5", NULL, NULL}, KIND(SSE), "1.2.3.4:5"},
        {"the same", {"websocket", "[::1]:5", NULL, NULL}, KIND(WEBSOCKET), "[::1]:5"},
        {"a gateway elsewhere",
         {"grpc", "10.0.0.9:1", "http", "1.2.3.4:5"},
         KIND(SSE),
         "1.2.3.4:5 via 10.0.0.9:1"},
        {"IPv6",
         {"grpc", "10.0.0.9:1", "websocket", "[fe80::1%eth0]:5"},
         KIND(WEBSOCKET),
         "[fe80::1%eth0]:5 via 10.0.0.9:1"},
        {"says nothing that we know", {"grpc", "10.0.0.9:1", "handler", NULL}, KIND(STREAM), "10.0.0.9:1"},
        {"no address", {"grpc", "10.0.0.9:1", NULL, "1.2.3.4:5 via 8.8.8.8:1"}, KIND(STREAM), "10.0.0.9:1"},
        {"no address either", {"grpc", "10.0.0.9:1", NULL, "<b>"}, KIND(STREAM), "10.0.0.9:1"},
        {"longer than any address",
         {"grpc", "10.0.0.9:1", NULL, "11111111111111111111111111111111111111111111111111111111111111111"},
         KIND(STREAM),
         "10.0.0.9:1"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const Strata__V1__SubscribeRequest request = named("x");
        struct test_stream *stream = subscribed_by(world, &request, &cases[i].client);
        Strata__V1__ListSubscriptionsResponse *page = list(world, "");
        assert_int_equal(page->n_subscriptions, 1);
        if (strcmp(page->subscriptions[0]->peer, cases[i].peer) != 0 ||
            (int)page->subscriptions[0]->kind != cases[i].kind)
            fail_msg("%s: kind %d, peer %s", cases[i].why, (int)page->subscriptions[0]->kind,
                     page->subscriptions[0]->peer);
        test_message_free(page);
        end(stream);
    }
}

/* --- handlers --- */

static enum bus_answer take(void *context, const struct bus_delivery *delivery)
{
    const int64_t *last = context;
    return last != NULL && delivery->position == *last ? BUS_DONE : BUS_HANDLED;
}

static int64_t handler(struct world *world, const char *name, const char *pattern, const int64_t *last)
{
    const struct bytes types[] = {bytes_of_text(pattern)};
    const struct bus_subscribe_options options = {
        .name = name,
        .types = {types, pattern == NULL ? 0 : 1},
        .handler = take,
        .context = (void *)(uintptr_t)last,
    };
    int64_t id = 0;
    assert_status_ok(bus_subscribe(world->bus, &options, &id));
    return id;
}

static void test_handlers_come_first_and_only_while_they_get_events(void **state)
{
    struct world *world = *state;
    static const int64_t last = 1;
    struct test_stream *stream = subscribed(world, "stream");
    const int64_t first = handler(world, "first", "cust*", NULL);
    (void)handler(world, "done", NULL, &last);
    (void)publish_custom(world, "a", "{}");
    struct bus_stats stats;
    do { /* it ends with the event that it has */
        bus_stats(world->bus, &stats);
    } while (stats.ended == 0);
    Strata__V1__ListSubscriptionsResponse *page = list(world, "");
    assert_names(page, "first stream ");
    assert_types(page, "* cust* ");
    assert_int_equal(page->handler_count, 2);
    const Strata__V1__Subscription *seen = page->subscriptions[0];
    char id[32];
    (void)snprintf(id, sizeof id, "handler-%lld", (long long)first);
    assert_string_equal(seen->id, id);
    assert_int_equal(seen->kind, KIND(HANDLER));
    assert_string_equal(seen->principal, "");
    assert_string_equal(seen->peer, "");
    assert_int_equal(seen->position + seen->lag, 1);
    assert_non_null(seen->since);
    assert_int_equal(seen->query->n_items, 1);
    assert_string_equal(seen->query->items[0]->types[0], "cust*");
    test_message_free(page);
    end(stream);
}

/* --- the filter --- */

static void test_by_type_only_who_could_get_it(void **state)
{
    struct world *world = *state;
    static const struct test_client plain = {.transport = NULL};
    char *custom[] = {T("custom")};
    char *ids[] = {T("a")};
    Strata__V1__SubscribeRequest of_type = named("of_type");
    of_type.types = custom, of_type.n_types = 1;
    Strata__V1__SubscribeRequest of_id = named("of_id"); /* names no types */
    of_id.aggregate_ids = ids, of_id.n_aggregate_ids = 1;
    struct test_stream *streams[] = {
        subscribed(world, "all"),
        subscribed_by(world, &of_type, &plain),
        subscribed_by(world, &of_id, &plain),
    };
    (void)handler(world, "pattern", "cu*", NULL);
    static const struct {
        const char *type, *names, *types;
    } cases[] = {
        {"", "pattern all of_type of_id ", "* cu* custom "},
        {"custom", "pattern all of_type of_id ", "* cu* custom "},
        {"cut", "pattern all of_id ", "* cu* "},
        {"custom2", "pattern all of_id ", "* cu* "},
        {"other", "all of_id ", "* "},
        {"$aggregate_created", "all of_id ", "* "},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        Strata__V1__ListSubscriptionsResponse *page = list(world, cases[i].type);
        assert_names(page, cases[i].names);
        assert_types(page, cases[i].types);
        assert_int_equal(page->handler_count, page->n_subscriptions);
        test_message_free(page);
    }
    for (size_t i = 0; i < ARRAY_COUNT(streams); i++)
        end(streams[i]);
}

/* --- pages --- */

static void test_pages_show_each_once_while_others_come_and_go(void **state)
{
    struct world *world = *state;
    (void)handler(world, "h1", NULL, NULL);
    (void)handler(world, "h2", NULL, NULL);
    struct test_stream *streams[5];
    static const char *const names[] = {"s1", "s2", "s3", "s4", "s5"};
    for (size_t i = 0; i < 4; i++)
        streams[i] = subscribed(world, names[i]);
    Strata__V1__ListSubscriptionsRequest request =
        REQUEST(ListSubscriptionsRequest, LIST_SUBSCRIPTIONS_REQUEST);
    request.page_size = 1;
    char token[512] = "";
    static const char *const pages[] = {"h1 ", "h2 ", "s1 ", "s2 ", "s4 ", "s5 "};
    for (size_t i = 0; i < ARRAY_COUNT(pages); i++) {
        if (i == 4) { /* the place is that of one who has gone; another one goes, and one comes */
            end(streams[1]);
            end(streams[2]);
            streams[4] = subscribed(world, names[4]);
        }
        request.page_token = token;
        Strata__V1__ListSubscriptionsResponse *page = list_by(world, &request);
        assert_names(page, pages[i]);
        assert_int_equal(page->handler_count, i < 4 ? 6 : 5);
        assert_types(page, "* ");
        (void)snprintf(token, sizeof token, "%s", page->next_page_token);
        assert_int_equal(token[0] != '\0', i + 1 < ARRAY_COUNT(pages));
        test_message_free(page);
    }
    end(streams[0]);
    end(streams[3]);
    end(streams[4]);
}

static void assert_refused(struct world *world, const Strata__V1__ListSubscriptionsRequest *request,
                           enum status_reason reason, const char *field)
{
    struct test_reply reply = test_call(world->table, LIST, &request->base);
    assert_int_equal(reply.status.code, STATUS_INVALID_ARGUMENT);
    assert_int_equal(reply.status.reason, reason);
    assert_int_equal(reply.fault_count, 1);
    assert_string_equal(reply.faults[0], field);
    test_reply_done(&reply);
}

static void test_faulty_requests_are_refused_by_field(void **state)
{
    struct world *world = *state;
    (void)publish_custom(world, "a", "{}");
    (void)handler(world, "h1", NULL, NULL);
    (void)handler(world, "h2", NULL, NULL);
    Strata__V1__ListSubscriptionsRequest request =
        REQUEST(ListSubscriptionsRequest, LIST_SUBSCRIPTIONS_REQUEST);
    request.page_size = -1;
    assert_refused(world, &request, REASON_INVALID_FIELD, "page_size");
    request.page_size = 1;
    request.type = T("a/b");
    assert_refused(world, &request, REASON_INVALID_ID, "type");
    request.type = T("");
    request.page_token = T("00");
    assert_refused(world, &request, REASON_INVALID_FIELD, "page_token");

    request.page_token = T("");
    Strata__V1__ListSubscriptionsResponse *page = list_by(world, &request);
    request.page_token = page->next_page_token;
    request.type = T("custom"); /* another listing */
    assert_refused(world, &request, REASON_INVALID_FIELD, "page_token");
    request.type = T("");
    request.page_size = 1000000; /* lowered; and it may change */
    Strata__V1__ListSubscriptionsResponse *rest = list_by(world, &request);
    assert_names(rest, "h2 ");
    test_message_free(rest);
    test_message_free(page);

    char name[257];
    memset(name, 'n', 256);
    name[256] = '\0';
    const Strata__V1__SubscribeRequest long_name = named(name);
    const struct status status =
        test_stream_close(test_stream_open(world->table, SUBSCRIBE, &long_name.base, 0));
    assert_int_equal(status.reason, REASON_INVALID_FIELD);
    assert_non_null(strstr(status.message, "name has 256 bytes"));
}

/* More than are looked at before the lock is given up, and more types than are shown. */
static void test_many(void **state)
{
    enum { STREAMS = 200, TYPES = 6 };
    struct world *world = *state;
    static struct test_stream *streams[STREAMS];
    static const struct test_client plain = {.transport = NULL};
    for (int i = 0; i < STREAMS; i++) {
        char texts[TYPES][16];
        char *types[TYPES];
        for (int k = 0; k < TYPES; k++) {
            (void)snprintf(texts[k], sizeof texts[k], "t%05d", i * TYPES + k);
            types[k] = texts[k];
        }
        Strata__V1__SubscribeRequest request = named("x");
        request.types = types, request.n_types = TYPES;
        streams[i] = subscribed_by(world, &request, &plain);
    }
    Strata__V1__ListSubscriptionsRequest request =
        REQUEST(ListSubscriptionsRequest, LIST_SUBSCRIPTIONS_REQUEST);
    Strata__V1__ListSubscriptionsResponse *page = list_by(world, &request);
    assert_int_equal(page->n_subscriptions, 100);
    assert_int_equal(page->handler_count, STREAMS);
    assert_int_equal(page->n_event_types, 1000);
    assert_string_equal(page->event_types[999], "t00999");
    assert_string_equal(page->subscriptions[99]->id, "stream-100");
    request.page_token = page->next_page_token;
    Strata__V1__ListSubscriptionsResponse *rest = list_by(world, &request);
    assert_int_equal(rest->n_subscriptions, 100);
    assert_string_equal(rest->subscriptions[99]->id, "stream-200");
    assert_string_equal(rest->next_page_token, "");
    test_message_free(rest);
    test_message_free(page);
    for (int i = 0; i < STREAMS; i++)
        end(streams[i]);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_a_stream_is_shown_with_all_that_it_asked_for),
        CASE(test_the_lag_of_a_client_that_does_not_read),
        CASE(test_kinds_and_peers),
        CASE(test_handlers_come_first_and_only_while_they_get_events),
        CASE(test_by_type_only_who_could_get_it),
        CASE(test_pages_show_each_once_while_others_come_and_go),
        CASE(test_faulty_requests_are_refused_by_field),
        CASE(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
