#include "domain/domain_internal.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for folding an aggregate");
}

struct status event_data(struct arena *scratch, const struct event_fields *event, const struct view **ret)
{
    static const struct view empty = {0};
    *ret = NULL;
    if (event->content_type.size_bytes > 0 &&
        !bytes_equal(event->content_type, BYTES_LITERAL("application/json")))
        return status_ok();
    if (event->data.size_bytes == 0) {
        *ret = &empty;
        return status_ok();
    }
    struct view *view = NULL;
    const struct status status = view_parse(scratch, event->data, &view);
    if (status.code == STATUS_RESOURCE_EXHAUSTED)
        return status;
    *ret = view;
    return status_ok();
}

/* Whether `to` now holds what `text` says; false when that is not a JSON object or memory is exhausted. */
static bool take_object(struct tree *tree, struct object *to, struct bytes text)
{
    if (text.size_bytes == 0)
        return true;
    CLEANUP(arena_free_at) struct arena *scratch = arena_new(0);
    struct view *view = NULL;
    if (scratch == NULL)
        return false;
    const struct status status = view_parse(scratch, text, &view);
    if (!status_is_ok(&status))
        return false;
    tree_copy(tree, to, view);
    return !tree->failed;
}

static bool take_names(struct fold *fold, struct bytes id, struct bytes type)
{
    fold->id = arena_bytes(fold->arena, id);
    fold->type = arena_bytes(fold->arena, type);
    fold->kind = aggregate_kind_of(type);
    return (fold->id.data != NULL || id.size_bytes == 0) && (fold->type.data != NULL || type.size_bytes == 0);
}

struct fold *fold_new(const struct domain *domain, struct arena *arena, const struct aggregate_state *from)
{
    (void)domain; /* a fold depends on nothing that a configuration says */
    struct fold *fold = arena_zalloc(arena, sizeof *fold);
    if (fold == NULL)
        return NULL;
    fold->arena = arena;
    tree_init(&fold->tree, arena);
    fold->state = tree_object(&fold->tree);
    fold->metadata = tree_object(&fold->tree);
    if (fold->tree.failed)
        return NULL;
    if (from == NULL)
        return fold;
    fold->exists = true;
    fold->active = from->active;
    fold->version = from->version;
    fold->created_at_us = from->created_at_us;
    fold->updated_at_us = from->updated_at_us;
    fold->position = from->position;
    fold->event_count = from->event_count;
    const bool taken = take_names(fold, from->id, from->type) &&
                       take_object(&fold->tree, fold->state, from->state) &&
                       take_object(&fold->tree, fold->metadata, from->metadata);
    return taken ? fold : NULL;
}

static struct status fold_begin(struct fold *fold, const struct event_fields *event)
{
    if (!take_names(fold, event->aggregate_id, event->aggregate_type))
        return no_memory();
    fold->exists = true;
    fold->active = true;
    fold->created_at_us = event->timestamp_us;
    return status_ok();
}

static void replace_object(struct fold *fold, struct object *object, const struct view *with)
{
    tree_clear(&fold->tree, object);
    tree_merge(&fold->tree, object, with); /* leaves null members out */
}

static struct status fold_created(struct fold *fold, struct arena *scratch, const struct event_fields *event,
                                  const struct view *data)
{
    const struct event_fields metadata_as_data = {.data = event->metadata};
    const struct view *metadata = NULL;
    STATUS_TRY(event_data(scratch, &metadata_as_data, &metadata));
    replace_object(fold, fold->state, data);
    if (metadata != NULL)
        replace_object(fold, fold->metadata, metadata);
    return status_ok();
}

static struct status fold_kind(struct fold *fold, struct arena *scratch, enum event_kind event,
                               const struct view *data)
{
    switch (fold->kind) {
    case AGGREGATE_USER:
        return user_fold(fold, scratch, event, data);
    case AGGREGATE_ORDER:
        return order_fold(fold, scratch, event, data);
    case AGGREGATE_PAYMENT:
        return payment_fold(fold, scratch, event, data);
    default:
        if (event == EVENT_CUSTOM)
            tree_merge(&fold->tree, fold->state, data);
        return status_ok();
    }
}

static struct status fold_data(struct fold *fold, enum event_kind kind, const struct event_fields *event)
{
    CLEANUP(arena_free_at) struct arena *scratch = arena_new(0);
    if (scratch == NULL)
        return no_memory();
    const struct view *data = NULL;
    STATUS_TRY(event_data(scratch, event, &data));
    if (data == NULL)
        return status_ok();
    switch (kind) {
    case EVENT_AGGREGATE_CREATED:
        return fold_created(fold, scratch, event, data);
    case EVENT_STATE_REPLACED:
        replace_object(fold, fold->state, data);
        return status_ok();
    case EVENT_METADATA_CHANGED:
        tree_merge(&fold->tree, fold->metadata, data);
        return status_ok();
    default:
        return fold_kind(fold, scratch, kind, data);
    }
}

struct status fold_apply(struct fold *fold, const struct event_fields *event)
{
    if (!fold->exists)
        STATUS_TRY(fold_begin(fold, event));
    fold->version = event->version;
    fold->position = event->position;
    fold->updated_at_us = event->timestamp_us;
    fold->event_count++;
    const enum event_kind kind = event_kind_of(event->type, fold->kind);
    switch (kind) {
    case EVENT_ACTIVATED:
    case EVENT_DEACTIVATED:
        fold->active = kind == EVENT_ACTIVATED;
        return status_ok();
    case EVENT_SYSTEM_OTHER:
        return status_ok();
    case EVENT_CUSTOM:
        if (fold->kind != AGGREGATE_CUSTOM)
            return status_ok(); /* its data would change nothing, so it is not read */
        break;
    default:
        break;
    }
    STATUS_TRY(fold_data(fold, kind, event));
    return fold->tree.failed ? no_memory() : status_ok();
}

bool fold_exists(const struct fold *fold)
{
    return fold->exists;
}

static struct status write_object(struct arena *arena, const struct object *object, struct bytes *ret)
{
    struct buffer text = buffer_in(arena, 0);
    tree_write(object, &text);
    STATUS_TRY(buffer_status(&text));
    *ret = buffer_bytes(&text);
    return status_ok();
}

struct status fold_result_in(const struct fold *fold, struct arena *arena, struct aggregate_state *ret)
{
    struct aggregate_state state = {
        .id = fold->id,
        .type = fold->type,
        .version = fold->version,
        .active = fold->active,
        .created_at_us = fold->created_at_us,
        .updated_at_us = fold->updated_at_us,
        .position = fold->position,
        .event_count = fold->event_count,
    };
    if (fold->tree.failed)
        return no_memory();
    STATUS_TRY(write_object(arena, fold->state, &state.state));
    STATUS_TRY(write_object(arena, fold->metadata, &state.metadata));
    *ret = state;
    return status_ok();
}

struct status fold_result(const struct fold *fold, struct aggregate_state *ret)
{
    return fold_result_in(fold, fold->arena, ret);
}
