/* The index against a list of events that is searched from end to end: whole histories, pieces of one, before and after
 * taking back. */
#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/event_index.h"
#include "store/event_index_internal.h"

#define EVENTS     1500
#define AGGREGATES 300
#define FAR        INT64_C(5000000000) /* positions beyond 32 bits */

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33U) % bound;
}

/* ---- the history ---- */

/* Every way in which a text can be kept: as a UUID, nearly one, short, long. */
static void name(char ret[320], const char *kind, int number)
{
    switch (number % 5) {
    case 0:
        (void)snprintf(ret, 320, "%08x-0000-7000-8abc-%.2s%010d", (unsigned)number,
                       kind[0] == 'e' ? "ee" : "aa", number);
        return;
    case 1: /* capitals: not the usual form */
        (void)snprintf(ret, 320, "%08X-0000-7000-8ABC-%.2s%010d", (unsigned)number + 0xA0000000U,
                       kind[0] == 'e' ? "EE" : "AA", number);
        return;
    case 2: /* a letter too far, a hyphen astray */
        (void)snprintf(ret, 320,
                       number % 2 == 0 ? "%08x-0000-7000-8abc-g%.1s%010d" : "%07x-00000-7000-8abc-a%.1s%010d",
                       (unsigned)number, kind, number);
        return;
    case 3:
        (void)snprintf(ret, 320, "%s%d-%0*d", kind, number, number % 50 == 3 ? 300 : 2, 0);
        return;
    default:
        (void)snprintf(ret, 320, "%s%d", kind, number);
    }
}

struct happened {
    char id[320];
    char aggregate_id[320];
    char correlation_id[320];
    char tags[2][16];
    struct event_fields fields;
    bool first;
};

static struct happened history[EVENTS]; /* positions origin + 1 … */
static int64_t origin;

static void make_history(int64_t from)
{
    static int32_t versions[AGGREGATES];
    static bool known[AGGREGATES];
    static const char *const types[] = {"changed", "$aggregate_created", "$activated", "added"};
    static const char *const aggregate_types[] = {"user", "order", "0e0e0e0e-0000-4000-8000-0123456789ab"};
    memset(versions, 0, sizeof versions);
    memset(known, 0, sizeof known);
    origin = from;
    for (int i = 0; i < EVENTS; i++) {
        struct happened *event = &history[i];
        /* One aggregate has most events; most others few. */
        const uint32_t which = random_below(3) == 0 ? 0 : random_below(AGGREGATES);
        const bool created = !known[which] && random_below(2) == 0;
        event->first = !known[which];
        known[which] = true;
        name(event->id, "event", i);
        name(event->aggregate_id, "aggregate", (int)which);
        name(event->correlation_id, "correlation", (int)random_below(40));
        (void)snprintf(event->tags[0], sizeof event->tags[0], "tag%u", random_below(5));
        (void)snprintf(event->tags[1], sizeof event->tags[1], "tag%d", 5 + i);
        event->fields = (struct event_fields){
            .id = bytes_of_text(event->id),
            .type = bytes_of_text(types[created ? 1 : random_below(3) + (random_below(2) == 0 ? 1 : 0)]),
            .aggregate_id = bytes_of_text(event->aggregate_id),
            .aggregate_type = bytes_of_text(aggregate_types[which % 3]),
            .version = created ? 0 : ++versions[which],
            .position = origin + 1 + i,
            .timestamp_us = 1000 + i / 3 * 10,
            .tag_count = random_below(3),
        };
        event->fields.tags[0] = bytes_of_text(event->tags[0]);
        event->fields.tags[1] = bytes_of_text(event->tags[1]);
        if (random_below(2) == 0)
            event->fields.correlation_id = bytes_of_text(event->correlation_id);
    }
}

static struct event_index *new_piece(int begin)
{
    const struct event_index_options options = {
        .seed = random_state, .base_position = origin + begin, .expected_events = begin % 2 == 0 ? 0 : 100};
    struct event_index *index = event_index_new(&options);
    assert_non_null(index);
    return index;
}

