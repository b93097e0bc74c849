/*
 * A JSON object read once: its members in order, objects within it likewise, everything else as the bytes that
 * were written. Lists are not taken apart, so a list of a million numbers costs one range.
 *
 * Ownership  Views live in the arena they were read into and borrow the text.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

struct view;
struct view_member {
    struct bytes token;  /* the name as written, with quotes */
    struct bytes name;   /* the name itself */
    struct bytes raw;    /* the value as written */
    struct view *object; /* NULL when the value is not an object */
    struct view_member *next;
};
struct view {
    struct view_member *first;
    struct view *next; /* in a list of views */
};

/* INVALID_ARGUMENT when `text` is not one JSON object; RESOURCE_EXHAUSTED. */
STATUS_MUST_CHECK struct status view_parse(struct arena *arena, struct bytes text, struct view **ret);

/* The objects among the elements of `raw`, in order, linked by `next`; none when `raw` is not a list. `raw` is
 * the value of a member of a view: it has been checked. */
STATUS_MUST_CHECK struct status view_parse_list(struct arena *arena, struct bytes raw, struct view **ret);

/* The member of that name; a member that is null counts as absent: NULL. Linear. */
const struct view_member *view_find(const struct view *view, const char *name);

static inline bool raw_is_null(struct bytes raw)
{
    return raw.size_bytes > 0 && raw.data[0] == 'n'; /* no other JSON value begins so */
}
static inline bool raw_is_string(struct bytes raw)
{
    return raw.size_bytes > 0 && raw.data[0] == '"';
}

/* The content of a string as written, without quotes and escapes. */
STATUS_MUST_CHECK struct status raw_text(struct arena *arena, struct bytes raw, struct bytes *ret);
/* Whether `raw` is a string of that content. */
STATUS_MUST_CHECK struct status raw_is_text(struct arena *arena, struct bytes raw, const char *text,
                                            bool *ret);
