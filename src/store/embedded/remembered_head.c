#include "store/embedded/remembered_head.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "state_db_internal.h"

struct status remembered_head_read(struct files *files, const char *store_id,
                                   const struct store_identity *identity, const struct clock *clock,
                                   const struct entropy *entropy, struct remembered_head *ret)
{
    CLEANUP(state_db_close_at) struct state_db *state = NULL;
    STATUS_TRY(state_db_open(files, store_id, identity, STATE_READ_ONLY, clock, entropy, &state));
    return state_db_head_get(state, ret);
}

bool remembered_head_is(const struct remembered_head *remembered, const struct log_end *end)
{
    return end->position == remembered->position &&
           memcmp(&end->chain, &remembered->chain, sizeof end->chain) == 0;
}

static bool ends_before(const struct log_scan_result *found, const struct remembered_head *remembered)
{
    if (found->end.position != remembered->position)
        return found->end.position < remembered->position;
    if (found->last.first_position != remembered->segment)
        return found->last.first_position < remembered->segment;
    return found->last.end_offset < remembered->end_offset;
}

bool remembered_head_differs(const struct remembered_head *remembered, bool seen,
                             const struct log_scan_result *found, char *ret, size_t size)
{
    const struct scanned_segment *last = &found->last;
    if (ends_before(found, remembered)) {
        snprintf(ret, size,
                 "history ends at position %" PRId64 " (segment %020" PRId64 ", offset %" PRIu64
                 "), it was at %" PRId64 " (segment %020" PRId64 ", offset %" PRIu64 ")",
                 found->end.position, last->first_position, last->end_offset, remembered->position,
                 remembered->segment, remembered->end_offset);
        return true;
    }
    if (!seen && remembered->position > 0) {
        snprintf(ret, size, "the events up to position %" PRId64 " are not those that were stored",
                 remembered->position);
        return true;
    }
    if (!remembered->clean)
        return false;
    if (found->end.position != remembered->position || last->first_position != remembered->segment ||
        last->end_offset != remembered->end_offset) {
        snprintf(ret, size,
                 "history goes on to position %" PRId64 " after the clean stop at %" PRId64
                 ", so log/ and state/ are not of one time",
                 found->end.position, remembered->position);
        return true;
    }
    if (last->dirty_end != last->end_offset) {
        snprintf(ret, size,
                 "segment %020" PRId64 " has bytes at offset %" PRIu64 ", where it was stopped cleanly",
                 last->first_position, last->end_offset);
        return true;
    }
    return false;
}
