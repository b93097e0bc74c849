#include "record/walk.h"

#include <inttypes.h>

struct record_walk record_walk_from(const struct walk_point *before)
{
    return (struct record_walk){.at = *before, .leaves = buffer_make(0)};
}

void record_walk_done(struct record_walk *walk)
{
    buffer_done(&walk->leaves);
}

static struct status wrong(int64_t position, const char *what)
{
    return status_reason(REASON_DAMAGED, "position %" PRId64 ": %s", position, what);
}

struct status record_walk_take(struct record_walk *walk, struct record record,
                               const struct event_fields *fields)
{
    const int64_t position = walk->at.position + 1;
    if (fields->position != position)
        return status_reason(REASON_DAMAGED, "position %" PRId64 " is followed by position %" PRId64,
                             walk->at.position, fields->position);
    if (walk->append_count == 0) {
        if (fields->append_index != 0 || fields->append_count < 1)
            return wrong(position, "it is not the first event of an append");
        if (fields->timestamp_us <= walk->at.timestamp_us)
            return wrong(position, "its time is not after that of the append before it");
        walk->append_count = fields->append_count;
        walk->append_first = position;
        buffer_clear(&walk->leaves);
    } else if (fields->append_index != position - walk->append_first ||
               fields->append_count != walk->append_count || fields->timestamp_us != walk->at.timestamp_us) {
        return wrong(position, "it is not the next event of its append");
    }
    const struct sha256 leaf = record_leaf(record);
    buffer_add(&walk->leaves, &leaf, sizeof leaf);
    STATUS_TRY(buffer_status(&walk->leaves));
    walk->at.position = position;
    walk->at.timestamp_us = fields->timestamp_us;
    if (fields->append_index + 1 < walk->append_count)
        return status_ok();
    walk->at.chain =
        chain_next(&walk->at.chain, walk->append_first,
                   (const struct sha256 *)(const void *)walk->leaves.data, (size_t)walk->append_count);
    walk->append_count = 0;
    return status_ok();
}
