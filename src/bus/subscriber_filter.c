#include "base/text.h"
#include "bus/subscriber_internal.h"

static bool is_pattern(struct bytes entry)
{
    return entry.size_bytes > 0 && entry.data[entry.size_bytes - 1] == '*';
}

static bool entry_has(struct bytes entry, struct bytes name)
{
    if (!is_pattern(entry))
        return bytes_equal(entry, name);
    const struct bytes beginning = bytes_of(entry.data, entry.size_bytes - 1);
    const bool system = name.size_bytes > 0 && name.data[0] == '$';
    return (!system || entry.data[0] == '$') && name.size_bytes >= beginning.size_bytes &&
           bytes_equal(beginning, bytes_of(name.data, beginning.size_bytes));
}

bool patterns_have(struct bytes_list patterns, struct bytes name)
{
    for (size_t i = 0; i < patterns.count; i++)
        if (entry_has(patterns.items[i], name))
            return true;
    return patterns.count == 0;
}

static bool has_pattern(struct bytes_list list)
{
    for (size_t i = 0; i < list.count; i++)
        if (is_pattern(list.items[i]))
            return true;
    return false;
}

bool filter_has_patterns(const struct filter *filter)
{
    return has_pattern(filter->types) || has_pattern(filter->aggregate_types);
}

bool filter_matches(const struct filter *filter, const struct event_fields *header)
{
    return patterns_have(filter->types, header->type) &&
           patterns_have(filter->aggregate_types, header->aggregate_type);
}

void filter_query(const struct filter *filter, struct query_item *item, struct event_query *ret)
{
    *item = (struct query_item){.aggregate_ids = filter->aggregate_ids};
    if (!has_pattern(filter->types))
        item->types = filter->types;
    if (!has_pattern(filter->aggregate_types))
        item->aggregate_types = filter->aggregate_types;
    const bool all = item->aggregate_ids.count + item->types.count + item->aggregate_types.count == 0;
    *ret = (struct event_query){item, all ? 0 : 1};
}

static struct status copy_list(struct arena *arena, const char *field, struct bytes_list from,
                               struct bytes_list *ret)
{
    if (from.count > BUS_PATTERNS_MAX)
        return status_reason(REASON_INVALID_FIELD, "%s has %zu entries; give at most %u", field, from.count,
                             BUS_PATTERNS_MAX);
    struct bytes *items = arena_array(arena, from.count, sizeof *items);
    for (size_t i = 0; i < from.count; i++) {
        STATUS_TRY(id_check(field, from.items[i], ID_SYSTEM_ALLOWED));
        if (items != NULL)
            items[i] = arena_bytes(arena, from.items[i]);
        if (items == NULL || items[i].data == NULL)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for another subscriber; end some");
    }
    *ret = (struct bytes_list){items, from.count};
    return status_ok();
}

struct status filter_copy(struct arena *arena, const struct bus_subscribe_options *options,
                          struct filter *ret)
{
    STATUS_TRY(copy_list(arena, "types", options->types, &ret->types));
    STATUS_TRY(copy_list(arena, "aggregate_types", options->aggregate_types, &ret->aggregate_types));
    return copy_list(arena, "aggregate_ids", options->aggregate_ids, &ret->aggregate_ids);
}
