/* Reads: aggregates rebuilt, and stretches of the history. */
#include <stdlib.h>
#include <string.h>

#include "cli/bench_internal.h"
#include "strata/v1/aggregate_service.pb-c.h"
#include "strata/v1/event_service.pb-c.h"
#include "strata/v1/system_service.pb-c.h"

#define AGGREGATES_MAX 1000

/* Where the worker is; each client goes its own way through what there is. */
struct place {
    char *ids[AGGREGATES_MAX];
    size_t count;
    uint64_t random;
    int64_t head;
};

static uint64_t next_random(struct place *place)
{
    place->random ^= place->random << 13; /* xorshift64 */
    place->random ^= place->random >> 7;
    place->random ^= place->random << 17;
    return place->random;
}

static struct status new_place(struct bench_worker *worker, struct place **ret)
{
    struct place *place = calloc(1, sizeof *place);
    if (place == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a client");
    place->random = UINT64_C(0x9e3779b97f4a7c15) * ((uint64_t)worker->index + 1);
    worker->own = place;
    *ret = place;
    return status_ok();
}

static void end(struct bench_worker *worker)
{
    struct place *place = worker->own;
    for (size_t i = 0; place != NULL && i < place->count; i++)
        free(place->ids[i]);
    free(place);
}

static struct status nothing_there(void)
{
    return status_error(STATUS_FAILED_PRECONDITION, "the store is empty; run `strata bench append` first");
}

/* --- get --- */

static struct status begin_get(struct bench_worker *worker)
{
    struct place *place = NULL;
    Strata__V1__ListAggregatesRequest request = STRATA__V1__LIST_AGGREGATES_REQUEST__INIT;
    struct bytes reply = BYTES_NONE;
    request.page_size = AGGREGATES_MAX;
    STATUS_TRY(new_place(worker, &place));
    STATUS_TRY(client_unary(worker->client, schema_method(METHOD_AGGREGATE_SERVICE_LIST_AGGREGATES)->path,
                            cli_pack(worker->arena, &request.base), CLI_TIMEOUT_MS, worker->arena, &reply));
    Strata__V1__ListAggregatesResponse *page =
        strata__v1__list_aggregates_response__unpack(NULL, reply.size_bytes, reply.data);
    for (size_t i = 0; page != NULL && i < page->n_aggregates && i < AGGREGATES_MAX; i++) {
        place->ids[place->count] = strdup(page->aggregates[i]->id);
        place->count += place->ids[place->count] != NULL;
    }
    if (page != NULL)
        strata__v1__list_aggregates_response__free_unpacked(page, NULL);
    return place->count > 0 ? status_ok() : nothing_there();
}

static void call_get(struct bench_worker *worker)
{
    struct place *place = worker->own;
    Strata__V1__GetAggregateRequest request = STRATA__V1__GET_AGGREGATE_REQUEST__INIT;
    struct bytes reply = BYTES_NONE;
    request.id = place->ids[next_random(place) % place->count];
    const int64_t since_us = bench_now_us();
    const struct status status =
        client_unary(worker->client, schema_method(METHOD_AGGREGATE_SERVICE_GET_AGGREGATE)->path,
                     cli_pack(worker->arena, &request.base), CLI_TIMEOUT_MS, worker->arena, &reply);
    if (status.code == STATUS_OK)
        bench_done(worker, since_us, 0, (int64_t)reply.size_bytes);
    else
        bench_failed(worker, status);
}

const struct bench_kind bench_get = {
    .name = "get",
    .latency_of = "a read of one aggregate of up to 1,000, at random",
    .begin = begin_get,
    .call = call_get,
    .end = end,
};

/* --- read --- */

static struct status begin_read(struct bench_worker *worker)
{
    struct place *place = NULL;
    Strata__V1__GetStatsRequest request = STRATA__V1__GET_STATS_REQUEST__INIT;
    struct bytes reply = BYTES_NONE;
    STATUS_TRY(new_place(worker, &place));
    STATUS_TRY(client_unary(worker->client, schema_method(METHOD_SYSTEM_SERVICE_GET_STATS)->path,
                            cli_pack(worker->arena, &request.base), CLI_TIMEOUT_MS, worker->arena, &reply));
    Strata__V1__Stats *stats = strata__v1__stats__unpack(NULL, reply.size_bytes, reply.data);
    place->head = stats == NULL ? 0 : stats->head_position;
    if (stats != NULL)
        strata__v1__stats__free_unpacked(stats, NULL);
    return place->head > 0 ? status_ok() : nothing_there();
}

struct counted {
    int64_t events;
    int64_t bytes;
};

/* ReadEventsResponse.events, counted where they stand. */
static bool count_events(void *context, struct bytes message)
{
    struct counted *counted = context;
    struct wire_field field;
    for (size_t at = 0; at < message.size_bytes && wire_next(message, &at, &field);)
        counted->events += field.number == 1;
    counted->bytes += (int64_t)message.size_bytes;
    return true;
}

static void call_read(struct bench_worker *worker)
{
    struct place *place = worker->own;
    const int64_t wanted = worker->bench->options->batch;
    Strata__V1__ReadEventsRequest request = STRATA__V1__READ_EVENTS_REQUEST__INIT;
    struct counted counted = {0};
    request.limit = wanted;
    if (place->head > wanted)
        request.after_position = (int64_t)(next_random(place) % (uint64_t)(place->head - wanted));
    const struct bytes packed = cli_pack(worker->arena, &request.base);
    CLEANUP(arena_free_at) struct arena *messages = arena_new(0);
    struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a call");
    const int64_t since_us = bench_now_us();
    if (messages != NULL)
        status = client_stream(worker->client, schema_method(METHOD_EVENT_SERVICE_READ_EVENTS)->path, packed,
                               NULL, messages, count_events, &counted);
    if (status.code == STATUS_OK)
        bench_done(worker, since_us, counted.events, counted.bytes);
    else
        bench_failed(worker, status);
}

const struct bench_kind bench_read = {
    .name = "read",
    .latency_of = "a stream of so many events, from a place at random to its end",
    .begin = begin_read,
    .call = call_read,
    .end = end,
};
