/*
 * The pauses of commits, beside a bare write and fdatasync of as many bytes into zero-filled space: both take turns, on one
 * file system, so that what else goes on there meets both. A commit is what the store does of it, from commit() until its
 * answer: it fills segments, begins them and has their index written and merged, all in the threads of a service; no client,
 * no network, no encoding is in the times.
 *
 *     commit_pauses --folder F [--fill 600000] [--commits 20000] [--events 100] [--data-bytes 500] [--tell-over-us N]
 *
 * Prints one JSON line: p50, p99, p99.9 and the longest of either, in µs. What took longer than --tell-over-us is told on
 * standard error with its begin by the monotonic clock, so that a trace of the kernel beside it can say why.
 */
#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "record/record.h"
#include "store/embedded/embedded_store.h"

#include "measure.h"

#define AGGREGATES 1000000U
#define BARE_BYTES (64U * 1024U * 1024U)
#define TURN       50 /* commits, then as many bare writes */
#define BETWEEN_US                                                                                           \
    300 /* what a service does between commits: a load without gaps would measure the queue of the disk */
#define EVENT_BYTES     82 /* of an event beside its data, as a client sends it */
#define EVENTS_MOST     1000
#define DATA_BYTES_MOST 10000

struct options {
    const char *folder;
    long fill;
    long commits;
    long events;
    long data_bytes;
    long tell_over_us; /* 0 = nothing is told */
};

struct bench {
    struct options options;
    struct event_store *store;
    struct arena *arena; /* of one batch */
    struct store_head head;
    struct record records[EVENTS_MOST];
    struct event_fields fields[EVENTS_MOST];
    struct sha256 leaves[EVENTS_MOST];
    char data[DATA_BYTES_MOST];
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool answer_came;
    struct status answer;
    int bare;
    uint64_t bare_offset;
};

static void must(struct status status)
{
    if (status.code == STATUS_OK)
        return;
    (void)fprintf(stderr, "commit_pauses: %s\n", status.message);
    exit(1);
}

static void must_do(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "commit_pauses: %s: %s\n", what, strerror(errno));
    exit(1);
}

static char *random_id(struct arena *arena)
{
    uint64_t bits[2];
    entropy_fill(&system_entropy, bits, sizeof bits);
    return arena_printf(arena, "%08x-%04x-4%03x-8%03x-%012" PRIx64, (unsigned)bits[0],
                        (unsigned)(bits[0] >> 48), (unsigned)(bits[0] >> 32) & 0xfff,
                        (unsigned)bits[1] & 0xfff, bits[1] >> 16);
}

static void build_event(struct bench *bench, size_t at, const char *append_id, int64_t timestamp_us)
{
    const int64_t number = bench->head.position + (int64_t)at;
    uint8_t salt[RECORD_SALT_BYTES];
    entropy_fill(&system_entropy, salt, sizeof salt);
    bench->fields[at] = (struct event_fields){
        .id = bytes_of_text(random_id(bench->arena)),
        .type = BYTES_LITERAL("custom"),
        .aggregate_id = bytes_of_text(arena_printf(bench->arena, "size-%" PRId64, number % AGGREGATES)),
        .aggregate_type = BYTES_LITERAL("custom"),
        .version = (int32_t)(1 + number / AGGREGATES),
        .position = number + 1,
        .timestamp_us = timestamp_us,
        .append_id = bytes_of_text(append_id),
        .append_index = (int32_t)at,
        .append_count = (int32_t)bench->options.events,
        .data = bytes_of(bench->data, (size_t)bench->options.data_bytes),
        .salt = arena_bytes(bench->arena, bytes_of(salt, sizeof salt)),
    };
    struct buffer buffer = buffer_in(bench->arena, 0);
    record_encode(&bench->fields[at], &buffer, &bench->records[at].header_bytes);
    must(buffer_status(&buffer));
    bench->records[at].bytes = buffer_bytes(&buffer);
    bench->leaves[at] = record_leaf(bench->records[at]);
}

