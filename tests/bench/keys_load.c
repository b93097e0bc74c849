#include "keys_load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <strata/v1/event_service.pb-c.h>

#include "base/entropy.h"

#define KINDS      8
#define EVENTS_MAX 3U
#define TEXT_BYTES 64U
#define FIRST_MS   INT64_C(1767225600000) /* of ids of version 7: the beginning of 2026 */
#define PER_MS     64                     /* appends whose ids have one time */

enum key_kind { NAMED, EVENT_ID = 5, EVENT_ID_TIMED = 6, NAMED_TWO = 7 };

/* One event with the memory of its texts. */
struct key_event {
    Strata__V1__NewEvent event;
    char id[UUID_TEXT_BYTES];
    char aggregate_id[TEXT_BYTES];
    char data[TEXT_BYTES];
};

static enum key_kind kind_of(int64_t number)
{
    const int64_t turn = number % KINDS;
    return turn < EVENT_ID ? NAMED : (enum key_kind)turn;
}

static uint32_t count_of(int64_t number)
{
    return kind_of(number) == NAMED_TWO ? 2 : 1;
}

bool keys_brings_ids(int64_t number)
{
    return kind_of(number) == EVENT_ID || kind_of(number) == EVENT_ID_TIMED;
}

int64_t keys_events_before(int64_t number)
{
    return number + number / KINDS;
}

static void put_name(int64_t number, char name[TEXT_BYTES])
{
    (void)snprintf(name, TEXT_BYTES, "key-%" PRId64, number);
}

/* What the contract says of derived ids: version 5 of append_id, NUL, index. Ids that are brought look alike. */
static void put_id(int64_t number, uint32_t index, char id[UUID_TEXT_BYTES])
{
    char name[TEXT_BYTES];
    put_name(number, name);
    const size_t size = strlen(name) + 1;
    (void)snprintf(name + size, sizeof name - size, "%u", index);
    uuid_v5_oid(bytes_of(name, size + strlen(name + size)), id);
    if (kind_of(number) != EVENT_ID_TIMED)
        return;
    char time[16];
    (void)snprintf(time, sizeof time, "%012" PRIx64, (uint64_t)(FIRST_MS + number / PER_MS));
    memcpy(id, time, 8);
    memcpy(id + 9, time + 8, 4);
    id[14] = '7';
}

static void put_aggregate_id(int64_t position, int64_t aggregates, char id[TEXT_BYTES])
{
    (void)snprintf(id, TEXT_BYTES, "k-%" PRId64, (position - 1) % aggregates);
}

static void event_make(struct key_event *made, int64_t position, int64_t aggregates)
{
    strata__v1__new_event__init(&made->event);
    put_aggregate_id(position, aggregates, made->aggregate_id);
    (void)snprintf(made->data, sizeof made->data, "{\"n\":%" PRId64 "}", position);
    made->event.type = made->event.aggregate_type = (char *)"custom";
    made->event.aggregate_id = made->aggregate_id;
    made->event.data.data = (uint8_t *)made->data;
    made->event.data.len = strlen(made->data);
}

static void event_bring_id(struct key_event *made, int64_t number, uint32_t index)
{
    put_id(number, index, made->id);
    made->event.id = made->id;
}

static void event_change_data(struct key_event *made)
{
    made->event.data.len--;
    memcpy(made->data + made->event.data.len, ",\"other\":true}", sizeof ",\"other\":true}");
    made->event.data.len = strlen(made->data);
}

static void request_pack(Strata__V1__AppendEventsRequest *append, struct buffer *to)
{
    Strata__V1__AppendStreamRequest request = STRATA__V1__APPEND_STREAM_REQUEST__INIT;
    request.append = append;
    buffer_clear(to);
    uint8_t *at = buffer_extend(to, strata__v1__append_stream_request__get_packed_size(&request));
    if (at != NULL)
        (void)strata__v1__append_stream_request__pack(&request, at);
}

void keys_put_request(int64_t number, int64_t aggregates, enum key_change change, struct buffer *to)
{
    struct key_event made[EVENTS_MAX];
    Strata__V1__NewEvent *events[EVENTS_MAX];
    Strata__V1__AppendEventsRequest append = STRATA__V1__APPEND_EVENTS_REQUEST__INIT;
    char name[TEXT_BYTES];
    put_name(number, name);
    if (!keys_brings_ids(number))
        append.append_id = name;

    uint32_t count = 0;
    if (change == KEY_OTHER_FIRST) {
        event_make(&made[0], keys_events_before(number) + 1, aggregates);
        event_bring_id(&made[0], number, 1000);
        count = 1;
    }
    uint32_t own = count_of(number);
    if (change == KEY_OTHER_COUNT)
        own = own == 2 ? 1 : 2;
    for (uint32_t i = 0; i < own; i++, count++) {
        event_make(&made[count], keys_events_before(number) + i + 1, aggregates);
        if (keys_brings_ids(number))
            event_bring_id(&made[count], number, i);
    }
    if (change == KEY_OTHER_DATA)
        event_change_data(&made[count - 1]);
    for (uint32_t i = 0; i < count; i++)
        events[i] = &made[i].event;
    append.n_events = count;
    append.events = events;
    request_pack(&append, to);
}

void keys_put_answer(int64_t number, int64_t aggregates, int64_t sequence, int64_t timestamp_us,
                     bool replayed, struct buffer *to)
{
    const uint32_t count = count_of(number);
    char name[TEXT_BYTES];
    char ids[2][UUID_TEXT_BYTES];
    char aggregate_ids[2][TEXT_BYTES];
    char *id_list[2];
    Strata__V1__AggregateHead heads[2];
    Strata__V1__AggregateHead *head_list[2];
    for (uint32_t i = 0; i < count; i++) {
        const int64_t position = keys_events_before(number) + i + 1;
        put_id(number, i, ids[i]);
        id_list[i] = ids[i];
        strata__v1__aggregate_head__init(&heads[i]);
        put_aggregate_id(position, aggregates, aggregate_ids[i]);
        heads[i].aggregate_id = aggregate_ids[i];
        heads[i].version = (int32_t)((position - 1) / aggregates + 1);
        heads[i].position = position;
        head_list[i] = &heads[i];
    }
    put_name(number, name);
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.seconds = timestamp_us / 1000000;
    time.nanos = (int32_t)(timestamp_us % 1000000) * 1000;
    Strata__V1__AppendEventsResponse appended = STRATA__V1__APPEND_EVENTS_RESPONSE__INIT;
    appended.append_id = keys_brings_ids(number) ? ids[0] : name;
    appended.first_position = keys_events_before(number) + 1;
    appended.last_position = keys_events_before(number) + count;
    appended.timestamp = &time;
    appended.n_heads = appended.n_event_ids = count;
    appended.heads = head_list;
    appended.event_ids = id_list;
    appended.replayed = replayed;
    Strata__V1__AppendStreamResponse answer = STRATA__V1__APPEND_STREAM_RESPONSE__INIT;
    answer.sequence = sequence;
    answer.outcome_case = STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_APPENDED;
    answer.appended = &appended;
    buffer_clear(to);
    uint8_t *at = buffer_extend(to, strata__v1__append_stream_response__get_packed_size(&answer));
    if (at != NULL)
        (void)strata__v1__append_stream_response__pack(&answer, at);
}
