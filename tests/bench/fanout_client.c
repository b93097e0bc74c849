/*
 * Appends at a steady rate while subscribers read: does each get every event once and in order, and how soon?
 *
 * One process, so that one clock tells when an append was sent, when it was answered and when each subscriber had its
 * event. One thread appends, the other reads all subscribers. Some of them may stall: they are read until they are live
 * and then left alone, with --revive until the others have everything; then they must get it too. With --pid the memory of
 * that process is looked at when all are live, when the warm-up is over and when the readers have everything, the stalled
 * ones still being there.
 *
 * Prints one JSON line. Latencies run from the hand-over of an append to its socket ("sent") or from the arrival of its
 * answer ("answered", which an event may precede) to the event's arrival at a subscriber, over all readers and events
 * behind the warm-up.
 */
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "fanout_append.h"
#include "fanout_subscriber.h"
#include "load_options.h"
#include "measure.h"

#define SUBSCRIBERS_MAX 1000
#define EVENTS_MAX      50000000 /* readers times events: 400 MB */
#define READY_MAX       128
#define LIVE_WITHIN_S   60

struct options {
    const char *transport_name;
    enum fanout_transport transport;
    const char *append_to;
    const char *subscribe_to;
    long readers;
    long stalled;
    bool stall_window;
    bool revive;
    double rate; /* events a second */
    long count;  /* appends */
    long warm_up;
    long events;
    long data_bytes;
    struct load_numbers pids; /* core and gateway */
    long wait_s;
};

struct run;

/* A subscriber and what it has got. */
struct reader {
    struct run *run;
    struct fanout_subscriber *subscriber;
    bool stalls;
    bool live;
    int64_t last;         /* position */
    int64_t *received_ns; /* of each event; NULL of one that stalls */
};

struct run {
    struct options options;
    struct fanout_append append;
    int poll;
    struct reader readers[SUBSCRIBERS_MAX];
    long subscribers;
    long live;
    int64_t base;   /* the head before the first append */
    int64_t events; /* of all appends */
    long complete;  /* who has all events, of the readers */
    long revived;   /* and of the stalled ones */
    long rss_live_kib;
    long rss_warm_kib;
    long rss_end_kib;
    char error[512];
};

__attribute__((format(printf, 2, 3))) static void fail(struct run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (run->error[0] == '\0')
        (void)vsnprintf(run->error, sizeof run->error, format, arguments);
    va_end(arguments);
}

static long rss_kib(const struct options *options)
{
    long kib = 0;
    for (long i = 0; i < options->pids.count; i++)
        kib += measure_rss_anon_kib(options->pids.items[i]);
    return kib;
}

/* --- what subscribers are sent --- */

static void watch(struct run *run, struct reader *reader, bool on)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = reader};
    if (epoll_ctl(run->poll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fanout_subscriber_fd(reader->subscriber),
                  &event) != 0)
        fail(run, "epoll_ctl failed");
}

static void on_live(void *context, int64_t position)
{
    struct reader *reader = context;
    struct run *run = reader->run;
    if (reader->live) /* it has caught up again */
        return;
    reader->live = true;
    reader->last = position;
    if (run->live++ == 0)
        run->base = position;
    else if (position != run->base)
        fail(run, "somebody else appends: position %" PRId64 " after %" PRId64, position, run->base);
}

static void on_event(void *context, int64_t position)
{
    struct reader *reader = context;
    struct run *run = reader->run;
    if (position != reader->last + 1)
        fail(run, "position %" PRId64 " after %" PRId64, position, reader->last);
    reader->last = position;
    const int64_t number = position - run->base - 1;
    if (number < 0 || number >= run->events) {
        fail(run, "position %" PRId64 " was not appended", position);
        return;
    }
    if (reader->received_ns != NULL)
        reader->received_ns[number] = measure_now_ns();
    if (reader == run->readers && number == run->options.warm_up * run->options.events)
        run->rss_warm_kib = rss_kib(&run->options);
    if (number == run->events - 1)
        *(reader->stalls ? &run->revived : &run->complete) += 1;
}