/* In additions of several sizes. A whole history may leave it to the table who is first. */
static void add_piece(struct event_index *index, int begin, int end)
{
    static struct event_fields fields[EVENTS];
    static bool firsts[EVENTS];
    for (int at = begin; at < end;) {
        int count = 1 + (int)random_below(200);
        count = count < end - at ? count : end - at;
        for (int i = 0; i < count; i++) {
            fields[i] = history[at + i].fields;
            firsts[i] = history[at + i].first;
        }
        const bool whole = event_index_base_position(index) == 0 && random_below(2) == 0;
        assert_status_ok(event_index_add(index, fields, whole ? NULL : firsts, (size_t)count));
        at += count;
    }
}

/* ---- what the model says ---- */

static bool has_key(const struct happened *event, enum read_by by, struct bytes key)
{
    const struct event_fields *fields = &event->fields;
    switch (by) {
    case READ_BY_AGGREGATE:
        return bytes_equal(fields->aggregate_id, key);
    case READ_BY_TYPE:
        return bytes_equal(fields->type, key);
    case READ_BY_AGGREGATE_TYPE:
        return bytes_equal(fields->aggregate_type, key);
    case READ_BY_CORRELATION:
        return fields->correlation_id.size_bytes > 0 && bytes_equal(fields->correlation_id, key);
    case READ_BY_TAG:
        for (size_t i = 0; i < fields->tag_count; i++)
            if (bytes_equal(fields->tags[i], key))
                return true;
        return false;
    case READ_BY_POSITION:
        break;
    }
    return true;
}

static size_t model_list(int begin, int end, enum read_by by, struct bytes key, int64_t *ret)
{
    size_t count = 0;
    for (int i = begin; i < end; i++)
        if (has_key(&history[i], by, key))
            ret[count++] = origin + 1 + i;
    return count;
}

static size_t model_created(int begin, int end, struct bytes type, int64_t *ret)
{
    size_t count = 0;
    for (int i = begin; i < end; i++)
        if (history[i].first && (type.size_bytes == 0 || bytes_equal(history[i].fields.aggregate_type, type)))
            ret[count++] = origin + 1 + i;
    return count;
}

/* Every key of an event, one a call; false when it has no more. */
static bool key_of(const struct happened *event, int number, enum read_by *ret_by, struct bytes *ret_key)
{
    const struct event_fields *fields = &event->fields;
    const struct bytes keys[] = {fields->aggregate_id, fields->type, fields->aggregate_type,
                                 fields->correlation_id};
    static const enum read_by kinds[] = {READ_BY_AGGREGATE, READ_BY_TYPE, READ_BY_AGGREGATE_TYPE,
                                         READ_BY_CORRELATION};
    if (number >= 4 + (int)fields->tag_count)
        return false;
    *ret_by = number < 4 ? kinds[number] : READ_BY_TAG;
    *ret_key = number < 4 ? keys[number] : fields->tags[number - 4];
    return true;
}

/* ---- comparing ---- */

static int64_t expected[EVENTS + 1];
static int64_t found[EVENTS + 1];

static void check_positions(const int64_t *is, const int64_t *should, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(is[i], should[i]);
}

static void check_list(struct event_index *index, const struct indexed_list *list, size_t count)
{
    assert_int_equal(list->count, count);
    if (count == 0) {
        assert_int_equal(event_index_list_behind(index, list, INT64_MAX), 0);
        return;
    }
    event_index_list_read(index, list, 0, found, list->count);
    check_positions(found, expected, count);
    const uint32_t from = random_below(list->count);
    const uint32_t part = random_below(list->count - from) + 1;
    event_index_list_read(index, list, from, found, part);
    check_positions(found, expected + from, part);
    const int64_t at = origin + random_below(EVENTS + 2);
    uint32_t behind = 0;
    while (behind < count && expected[behind] <= at)
        behind++;
    assert_int_equal(event_index_list_behind(index, list, at), behind);
    assert_int_equal(event_index_list_behind(index, list, 0), 0);
    assert_int_equal(event_index_list_behind(index, list, INT64_MAX), count);
}

