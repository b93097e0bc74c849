/*
 * Randomness that a seed repeats, for tests.
 *
 * Threads  One at a time: with more, the order of their calls would decide who gets what.
 */
#pragma once

#include <stdint.h>

#include "base/entropy.h"

struct seeded_entropy {
    struct entropy entropy; /* hand out its address */
    uint64_t state;
};

struct seeded_entropy seeded_entropy_from(uint64_t seed);

/* The generator alone (SplitMix64): the next number, and one in 0 .. bound-1; bound > 0. */
uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t bound);