/* --- opening --- */

static void open_reader(struct run *run, struct reader *reader, bool stalls)
{
    struct fanout_subscriber_options options = {
        .transport = run->options.transport,
        .stall = !stalls                     ? FANOUT_READS
                 : run->options.stall_window ? FANOUT_STALLS_WINDOW
                                             : FANOUT_STALLS_SOCKET,
        .events = {on_event, on_live, reader},
    };
    char host[64];
    const char *error = "say --subscribe-to HOST:PORT";
    reader->run = run;
    reader->stalls = stalls;
    if (load_target_parse(run->options.subscribe_to, host, &options.port)) {
        options.host = host;
        reader->subscriber = fanout_subscriber_open(&options, &error);
    }
    if (reader->subscriber == NULL) {
        fail(run, "subscriber: %s", error);
        return;
    }
    if (!stalls && (reader->received_ns = calloc((size_t)run->events, sizeof *reader->received_ns)) == NULL)
        abort();
    watch(run, reader, true);
    if (run->options.transport == FANOUT_REDIS) /* which says no such thing: it begins with the first entry */
        on_live(reader, 0);
}

/* Reads who has something; false when `wait_ms` pass without anything. */
static bool read_ready(struct run *run, int wait_ms)
{
    struct epoll_event ready[READY_MAX];
    const int count = epoll_wait(run->poll, ready, READY_MAX, wait_ms);
    for (int i = 0; i < count; i++) {
        struct reader *reader = ready[i].data.ptr;
        if (!fanout_subscriber_read(reader->subscriber))
            fail(run, "subscriber %td: %s", reader - run->readers,
                 fanout_subscriber_error(reader->subscriber));
    }
    return count > 0;
}

static void open_all(struct run *run)
{
    const int64_t until_ns = measure_now_ns() + LIVE_WITHIN_S * INT64_C(1000000000);
    run->subscribers = run->options.readers + run->options.stalled;
    for (long i = 0; i < run->subscribers && run->error[0] == '\0'; i++)
        open_reader(run, &run->readers[i], i >= run->options.readers);
    while (run->live < run->subscribers && run->error[0] == '\0') {
        (void)read_ready(run, 1000);
        if (measure_now_ns() > until_ns)
            fail(run, "%ld of %ld subscribers are live after %d s", run->live, run->subscribers,
                 LIVE_WITHIN_S);
    }
    for (long i = run->options.readers; i < run->subscribers && run->error[0] == '\0'; i++)
        if (!run->options.stall_window)
            watch(run, &run->readers[i], false);
}

/* --- running --- */

/* Until `wanted` subscribers from `first` on have everything. */
static void read_until(struct run *run, const struct reader *first, long wanted, const long *complete)
{
    const int64_t until_ns = measure_now_ns() + run->options.wait_s * INT64_C(1000000000);
    while (*complete < wanted && run->error[0] == '\0') {
        (void)read_ready(run, 1000);
        if (measure_now_ns() < until_ns)
            continue;
        int64_t least = INT64_MAX;
        for (long i = 0; i < wanted; i++)
            least = first[i].last < least ? first[i].last : least;
        fail(run,
             "%ld of %ld subscribers have everything after %ld s, the slowest is at %" PRId64 " of %" PRId64,
             *complete, wanted, run->options.wait_s, least, run->base + run->events);
    }
}

static void revive(struct run *run)
{
    for (long i = run->options.readers; i < run->subscribers; i++) {
        struct reader *reader = &run->readers[i];
        if (reader->last == run->base + run->events)
            fail(run, "a subscriber that was to stall has got everything");
        if (!run->options.stall_window)
            watch(run, reader, true);
        else if (!fanout_subscriber_open_window(reader->subscriber))
            fail(run, "stalled subscriber: %s", fanout_subscriber_error(reader->subscriber));
    }
    read_until(run, &run->readers[run->options.readers], run->options.stalled, &run->revived);
}

