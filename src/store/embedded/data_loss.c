#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "embedded_internal.h"

#define LOSS_AGGREGATE      "$data_losses"
#define LOSS_AGGREGATE_TYPE "$data_losses"
#define LOSS_TYPE           "$data_loss_accepted"

static void note_answer(void *context, const struct status *status)
{
    *(struct status *)context = *status;
}

/*
 * The event takes the position of a lost one: who had read further sees it there and can tell. It is the
 * store's own word about itself, hence written here and not by the writer, which starts later.
 */
struct status embedded_record_loss(struct embedded_store *store)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to record the loss");
    struct aggregate_head former = {0};
    STATUS_TRY(embedded_aggregate(&store->store, BYTES_LITERAL(LOSS_AGGREGATE), arena, &former));
    const int64_t now_us = clock_now_us(store->clock);
    char id[UUID_TEXT_BYTES];
    char data[128];
    uint8_t salt[RECORD_SALT_BYTES];
    uuid_v7(now_us, store->entropy, id);
    entropy_fill(store->entropy, salt, sizeof salt);
    snprintf(data, sizeof data, "{\"history_ended_at\":\"%" PRId64 "\",\"it_was_at\":\"%" PRId64 "\"}",
             store->head.position, store->lost_position);
    const int64_t after_last_us = store->head.timestamp_us + 1;
    struct event_fields fields = {
        .id = bytes_of_text(id),
        .type = BYTES_LITERAL(LOSS_TYPE),
        .aggregate_id = BYTES_LITERAL(LOSS_AGGREGATE),
        .aggregate_type = BYTES_LITERAL(LOSS_AGGREGATE_TYPE),
        .version = former.exists ? former.version + 1 : 1,
        .position = store->head.position + 1,
        .timestamp_us = now_us > after_last_us ? now_us : after_last_us,
        .append_id = bytes_of_text(id),
        .append_count = 1,
        .data = bytes_of_text(data),
        .salt = bytes_of(salt, sizeof salt),
    };
    struct buffer buffer = buffer_make(0);
    struct record record = {0};
    record_encode(&fields, &buffer, &record.header_bytes);
    struct status status = buffer_status(&buffer);
    if (status.code == STATUS_OK) {
        record.bytes = buffer_bytes(&buffer);
        const struct sha256 leaf = record_leaf(record);
        const struct commit_append append = {
            .first_position = fields.position,
            .records = &record,
            .fields = &fields,
            .count = 1,
            .chain_after = chain_next(&store->head.chain, fields.position, &leaf, 1),
        };
        const struct commit_batch batch = {
            .before = store->head,
            .after = {fields.position, fields.timestamp_us, append.chain_after,
                      store->head.aggregate_count + (former.exists ? 0 : 1)},
            .appends = &append,
            .append_count = 1,
            .record_count = 1,
            .record_bytes = record.bytes.size_bytes,
        };
        embedded_commit(&store->store, &batch, note_answer, &status); /* no threads yet: answered on return */
    }
    buffer_done(&buffer);
    return status;
}