/* A read with random bounds, both ways, in pages. */
static void check_read(struct event_index *index, int begin, int end, enum read_by by, struct bytes key)
{
    struct read_query query = {.by = by,
                               .key = key,
                               .after_position = random_below(2) == 0 ? 0 : origin + random_below(EVENTS),
                               .to_position = random_below(2) == 0 ? 0 : origin + random_below(EVENTS) + 1,
                               .from_version = (int32_t)random_below(5),
                               .to_version = random_below(2) == 0 ? INT32_MAX : (int32_t)random_below(300),
                               .backward = random_below(2) == 0};
    size_t count = 0;
    for (int i = begin; i < end; i++) {
        const struct event_fields *fields = &history[i].fields;
        const bool inside = fields->position > query.after_position &&
                            (query.to_position == 0 || fields->position <= query.to_position);
        const bool version = by != READ_BY_AGGREGATE ||
                             (fields->version >= query.from_version && fields->version <= query.to_version);
        if (inside && version && has_key(&history[i], by, key))
            expected[count++] = fields->position;
    }
    size_t seen = 0;
    int64_t from = 0;
    for (size_t got = 1; got > 0; seen += got) {
        got = event_index_positions(index, &query, from, found + seen, 1 + random_below(50));
        assert_true(seen + got <= count);
        if (got > 0)
            from = found[seen + got - 1];
    }
    assert_int_equal(seen, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(found[i], expected[query.backward ? count - 1 - i : i]);
}

static void check_keys(struct event_index *index, int begin, int end, const struct happened *event)
{
    enum read_by by = READ_BY_POSITION;
    struct bytes key = BYTES_NONE;
    for (int number = 0; key_of(event, number, &by, &key); number++) {
        const struct indexed_list list = event_index_list(index, by, key);
        const size_t count = model_list(begin, end, by, key, expected);
        check_list(index, &list, count);
        if (by == READ_BY_AGGREGATE && count > 0)
            assert_int_equal(list.first_version, history[expected[0] - origin - 1].fields.version);
        check_read(index, begin, end, by, key);
    }
    check_read(index, begin, end, READ_BY_POSITION, BYTES_NONE);
}

static void check_head(struct event_index *index, int begin, int end, struct bytes id, struct arena *arena)
{
    struct aggregate_head head;
    assert_status_ok(event_index_head(index, id, arena, &head));
    const size_t count = model_list(begin, end, READ_BY_AGGREGATE, id, expected);
    assert_int_equal(head.exists, count > 0);
    if (count == 0)
        return;
    const struct happened *first = &history[expected[0] - origin - 1];
    const struct happened *last = &history[expected[count - 1] - origin - 1];
    assert_int_equal(head.version, last->fields.version);
    assert_int_equal(head.position, expected[count - 1]);
    assert_true(bytes_equal(head.type, last->fields.aggregate_type));
    assert_int_equal(head.first_position, first->first ? expected[0] : 0);
    assert_int_equal(head.event_count, first->first ? count : 0);
}

/* Side by side they say what each says alone. */
static void check_heads(struct event_index *index, struct arena *arena)
{
    struct bytes ids[EVENT_INDEX_PREFETCH_MAX] = {BYTES_NONE};
    struct aggregate_head heads[EVENT_INDEX_PREFETCH_MAX];
    const size_t count = (size_t)random_below(EVENT_INDEX_PREFETCH_MAX + 1);
    for (size_t i = 0; i < count; i++)
        ids[i] = i % 5 == 0 ? BYTES_LITERAL("nobody") : history[random_below(EVENTS)].fields.aggregate_id;
    assert_status_ok(event_index_find_heads(index, ids, count, arena, heads));
    for (size_t i = 0; i < count; i++) {
        struct aggregate_head alone;
        assert_status_ok(event_index_head(index, ids[i], arena, &alone));
        assert_int_equal(heads[i].exists, alone.exists);
        assert_true(bytes_equal(heads[i].type, alone.type));
        assert_int_equal(heads[i].version, alone.version);
        assert_int_equal(heads[i].position, alone.position);
        assert_int_equal(heads[i].first_position, alone.first_position);
        assert_int_equal(heads[i].event_count, alone.event_count);
    }
}

static void check_times(struct event_index *index, int begin, int end)
{
    for (int64_t time_us = 990; time_us < 1000 + EVENTS * 4; time_us += 7) {
        int64_t last = 0;
        for (int i = begin; i < end; i++)
            if (history[i].fields.timestamp_us <= time_us)
                last = origin + 1 + i;
        assert_int_equal(event_index_find_time(index, time_us), last);
    }
}

static void check_aggregates(struct event_index *index, int begin, int end, struct bytes type,
                             struct arena *arena)
{
    static struct indexed_aggregate listed[EVENTS];
    const size_t all = model_created(begin, end, type, expected);
    if (type.size_bytes > 0) {
        const struct indexed_list list = event_index_list_created(index, type);
        check_list(index, &list, all);
    }
    const int64_t after = random_below(2) == 0 ? 0 : origin + random_below(EVENTS);
    size_t passed = 0;
    while (passed < all && expected[passed] <= after)
        passed++;
    const size_t max = random_below(2) == 0 ? EVENTS : random_below(100);
    const size_t count = max < all - passed ? max : all - passed;
    size_t listed_count = 0;
    assert_status_ok(event_index_aggregates(index, type, after, arena, listed, max, &listed_count));
    assert_int_equal(listed_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct happened *first = &history[expected[passed + i] - origin - 1];
        assert_int_equal(listed[i].head.first_position, first->fields.position);
        assert_true(bytes_equal(listed[i].id, first->fields.aggregate_id));
        assert_true(bytes_equal(listed[i].head.type, first->fields.aggregate_type));
    }
    for (size_t i = 0; i < count; i++)
        check_head(index, begin, end, listed[i].id, arena);
}

static void check_stats(struct event_index *index, int begin, int end, struct arena *arena)
{
    struct event_store_stats stats = {0};
    int64_t system = 0;
    int64_t events = 0;
    int64_t aggregates = 0;
    for (int i = begin; i < end; i++)
        system += history[i].fields.type.data[0] == '$';
    assert_status_ok(event_index_stats(index, arena, &stats));
    assert_int_equal(stats.system_event_count, system);
    assert_int_equal(stats.event_count, end - begin - system);
    for (size_t i = 0; i < stats.event_type_count; i++) {
        const struct type_count *type = &stats.events_by_type[i];
        assert_int_equal(type->count, model_list(begin, end, READ_BY_TYPE, type->type, expected));
        events += type->count;
    }
    for (size_t i = 0; i < stats.aggregate_type_count; i++) {
        const struct type_count *type = &stats.aggregates_by_type[i];
        assert_int_equal(type->count, model_created(begin, end, type->type, expected));
        aggregates += type->count;
    }
    assert_int_equal(events, end - begin);
    assert_int_equal(aggregates, event_index_aggregate_count(index));
    assert_int_equal(aggregates, model_created(begin, end, BYTES_NONE, expected));
}

/* Every position of every key of a kind comes by exactly once, in the lists that the model has. */
static void check_walk(const struct event_index *index, int begin, int end, enum read_by by)
{
    struct index_scratch scratch;
    struct indexed_key key;
    size_t cursor = 0;
    size_t positions = 0;
    size_t should = 0;
    while (event_index_next_key(index, by, &cursor, &scratch, &key)) {
        const size_t count = model_list(begin, end, by, key.text, expected);
        assert_true(count > 0);
        assert_int_equal(key.list.count, count);
        event_index_list_copy(index, &key.list, 0, found, key.list.count);
        check_positions(found, expected, count);
        positions += count;
        if (by != READ_BY_AGGREGATE)
            continue;
        assert_int_equal(key.begins_here, history[expected[0] - origin - 1].first);
        assert_int_equal(key.list.first_version, history[expected[0] - origin - 1].fields.version);
        assert_int_equal(key.last_version, history[expected[count - 1] - origin - 1].fields.version);
    }
    for (int i = begin; i < end; i++)
        should += by == READ_BY_TAG           ? history[i].fields.tag_count
                  : by == READ_BY_CORRELATION ? history[i].fields.correlation_id.size_bytes > 0
                                              : 1;
    assert_int_equal(positions, should);
}

static void check_walks(const struct event_index *index, int begin, int end)
{
    for (int i = begin; i < end; i++) {
        struct index_scratch scratch;
        const struct event_fields *fields = &history[i].fields;
        assert_true(bytes_equal(event_index_id_at(index, fields->position, &scratch), fields->id));
        assert_int_equal(event_index_time_at(index, fields->position), fields->timestamp_us);
    }
    for (enum read_by by = READ_BY_AGGREGATE; by <= READ_BY_TAG; by++)
        check_walk(index, begin, end, by);
    const struct index_counts counts = event_index_counts(index);
    assert_int_equal(counts.event_count, end - begin);
    assert_int_equal(counts.created_count, model_created(begin, end, BYTES_NONE, expected));
}

/* Asked for everything, also for what is older than the piece and what was taken back. */
static void check_all(struct event_index *index, int begin, int end)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    assert_int_equal(event_index_last_position(index), origin + end);
    for (int i = 0; i < EVENTS; i++) {
        const struct event_fields *fields = &history[i].fields;
        const bool here = i >= begin && i < end;
        assert_int_equal(event_index_find_id(index, fields->id), here ? fields->position : 0);
        if (i % 7 != 0)
            continue;
        check_keys(index, begin, end, &history[i]);
        check_head(index, begin, end, fields->aggregate_id, arena);
    }
    check_times(index, begin, end);
    for (int i = 0; i < 10; i++) {
        check_heads(index, arena);
        check_aggregates(index, begin, end, BYTES_NONE, arena);
        check_aggregates(index, begin, end, history[random_below(EVENTS)].fields.aggregate_type, arena);
    }
    check_stats(index, begin, end, arena);
    check_walks(index, begin, end);
}