static void take_answer(void *context, const struct status *status)
{
    struct bench *bench = context;
    pthread_mutex_lock(&bench->lock);
    bench->answer = *status;
    bench->answer_came = true;
    pthread_cond_signal(&bench->answered);
    pthread_mutex_unlock(&bench->lock);
}

/* One commit of one append; what it took, in ns. */
static int64_t commit(struct bench *bench)
{
    arena_reset(bench->arena);
    const size_t count = (size_t)bench->options.events;
    const char *append_id = random_id(bench->arena);
    struct store_head after = bench->head;
    after.timestamp_us++;
    for (size_t i = 0; i < count; i++)
        build_event(bench, i, append_id, after.timestamp_us);
    after.chain = chain_next(&bench->head.chain, bench->head.position + 1, bench->leaves, count);
    after.position += (int64_t)count;
    after.aggregate_count = after.position < AGGREGATES ? after.position : AGGREGATES;
    const struct commit_append append = {
        bench->head.position + 1, bench->records, bench->fields, count, after.chain, after.aggregate_count};
    const struct commit_batch batch = {
        .before = bench->head, .after = after, .appends = &append, .append_count = 1, .record_count = count};
    bench->answer_came = false;
    const int64_t begin_ns = measure_now_ns();
    bench->store->ops->commit(bench->store, &batch, take_answer, bench);
    pthread_mutex_lock(&bench->lock);
    while (!bench->answer_came)
        pthread_cond_wait(&bench->answered, &bench->lock);
    pthread_mutex_unlock(&bench->lock);
    const int64_t took_ns = measure_now_ns() - begin_ns;
    must(bench->answer);
    bench->head = after;
    return took_ns;
}

static int64_t bare_write(struct bench *bench)
{
    static uint8_t bytes[EVENTS_MOST * (DATA_BYTES_MOST + EVENT_BYTES)];
    const size_t size = (size_t)(bench->options.events * (bench->options.data_bytes + EVENT_BYTES));
    if (bench->bare_offset + size > BARE_BYTES)
        bench->bare_offset = 0;
    const int64_t begin_ns = measure_now_ns();
    memcpy(bytes, &begin_ns, sizeof begin_ns); /* or the disk could notice that nothing changes */
    must_do(pwrite(bench->bare, bytes, size, (off_t)bench->bare_offset) == (ssize_t)size &&
                fdatasync(bench->bare) == 0,
            "a bare write");
    bench->bare_offset += size;
    return measure_now_ns() - begin_ns;
}

static void tell(const struct bench *bench, const char *what, int64_t took_ns)
{
    if (bench->options.tell_over_us > 0 && took_ns > bench->options.tell_over_us * 1000)
        (void)fprintf(stderr, "%s %" PRId64 " %" PRId64 "\n", what, measure_now_ns() - took_ns, took_ns);
}

static void open_bare(struct bench *bench)
{
    char path[4096];
    static uint8_t zeros[1024 * 1024];
    snprintf(path, sizeof path, "%s/bare.tmp", bench->options.folder);
    bench->bare = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must_do(bench->bare >= 0, path);
    for (size_t at = 0; at < BARE_BYTES; at += sizeof zeros)
        must_do(pwrite(bench->bare, zeros, sizeof zeros, (off_t)at) == (ssize_t)sizeof zeros, path);
    must_do(fsync(bench->bare) == 0 && unlink(path) == 0, path);
}

static void print(const char *name, int64_t *times_ns, long count)
{
    measure_sort(times_ns, (size_t)count);
    printf("\"%s_p50_us\": %.0f, \"%s_p99_us\": %.0f, \"%s_p999_us\": %.0f, \"%s_max_us\": %.0f", name,
           measure_us(times_ns, (size_t)count, 500), name, measure_us(times_ns, (size_t)count, 990), name,
           measure_us(times_ns, (size_t)count, 999), name, measure_us(times_ns, (size_t)count, 1000));
}

