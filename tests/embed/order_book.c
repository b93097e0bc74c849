/*
 * Strata inside a C program, without a server: an order lives by the rules of the domain, its events are appended to a
 * store under the version that they were made for, and a subscriber follows them. docs/domain.md explains it.
 *
 * Prints what happens; exits with 1 when something does not go as it says.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/entropy.h"
#include "bus/subscribers.h"
#include "domain/aggregate.h"
#include "store/memory/memory_store.h"
#include "store/writer.h"

static void must(struct status status)
{
    if (status_is_ok(&status))
        return;
    fprintf(stderr, "order_book: %s\n", status.message);
    exit(1);
}

/* --- the store: an append that is waited for --- */

struct appended {
    struct append append;
    enum append_outcome_kind kind;
    int64_t position; /* of its last event */
    int64_t timestamp_us;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answered;
};

static void append_answered(struct append *append, const struct append_outcome *outcome)
{
    struct appended *appended = (struct appended *)append;
    pthread_mutex_lock(&appended->lock);
    appended->kind = outcome->kind;
    appended->position = outcome->first_position + (int64_t)append->event_count - 1;
    appended->timestamp_us = outcome->timestamp_us;
    appended->answered = true;
    pthread_cond_signal(&appended->changed);
    pthread_mutex_unlock(&appended->lock);
}

static struct append_event event_to_append(const struct event_fields *event, struct arena *arena)
{
    char id[UUID_TEXT_BYTES];
    uuid_v7(clock_now_us(&system_clock), &system_entropy, id);
    return (struct append_event){
        .id = arena_bytes(arena, bytes_of_text(id)),
        .type = event->type,
        .aggregate_id = event->aggregate_id,
        .aggregate_type = event->aggregate_type,
        .fitting_type = domain_fitting_type(event->type),
        .data = event->data,
        .metadata = event->metadata,
    };
}

/* Appends what is uncommitted if nobody was faster; false: somebody was, so load the aggregate again. */
static bool save(struct writer *writer, struct aggregate *aggregate)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    size_t count = 0;
    const struct event_fields *uncommitted = aggregate_uncommitted(aggregate, &count);
    const int32_t version = aggregate_version(aggregate);
    struct append_event *events = arena_array(arena, count, sizeof *events);
    if (events == NULL)
        exit(1);
    for (size_t i = 0; i < count; i++)
        events[i] = event_to_append(&uncommitted[i], arena);
    const struct expectation expectation = {aggregate_id(aggregate), EXPECT_VERSION,
                                            aggregate_committed_version(aggregate)};
    struct appended appended = {
        .append = {.append_id = events[0].id,
                   .ids_server_made = true,
                   .events = events,
                   .event_count = count,
                   .expectations = &expectation,
                   .expectation_count = 1,
                   .encoded_bytes = count * 512,
                   .on_done = append_answered},
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    must(writer_submit(writer, &appended.append));
    pthread_mutex_lock(&appended.lock);
    while (!appended.answered)
        pthread_cond_wait(&appended.changed, &appended.lock);
    pthread_mutex_unlock(&appended.lock);
    if (appended.kind != APPEND_ACCEPTED)
        return false;
    must(aggregate_mark_committed(aggregate, version, appended.position, appended.timestamp_us));
    return true;
}

static bool load_one(void *context, int64_t position, struct record record)
{
    (void)position;
    must(aggregate_load_record(context, record));
    return true;
}

static struct aggregate *load(struct event_store *store, const struct domain *domain, struct bytes id)
{
    struct aggregate *order = NULL;
    must(aggregate_new(domain, id, BYTES_LITERAL("order"), &order));
    const struct read_query query = {.by = READ_BY_AGGREGATE, .key = id, .to_version = INT32_MAX};
    must(store->ops->read(store, &query, load_one, order));
    return order;
}

/* --- the bus --- */

static void on_commit(void *bus, const struct store_head *head)
{
    bus_committed(bus, head);
}

static enum bus_answer print_event(void *context, const struct bus_delivery *delivery)
{
    int *count = context;
    printf("%lld: %.*s of %.*s\n", (long long)delivery->position, BYTES_FORMAT(delivery->event->type),
           BYTES_FORMAT(delivery->event->aggregate_id));
    return ++*count == 3 ? BUS_DONE : BUS_HANDLED;
}

static int64_t subscribe_to_orders(struct bus *bus, int *count)
{
    static const struct bytes types[] = {BYTES_LITERAL("order_*")};
    const struct bus_subscribe_options options = {
        .name = "printer", .types = {types, 1}, .handler = print_event, .context = count};
    int64_t id = 0;
    must(bus_subscribe(bus, &options, &id));
    return id;
}

/* --- the order --- */

static struct status apply(struct aggregate *order, const char *type, const char *data)
{
    const struct event_fields event = {.type = bytes_of_text(type), .data = bytes_of_text(data)};
    return aggregate_apply(order, &event);
}

static void expect(bool fact, const char *what)
{
    printf("%s: %s\n", what, fact ? "yes" : "NO");
    if (!fact)
        exit(1);
}

static void run_orders(struct event_store *store, struct writer *writer, const struct domain *domain)
{
    const struct bytes id = BYTES_LITERAL("o-1");
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(aggregate_free_at) struct aggregate *order = load(store, domain, id);
    must(apply(order, "order_created", "{\"order_id\": \"o-1\", \"total_amount\": \"12.50\"}"));
    must(apply(order, "order_status_changed", "{\"new_status\": \"confirmed\"}"));
    const struct status refused = apply(order, "order_status_changed", "{\"new_status\": \"delivered\"}");
    printf("refused: %s\n", refused.message);
    expect(refused.reason == REASON_TRANSITION_REFUSED, "the table of moves holds");
    expect(save(writer, order), "saved");

    CLEANUP(aggregate_free_at) struct aggregate *faster = load(store, domain, id);
    must(apply(faster, "order_status_changed", "{\"new_status\": \"paid\"}"));
    must(apply(order, "order_status_changed", "{\"new_status\": \"cancelled\"}"));
    expect(save(writer, faster), "the faster one is saved");
    expect(!save(writer, order), "the other one is not");

    struct aggregate_state now;
    must(aggregate_state(faster, arena, &now));
    printf("version %d: %.*s\n", now.version, BYTES_FORMAT(now.state));
    expect(
        bytes_equal(now.state,
                    BYTES_LITERAL("{\"order_id\":\"o-1\",\"total_amount\":\"12.50\",\"status\":\"paid\"}")),
        "digits are kept");
}

int main(void)
{
    CLEANUP(domain_free_at) struct domain *domain = NULL;
    CLEANUP(event_store_close_at) struct event_store *store = NULL;
    CLEANUP(bus_free_at) struct bus *bus = NULL;
    must(domain_new(&(struct domain_options){.validation_enabled = true}, &domain));
    must(memory_store_open(&system_clock, &store));
    must(bus_new(store, &system_clock, NULL, &bus));
    int printed = 0;
    const int64_t printer = subscribe_to_orders(bus, &printed);
    must(bus_start(bus));
    struct writer *writer = NULL;
    must(writer_start(store, &(struct writer_options){.on_commit = on_commit, .on_commit_context = bus},
                      &system_clock, &system_entropy, &writer));
    run_orders(store, writer, domain);
    writer_stop(writer);
    while (bus_count(bus, BYTES_NONE) > 0) /* the printer ends with the third event */
        bus_wake(bus);
    must(bus_unsubscribe(bus, printer));
    expect(printed == 3, "the subscriber saw every event once");
    return 0;
}