static void check_piece(int begin, int end, int kept)
{
    CLEANUP(event_index_free_at) struct event_index *index = new_piece(begin);
    check_all(index, begin, begin);
    add_piece(index, begin, end);
    check_all(index, begin, end);
    event_index_cut(index, origin + kept);
    check_all(index, begin, kept);
    add_piece(index, kept, EVENTS);
    check_all(index, begin, EVENTS);
}

static void test_a_whole_history_answers_as_the_model(void **state)
{
    (void)state;
    make_history(0);
    check_piece(0, EVENTS, 1);
    check_piece(0, EVENTS, 700);
    check_piece(0, 800, 0);
}

static void test_a_piece_answers_of_its_own_events(void **state)
{
    (void)state;
    make_history(0);
    check_piece(301, EVENTS, 302);
    check_piece(1000, 1200, 1100);
    make_history(FAR);
    check_piece(0, EVENTS, 500);
    check_piece(777, 1400, 777);
}

/* ---- texts ---- */

#define UUID_TEXT "0123abcd-4567-789a-bcde-f0123456789a"

/* Texts that differ in one place from one that is kept packed, and lengths around those that are told in a byte. */
static size_t similar_texts(struct bytes *ret)
{
    static char texts[36 * 4 + 10][300];
    static const char strange[] = "gG-A";
    size_t count = 0;
    (void)snprintf(texts[count], sizeof texts[count], "%s", UUID_TEXT);
    ret[0] = bytes_of_text(texts[count++]);
    for (size_t place = 0; place < 36; place++)
        for (size_t i = 0; strange[i] != 0; i++) {
            if (UUID_TEXT[place] == strange[i])
                continue;
            (void)snprintf(texts[count], sizeof texts[count], "%s", UUID_TEXT);
            texts[count][place] = strange[i];
            ret[count] = bytes_of_text(texts[count]);
            count++;
        }
    for (size_t size = 251; size < 259; size++) {
        memset(texts[count], 'x', size);
        ret[count] = bytes_of(texts[count], size);
        count++;
    }
    return count;
}

