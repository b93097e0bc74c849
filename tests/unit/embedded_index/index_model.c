#include "unit/embedded_index/index_model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/cmocka.h"
#include "support/seeded_entropy.h"

#define CLASS_SHIFT 22U /* the top 42 bits of a hash count */
#define PAGE_MOST   7U
#define LIST_BLOCK  128U

const uint8_t model_uuid[INDEX_UUID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
const uint8_t other_uuid[INDEX_UUID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17};

static void *grow(void *memory, uint32_t count, size_t item_bytes)
{
    if ((count & (count - 1)) != 0 && count != 0)
        return memory; /* there is room up to the next power of two */
    void *grown = realloc(memory, (count == 0 ? 1 : (size_t)count * 2) * item_bytes);
    assert(grown != NULL);
    return grown;
}

void run_model_add_id(struct run_model *model, uint64_t hash, int64_t position)
{
    model->ids = grow(model->ids, model->id_count, sizeof *model->ids);
    model->ids[model->id_count++] = (struct model_id){hash, position, 0};
}

void run_model_add_key(struct run_model *model, uint64_t hash, uint32_t value, const int64_t *positions,
                       uint32_t count)
{
    model->keys = grow(model->keys, model->key_count, sizeof *model->keys);
    struct model_key *key = &model->keys[model->key_count++];
    *key = (struct model_key){hash, value, count, malloc(count * sizeof *positions)};
    assert(key->positions != NULL);
    memcpy(key->positions, positions, count * sizeof *positions);
}

static uint64_t model_hash(const struct model_plan *plan, enum index_key_kind kind, uint64_t number)
{
    if (plan->hashes == 0) {
        char text[32];
        const int size = snprintf(text, sizeof text, "name-%llu", (unsigned long long)number);
        return index_hash(7, kind, bytes_of(text, (size_t)size));
    }
    uint64_t state = number % plan->hashes;
    return random_next(&state);
}

static void add_aggregates(struct run_model *model, const struct model_plan *plan, const uint32_t *owners)
{
    int64_t *positions = malloc(plan->count * sizeof *positions);
    assert(positions != NULL);
    for (uint32_t aggregate = 0; aggregate < plan->aggregates; aggregate++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < plan->count; i++)
            if (owners[i] == aggregate)
                positions[count++] = plan->first_position + i;
        if (count > 0)
            run_model_add_key(model, model_hash(plan, INDEX_KEY_AGGREGATE, aggregate), aggregate * 3 + count,
                              positions, count);
    }
    free(positions);
}

struct run_model run_model_random(const struct model_plan *plan)
{
    uint64_t state = plan->seed;
    struct run_model model = {.facts = {.first_position = plan->first_position,
                                        .last_position = plan->first_position + plan->count - 1}};
    for (size_t i = 0; i < SHA256_BYTES; i++)
        model.facts.chain.bytes[i] = (uint8_t)random_next(&state);
    uint32_t *owners = malloc(plan->count * sizeof *owners);
    assert(owners != NULL);
    for (uint32_t i = 0; i < plan->count; i++) {
        const int64_t position = plan->first_position + i;
        run_model_add_id(&model, model_hash(plan, INDEX_KEY_EVENT_ID, (uint64_t)position), position);
        /* Squared: a few aggregates have many events, most have few. */
        const uint64_t x = random_below(&state, plan->aggregates);
        owners[i] = (uint32_t)(x * x / plan->aggregates);
    }
    add_aggregates(&model, plan, owners);
    free(owners);
    return model;
}

void run_model_done(struct run_model *model)
{
    for (uint32_t i = 0; i < model->key_count; i++)
        free(model->keys[i].positions);
    free(model->keys);
    free(model->ids);
    *model = (struct run_model){0};
}

void run_model_append(struct run_model *model, const struct run_model *more)
{
    if (model->facts.first_position == 0)
        model->facts.first_position = more->facts.first_position;
    model->facts.last_position = more->facts.last_position;
    model->facts.chain = more->facts.chain;
    model->facts.level = more->facts.level + 1;
    for (uint32_t i = 0; i < more->id_count; i++)
        run_model_add_id(model, more->ids[i].hash, more->ids[i].position);
    for (uint32_t i = 0; i < more->key_count; i++)
        run_model_add_key(model, more->keys[i].hash, more->keys[i].value, more->keys[i].positions,
                          more->keys[i].count);
}

/* ---- writing and opening ---- */

static int by_order(const void *a, const void *b)
{
    const uint64_t first = ((const struct model_id *)a)->order;
    const uint64_t second = ((const struct model_id *)b)->order;
    return first < second ? -1 : first > second;
}