static void pause_between(void)
{
    const struct timespec between = {.tv_nsec = BETWEEN_US * 1000L};
    (void)nanosleep(&between, NULL);
}

static void measure(struct bench *bench)
{
    const long commits = bench->options.commits;
    int64_t *committed_ns = calloc((size_t)commits, sizeof *committed_ns);
    int64_t *bare_ns = calloc((size_t)commits, sizeof *bare_ns);
    must_do(committed_ns != NULL && bare_ns != NULL, "no memory");
    for (long i = 0; i < bench->options.fill; i += bench->options.events)
        (void)commit(bench); /* not measured */
    for (long turn = 0; turn < commits; turn += TURN) {
        const long end = turn + TURN < commits ? turn + TURN : commits;
        for (long i = turn; i < end; i++) {
            committed_ns[i] = commit(bench);
            tell(bench, "commit", committed_ns[i]);
            pause_between();
        }
        for (long i = turn; i < end; i++) {
            bare_ns[i] = bare_write(bench);
            tell(bench, "bare", bare_ns[i]);
            pause_between();
        }
    }
    printf("{\"commits\": %ld, \"events\": %" PRId64 ", ", commits, bench->head.position);
    print("commit", committed_ns, commits);
    printf(", ");
    print("bare", bare_ns, commits);
    printf("}\n");
    free(committed_ns);
    free(bare_ns);
}

static int parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'f':
        options->folder = text;
        return 0;
    case 'n':
        options->fill = atol(text);
        return 0;
    case 'c':
        options->commits = atol(text);
        return 0;
    case 'e':
        options->events = atol(text);
        return 0;
    case 'd':
        options->data_bytes = atol(text);
        return 0;
    case 't':
        options->tell_over_us = atol(text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {"folder", 'f', "PATH", 0, "where a store \"main\" is made, which stays (.)", 0},
        {"fill", 'n', "N", 0, "events before it begins (600000)", 0},
        {"commits", 'c', "N", 0, "commits, and bare writes, to measure (20000)", 0},
        {"events", 'e', "N", 0, "events a commit (100)", 0},
        {"data-bytes", 'd', "N", 0, "bytes of data an event (500)", 0},
        {"tell-over-us", 't', "N", 0, "tell what took longer, with its begin in ns (0: nothing)", 0},
        {0},
    };
    const struct argp parser = {table, parse_option, NULL, "Pauses of commits beside a bare loop's.",
                                NULL,  NULL,         NULL};
    static struct bench bench = {.options = {".", 600000, 20000, 100, 500, 0}};
    argp_parse(&parser, argc, argv, 0, NULL, &bench.options);
    if (bench.options.fill < 0 || bench.options.commits < 1 || bench.options.events < 1 ||
        bench.options.events > EVENTS_MOST || bench.options.data_bytes < 1 ||
        bench.options.data_bytes > DATA_BYTES_MOST) {
        (void)fprintf(stderr, "commit_pauses: counts start at 1; at most %d events of %d bytes\n",
                      EVENTS_MOST, DATA_BYTES_MOST);
        return 2;
    }
    memset(bench.data, 'd', sizeof bench.data);
    pthread_mutex_init(&bench.lock, NULL);
    pthread_cond_init(&bench.answered, NULL);
    bench.arena = arena_new(0);
    struct files *files = NULL;
    struct log *log = log_new(STDERR_FILENO, LOG_WARN, LOG_FORMAT_TEXT, &system_clock);
    must(posix_files_new(bench.options.folder, &files));
    const struct embedded_options options = {0};
    must(embedded_store_open(files, &options, &system_clock, &system_entropy, log, &bench.store));
    must(bench.store->ops->head(bench.store, &bench.head));
    must_do(bench.head.position == 0, "the folder holds a store with events");
    bench.head.timestamp_us = clock_now_us(&system_clock);
    open_bare(&bench);
    measure(&bench);
    event_store_close(bench.store);
    (void)close(bench.bare);
    posix_files_free(files);
    arena_free(bench.arena);
    log_free(log);
    return 0;
}
