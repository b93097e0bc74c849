#include "unit/bus/bench.h"

#include <string.h>

#include "base/entropy.h"
#include "store/memory/memory_store.h"

static void on_commit(void *context, const struct store_head *head)
{
    const struct bench *bench = context;
    bus_committed(bench->bus, head);
    if (bench->second != NULL)
        bus_committed(bench->second, head);
}

void bench_open(struct bench *bench)
{
    bench_open_over(bench, memory_store_open);
}

void bench_open_over(struct bench *bench,
                     struct status (*open)(const struct clock *clock, struct event_store **ret))
{
    memset(bench, 0, sizeof *bench);
    bench->clock = manual_clock_at_us(INT64_C(1700000000000000));
    bench->batch_max = 1000;
    bench->failure = status_ok();
    pthread_mutex_init(&bench->lock, NULL);
    pthread_cond_init(&bench->changed, NULL);
    assert_status_ok(open(&bench->clock.clock, &bench->store));
    assert_status_ok(bus_new(bench->store, &bench->clock.clock, NULL, &bench->bus));
    const struct writer_options options = {.on_commit = on_commit, .on_commit_context = bench};
    assert_status_ok(
        writer_start(bench->store, &options, &bench->clock.clock, &system_entropy, &bench->writer));
}

void bench_close(struct bench *bench)
{
    writer_stop(bench->writer);
    bus_free(bench->bus);
    event_store_close(bench->store);
    pthread_cond_destroy(&bench->changed);
    pthread_mutex_destroy(&bench->lock);
}

struct sent {
    struct append append;
    struct append_event event;
    struct bench *bench;
    bool done;
};

static void sent_done(struct append *append, const struct append_outcome *outcome)
{
    struct sent *sent = (struct sent *)append;
    pthread_mutex_lock(&sent->bench->lock);
    sent->done = outcome->kind == APPEND_ACCEPTED;
    told(sent->bench);
}

void bench_append(struct bench *bench, const char *type, const char *aggregate_id)
{
    char id[UUID_TEXT_BYTES];
    uuid_v7(clock_now_us(&bench->clock.clock), &system_entropy, id);
    struct sent sent = {
        .event = {.id = bytes_of_text(id),
                  .type = bytes_of_text(type),
                  .aggregate_id = bytes_of_text(aggregate_id),
                  .aggregate_type = BYTES_LITERAL("custom"),
                  .data = BYTES_LITERAL("{}")},
        .bench = bench,
    };
    sent.append.append_id = sent.event.id;
    sent.append.ids_server_made = true;
    sent.append.events = &sent.event;
    sent.append.event_count = 1;
    sent.append.encoded_bytes = 300;
    sent.append.on_done = sent_done;
    assert_status_ok(writer_submit(bench->writer, &sent.append));
    wait_until(bench, sent.done);
}
