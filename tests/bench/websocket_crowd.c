/*
 * Many WebSocket connections to one service: idle ones, whose subscription matches nothing, and active ones that read
 * what is appended at a steady rate. Does each active one get every event of its own once and in order, and how soon?
 *
 * One process, so that one clock tells when an append was answered and when each connection had its event. Event number n
 * goes to aggregate "fanout-<n mod groups>", and active connection c is subscribed to group c mod groups: each of them gets
 * --rate events a second, and groups times as many are appended. With several targets the connections go to them in turn,
 * and the memory, looked at each tenth of a second, is that of all --pid together.
 *
 * Prints one JSON line. Latencies run from the arrival of an append's answer (which an event may precede) to the event's
 * arrival at a connection, over all of them and all events behind the warm-up; KiB are of RssAnon.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fanout_append.h"
#include "fanout_parse.h"
#include "measure.h"

#define CONNECTIONS_MAX 100000
#define TIMES_MAX       50000000 /* active connections times events of each: 400 MB */
#define READY_MAX       256
#define OPENING_MAX     128 /* without their answer */
#define PROCESSES_MAX   16
#define READ_BYTES      (256U * 1024U)
#define SAMPLE_MS       100

struct options {
    const char *append_to;
    const char *subscribe_to[PROCESSES_MAX];
    size_t targets;
    long pids[PROCESSES_MAX];
    size_t processes;
    const char *idle_query;
    long idle;
    long active;
    long groups;
    double rate;
    double seconds;
    double warm_up_s;
    long rest_s; /* how long all are left alone before the first append */
    long data_bytes;
    long wait_s;
};

struct crowd;

struct connection {
    struct crowd *crowd;
    struct fanout_parser parser;
    int fd;
    long number; /* of the active ones; -1: idle */
    bool live;
    int64_t last;         /* position */
    int64_t *received_ns; /* of each event of its group */
};

struct crowd {
    struct options options;
    struct fanout_append append;
    int poll;
    struct connection *connections;
    long opened;
    long live;
    int64_t base;    /* the head before the first append */
    long own_events; /* of one active connection */
    long complete;
    int64_t sampled_ns;
    long rss_begin_kib, rss_idle_kib, rss_all_kib, rss_max_kib;
    int64_t open_ns;
    char error[512];
};

__attribute__((format(printf, 2, 3))) static void fail(struct crowd *crowd, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (crowd->error[0] == '\0')
        (void)vsnprintf(crowd->error, sizeof crowd->error, format, arguments);
    va_end(arguments);
}

/* --- what connections are sent --- */

static void on_live(void *context, int64_t position)
{
    struct connection *connection = context;
    struct crowd *crowd = connection->crowd;
    if (connection->live) /* it has caught up again */
        return;
    connection->live = true;
    if (crowd->live++ == 0)
        crowd->base = position;
    else if (position != crowd->base)
        fail(crowd, "somebody else appends: position %" PRId64 " after %" PRId64, position, crowd->base);
}

static void on_event(void *context, int64_t position)
{
    struct connection *connection = context;
    struct crowd *crowd = connection->crowd;
    const long groups = crowd->options.groups;
    const int64_t number = position - crowd->base - 1;
    const int64_t wanted =
        connection->last == 0 ? connection->number % groups : connection->last - crowd->base - 1 + groups;
    if (connection->number < 0 || number != wanted || number / groups >= crowd->own_events) {
        fail(crowd, "connection %ld: event %" PRId64 " instead of %" PRId64, connection->number, number,
             wanted);
        return;
    }
    connection->last = position;
    connection->received_ns[number / groups] = measure_now_ns();
    if (number / groups == crowd->own_events - 1)
        crowd->complete++;
}

/* --- reading --- */

static long resident_kib(const struct crowd *crowd)
{
    long sum = 0;
    for (size_t i = 0; i < crowd->options.processes; i++)
        sum += measure_rss_anon_kib(crowd->options.pids[i]);
    return sum;
}

