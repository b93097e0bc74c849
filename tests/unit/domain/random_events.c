#include "unit/domain/random_events.h"

#include "support/seeded_entropy.h"

static const char *const event_types[] = {
    "user_created",
    "user_updated",
    "user_deleted",
    "order_created",
    "order_status_changed",
    "order_status_changed",
    "payment_processed",
    "payment_processed",
    "custom",
    "deposit",
    TYPE_AGGREGATE_CREATED,
    TYPE_STATE_REPLACED,
    TYPE_METADATA_CHANGED,
    TYPE_ACTIVATED,
    TYPE_DEACTIVATED,
    "$payload_erased",
};

static const char *const member_names[] = {"user_id",      "order_id",   "payment_id", "status",
                                           "new_status",   "old_status", "email",      "changes",
                                           "st\\u0061tus", "x"};

static const char *const values[] = {
    "null",
    "1.50",
    "-0",
    "\"text\"",
    "\"p\\u0065nding\"",
    "\"pending\"",
    "\"confirmed\"",
    "\"paid\"",
    "\"shipped\"",
    "\"cancelled\"",
    "\"authorized\"",
    "\"completed\"",
    "\"failed\"",
    "\"deleted\"",
    "\"foreign\"",
    "[1,null]",
    "{}",
    "{\"a\":null,\"b\":1}",
    "{\"b\":{\"c\":\"\\u00e9\"}}",
    "[{\"field\":\"email\",\"new_value\":{\"k\":null,\"l\":2}},{\"field\":\"x\"}]",
    "[{\"field\":\"status\",\"new_value\":\"deleted\"},3]",
};

#define PICK(random, table) (table)[random_below(random, ARRAY_SIZE(table))]

static const char *random_data(struct arena *arena, uint64_t *random)
{
    static const char *const unusable[] = {"", "[1]", "{\"a\":", "null"};
    if (random_below(random, 12) == 0)
        return PICK(random, unusable);
    struct buffer text = buffer_in(arena, 0);
    bool used[ARRAY_SIZE(member_names)] = {false};
    const uint64_t count = random_below(random, 5);
    buffer_add_byte(&text, '{');
    size_t written = 0;
    for (uint64_t i = 0; i < count; i++) {
        const size_t name = random_below(random, ARRAY_SIZE(member_names));
        const bool status = name == 3 || name == 8; /* two spellings of one name */
        if (used[status ? 3 : name])
            continue;
        used[status ? 3 : name] = true;
        buffer_printf(&text, "%s\"%s\":%s", written++ == 0 ? "" : ",", member_names[name],
                      PICK(random, values));
    }
    buffer_add_text(&text, "}");
    buffer_add_byte(&text, '\0');
    return (const char *)text.data;
}

struct event_fields random_event(struct arena *arena, uint64_t *random, const char *aggregate_type,
                                 int32_t version)
{
    struct event_fields event = {
        .type = bytes_of_text(PICK(random, event_types)),
        .aggregate_id = BYTES_LITERAL("x-1"),
        .aggregate_type = bytes_of_text(aggregate_type),
        .version = version,
        .position = version * 3 + 1,
        .timestamp_us = version * 7,
        .data = bytes_of_text(random_data(arena, random)),
        .metadata = bytes_of_text(random_data(arena, random)),
    };
    if (random_below(random, 15) == 0)
        event.content_type = BYTES_LITERAL("image/png");
    return event;
}
