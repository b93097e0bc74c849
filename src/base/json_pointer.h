/*
 * JSON Pointer (RFC 6901): names one value within a JSON text, such as "/items/0/unit~1price". "" is the whole text;
 * "~0" stands for '~' and "~1" for '/' within a name.
 *
 * Ownership  What is found belongs to the text's arena.
 * Threads    Any.  Blocking  Never.
 * Errors     INVALID_ARGUMENT/INVALID_FIELD when it is no pointer; RESOURCE_EXHAUSTED when the arena is. That nothing
 *            stands at a place is no error.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/json.h"
#include "base/status.h"

/* The value there; NULL when there is none. Elements are counted from 0, in digits without leading zeros; "-", the
 * element behind the last one, never is. */
STATUS_MUST_CHECK struct status json_pointer_find(struct arena *arena, struct json_value *root,
                                                  struct bytes pointer, struct json_value **ret);

/* One step further into a value: a member of an object (`name` unescaped), an element of an array. */
void json_pointer_add_name(struct buffer *pointer, struct bytes name);
void json_pointer_add_index(struct buffer *pointer, size_t index);

/* As the fragment of a URI (RFC 6901 6): "#/c%25d". From one: with its '#'; percent-encoding that is cut off or no
 * hexadecimal is INVALID_FIELD. */
void json_pointer_add_fragment(struct buffer *to, struct bytes pointer);
STATUS_MUST_CHECK struct status json_pointer_of_fragment(struct arena *arena, struct bytes fragment,
                                                         struct bytes *ret);