static void sample(struct crowd *crowd)
{
    const int64_t now_ns = measure_now_ns();
    if (now_ns - crowd->sampled_ns < SAMPLE_MS * INT64_C(1000000))
        return;
    crowd->sampled_ns = now_ns;
    const long kib = resident_kib(crowd);
    if (kib > crowd->rss_max_kib)
        crowd->rss_max_kib = kib;
}

static void read_one(struct connection *connection)
{
    static uint8_t memory[READ_BYTES];
    struct crowd *crowd = connection->crowd;
    const ssize_t size = recv(connection->fd, memory, sizeof memory, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0)
        fail(crowd, "connection %td was closed by the server", connection - crowd->connections);
    else if (!fanout_parse(&connection->parser, memory, (size_t)size))
        fail(crowd, "connection %td: %s", connection - crowd->connections, connection->parser.error);
    else if (!load_socket_send(connection->fd, &connection->parser.reply))
        fail(crowd, "connection %td takes no pong", connection - crowd->connections);
    if (load_bytes_left(&connection->parser.raw) == 0)
        load_bytes_done(&connection->parser.raw); /* ten thousand of them would be kept */
}

static void read_ready(struct crowd *crowd, int wait_ms)
{
    struct epoll_event ready[READY_MAX];
    const int count = epoll_wait(crowd->poll, ready, READY_MAX, wait_ms);
    for (int i = 0; i < count; i++)
        read_one(ready[i].data.ptr);
    sample(crowd);
}

/* Reads until *count is as wanted. */
static void read_until(struct crowd *crowd, const long *count, long wanted, const char *what)
{
    const int64_t until_ns = measure_now_ns() + crowd->options.wait_s * INT64_C(1000000000);
    while (*count < wanted && crowd->error[0] == '\0') {
        read_ready(crowd, SAMPLE_MS);
        if (measure_now_ns() > until_ns)
            fail(crowd, "%ld of %ld connections %s after %ld s", *count, wanted, what, crowd->options.wait_s);
    }
}

static void read_for(struct crowd *crowd, long seconds)
{
    const int64_t until_ns = measure_now_ns() + seconds * INT64_C(1000000000);
    while (measure_now_ns() < until_ns && crowd->error[0] == '\0')
        read_ready(crowd, SAMPLE_MS);
}

/* --- opening --- */

static void open_one(struct crowd *crowd, long number)
{
    char request[512];
    char host[64];
    uint16_t port = 0;
    const char *target = crowd->options.subscribe_to[(size_t)crowd->opened % crowd->options.targets];
    struct connection *connection = &crowd->connections[crowd->opened];
    if (!load_target_parse(target, host, &port)) {
        fail(crowd, "%s is no HOST:PORT", target);
        return;
    }
    *connection = (struct connection){
        .crowd = crowd,
        .parser = {.transport = FANOUT_WEBSOCKET, .events = {on_event, on_live, connection}},
        .fd = load_socket_open(host, port, 0),
        .number = number,
    };
    if (connection->fd < 0) {
        fail(crowd, "connection %ld: %s", crowd->opened, strerror(errno));
        return;
    }
    char query[64];
    (void)snprintf(query, sizeof query, "from_end=true&aggregate_ids=fanout-%ld",
                   number % crowd->options.groups);
    const int size = snprintf(request, sizeof request,
                              "GET /ws?%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                              "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                              number < 0 ? crowd->options.idle_query : query);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (number >= 0 && (connection->received_ns = calloc((size_t)crowd->own_events, sizeof(int64_t))) == NULL)
        abort();
    load_bytes_add(&connection->parser.reply, request, (size_t)size);
    if (epoll_ctl(crowd->poll, EPOLL_CTL_ADD, connection->fd, &event) != 0 ||
        !load_socket_send(connection->fd, &connection->parser.reply))
        fail(crowd, "connection %ld: %s", crowd->opened, strerror(errno));
    load_bytes_done(&connection->parser.reply);
    crowd->opened++;
}

static void open_many(struct crowd *crowd, long count, bool active)
{
    for (long i = 0; i < count && crowd->error[0] == '\0'; i++) {
        open_one(crowd, active ? i : -1);
        read_until(crowd, &crowd->live, crowd->opened - OPENING_MAX, "are live");
    }
    read_until(crowd, &crowd->live, crowd->opened, "are live");
}

