#include "cli/histogram_internal.h"

#include <stddef.h>

#define BUCKETS ((HISTOGRAM_DOUBLINGS + 1) * HISTOGRAM_STEPS)

/* Below 64 each value has its own; from there on the top six bits after the first choose the step. */
static size_t bucket_of(uint64_t us)
{
    if (us < HISTOGRAM_STEPS)
        return (size_t)us;
    const unsigned shift = 57U - (unsigned)__builtin_clzll(us); /* so that us >> shift is 64 .. 127 */
    const size_t bucket = (shift + 1) * HISTOGRAM_STEPS + ((us >> shift) - HISTOGRAM_STEPS);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* The greatest value of a bucket. */
static int64_t top_of(size_t bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return (int64_t)bucket;
    const unsigned shift = (unsigned)(bucket / HISTOGRAM_STEPS) - 1;
    return (int64_t)(((bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS + 1) << shift) - 1);
}

void histogram_add(struct histogram *histogram, int64_t us)
{
    histogram->counts[bucket_of(us < 0 ? 0 : (uint64_t)us)]++;
    histogram->total++;
    if (us > histogram->max_us)
        histogram->max_us = us;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->total += from->total;
    if (from->max_us > into->max_us)
        into->max_us = from->max_us;
}

int64_t histogram_at(const struct histogram *histogram, double share)
{
    const double wanted = share * (double)histogram->total;
    uint64_t seen = 0;
    for (size_t i = 0; i < BUCKETS && histogram->total > 0; i++) {
        seen += histogram->counts[i];
        if ((double)seen >= wanted && seen > 0)
            return top_of(i) < histogram->max_us ? top_of(i) : histogram->max_us;
    }
    return 0;
}