static void ids_shuffle(const struct run_model *model)
{
    uint64_t state = 99;
    for (uint32_t i = 0; i < model->id_count; i++)
        model->ids[i].order = random_next(&state);
    if (model->id_count > 1)
        qsort(model->ids, model->id_count, sizeof *model->ids, by_order);
}

struct status run_model_write(const struct run_model *model, struct files *files,
                              const struct index_pace *pace)
{
    CLEANUP(run_builder_free_at) struct run_builder *builder = NULL;
    STATUS_TRY(run_builder_new(&model->facts, &builder));
    ids_shuffle(model);
    for (uint32_t i = 0; i < model->id_count; i++)
        STATUS_TRY(
            run_builder_add_id(builder, model->ids[i].hash, BYTES_LITERAL("id"), model->ids[i].position));
    for (uint32_t i = 0; i < model->key_count; i++)
        STATUS_TRY(run_builder_add_key(builder, model->keys[i].hash, model->keys[i].value,
                                       model->keys[i].positions, model->keys[i].count));
    return run_builder_write(builder, files, MODEL_FOLDER, model_uuid, 12345, pace);
}

struct status run_model_open(const struct run_model *model, struct files *files, struct run **ret)
{
    return run_open(files, MODEL_FOLDER, model->facts.first_position, model->facts.last_position, model_uuid,
                    NULL, ret);
}

/* ---- comparing ---- */

static bool same_class(uint64_t a, uint64_t b)
{
    return a >> CLASS_SHIFT == b >> CLASS_SHIFT;
}

static int64_t key_last(const struct model_key *key)
{
    return key->positions[key->count - 1];
}

static int ids_order(const void *a, const void *b)
{
    const struct model_id *first = a;
    const struct model_id *second = b;
    if (!same_class(first->hash, second->hash))
        return first->hash < second->hash ? -1 : 1;
    return first->position < second->position ? -1 : first->position > second->position;
}

static int keys_order(const void *a, const void *b)
{
    const struct model_key *first = a;
    const struct model_key *second = b;
    if (!same_class(first->hash, second->hash))
        return first->hash < second->hash ? -1 : 1;
    return key_last(first) < key_last(second) ? -1 : key_last(first) > key_last(second);
}

/* The positions of one class of ids, in pages of a random size. */
static struct status compare_ids(const struct run *run, const struct model_id *ids, uint32_t count,
                                 uint64_t *state)
{
    const uint32_t max = 1 + (uint32_t)random_below(state, PAGE_MOST);
    if (!run_may_have_id(run, ids[0].hash, -1))
        fail_msg("the filter does not know the id at position %lld", (long long)ids[0].position);
    for (uint32_t skip = 0; skip <= count; skip += max) {
        int64_t positions[PAGE_MOST];
        uint32_t got = 0;
        STATUS_TRY(run_find_id(run, ids[0].hash, skip, positions, max, &got));
        const uint32_t wanted = count - skip < max ? count - skip : max;
        if (got != wanted)
            fail_msg("id of position %lld: %u of %u from %u on", (long long)ids[0].position, got, wanted,
                     skip);
        for (uint32_t i = 0; i < got; i++)
            if (positions[i] != ids[skip + i].position)
                fail_msg("id number %u: position %lld, not %lld", skip + i, (long long)positions[i],
                         (long long)ids[skip + i].position);
    }
    return status_ok();
}

static uint32_t model_behind(const struct model_key *key, int64_t position)
{
    uint32_t behind = 0;
    while (behind < key->count && key->positions[behind] <= position)
        behind++;
    return behind;
}

static struct status compare_behind(const struct run *run, const struct model_key *key,
                                    const struct posting_list *list, int64_t position)
{
    uint32_t behind = 0;
    STATUS_TRY(run_list_behind(run, list, position, &behind));
    if (behind != model_behind(key, position))
        fail_msg("%u positions up to %lld, not %u", behind, (long long)position, model_behind(key, position));
    return status_ok();
}

static struct status compare_list(const struct run *run, const struct model_key *key,
                                  const struct posting_list *list, uint64_t *state)
{
    const uint32_t from = (uint32_t)random_below(state, key->count);
    const uint32_t count = 1 + (uint32_t)random_below(state, key->count - from);
    int64_t *positions = malloc(key->count * sizeof *positions);
    assert(positions != NULL);
    struct status status = run_list_read(run, list, 0, positions, key->count);
    if (status.code == STATUS_OK && memcmp(positions, key->positions, key->count * sizeof *positions) != 0)
        fail_msg("a list of %u is not what was written", key->count);
    if (status.code == STATUS_OK)
        status = run_list_read(run, list, from, positions, count);
    if (status.code == STATUS_OK && memcmp(positions, key->positions + from, count * sizeof *positions) != 0)
        fail_msg("%u from %u of a list of %u are not what was written", count, from, key->count);
    free(positions);
    /* At any position; then at the last one of every block or, in a very long list, of every 100th part of them. */
    for (unsigned i = 0; i < 4 && status.code == STATUS_OK; i++) {
        const int64_t position = key->positions[random_below(state, key->count)] - (i & 1);
        status = compare_behind(run, key, list, position);
    }
    const uint32_t blocks = key->count / LIST_BLOCK;
    for (uint32_t block = 1; block <= blocks && status.code == STATUS_OK; block += 1 + blocks / 100)
        status = compare_behind(run, key, list, key->positions[block * LIST_BLOCK - 1]);
    return status;
}