static void run_all(struct crowd *crowd)
{
    const struct options *options = &crowd->options;
    pthread_t thread;
    crowd->rss_begin_kib = resident_kib(crowd);
    const int64_t begun_ns = measure_now_ns();
    open_many(crowd, options->idle, false);
    crowd->open_ns = measure_now_ns() - begun_ns;
    read_for(crowd, options->rest_s);
    crowd->rss_idle_kib = resident_kib(crowd);
    open_many(crowd, options->active, true);
    read_for(crowd, options->rest_s);
    crowd->rss_all_kib = resident_kib(crowd);
    if (options->active == 0 || crowd->error[0] != '\0')
        return;
    if (pthread_create(&thread, NULL, fanout_append_run, &crowd->append) != 0)
        abort();
    read_until(crowd, &crowd->complete, options->active, "have everything");
    (void)pthread_join(thread, NULL);
    if (crowd->append.error[0] != '\0')
        fail(crowd, "%s", crowd->append.error);
}

/* --- the report --- */

static void print_latency(struct crowd *crowd)
{
    const struct options *options = &crowd->options;
    const long first = (long)(options->warm_up_s * options->rate);
    int64_t *times_ns = calloc((size_t)(options->active * (crowd->own_events - first)), sizeof *times_ns);
    size_t count = 0;
    if (times_ns == NULL)
        abort();
    for (long i = crowd->opened - options->active; i < crowd->opened; i++) {
        const struct connection *connection = &crowd->connections[i];
        for (long own = first; own < crowd->own_events; own++)
            times_ns[count++] =
                connection->received_ns[own] -
                crowd->append.answered_ns[own * options->groups + connection->number % options->groups];
    }
    measure_sort(times_ns, count);
    printf(
        ", \"deliveries\": %zu, \"late_max_us\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, "
        "\"max_us\": %.0f",
        count, (double)crowd->append.late_max_ns / 1e3, measure_us(times_ns, count, 500),
        measure_us(times_ns, count, 990), measure_us(times_ns, count, 999),
        measure_us(times_ns, count, 1000));
    free(times_ns);
}

static void report(struct crowd *crowd)
{
    const struct options *options = &crowd->options;
    printf("{\"idle\": %ld, \"active\": %ld, \"groups\": %ld, \"open_s\": %.2f, \"rss_begin_kib\": %ld, "
           "\"rss_idle_kib\": %ld, \"rss_all_kib\": %ld, \"rss_max_kib\": %ld",
           options->idle, options->active, options->groups, (double)crowd->open_ns / 1e9,
           crowd->rss_begin_kib, crowd->rss_idle_kib, crowd->rss_all_kib, crowd->rss_max_kib);
    if (options->active > 0 && crowd->error[0] == '\0')
        print_latency(crowd);
    printf(", \"error\": \"%s\"}\n", measure_quotable(crowd->error));
}

/* --- options --- */

