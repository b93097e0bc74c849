/*
 * A store without threads on the disk in memory, with tiny segments, so that a test can do something to its index; and all
 * that it answers, as one text to compare.
 *
 * Threads  One.
 */
#pragma once

#include "support/memory_files.h"

#include "contract/store_driver.h"

#include "store/embedded/embedded_internal.h"

#define BENCH_AGGREGATES 9

struct index_bench {
    struct memory_files disk;
    struct embedded_options options;
    struct store_driver driver;
    struct event_store *store; /* NULL = closed */
    struct log *log;
    int log_fd;
    int numbers; /* events so far */
};

void index_bench_init(struct index_bench *bench);
void index_bench_done(struct index_bench *bench);

struct status index_bench_open(struct index_bench *bench);
void index_bench_close(struct index_bench *bench);
/* The process is killed: what is not synced is gone. */
void index_bench_kill(struct index_bench *bench);
/* Appends of one event each to aggregates in turn, of several types, with tags and correlations; builds as it goes. */
void index_bench_append(struct index_bench *bench, int count);

/* Everything that can be asked, of all keys, both ways. Or the first failure. */
struct status index_bench_answers(struct index_bench *bench, struct buffer *ret);
/* Asserts that the answers are those of `expected`. */
void index_bench_check(struct index_bench *bench, const struct buffer *expected);

const struct index_view *index_bench_view(const struct index_bench *bench);
/* Names of the files below index/, from the driver's arena. */
size_t index_bench_files(struct index_bench *bench, struct file_entry **ret);
/* Replaces a file's content, durably; NULL removes it. */
void index_bench_write(struct index_bench *bench, const char *path, const uint8_t *bytes, size_t size);
/* Bytes of log lines so far. */
int64_t index_bench_log_bytes(const struct index_bench *bench);
/* The last log line. */
void index_bench_last_line(const struct index_bench *bench, char *ret, size_t size);