static void run_all(struct run *run)
{
    pthread_t thread;
    run->rss_live_kib = rss_kib(&run->options);
    if (pthread_create(&thread, NULL, fanout_append_run, &run->append) != 0)
        abort();
    read_until(run, run->readers, run->options.readers, &run->complete);
    (void)pthread_join(thread, NULL);
    run->rss_end_kib = rss_kib(&run->options);
    if (run->append.error[0] != '\0')
        fail(run, "%s", run->append.error);
    if (run->options.revive && run->error[0] == '\0')
        revive(run);
}

/* --- the report --- */

static void print_latency(const char *name, int64_t *times_ns, size_t count)
{
    measure_sort(times_ns, count);
    printf(
        ", \"%s\": {\"p50_us\": %.0f, \"p90_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, \"max_us\": %.0f}",
        name, measure_us(times_ns, count, 500), measure_us(times_ns, count, 900),
        measure_us(times_ns, count, 990), measure_us(times_ns, count, 999),
        measure_us(times_ns, count, 1000));
}

/* What has passed at each reader and event since that event's append had `since_ns`. */
static void print_deliveries(struct run *run, const char *name, const int64_t *since_ns, int64_t *times_ns)
{
    const struct options *options = &run->options;
    size_t count = 0;
    for (long i = 0; i < options->readers; i++)
        for (int64_t number = options->warm_up * options->events; number < run->events; number++)
            times_ns[count++] = run->readers[i].received_ns[number] - since_ns[number / options->events];
    print_latency(name, times_ns, count);
}

static void report(struct run *run)
{
    const struct options *options = &run->options;
    const struct fanout_append *append = &run->append;
    const size_t most = (size_t)(run->events * options->readers);
    int64_t *times_ns =
        calloc(most > (size_t)options->count ? most : (size_t)options->count, sizeof *times_ns);
    if (times_ns == NULL)
        abort();
    const double seconds =
        (double)(append->answered_ns[options->count - 1] - append->sent_ns[options->warm_up]) / 1e9;
    printf("{\"transport\": \"%s\", \"readers\": %ld, \"stalled\": %ld, \"events\": %" PRId64
           ", \"seconds\": %.3f, \"events_per_s\": %.0f, \"late_max_us\": %.0f",
           options->transport_name, options->readers, options->stalled, run->events, seconds,
           (double)((options->count - options->warm_up) * options->events) / seconds,
           (double)append->late_max_ns / 1e3);
    printf(", \"rss_live_kib\": %ld, \"rss_warm_kib\": %ld, \"rss_end_kib\": %ld", run->rss_live_kib,
           run->rss_warm_kib, run->rss_end_kib);
    print_deliveries(run, "sent", append->sent_ns, times_ns);
    print_deliveries(run, "answered", append->answered_ns, times_ns);
    for (long i = options->warm_up; i < options->count; i++)
        times_ns[i - options->warm_up] = append->answered_ns[i] - append->sent_ns[i];
    print_latency("append", times_ns, (size_t)(options->count - options->warm_up));
    printf(", \"error\": \"\"}\n");
    free(times_ns);
}

/* --- options --- */

#define PLACE(member) .place = offsetof(struct options, member)

