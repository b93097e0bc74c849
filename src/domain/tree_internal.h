/*
 * A JSON object that changes: what a fold works on.
 *
 * Members keep the order in which they came; one that is replaced keeps its place and its name as
 * first written. A change costs time linear in the bytes of the change, whatever the size of the
 * object and whatever its names: names are found by a crit-bit tree, whose paths are bounded by the
 * length of the name. No hash, hence no seed.
 *
 * Memory  Everything is copied in. The memory of replaced and removed values is used again by the same tree,
 *         so a member that changes ever so often takes no more than its largest values.
 * Errors  A failed allocation stays in `failed`; the content is then unusable.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "domain/view_internal.h"

struct object;
struct object_member;
struct object_branch;

/* Memory shared by the objects of one fold. */
struct tree {
    struct arena *arena;
    struct object *free_objects;
    struct object_member *free_members;
    struct object_branch *free_branches;
    bool failed;
};

void tree_init(struct tree *tree, struct arena *arena);
/* An empty object; NULL when the arena is exhausted. */
struct object *tree_object(struct tree *tree);

/* RFC 7396: `patch` applied to `object`; null removes. Merged into an empty object this
 * is the patch without its null members. */
void tree_merge(struct tree *tree, struct object *object, const struct view *patch);
/* Into an empty object, null members included. */
void tree_copy(struct tree *tree, struct object *object, const struct view *from);
/* As a member of a patch would, but an object replaces whatever was there instead of being merged with it. */
void tree_replace(struct tree *tree, struct object *object, struct bytes name, struct bytes token,
                  const struct view_member *value);
/* A scalar under a name that needs no escapes. */
void tree_set(struct tree *tree, struct object *object, const char *name, const char *raw);
void tree_clear(struct tree *tree, struct object *object);

/* The value of a member as written; "{" alone for an object; empty when there is none. */
struct bytes tree_find(const struct object *object, const char *name);
void tree_write(const struct object *object, struct buffer *to);
