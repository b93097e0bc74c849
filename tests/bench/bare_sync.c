/*
 * The yardstick of a durable append: write a batch, fdatasync, again; nothing else.
 *
 * The file is zero-filled and synced beforehand, as Strata's segments are, so that a sync neither
 * grows the file nor waits for the file system's journal; when its end is reached writing starts over
 * at the beginning. Prints one line: batches, events and bytes a second, CPU microseconds an event,
 * and the sync's median, percentiles and longest.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"

#define CHUNK_BYTES (1024U * 1024U)

struct options {
    const char *path;
    long batches;
    long events_per_batch;
    long event_bytes;
    long file_mib;
};

static void die(const char *what, const char *path)
{
    (void)fprintf(stderr, "bare_sync: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static int open_zero_filled(const char *path, long file_mib)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        die("cannot create", path);
    uint8_t *zeroes = calloc(1, CHUNK_BYTES);
    for (long i = 0; zeroes != NULL && i < file_mib; i++)
        if (pwrite(fd, zeroes, CHUNK_BYTES, (off_t)i * CHUNK_BYTES) != (ssize_t)CHUNK_BYTES)
            die("cannot fill", path);
    free(zeroes);
    if (fsync(fd) != 0)
        die("cannot sync", path);
    return fd;
}

static void run(const struct options *options)
{
    const size_t batch_bytes = (size_t)options->events_per_batch * (size_t)options->event_bytes;
    const size_t file_bytes = (size_t)options->file_mib * CHUNK_BYTES;
    uint8_t *batch = malloc(batch_bytes);
    int64_t *times_ns = calloc((size_t)options->batches, sizeof *times_ns);
    if (batch == NULL || times_ns == NULL)
        die("no memory for", "a batch");
    memset(batch, 'b', batch_bytes);
    const int fd = open_zero_filled(options->path, options->file_mib);

    const double cpu_before_us = measure_cpu_us();
    const int64_t begin_ns = measure_now_ns();
    size_t offset = 0;
    for (long i = 0; i < options->batches; i++) {
        if (offset + batch_bytes > file_bytes)
            offset = 0;
        memcpy(batch, &i, sizeof i); /* or the disk could notice that nothing changes */
        const int64_t batch_ns = measure_now_ns();
        if (pwrite(fd, batch, batch_bytes, (off_t)offset) != (ssize_t)batch_bytes || fdatasync(fd) != 0)
            die("cannot write", options->path);
        times_ns[i] = measure_now_ns() - batch_ns;
        offset += batch_bytes;
    }
    const double seconds = (double)(measure_now_ns() - begin_ns) / 1e9;
    const double events = (double)options->batches * (double)options->events_per_batch;
    const double used_us = measure_cpu_us() - cpu_before_us;
    const size_t batches = (size_t)options->batches;
    measure_sort(times_ns, batches);
    printf(
        "{\"batches_per_s\": %.0f, \"events_per_s\": %.0f, \"mib_per_s\": %.1f, \"cpu_us_per_event\": %.3f, "
        "\"sync_p50_us\": %.0f, \"sync_p99_us\": %.0f, \"sync_p999_us\": %.0f, \"sync_max_us\": %.0f}\n",
        (double)options->batches / seconds, events / seconds,
        events * (double)options->event_bytes / seconds / CHUNK_BYTES, used_us / events,
        measure_us(times_ns, batches, 500), measure_us(times_ns, batches, 990),
        measure_us(times_ns, batches, 999), measure_us(times_ns, batches, 1000));
    close(fd);
    unlink(options->path);
    free(batch);
    free(times_ns);
}

static int parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'f':
        options->path = text;
        return 0;
    case 'n':
        options->batches = atol(text);
        return 0;
    case 'e':
        options->events_per_batch = atol(text);
        return 0;
    case 's':
        options->event_bytes = atol(text);
        return 0;
    case 'm':
        options->file_mib = atol(text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {"file", 'f', "PATH", 0, "made, overwritten and removed (bare_sync.tmp)", 0},
        {"batches", 'n', "N", 0, "batches to write (2000)", 0},
        {"events", 'e', "N", 0, "events a batch (100)", 0},
        {"event-bytes", 's', "N", 0, "bytes an event (582)", 0},
        {"file-mib", 'm', "N", 0, "size of the zero-filled file (64)", 0},
        {0},
    };
    const struct argp parser = {table, parse_option, NULL, "A bare write and fdatasync loop.",
                                NULL,  NULL,         NULL};
    struct options options = {"bare_sync.tmp", 2000, 100, 582, 64};
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    if (options.batches < 1 || options.events_per_batch < 1 || options.event_bytes < 1 ||
        options.file_mib < 1 ||
        options.events_per_batch > (long)(CHUNK_BYTES * options.file_mib) / options.event_bytes ||
        options.events_per_batch * options.event_bytes < (long)sizeof(long)) {
        (void)fprintf(stderr,
                      "bare_sync: counts start at 1, and a batch must have 8 bytes and fit the file\n");
        return 2;
    }
    run(&options);
    return 0;
}
