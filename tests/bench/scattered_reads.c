/*
 * The yardstick of reading an aggregate: preads of records that lie far apart, from page cache.
 *
 * Each round reads --reads times --bytes, --stride apart, beginning a record later than the round before; at the file's end it
 * goes on at its beginning. Prints one line: CPU microseconds a round.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "measure.h"

#define BYTES_MAX 65536

struct options {
    const char *path;
    long bytes;
    long stride;
    long reads;
    long count;
};

static void run(const struct options *options, int fd, long file_bytes)
{
    static uint8_t memory[BYTES_MAX];
    const long room = file_bytes - options->bytes;
    for (long i = 0; i < options->count; i++)
        for (long j = 0; j < options->reads; j++) {
            const long offset = (i * options->bytes + j * options->stride) % room;
            if (pread(fd, memory, (size_t)options->bytes, offset) != options->bytes) {
                (void)fprintf(stderr, "scattered_reads: cannot read: %s\n", strerror(errno));
                exit(1);
            }
        }
}

static int parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'f':
        options->path = text;
        return 0;
    case 'b':
        options->bytes = atol(text);
        return 0;
    case 's':
        options->stride = atol(text);
        return 0;
    case 'r':
        options->reads = atol(text);
        return 0;
    case 'n':
        options->count = atol(text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {"file", 'f', "PATH", 0, "what to read", 0},
        {"bytes", 'b', "N", 0, "of one read (700)", 0},
        {"stride", 's', "N", 0, "from one read to the next (700000)", 0},
        {"reads", 'r', "N", 0, "of one round (100)", 0},
        {"count", 'n', "N", 0, "rounds (1000)", 0},
        {0},
    };
    const struct argp parser = {table, parse_option, NULL, "Scattered preads.", NULL, NULL, NULL};
    struct options options = {NULL, 700, 700000, 100, 1000};
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    const int fd = options.path == NULL ? -1 : open(options.path, O_RDONLY | O_CLOEXEC);
    struct stat file;
    if (fd < 0 || fstat(fd, &file) != 0 || options.bytes < 1 || options.bytes > BYTES_MAX ||
        options.stride < 1 || options.reads < 1 || options.count < 1 || file.st_size <= options.bytes) {
        (void)fprintf(stderr,
                      "scattered_reads: give a file that is larger than a read, and numbers from 1\n");
        return 2;
    }
    run(&options, fd, file.st_size); /* into page cache */
    const double before_us = measure_cpu_us();
    run(&options, fd, file.st_size);
    printf("{\"cpu_us_per_round\": %.3f}\n", (measure_cpu_us() - before_us) / (double)options.count);
    return 0;
}
