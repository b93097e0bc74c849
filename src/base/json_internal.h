/* What the files of the JSON reader share: the set of names that finds duplicates, and hexadecimal escapes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/json.h"

/*
 * The names of the objects that are open at this moment, innermost last. Expected constant time a name
 * under a hash with a random seed: a bit filter answers for most small objects, a scan for the rest up to
 * NAMES_SCAN_MAX members, beyond that a table of the object's depth that its later siblings use again.
 */
#define JSON_NAMES_INLINE 32U

struct json_name {
    uint64_t hash;
    const uint8_t *data;
    size_t size_bytes;
};

/* One open object. Its names are items[begin .. count of the set). */
struct json_names_level {
    uint64_t filter; /* bit (hash % 64) is set for every name */
    size_t begin;
};

/* Slots hold 1 + an index into items; 0 is free. Kept for the depth, so siblings cost no new memory. */
struct json_names_table {
    uint32_t *slots;
    uint32_t slot_count;    /* in use by the present object; 0 = it has none yet */
    uint32_t slot_capacity; /* allocated */
};

struct json_names {
    struct arena *arena;
    struct json_name *items; /* inline_items until they are too few, then the arena's */
    size_t count;
    size_t capacity;
    uint64_t seed;
    unsigned depth;      /* open objects */
    unsigned table_used; /* tables[0 .. table_used) are initialised */
    struct json_names_level levels[JSON_DEPTH_MAX];
    struct json_names_table tables[JSON_DEPTH_MAX];
    struct json_name inline_items[JSON_NAMES_INLINE];
};

enum json_names_result { JSON_NAMES_NEW, JSON_NAMES_DUPLICATE, JSON_NAMES_NO_MEMORY };

/* Nothing to end: memory beyond the struct is the arena's. The struct must not move afterwards. */
void json_names_init(struct json_names *names, struct arena *arena);
void json_names_enter(struct json_names *names); /* an object begins; at most JSON_DEPTH_MAX are open */
void json_names_leave(struct json_names *names); /* the innermost ends */
/* `name` unescaped; borrowed until its object ends. */
enum json_names_result json_names_add(struct json_names *names, struct bytes name);

/* The four digits after "\u"; -1 when they are not there. */
int32_t json_hex4(const uint8_t *at, const uint8_t *end);
