#include "cli/bench_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "strata/v1/system_service.pb-c.h"

#define PAUSE_AFTER_ERROR_MS 20

int64_t bench_now_us(void)
{
    return clock_monotonic_us(&system_clock);
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&pause, NULL); /* shorter is fine */
}

bool bench_take(struct bench *bench, int64_t share)
{
    if (atomic_load(&bench->stopped) || bench_now_us() >= atomic_load(&bench->ends_at_us))
        return false;
    return bench->options->count == 0 ||
           atomic_fetch_add(&bench->taken, (long long)share) < bench->options->count;
}

void bench_done(struct bench_worker *worker, int64_t since_us, int64_t events, int64_t bytes)
{
    histogram_add(&worker->latency, bench_now_us() - since_us);
    worker->calls++;
    worker->events += events;
    worker->bytes += bytes;
}

void bench_failed(struct bench_worker *worker, struct status status)
{
    if (worker->errors++ == 0) {
        worker->error = status;
        worker->error.faults = NULL; /* they go with the call's arena */
        worker->error.aggregate_id = NULL;
    }
    pause_ms(PAUSE_AFTER_ERROR_MS); /* a service that refuses everything is not to be flooded */
}

/* --- threads --- */

static struct status prepare(struct bench_worker *worker)
{
    STATUS_TRY(client_new(worker->bench->options->common.address, &worker->client));
    worker->arena = arena_new(0);
    if (worker->arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a client");
    return worker->bench->kind->begin == NULL ? status_ok() : worker->bench->kind->begin(worker);
}

static void *work(void *context)
{
    struct bench_worker *worker = context;
    struct bench *bench = worker->bench;
    struct status status = prepare(worker);
    if (status.code != STATUS_OK) {
        bench_failed(worker, status);
        atomic_store(&bench->stopped, true);
    }
    atomic_fetch_add(&bench->ready, 1);
    while (!atomic_load(&bench->started))
        pause_ms(1);
    const int64_t share = bench->kind == &bench_append ? bench->options->batch : 1;
    if (bench->kind->appends_beside && status.code == STATUS_OK)
        bench->kind->call(worker);
    while (!bench->kind->appends_beside && bench_take(bench, share)) {
        arena_reset(worker->arena);
        bench->kind->call(worker);
    }
    if (bench->kind->end != NULL)
        bench->kind->end(worker);
    client_free(worker->client);
    arena_free(worker->arena);
    return NULL;
}

int64_t bench_worker_count(const struct bench *bench)
{
    return bench->options->clients + bench->kind->appends_beside;
}

static struct status run_workers(struct bench *bench)
{
    const int64_t wanted = bench_worker_count(bench);
    int64_t running = 0;
    bench->workers = calloc((size_t)wanted, sizeof *bench->workers);
    if (bench->workers == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for %lld clients", (long long)wanted);
    for (; running < wanted; running++) {
        struct bench_worker *worker = &bench->workers[running];
        *worker = (struct bench_worker){.bench = bench, .index = (int)running, .error = status_ok()};
        if (pthread_create(&worker->thread, NULL, work, worker) != 0)
            break;
    }
    while (atomic_load(&bench->ready) < (int)running)
        pause_ms(1);
    const int64_t started_us = bench_now_us();
    const int64_t duration_us = bench->options->duration_us;
    atomic_store(&bench->ends_at_us, duration_us > 0 ? started_us + duration_us : INT64_MAX);
    if (running < wanted)
        atomic_store(&bench->stopped, true);
    atomic_store(&bench->started, true);
    for (int64_t i = 0; i < running; i++)
        (void)pthread_join(bench->workers[i].thread, NULL);
    if (bench->elapsed_us == 0) /* else the bench's own clock was more exact */
        bench->elapsed_us = bench_now_us() - started_us;
    return running == wanted
               ? status_ok()
               : status_error(STATUS_RESOURCE_EXHAUSTED, "no thread for client %lld; ask for fewer",
                              (long long)running + 1);
}

/* --- where --- */

/* Load is for a machine of one's own: another host only when that is said. */
static struct status check_address(const struct bench_options *options)
{
    char host[256];
    const char *colon = strrchr(options->common.address, ':');
    const size_t size =
        colon == NULL ? strlen(options->common.address) : (size_t)(colon - options->common.address);
    (void)snprintf(host, sizeof host, "%.*s", (int)size, options->common.address);
    const bool loopback = strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ||
                          strcmp(host, "[::1]") == 0 || strncmp(host, "unix", 4) == 0;
    if (loopback || options->allow_remote)
        return status_ok();
    return status_error(
        STATUS_INVALID_ARGUMENT,
        "%s is another machine, whose service a bench may disturb; give --allow-remote if that is "
        "meant",
        options->common.address);
}

static struct status ask_store(struct bench *bench)
{
    CLEANUP(client_free_at) struct client *client = NULL;
    struct bytes reply = BYTES_NONE;
    STATUS_TRY(cli_connect(bench->run, &client));
    STATUS_TRY(cli_call(bench->run, client, METHOD_SYSTEM_SERVICE_GET_INFO, BYTES_NONE, &reply));
    Strata__V1__Info *info = strata__v1__info__unpack(NULL, reply.size_bytes, reply.data);
    if (info == NULL)
        return status_error(STATUS_DATA_LOSS, "the service sent an answer that cannot be read");
    (void)snprintf(bench->store, sizeof bench->store, "%s", info->event_store);
    strata__v1__info__free_unpacked(info, NULL);
    return status_ok();
}

struct status bench_run(struct cli_run *run, const struct bench_kind *kind)
{
    struct bench bench = {.run = run, .options = run->arguments, .kind = kind, .appended = -1};
    char id[UUID_TEXT_BYTES];
    STATUS_TRY(check_address(bench.options));
    STATUS_TRY(ask_store(&bench));
    uuid_v7(clock_now_us(&system_clock), &system_entropy, id);
    (void)snprintf(bench.name, sizeof bench.name, "strata-bench-%s", id);
    struct status status = run_workers(&bench);
    if (status.code == STATUS_OK)
        status = bench_report(&bench);
    free(bench.workers);
    return status;
}