static const struct load_option option_table[] = {
    {"transport", "NAME", "of the subscribers: grpc (default), sse, ndjson, websocket, redis", LOAD_TEXT, 't',
     PLACE(transport_name)},
    {"append-to", "HOST:PORT", "the gRPC port, or Redis", LOAD_TEXT, 'a', PLACE(append_to)},
    {"subscribe-to", "HOST:PORT", "the port of that transport", LOAD_TEXT, 'u', PLACE(subscribe_to)},
    {"readers", "N", "subscribers that read (1)", LOAD_NUMBER, 'r', PLACE(readers), 1, SUBSCRIBERS_MAX},
    {"stalled", "N", "subscribers that do not read (0)", LOAD_NUMBER, 's', PLACE(stalled), 0,
     SUBSCRIBERS_MAX},
    {"stall-window", NULL, "they read their sockets, but do not open gRPC's window", LOAD_SWITCH, 'W',
     PLACE(stall_window)},
    {"revive", NULL, "in the end they read, and must get everything too", LOAD_SWITCH, 'R', PLACE(revive)},
    {"rate", "N", "events a second (2000); 0 = as fast as answers come", LOAD_REAL, 'p', PLACE(rate), 0,
     LONG_MAX},
    {"count", "N", "appends, the warm-up's included (10000)", LOAD_NUMBER, 'n', PLACE(count)},
    {"warm-up", "N", "appends that are not measured (1000)", LOAD_NUMBER, 'w', PLACE(warm_up), 0, LONG_MAX},
    {"events", "N", "events of an append (1)", LOAD_NUMBER, 'e', PLACE(events), 1, 1000},
    {"data-bytes", "N", "JSON bytes of an event's data (300)", LOAD_NUMBER, 'd', PLACE(data_bytes),
     LOAD_DATA_BYTES_LEAST, LOAD_DATA_BYTES_MAX},
    {"pid", "PID", "a process whose memory is looked at; two: their sum", LOAD_NUMBERS, 'P', PLACE(pids)},
    {"wait", "S", "give up so long after the begin, and again after the revival (120)", LOAD_NUMBER, 'T',
     PLACE(wait_s)},
    {0},
};

static bool options_fit(struct options *options)
{
#define X(id, name) name,
    static const char *const names[] = {FANOUT_TRANSPORT_TABLE(X)};
#undef X
    int transport = 0;
    while (transport < FANOUT_TRANSPORT_COUNT && strcmp(names[transport], options->transport_name) != 0)
        transport++;
    options->transport = (enum fanout_transport)transport;
    return transport < FANOUT_TRANSPORT_COUNT && options->append_to != NULL &&
           options->subscribe_to != NULL && options->readers + options->stalled <= SUBSCRIBERS_MAX &&
           options->count > options->warm_up &&
           options->count <= EVENTS_MAX / options->readers / options->events &&
           !(options->stall_window && transport != FANOUT_GRPC) &&
           !(transport == FANOUT_REDIS && options->events != 1);
}

static void append_prepare(struct run *run, char host[64])
{
    const struct options *options = &run->options;
    struct fanout_append *append = &run->append;
    if (!load_target_parse(options->append_to, host, &append->port))
        fail(run, "say --append-to HOST:PORT");
    append->host = host;
    append->redis = options->transport == FANOUT_REDIS;
    append->event =
        (struct load_event_options){"fanout", "custom", "custom", 1000, options->data_bytes, false, 0};
    append->count = options->count;
    append->events = options->events;
    append->appends_per_s = options->rate / (double)options->events;
    append->sent_ns = calloc((size_t)options->count, sizeof *append->sent_ns);
    append->answered_ns = calloc((size_t)options->count, sizeof *append->answered_ns);
    if (append->sent_ns == NULL || append->answered_ns == NULL)
        abort();
}

int main(int argc, char **argv)
{
    static struct run run = {.options = {.transport_name = "grpc",
                                         .readers = 1,
                                         .rate = 2000,
                                         .count = 10000,
                                         .warm_up = 1000,
                                         .events = 1,
                                         .data_bytes = 300,
                                         .wait_s = 120}};
    load_options_read(option_table, "Appends, and those who subscribe to them.", argc, argv, &run.options);
    if (!options_fit(&run.options))
        load_options_refuse("an option is missing, or does not go with another");
    char host[64];
    run.events = run.options.count * run.options.events;
    run.poll = epoll_create1(EPOLL_CLOEXEC);
    append_prepare(&run, host);
    if (run.poll < 0)
        fail(&run, "no epoll");
    if (run.error[0] == '\0')
        open_all(&run);
    if (run.error[0] == '\0')
        run_all(&run);
    if (run.error[0] == '\0')
        report(&run);
    else
        printf("{\"error\": \"%s\"}\n", measure_quotable(run.error));
    return run.error[0] == '\0' ? 0 : 1; /* the process ends with its connections */
}
