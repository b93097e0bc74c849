/*
 * A clock that stands still until a test moves it.
 *
 * Threads  Any; a reader sees each step whole.
 */
#pragma once

#include <stdint.h>

#include "base/clock.h"

struct manual_clock {
    struct clock clock; /* hand out its address */
    _Atomic int64_t now_us;
    _Atomic int64_t monotonic_us; /* starts at 0; steps back are not taken */
};

struct manual_clock manual_clock_at_us(int64_t now_us);
/* A negative step moves the wall clock alone, as an operator may. */
void manual_clock_advance_ms(struct manual_clock *clock, int64_t step_ms);
void manual_clock_advance_us(struct manual_clock *clock, int64_t step_us);
