#include "support/manual_clock.h"

#include <stdatomic.h>

static int64_t manual_now_us(const struct clock *clock)
{
    return atomic_load(&((struct manual_clock *)(uintptr_t)clock)->now_us);
}

static int64_t manual_monotonic_us(const struct clock *clock)
{
    return atomic_load(&((struct manual_clock *)(uintptr_t)clock)->monotonic_us);
}

static const struct clock_ops manual_ops = {manual_now_us, manual_monotonic_us};

struct manual_clock manual_clock_at_us(int64_t now_us)
{
    return (struct manual_clock){{&manual_ops}, now_us, 0};
}

void manual_clock_advance_us(struct manual_clock *clock, int64_t step_us)
{
    (void)atomic_fetch_add(&clock->now_us, step_us); /* the former time is of no interest */
    if (step_us > 0)
        (void)atomic_fetch_add(&clock->monotonic_us, step_us); /* as above */
}

void manual_clock_advance_ms(struct manual_clock *clock, int64_t step_ms)
{
    manual_clock_advance_us(clock, step_ms * 1000);
}