static void test_texts_that_are_nearly_the_same_are_told_apart(void **state)
{
    (void)state;
    struct bytes texts[36 * 4 + 10];
    const size_t count = similar_texts(texts);
    CLEANUP(event_index_free_at)
    struct event_index *index = event_index_new(&(struct event_index_options){.seed = 1});
    for (size_t i = 0; i < count; i++) {
        const struct event_fields fields = {.id = texts[i],
                                            .type = BYTES_LITERAL("changed"),
                                            .aggregate_id = BYTES_LITERAL("a"),
                                            .aggregate_type = BYTES_LITERAL("user"),
                                            .version = (int32_t)i + 1,
                                            .position = (int64_t)i + 1};
        assert_status_ok(event_index_add(index, &fields, NULL, 1));
    }
    for (size_t i = 0; i < count; i++) {
        struct index_scratch scratch;
        assert_int_equal(event_index_find_id(index, texts[i]), i + 1);
        assert_true(bytes_equal(event_index_id_at(index, (int64_t)i + 1, &scratch), texts[i]));
    }
}

/* ---- pools ---- */

static void test_items_that_are_taken_together_lie_side_by_side(void **state)
{
    (void)state;
    struct pool pool = pool_make(sizeof(uint32_t));
    const uint32_t per_chunk = UINT32_C(1) << pool.shift;
    const size_t counts[] = {1, per_chunk - 2, 5, 3 * per_chunk + 1, per_chunk, 7, per_chunk + 1};
    uint32_t end = 0;
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        uint32_t place = 0;
        assert_true(pool_take(&pool, counts[i], &place));
        assert_true(place >= end);
        const uint32_t *first = pool_at(&pool, place);
        for (size_t j = 0; j < counts[i]; j++)
            assert_ptr_equal(pool_at(&pool, place + j), first + j);
        end = place + (uint32_t)counts[i];
        assert_int_equal(pool.used, end);
    }
    pool_done(&pool);
}

