#include "tangle_internal.h"

#include <stdlib.h>

#include "embedded_internal.h"

#define WINDOW_POSITIONS 16384 /* looked at together: so many of each list at most */

struct span {
    struct layer_list list;
    int64_t first;
    int64_t last;
};

struct spans {
    struct span *items; /* ascending by their first position */
    size_t count;
    size_t capacity;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to read by a tag");
}

static struct status add_span(struct embedded_store *store, struct spans *spans, const struct view_run *run,
                              const struct run_key *entry)
{
    if (spans->count == spans->capacity) {
        const size_t capacity = spans->capacity == 0 ? 8 : spans->capacity * 2;
        struct span *items = realloc(spans->items, capacity * sizeof *items);
        if (items == NULL)
            return no_memory();
        spans->items = items;
        spans->capacity = capacity;
    }
    struct span *span = &spans->items[spans->count];
    *span =
        (struct span){layer_list_of_run(run, entry), entry->list.last_position, entry->list.last_position};
    if (span->list.count > 1)
        STATUS_TRY(layer_list_read(store, &span->list, 0, &span->first, 1));
    spans->count++;
    return status_ok();
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *one = a;
    const struct span *other = b;
    return one->first < other->first ? -1 : one->first > other->first;
}

static struct status collect(struct embedded_store *store, struct spans *spans, const struct view_run *run,
                             const struct key *key)
{
    struct run_entries entries = run_entries_of(run, key, false);
    for (;;) {
        struct run_key entry;
        bool more = false;
        STATUS_TRY(run_entries_next(store, &entries, &entry, &more));
        if (!more)
            break;
        STATUS_TRY(add_span(store, spans, run, &entry));
    }
    if (spans->count > 1)
        qsort(spans->items, spans->count, sizeof *spans->items, compare_spans);
    return status_ok();
}

/* ---- lists that lie among each other ---- */

static int compare_positions(const void *a, const void *b)
{
    const int64_t one = *(const int64_t *)a;
    const int64_t other = *(const int64_t *)b;
    return one < other ? -1 : one > other;
}

/* All positions of first … last, each once. `positions` has room for a window of each list. */
static struct status gather(struct embedded_store *store, const struct span *spans, size_t count,
                            int64_t first, int64_t last, int64_t *positions, size_t *ret_count)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t from = 0;
        uint32_t end = 0;
        STATUS_TRY(layer_list_behind(store, &spans[i].list, first - 1, &from));
        STATUS_TRY(layer_list_behind(store, &spans[i].list, last, &end));
        STATUS_TRY(layer_list_read(store, &spans[i].list, from, positions + used, end - from));
        used += end - from;
    }
    qsort(positions, used, sizeof *positions, compare_positions);
    *ret_count = 0;
    for (size_t i = 0; i < used; i++)
        if (i == 0 || positions[i] != positions[i - 1])
            positions[(*ret_count)++] = positions[i];
    return status_ok();
}

static struct status walk_windows(struct embedded_store *store, const struct span *spans, size_t count,
                                  int64_t first, int64_t last, bool backward, int64_t *positions,
                                  const struct tangle_sink *sink)
{
    for (int64_t done = 0; done <= last - first && !sink->ended(sink->context); done += WINDOW_POSITIONS) {
        const int64_t low = backward ? last - done - WINDOW_POSITIONS + 1 : first + done;
        const int64_t high = backward ? last - done : first + done + WINDOW_POSITIONS - 1;
        size_t found = 0;
        STATUS_TRY(gather(store, spans, count, low < first ? first : low, high > last ? last : high,
                          positions, &found));
        STATUS_TRY(sink->positions(sink->context, positions, found));
    }
    return status_ok();
}

static struct status walk_tangle(struct embedded_store *store, const struct span *spans, size_t count,
                                 int64_t last, const struct read_query *query, const struct tangle_sink *sink)
{
    const int64_t from = spans[0].first > query->after_position ? spans[0].first : query->after_position + 1;
    const int64_t to = last < query->to_position ? last : query->to_position;
    int64_t *positions = malloc(count * WINDOW_POSITIONS * sizeof *positions);
    if (positions == NULL)
        return no_memory();
    const struct status status =
        walk_windows(store, spans, count, from, to, query->backward, positions, sink);
    free(positions);
    return status;
}

/* ---- all lists ---- */

/* How many spans from `at` on, or down from it, lie among each other. */
static size_t cluster_forward(const struct spans *spans, size_t at, int64_t *ret_last)
{
    size_t end = at + 1;
    *ret_last = spans->items[at].last;
    while (end < spans->count && spans->items[end].first <= *ret_last) {
        if (spans->items[end].last > *ret_last)
            *ret_last = spans->items[end].last;
        end++;
    }
    return end - at;
}

static struct status walk_cluster(struct embedded_store *store, const struct spans *spans, size_t at,
                                  size_t count, int64_t last, const struct read_query *query,
                                  const struct tangle_sink *sink)
{
    if (count == 1)
        return sink->list(sink->context, &spans->items[at].list);
    return walk_tangle(store, &spans->items[at], count, last, query, sink);
}

static struct status walk_forward(struct embedded_store *store, const struct spans *spans,
                                  const struct read_query *query, const struct tangle_sink *sink)
{
    for (size_t at = 0; at < spans->count && !sink->ended(sink->context);) {
        int64_t last = 0;
        const size_t count = cluster_forward(spans, at, &last);
        STATUS_TRY(walk_cluster(store, spans, at, count, last, query, sink));
        at += count;
    }
    return status_ok();
}

/* Clusters are found from the oldest on, so the newest is found by walking up to it: once each, in a scratch of their ends. */
static struct status walk_backward(struct embedded_store *store, const struct spans *spans,
                                   const struct read_query *query, const struct tangle_sink *sink)
{
    size_t *begins = malloc((spans->count + 1) * sizeof *begins);
    size_t clusters = 0;
    int64_t last = 0;
    if (begins == NULL)
        return no_memory();
    for (size_t at = 0; at < spans->count; at += cluster_forward(spans, at, &last))
        begins[clusters++] = at;
    struct status status = status_ok();
    while (clusters-- > 0 && status.code == STATUS_OK && !sink->ended(sink->context)) {
        const size_t count = cluster_forward(spans, begins[clusters], &last);
        status = walk_cluster(store, spans, begins[clusters], count, last, query, sink);
    }
    free(begins);
    return status;
}

struct status tangle_walk(struct embedded_store *store, const struct view_run *run, const struct key *key,
                          const struct read_query *query, const struct tangle_sink *sink)
{
    struct spans spans = {0};
    struct status status = collect(store, &spans, run, key);
    if (status.code == STATUS_OK)
        status = query->backward ? walk_backward(store, &spans, query, sink)
                                 : walk_forward(store, &spans, query, sink);
    free(spans.items);
    return status;
}
