#include "base/deadline.h"

#include <assert.h>

#define NS_A_MS     INT64_C(1000000)
#define NS_A_SECOND INT64_C(1000000000)

struct timespec deadline_after_ms(int64_t wait_ms)
{
    struct timespec at;
    assert(wait_ms >= 0);
    (void)clock_gettime(CLOCK_MONOTONIC, &at); /* fails for unknown clocks only */
    const int64_t nanoseconds = at.tv_nsec + wait_ms % 1000 * NS_A_MS;
    at.tv_sec += wait_ms / 1000 + nanoseconds / NS_A_SECOND;
    at.tv_nsec = nanoseconds % NS_A_SECOND;
    return at;
}
