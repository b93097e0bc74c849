/* What the files of the JSON reader share: the set of names that finds duplicates. */
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
struct json_names;

enum json_names_result { JSON_NAMES_NEW, JSON_NAMES_DUPLICATE, JSON_NAMES_NO_MEMORY };

struct json_names *json_names_new(struct arena *arena); /* NULL when the arena is exhausted */
void json_names_enter(struct json_names *names);        /* an object begins; at most JSON_DEPTH_MAX are open */
void json_names_leave(struct json_names *names);        /* the innermost ends */
/* `name` unescaped; borrowed until its object ends. */
enum json_names_result json_names_add(struct json_names *names, struct bytes name);

/* Replaces escapes of `content`, which a reader has checked, in the memory `to` of at least its size. */
size_t json_unescape_into(struct bytes content, uint8_t *to);
