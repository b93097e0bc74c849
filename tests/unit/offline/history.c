#include "history.h"

#include "support/cmocka.h"

#include "contract/store_driver.h"
#include "store/memory/memory_store.h"

#define OF(...)                                                                                              \
    (const struct append_event[])                                                                            \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static void append(struct store_driver *driver, const struct append_event *events, size_t count)
{
    const struct append one = sample_append(events, count);
    manual_clock_advance_ms(&driver->clock, 3);
    assert_int_equal(store_driver_append(driver, &one).kind, APPEND_ACCEPTED);
}

void history_write(struct event_store *store, struct store_head *ret_head)
{
    struct store_driver driver;
    store_driver_init(&driver, store);
    struct append_event tagged = sample_event("e3", "order-1", "order_created", "order");
    tagged.tags[0] = BYTES_LITERAL("region:eu");
    tagged.tag_count = 1;
    tagged.data = BYTES_LITERAL("{\"order_id\":\"order-1\",\"total\":10.10}");
    tagged.metadata = BYTES_LITERAL("{\"by\":\"me\"}");
    tagged.has_occurred_at = true;
    tagged.occurred_at_us = STORE_DRIVER_START_US - 5;
    append(&driver, OF(sample_event("e1", "user-1", TYPE_AGGREGATE_CREATED, "user")), 1);
    append(&driver,
           OF(sample_event("e2", "user-1", "user_updated", "user"), tagged,
              sample_event("e4", "user-1", "user_updated", "user")),
           3);
    append(&driver, OF(sample_event("e5", "ledger", "custom", "custom")), 1);
    append(&driver,
           OF(sample_event("e6", "ledger", "custom", "custom"),
              sample_event("e7", "order-1", "order_paid", "order")),
           2);
    *ret_head = store_driver_head(&driver);
    store_driver_done(&driver);
}

static bool keep_record(void *context, int64_t position, struct record record)
{
    struct history *history = context;
    assert_int_equal(position, history->count + 1);
    history->records[history->count] = arena_bytes(history->arena, record.bytes);
    assert_non_null(history->records[history->count].data);
    history->count++;
    return history->count < HISTORY_MAX;
}

void history_init(struct history *history)
{
    struct event_store *store = NULL;
    *history = (struct history){.arena = arena_new(0)};
    assert_non_null(history->arena);
    assert_status_ok(memory_store_open(&system_clock, &store));
    history_write(store, &history->head);
    const struct read_query all = {.by = READ_BY_POSITION, .to_version = INT32_MAX};
    assert_status_ok(store->ops->read(store, &all, keep_record, history));
    assert_int_equal(history->count, history->head.position);
    event_store_close(store);
}

void history_done(struct history *history)
{
    arena_free(history->arena);
}

struct bytes history_encoded(struct history *history, const struct event_fields *fields)
{
    struct buffer buffer = buffer_in(history->arena, 0);
    size_t header_bytes = 0;
    record_encode(fields, &buffer, &header_bytes);
    assert_status_ok(buffer_status(&buffer));
    return buffer_bytes(&buffer);
}

struct bytes history_changed(struct history *history, size_t place,
                             void (*change)(struct event_fields *fields))
{
    struct record record;
    struct event_fields fields;
    assert_status_ok(record_split(history->records[place], &record));
    assert_status_ok(record_decode(record, &fields));
    fields.payload_digest = BYTES_NONE;
    change(&fields);
    return history_encoded(history, &fields);
}
