#include "support/seeded_entropy.h"

#include <string.h>

uint64_t random_next(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return random_next(state) % bound; /* the tiny bias of tests' bounds does not matter */
}

static void seeded_fill(const struct entropy *entropy, void *memory, size_t size_bytes)
{
    struct seeded_entropy *seeded = (struct seeded_entropy *)(uintptr_t)entropy;
    uint8_t *to = memory;
    while (size_bytes > 0) {
        const uint64_t word = random_next(&seeded->state);
        const size_t part = size_bytes < sizeof word ? size_bytes : sizeof word;
        memcpy(to, &word, part);
        to += part;
        size_bytes -= part;
    }
}

static const struct entropy_ops seeded_ops = {seeded_fill};

struct seeded_entropy seeded_entropy_from(uint64_t seed)
{
    return (struct seeded_entropy){{&seeded_ops}, seed};
}
