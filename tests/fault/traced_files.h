/*
 * Wraps any struct files, usually a struct faulty_files, and remembers the name of the call that its fault hit, so that
 * a failing sweep says "write_at main/log/00000000000000000001.seg" and not "call 57".
 *
 * Ownership  The wrapped files outlive the wrapper; nothing to free.
 * Threads    One; with `jitter` any, and then nothing is remembered.
 */
#pragma once

#include <stdbool.h>

#include "support/faulty_files.h"

struct traced_files {
    struct files files; /* hand out its address */
    struct faulty_files *faulty;
    struct files *below; /* what `faulty` wraps */
    /* Calls on paths that contain this go around the fault; NULL = none. */
    const char *spare;
    bool full; /* the disk is full: no space can be allocated, writing into what was allocated goes on */
    char hit_call[160]; /* "" = no fault was hit yet */
    /* Not 0: every call gives way to other threads a random number of times, before and after. A seed. */
    _Atomic uint64_t jitter;
    bool told; /* that call reported the fault, and not one of its own */
};

struct traced_files traced_files_over(struct faulty_files *faulty);