static int parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'a':
        options->append_to = text;
        return 0;
    case 'u':
        if (options->targets == PROCESSES_MAX)
            return EINVAL;
        options->subscribe_to[options->targets++] = text;
        return 0;
    case 'q':
        options->idle_query = text;
        return 0;
    case 'i':
        options->idle = atol(text);
        return 0;
    case 'c':
        options->active = atol(text);
        return 0;
    case 'g':
        options->groups = atol(text);
        return 0;
    case 'p':
        options->rate = atof(text);
        return 0;
    case 's':
        options->seconds = atof(text);
        return 0;
    case 'w':
        options->warm_up_s = atof(text);
        return 0;
    case 'r':
        options->rest_s = atol(text);
        return 0;
    case 'd':
        options->data_bytes = atol(text);
        return 0;
    case 'P':
        if (options->processes == PROCESSES_MAX)
            return EINVAL;
        options->pids[options->processes++] = atol(text);
        return 0;
    case 'T':
        options->wait_s = atol(text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_table[] = {
    {"append-to", 'a', "HOST:PORT", 0, "the gRPC port", 0},
    {"subscribe-to", 'u', "HOST:PORT", 0, "a port with /ws; may be given several times", 0},
    {"idle-query", 'q', "QUERY", 0, "of idle connections (from_end=true&aggregate_ids=nobody)", 0},
    {"idle", 'i', "N", 0, "idle connections (1000)", 0},
    {"active", 'c', "N", 0, "active connections (100)", 0},
    {"groups", 'g', "N", 0, "of active connections, each with events of its own (1)", 0},
    {"rate", 'p', "N", 0, "events a second to each active connection (20)", 0},
    {"seconds", 's', "S", 0, "of appends, the warm-up included (10)", 0},
    {"warm-up", 'w', "S", 0, "that are not measured (2)", 0},
    {"rest", 'r', "S", 0, "before memory is looked at (2)", 0},
    {"data-bytes", 'd', "N", 0, "JSON bytes of an event's data (300)", 0},
    {"pid", 'P', "PID", 0, "a process whose memory is looked at; likewise", 0},
    {"wait", 'T', "S", 0, "give up so long after a stage began (120)", 0},
    {0},
};

static bool options_fit(const struct options *options)
{
    return options->append_to != NULL && options->targets > 0 && options->idle >= 0 && options->active >= 0 &&
           options->idle + options->active <= CONNECTIONS_MAX && options->groups >= 1 && options->rate > 0 &&
           options->warm_up_s >= 0 && options->seconds > options->warm_up_s &&
           (double)options->active * options->seconds * options->rate <= TIMES_MAX && options->rest_s >= 0 &&
           options->data_bytes >= LOAD_DATA_BYTES_LEAST && options->data_bytes <= LOAD_DATA_BYTES_MAX;
}

static void append_prepare(struct crowd *crowd, char host[64])
{
    const struct options *options = &crowd->options;
    struct fanout_append *append = &crowd->append;
    crowd->own_events = (long)(options->seconds * options->rate);
    if (!load_target_parse(options->append_to, host, &append->port))
        fail(crowd, "%s is no HOST:PORT", options->append_to);
    append->host = host;
    append->event = (struct load_event_options){
        "fanout", "custom", "custom", options->groups, options->data_bytes, false, 0};
    append->count = crowd->own_events * options->groups;
    append->events = 1;
    append->appends_per_s = options->rate * (double)options->groups;
    append->sent_ns = calloc((size_t)append->count, sizeof(int64_t));
    append->answered_ns = calloc((size_t)append->count, sizeof(int64_t));
    crowd->connections = calloc((size_t)(options->idle + options->active) + 1, sizeof *crowd->connections);
    if (append->sent_ns == NULL || append->answered_ns == NULL || crowd->connections == NULL)
        abort();
}

/* What the connections need and a little more; the hard limit is what there is. */
static void raise_descriptors(struct crowd *crowd)
{
    struct rlimit limit;
    const rlim_t needed = (rlim_t)(crowd->options.idle + crowd->options.active) + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < needed || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail(crowd, "the descriptor limit is %ju and %ju are needed; raise it (ulimit -n)",
             (uintmax_t)limit.rlim_max, (uintmax_t)needed);
}

int main(int argc, char **argv)
{
    static struct crowd crowd;
    char host[64] = "";
    crowd.options = (struct options){
        .idle_query = "from_end=true&aggregate_ids=nobody",
        .idle = 1000,
        .active = 100,
        .groups = 1,
        .rate = 20,
        .seconds = 10,
        .warm_up_s = 2,
        .rest_s = 2,
        .data_bytes = LOAD_DATA_BYTES_LEAST,
        .wait_s = 120,
    };
    const struct argp parser = {.options = option_table, .parser = parse_option};
    if (argp_parse(&parser, argc, argv, 0, NULL, &crowd.options) != 0 || !options_fit(&crowd.options)) {
        (void)fprintf(stderr, "websocket_crowd: an option is out of range; --help lists them\n");
        return 2;
    }
    crowd.poll = epoll_create1(EPOLL_CLOEXEC);
    append_prepare(&crowd, host);
    raise_descriptors(&crowd);
    if (crowd.error[0] == '\0')
        run_all(&crowd);
    report(&crowd);
    return crowd.error[0] == '\0' ? 0 : 1; /* its memory and sockets go with it */
}
