/*
 * Until when to sleep: for pthread_cond_timedwait() on a condition whose clock is CLOCK_MONOTONIC. The system's clock, not one that
 * is handed in: only how long to wait depends on it, nothing is decided by it.
 *
 * Threads  Any. Never blocks.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* `wait_ms` from now; not negative. */
struct timespec deadline_after_ms(int64_t wait_ms);
