#include "creations_internal.h"

#include <stdlib.h>

#include "embedded_internal.h"

#define PIECE 32U

/* One type's list, and the piece of it that is being merged. */
struct creation_list {
    struct layer_list list;
    uint32_t next; /* the first number behind the piece */
    uint32_t piece_from;
    uint32_t piece_count;
    int64_t piece[PIECE];
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list aggregates");
}

static bool add_list(struct creations *creations, const struct layer_list *list)
{
    if (creations->count == creations->capacity) {
        const size_t capacity = creations->capacity == 0 ? 4 : creations->capacity * 2;
        struct creation_list *lists = realloc(creations->lists, capacity * sizeof *lists);
        if (lists == NULL)
            return false;
        creations->lists = lists;
        creations->capacity = capacity;
    }
    struct creation_list *added = &creations->lists[creations->count++];
    added->list = *list;
    added->next = 0;
    added->piece_from = 0;
    added->piece_count = 0;
    return true;
}

static bool collect(void *context, enum part_term_kind kind, struct bytes text,
                    const struct posting_list *list)
{
    struct creations *creations = context;
    (void)text;
    if (kind != PART_CREATED)
        return true;
    const struct layer_list found = {.count = list->count, .part = creations->part, .in_file = *list};
    creations->failed = !add_list(creations, &found);
    return !creations->failed;
}

static struct status collect_lists(struct creations *creations, struct bytes type)
{
    if (type.size_bytes == 0) {
        const struct status status = part_terms(creations->part->part, collect, creations);
        if (status.code != STATUS_OK)
            return embedded_index_trouble(creations->store, &status);
        return creations->failed ? no_memory() : status_ok();
    }
    const struct key key = {.by = READ_BY_AGGREGATE_TYPE, .created = true, .text = type};
    struct layer_list list;
    STATUS_TRY(layer_list_of_part(creations->store, creations->part, &key, &list));
    return list.count == 0 || add_list(creations, &list) ? status_ok() : no_memory();
}

struct status creations_open(struct creations *creations, struct embedded_store *store,
                             const struct view_part *part, struct bytes type, int64_t after)
{
    *creations = (struct creations){.store = store, .part = part};
    STATUS_TRY(collect_lists(creations, type));
    for (size_t i = 0; i < creations->count; i++)
        STATUS_TRY(layer_list_behind(store, &creations->lists[i].list, after, &creations->lists[i].next));
    return status_ok();
}

void creations_close(struct creations *creations)
{
    free(creations->lists);
    creations->lists = NULL;
}

/* The next position of one list; 0 at its end. */
static struct status peek(struct creations *creations, struct creation_list *list, int64_t *ret)
{
    *ret = 0;
    if (list->piece_from == list->piece_count) {
        const uint32_t left = list->list.count - list->next;
        list->piece_from = 0;
        list->piece_count = left < PIECE ? left : PIECE;
        STATUS_TRY(
            layer_list_read(creations->store, &list->list, list->next, list->piece, list->piece_count));
        list->next += list->piece_count;
    }
    if (list->piece_from < list->piece_count)
        *ret = list->piece[list->piece_from];
    return status_ok();
}

/* A look at each: a segment has few aggregate types. */
struct status creations_next(struct creations *creations, int64_t *ret_position)
{
    struct creation_list *least = NULL;
    *ret_position = 0;
    for (size_t i = 0; i < creations->count; i++) {
        int64_t position = 0;
        STATUS_TRY(peek(creations, &creations->lists[i], &position));
        if (position == 0 || (least != NULL && position > *ret_position))
            continue;
        least = &creations->lists[i];
        *ret_position = position;
    }
    if (least != NULL)
        least->piece_from++;
    return status_ok();
}
