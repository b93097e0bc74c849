#include "domain/domain.h"

#include "base/json.h"
#include "domain/tree_internal.h"
#include "domain/view_internal.h"

static bool begins_object(struct bytes text)
{
    size_t at = 0;
    while (at < text.size_bytes &&
           (text.data[at] == ' ' || text.data[at] == '\t' || text.data[at] == '\n' || text.data[at] == '\r'))
        at++;
    return at < text.size_bytes && text.data[at] == '{';
}

static struct status merge_objects(struct arena *arena, struct bytes target, struct bytes patch,
                                   struct buffer *to)
{
    struct view *view = NULL;
    struct tree tree;
    tree_init(&tree, arena);
    struct object *object = tree_object(&tree);
    if (object != NULL && begins_object(target)) {
        STATUS_TRY(view_parse(arena, target, &view));
        tree_copy(&tree, object, view);
    } else {
        /* RFC 7396 2: a target that is no object counts as an empty one. It must be JSON all the same. */
        struct buffer unused = buffer_in(arena, 0);
        STATUS_TRY(json_compact(arena, target, false, &unused));
    }
    STATUS_TRY(view_parse(arena, patch, &view));
    if (object != NULL && !tree.failed)
        tree_merge(&tree, object, view);
    if (object == NULL || tree.failed)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for merging JSON");
    tree_write(object, to);
    return buffer_status(to);
}

struct status json_merge_patch(struct arena *arena, struct bytes target, struct bytes patch,
                               struct buffer *to)
{
    if (begins_object(patch))
        return merge_objects(arena, target, patch, to);
    struct buffer unused = buffer_in(arena, 0);
    STATUS_TRY(json_compact(arena, target, false, &unused));
    return json_compact(arena, patch, false, to);
}
