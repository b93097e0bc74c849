/*
 * A list of ascending positions inside an index file: delta-coded in blocks, so that any place of it is found
 * by two preads. Held by value; says only where the positions lie. Read through the part or run that it came from.
 */
#pragma once

#include <stdint.h>

struct posting_list {
    uint32_t count;        /* 0 = none */
    int64_t last_position; /* when count > 0; a list of one is only this */
    uint64_t at;           /* logical offset in the file; meaningless for count < 2 */
};
