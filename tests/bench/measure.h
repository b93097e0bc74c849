/*
 * What the load programs measure and report with.
 *
 * Threads    No state: any thread, but one at a time for each array and text.
 * Blocking   measure_sleep_until only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int64_t measure_now_ns(void); /* monotonic; the same clock in every process of the machine */
void measure_sleep_until(int64_t monotonic_ns);

void measure_sort(int64_t *times_ns, size_t count);
/* Of a sorted array: the value that `per_mille` of 1000 are not above, in microseconds; 1000 = the greatest, and 0 of an
 * empty array. */
double measure_us(const int64_t *sorted_ns, size_t count, unsigned per_mille);

/* CPU time of the calling process, all threads, in microseconds. */
double measure_cpu_us(void);

/* Changes `text` so that it can stand between the quotes of a JSON string; returns it. */
const char *measure_quotable(char *text);

/* Memory of a process that is its own and resident (RssAnon), in KiB; -1 when it cannot be read. */
long measure_rss_anon_kib(long pid);
