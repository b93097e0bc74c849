/*
 * Latencies by the million in constant memory: counts by size, 64 steps to each doubling, so a percentile is at
 * most 1.6 % too high.
 *
 * Threads   One; histogram_merge() joins those of several.
 * Blocking  Never.
 */
#pragma once

#include <stdint.h>

#define HISTOGRAM_STEPS     64U
#define HISTOGRAM_DOUBLINGS 27U /* up to 2^32 µs, over an hour; longer counts as that */

struct histogram {
    uint64_t counts[(HISTOGRAM_DOUBLINGS + 1) * HISTOGRAM_STEPS];
    uint64_t total;
    int64_t max_us;
};

void histogram_add(struct histogram *histogram, int64_t us);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The latency that `share` (0 to 1) of all did not exceed; 0 when there is none. */
int64_t histogram_at(const struct histogram *histogram, double share);