/* ---- long lists ---- */

#define LONG 300000 /* the last chunk of a list is larger than those of the pool */

static void test_a_long_list_is_read_from_any_number(void **state)
{
    (void)state;
    CLEANUP(event_index_free_at)
    struct event_index *index = event_index_new(&(struct event_index_options){.seed = 1});
    for (int i = 1; i <= LONG; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "e%d", i);
        struct event_fields fields = {.id = bytes_of_text(id),
                                      .type = BYTES_LITERAL("changed"),
                                      .aggregate_id = BYTES_LITERAL("a"),
                                      .aggregate_type = BYTES_LITERAL("user"),
                                      .version = i,
                                      .position = i};
        assert_status_ok(event_index_add(index, &fields, NULL, 1));
    }
    const struct indexed_list list = event_index_list(index, READ_BY_AGGREGATE, BYTES_LITERAL("a"));
    assert_int_equal(list.count, LONG);
    for (int round = 0; round < 1000; round++) {
        int64_t page[100];
        const uint32_t from = random_below(LONG - 100);
        event_index_list_read(index, &list, from, page, 100);
        for (uint32_t i = 0; i < 100; i++)
            assert_int_equal(page[i], from + i + 1);
        assert_int_equal(event_index_list_behind(index, &list, from), from);
    }
    struct event_fields more = {.id = BYTES_LITERAL("more"),
                                .type = BYTES_LITERAL("changed"),
                                .aggregate_id = BYTES_LITERAL("a"),
                                .aggregate_type = BYTES_LITERAL("user"),
                                .version = LONG + 1,
                                .position = LONG + 1};
    assert_status_ok(event_index_add(index, &more, NULL, 1));
    assert_int_equal(event_index_list_behind(index, &list, INT64_MAX), LONG); /* as it stood */
    event_index_cut(index, 200000);
    assert_int_equal(event_index_list(index, READ_BY_TYPE, BYTES_LITERAL("changed")).count, 200000);
    assert_int_equal(event_index_find_id(index, BYTES_LITERAL("e200000")), 200000);
    assert_int_equal(event_index_find_id(index, BYTES_LITERAL("e200001")), 0);
}

