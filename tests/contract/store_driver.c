#include "support/cmocka.h"

#include "contract/store_driver.h"

void store_driver_init(struct store_driver *driver, struct event_store *store)
{
    *driver = (struct store_driver){
        .store = store,
        .arena = arena_new(0),
        .clock = manual_clock_at_us(STORE_DRIVER_START_US),
        .entropy = seeded_entropy_from(1),
    };
    assert_non_null(driver->arena);
}

void store_driver_done(struct store_driver *driver)
{
    arena_free(driver->arena);
    driver->arena = NULL;
}

static struct decision decide_on(struct store_driver *driver, const struct append *const *appends,
                                 size_t count, bool ahead, const struct overlay *in_flight)
{
    const struct event_store_ops *ops = driver->store->ops;
    struct decide_namer namer = decide_namer_make(1);
    struct decide_names names;
    assert_status_ok(decide_name(&namer, appends, count, driver->arena, &names));
    decide_namer_done(&namer);
    struct facts facts = {0};
    assert_status_ok(
        (ahead ? ops->facts_ahead : ops->facts)(driver->store, &names.request, driver->arena, &facts));
    const struct condition_fact *no_hits = arena_array(driver->arena, count, sizeof *no_hits);
    assert_non_null(no_hits);
    const struct decide_input input = {
        .appends = appends,
        .append_count = count,
        .names = &names,
        .facts = &facts,
        .conditions = no_hits,
        .in_flight = in_flight,
        .now_us = clock_now_us(&driver->clock.clock),
        .limits = &driver->limits,
        .entropy = &driver->entropy.entropy,
    };
    struct decision decision = {0};
    assert_status_ok(decide(&input, driver->arena, &decision));
    decision.batch.ahead = ahead;
    return decision;
}

struct decision store_driver_decide(struct store_driver *driver, const struct append *const *appends,
                                    size_t count)
{
    return decide_on(driver, appends, count, false, NULL);
}

struct decision store_driver_decide_ahead(struct store_driver *driver, const struct append *append,
                                          const struct decision *in_flight)
{
    return decide_on(driver, &append, 1, true, in_flight->overlay);
}

static void take_answer(void *context, const struct status *status)
{
    struct store_driver_answer *answer = context;
    pthread_mutex_lock(&answer->lock);
    answer->status = *status;
    answer->here = true;
    pthread_cond_signal(&answer->came);
    pthread_mutex_unlock(&answer->lock);
}

void store_driver_begin(struct store_driver *driver, const struct decision *decision,
                        struct store_driver_answer *answer)
{
    *answer =
        (struct store_driver_answer){.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    driver->store->ops->commit(driver->store, &decision->batch, take_answer, answer);
}

struct status store_driver_await(struct store_driver_answer *answer)
{
    pthread_mutex_lock(&answer->lock);
    while (!answer->here)
        pthread_cond_wait(&answer->came, &answer->lock);
    pthread_mutex_unlock(&answer->lock);
    return answer->status;
}

struct status store_driver_commit(struct store_driver *driver, struct decision *decision)
{
    struct store_driver_answer answer;
    store_driver_begin(driver, decision, &answer);
    const struct status status = store_driver_await(&answer);
    overlay_free(decision->overlay);
    decision->overlay = NULL;
    return status;
}

struct append_outcome store_driver_append(struct store_driver *driver, const struct append *append)
{
    struct decision decision = store_driver_decide(driver, &append, 1);
    if (decision.batch.append_count == 0)
        overlay_free(decision.overlay);
    else
        assert_status_ok(store_driver_commit(driver, &decision));
    return decision.outcomes[0];
}

struct append_event sample_event(const char *id, const char *aggregate_id, const char *type,
                                 const char *aggregate_type)
{
    return (struct append_event){
        .id = bytes_of_text(id),
        .type = bytes_of_text(type),
        .aggregate_id = bytes_of_text(aggregate_id),
        .aggregate_type = bytes_of_text(aggregate_type),
        .data = BYTES_LITERAL("{}"),
    };
}

struct append sample_append(const struct append_event *events, size_t count)
{
    struct append append = {.append_id = events[0].id, .events = events, .event_count = count};
    for (size_t i = 0; i < count; i++)
        append.encoded_bytes += 128 + events[i].id.size_bytes + events[i].type.size_bytes +
                                events[i].aggregate_id.size_bytes + events[i].data.size_bytes +
                                events[i].metadata.size_bytes;
    return append;
}

struct append_event numbered_event(struct store_driver *driver, int number, const char *aggregate_id,
                                   const char *type, const char *aggregate_type)
{
    const char *id = arena_printf(driver->arena, "e%d", number);
    const char *aggregate = arena_printf(driver->arena, "%s", aggregate_id);
    assert_non_null(id);
    assert_non_null(aggregate);
    return sample_event(id, aggregate, type, aggregate_type);
}

struct store_head store_driver_head(struct store_driver *driver)
{
    struct store_head head;
    assert_status_ok(driver->store->ops->head(driver->store, &head));
    return head;
}