static struct status compare_newest(const struct run *run, const struct model_key *keys, uint32_t count,
                                    uint32_t max)
{
    for (uint32_t skip = 0; skip <= count; skip += max) {
        struct run_last found[PAGE_MOST];
        uint32_t got = 0;
        STATUS_TRY(run_find_last(run, keys[0].hash, skip, found, max, &got));
        assert_int_equal(got, count - skip < max ? count - skip : max);
        for (uint32_t i = 0; i < got; i++) {
            const struct model_key *key = &keys[count - 1 - skip - i];
            if (found[i].position != key_last(key) || found[i].value != key->value)
                fail_msg("newest entry number %u: position %lld, not %lld", skip + i,
                         (long long)found[i].position, (long long)key_last(key));
        }
    }
    return status_ok();
}

static struct status compare_keys(const struct run *run, const struct model_key *keys, uint32_t count,
                                  uint64_t *state)
{
    const uint32_t max = 1 + (uint32_t)random_below(state, PAGE_MOST);
    uint32_t counted = 0;
    if (!run_may_have_key(run, keys[0].hash))
        fail_msg("the filter does not know the key at position %lld", (long long)key_last(&keys[0]));
    STATUS_TRY(run_count_key(run, keys[0].hash, &counted));
    assert_int_equal(counted, count);
    STATUS_TRY(compare_newest(run, keys, count, max));
    for (uint32_t skip = 0; skip <= count; skip += max) {
        struct run_key found[PAGE_MOST];
        uint32_t got = 0;
        STATUS_TRY(run_find_key(run, keys[0].hash, skip, found, max, &got));
        assert_int_equal(got, count - skip < max ? count - skip : max);
        for (uint32_t i = 0; i < got; i++) {
            const struct model_key *key = &keys[skip + i];
            if (found[i].value != key->value || found[i].list.count != key->count ||
                found[i].list.last_position != key_last(key))
                fail_msg("key number %u: value %u, %u positions to %lld; not %u, %u to %lld", skip + i,
                         found[i].value, found[i].list.count, (long long)found[i].list.last_position,
                         key->value, key->count, (long long)key_last(key));
            STATUS_TRY(compare_list(run, key, &found[i].list, state));
        }
    }
    return status_ok();
}

static struct status compare_strangers(const struct run_model *model, const struct run *run, uint64_t *state)
{
    for (unsigned i = 0; i < 100; i++) {
        const uint64_t hash = random_next(state);
        bool known = false;
        for (uint32_t k = 0; k < model->id_count; k++)
            known = known || same_class(model->ids[k].hash, hash);
        for (uint32_t k = 0; k < model->key_count; k++)
            known = known || same_class(model->keys[k].hash, hash);
        if (known)
            continue;
        int64_t position = 0;
        struct run_key key;
        uint32_t count = 1;
        STATUS_TRY(run_find_id(run, hash, 0, &position, 1, &count));
        assert_int_equal(count, 0);
        STATUS_TRY(run_find_key(run, hash, 0, &key, 1, &count));
        assert_int_equal(count, 0);
    }
    return status_ok();
}

struct status run_model_compare(const struct run_model *model, const struct run *run, uint64_t seed)
{
    uint64_t state = seed;
    assert_int_equal(run_facts(run)->level, model->facts.level);
    assert_memory_equal(&run_facts(run)->chain, &model->facts.chain, sizeof model->facts.chain);
    if (model->id_count > 1)
        qsort(model->ids, model->id_count, sizeof *model->ids, ids_order);
    if (model->key_count > 1)
        qsort(model->keys, model->key_count, sizeof *model->keys, keys_order);
    for (uint32_t i = 0, next = 0; i < model->id_count; i = next) {
        for (next = i + 1; next < model->id_count && same_class(model->ids[i].hash, model->ids[next].hash);)
            next++;
        STATUS_TRY(compare_ids(run, model->ids + i, next - i, &state));
    }
    for (uint32_t i = 0, next = 0; i < model->key_count; i = next) {
        for (next = i + 1;
             next < model->key_count && same_class(model->keys[i].hash, model->keys[next].hash);)
            next++;
        STATUS_TRY(compare_keys(run, model->keys + i, next - i, &state));
    }
    return compare_strangers(model, run, &state);
}