/* ---- collisions ---- */

#define TRIED 400000U

struct tried {
    uint32_t hash;
    uint32_t number;
};

static int by_hash(const void *a, const void *b)
{
    const uint32_t left = ((const struct tried *)a)->hash;
    const uint32_t right = ((const struct tried *)b)->hash;
    return left < right ? -1 : left > right;
}

/* Two numbers whose texts have the same hash as the table keeps it. */
static void find_collision(const struct hash_table *table, uint32_t ret[2])
{
    static struct tried tried[TRIED];
    for (uint32_t i = 0; i < TRIED; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "x%u", i);
        tried[i] = (struct tried){(uint32_t)hash_table_hash(table, bytes_of_text(text)), i};
    }
    qsort(tried, TRIED, sizeof tried[0], by_hash);
    for (uint32_t i = 1; i < TRIED; i++)
        if (tried[i].hash == tried[i - 1].hash) {
            ret[0] = tried[i].number;
            ret[1] = tried[i - 1].number;
            return;
        }
    fail_msg("none of %u texts collide", TRIED);
}

static void test_texts_of_the_same_hash_are_told_apart(void **state)
{
    (void)state;
    CLEANUP(event_index_free_at)
    struct event_index *index = event_index_new(&(struct event_index_options){.seed = 7});
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    uint32_t ids[2];
    uint32_t aggregates[2];
    uint32_t tags[2];
    char texts[2][3][16];
    find_collision(&index->by_id, ids);
    find_collision(&index->by_aggregate, aggregates);
    find_collision(&index->by_term, tags);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(texts[i][0], 16, "x%u", ids[i]);
        (void)snprintf(texts[i][1], 16, "x%u", aggregates[i]);
        (void)snprintf(texts[i][2], 16, "x%u", tags[i]);
        assert_int_equal(event_index_find_id(index, bytes_of_text(texts[i][0])), 0);
        assert_int_equal(event_index_list(index, READ_BY_TAG, bytes_of_text(texts[i][2])).count, 0);
        struct event_fields fields = {.id = bytes_of_text(texts[i][0]),
                                      .type = BYTES_LITERAL("changed"),
                                      .aggregate_id = bytes_of_text(texts[i][1]),
                                      .aggregate_type = BYTES_LITERAL("user"),
                                      .version = 1,
                                      .position = i + 1,
                                      .tag_count = 1};
        fields.tags[0] = bytes_of_text(texts[i][2]);
        assert_status_ok(event_index_add(index, &fields, NULL, 1));
    }
    for (int i = 0; i < 2; i++) {
        struct aggregate_head head;
        int64_t position = 0;
        assert_int_equal(event_index_find_id(index, bytes_of_text(texts[i][0])), i + 1);
        assert_status_ok(event_index_head(index, bytes_of_text(texts[i][1]), arena, &head));
        assert_int_equal(head.position, i + 1);
        const struct indexed_list list = event_index_list(index, READ_BY_TAG, bytes_of_text(texts[i][2]));
        assert_int_equal(list.count, 1);
        event_index_list_read(index, &list, 0, &position, 1);
        assert_int_equal(position, i + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_history_answers_as_the_model),
        cmocka_unit_test(test_a_piece_answers_of_its_own_events),
        cmocka_unit_test(test_texts_that_are_nearly_the_same_are_told_apart),
        cmocka_unit_test(test_items_that_are_taken_together_lie_side_by_side),
        cmocka_unit_test(test_a_long_list_is_read_from_any_number),
        cmocka_unit_test(test_texts_of_the_same_hash_are_told_apart),
    };
    return cmocka_run_group_tests_name("event_index_model", tests, NULL, NULL);
}
