#include "record/query.h"

static bool list_has(struct bytes_list list, struct bytes wanted)
{
    for (size_t i = 0; i < list.count; i++)
        if (bytes_equal(list.items[i], wanted))
            return true;
    return false;
}

static bool list_has_prefix_of(struct bytes_list list, struct bytes text)
{
    for (size_t i = 0; i < list.count; i++)
        if (list.items[i].size_bytes <= text.size_bytes &&
            bytes_equal(list.items[i], bytes_of(text.data, list.items[i].size_bytes)))
            return true;
    return false;
}

static bool has_all_tags(struct bytes_list wanted, const struct event_fields *fields)
{
    const struct bytes_list own = {fields->tags, fields->tag_count};
    for (size_t i = 0; i < wanted.count; i++)
        if (!list_has(own, wanted.items[i]))
            return false;
    return true;
}

bool query_item_matches(const struct query_item *item, const struct event_fields *fields)
{
    return (item->types.count == 0 || list_has(item->types, fields->type)) &&
           (item->aggregate_types.count == 0 || list_has(item->aggregate_types, fields->aggregate_type)) &&
           (item->aggregate_ids.count == 0 || list_has(item->aggregate_ids, fields->aggregate_id)) &&
           (item->aggregate_id_prefixes.count == 0 ||
            list_has_prefix_of(item->aggregate_id_prefixes, fields->aggregate_id)) &&
           (item->correlation_id.size_bytes == 0 ||
            bytes_equal(item->correlation_id, fields->correlation_id)) &&
           has_all_tags(item->tags, fields);
}

bool query_matches(const struct event_query *query, const struct event_fields *fields)
{
    if (query->count == 0)
        return true;
    for (size_t i = 0; i < query->count; i++)
        if (query_item_matches(&query->items[i], fields))
            return true;
    return false;
}
