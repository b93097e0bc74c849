#include "bus/read_plan.h"

static void plan_with(struct read_query *ret, enum read_by by, struct bytes key)
{
    ret->by = by;
    ret->key = key;
}

void read_plan_item(const struct query_item *item, struct read_query *ret)
{
    ret->by = READ_BY_POSITION;
    ret->key = BYTES_NONE;
    if (item->aggregate_ids.count == 1)
        plan_with(ret, READ_BY_AGGREGATE, item->aggregate_ids.items[0]);
    else if (item->correlation_id.size_bytes > 0)
        plan_with(ret, READ_BY_CORRELATION, item->correlation_id);
    else if (item->tags.count > 0)
        plan_with(ret, READ_BY_TAG, item->tags.items[0]);
    else if (item->types.count == 1)
        plan_with(ret, READ_BY_TYPE, item->types.items[0]);
    else if (item->aggregate_types.count == 1)
        plan_with(ret, READ_BY_AGGREGATE_TYPE, item->aggregate_types.items[0]);
}

void read_plan_query(const struct event_query *query, struct read_query *ret)
{
    if (query->count == 1) {
        read_plan_item(&query->items[0], ret);
        return;
    }
    ret->by = READ_BY_POSITION;
    ret->key = BYTES_NONE;
}
