#include "unit/embedded_index/part_model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/cmocka.h"
#include "support/seeded_entropy.h"
#include "unit/embedded_index/index_model.h"

static void *allocate(size_t count, size_t item_bytes)
{
    void *memory = calloc(count + 1, item_bytes);
    assert(memory != NULL);
    return memory;
}

/* Deals the events to `terms` texts of one kind; each event to one, or to none in `sparse` of 10 cases. */
static void add_terms(struct part_model *model, enum part_term_kind kind, uint32_t terms, uint32_t sparse,
                      uint64_t *state)
{
    struct model_term *first = model->terms + model->term_count;
    assert(terms > 0);
    for (uint32_t i = 0; i < terms; i++) {
        first[i] = (struct model_term){.kind = kind};
        (void)snprintf(first[i].text, sizeof first[i].text, "type-%u", i);
        first[i].positions = allocate(model->facts.count, sizeof *first[i].positions);
    }
    for (uint32_t i = 0; i < model->facts.count; i++) {
        const uint64_t x = random_below(state, terms);
        struct model_term *term = &first[x * x / terms];
        if (random_below(state, 10) >= sparse)
            term->positions[term->count++] = model->facts.first_position + i;
    }
    /* A text without events is not added. */
    for (uint32_t i = 0; i < terms; i++) {
        if (first[i].count > 0)
            model->terms[model->term_count++] = first[i];
        else
            free(first[i].positions);
    }
}

struct part_model part_model_random(int64_t first_position, uint32_t count, uint32_t types, uint64_t seed)
{
    uint64_t state = seed;
    struct part_model model = {
        .facts = {.first_position = first_position,
                  .count = count,
                  .segment_epoch = random_next(&state),
                  .end_offset = random_next(&state),
                  .first_timestamp_us = 1000,
                  .writer_epoch = random_next(&state),
                  .system_count = (uint32_t)random_below(&state, count),
                  .created_count = (uint32_t)random_below(&state, count)},
        .places = allocate(count, sizeof *model.places),
        .timestamps = allocate(count, sizeof *model.timestamps),
        .terms = allocate((size_t)types * 3 + 3, sizeof *model.terms),
    };
    for (size_t i = 0; i < SHA256_BYTES; i++)
        model.facts.chain.bytes[i] = (uint8_t)random_next(&state);
    int64_t time = model.facts.first_timestamp_us;
    for (uint32_t i = 0; i < count; i++) {
        model.places[i] = (struct place){i * 600U, (uint32_t)random_next(&state)};
        model.timestamps[i] = time;
        time += random_below(&state, 3) == 0 ? (int64_t)random_below(&state, 1000) : 0; /* some are equal */
    }
    model.facts.timestamp_us = model.timestamps[count - 1];
    add_terms(&model, PART_EVENT_TYPE, types, 0, &state);
    add_terms(&model, PART_AGGREGATE_TYPE, types / 3 + 1, 0, &state);
    add_terms(&model, PART_CREATED, types / 3 + 1, 9, &state);
    return model;
}

void part_model_done(struct part_model *model)
{
    for (uint32_t i = 0; i < model->term_count; i++)
        free(model->terms[i].positions);
    free(model->terms);
    free(model->places);
    free(model->timestamps);
    *model = (struct part_model){0};
}

struct status part_model_write(const struct part_model *model, struct files *files,
                               const struct index_pace *pace)
{
    CLEANUP(part_builder_free_at) struct part_builder *builder = NULL;
    STATUS_TRY(part_builder_new(&model->facts, &builder));
    for (uint32_t i = 0; i < model->term_count; i++)
        STATUS_TRY(part_builder_add_term(builder, model->terms[i].kind, bytes_of_text(model->terms[i].text),
                                         model->terms[i].positions, model->terms[i].count));
    for (uint32_t i = 0; i < model->facts.count; i++)
        STATUS_TRY(part_builder_add_place(builder, model->places[i], model->timestamps[i]));
    return part_builder_write(builder, files, MODEL_FOLDER, model_uuid, 4711, pace);
}

struct status part_model_open(const struct part_model *model, struct files *files, struct part **ret)
{
    return part_open(files, MODEL_FOLDER, model->facts.first_position, model_uuid, ret);
}

/* ---- comparing ---- */

static void compare_facts(const struct part_facts *a, const struct part_facts *b)
{
    assert_int_equal(a->first_position, b->first_position);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->segment_epoch, b->segment_epoch);
    assert_int_equal(a->end_offset, b->end_offset);
    assert_memory_equal(&a->chain, &b->chain, sizeof a->chain);
    assert_int_equal(a->first_timestamp_us, b->first_timestamp_us);
    assert_int_equal(a->timestamp_us, b->timestamp_us);
    assert_int_equal(a->writer_epoch, b->writer_epoch);
    assert_int_equal(a->system_count, b->system_count);
    assert_int_equal(a->created_count, b->created_count);
}

static void places_equal(const struct part_model *model, const struct place *places, uint32_t from,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (places[i].offset != model->places[from + i].offset ||
            places[i].header_crc != model->places[from + i].header_crc)
            fail_msg("the place of event %u (read with %u others from %u) is not what was written", from + i,
                     count, from);
}

static struct status compare_places(const struct part_model *model, const struct part *part, uint64_t *state)
{
    const uint32_t all = model->facts.count;
    struct place *places = allocate(all, sizeof *places);
    struct status status = part_places_checked(part, model->facts.first_position, places, all);
    if (status.code == STATUS_OK)
        places_equal(model, places, 0, all);
    for (unsigned i = 0; i < 20 && status.code == STATUS_OK; i++) {
        const uint32_t from = (uint32_t)random_below(state, all);
        const uint32_t count = (uint32_t)random_below(state, all - from + 1);
        status = part_places_checked(part, model->facts.first_position + from, places, count);
        if (status.code == STATUS_OK)
            places_equal(model, places, from, count);
    }
    free(places);
    return status;
}

static struct status compare_list(const struct part *part, const struct model_term *term,
                                  const struct posting_list *list, uint64_t *state)
{
    assert_int_equal(list->count, term->count);
    assert_int_equal(list->last_position, term->positions[term->count - 1]);
    int64_t *positions = allocate(term->count, sizeof *positions);
    struct status status = part_list_read(part, list, 0, positions, list->count);
    if (status.code == STATUS_OK)
        assert_memory_equal(positions, term->positions, term->count * sizeof *positions);
    free(positions);
    STATUS_TRY(status);
    const uint32_t at = (uint32_t)random_below(state, term->count);
    uint32_t behind = 0;
    STATUS_TRY(part_list_behind(part, list, term->positions[at], &behind));
    assert_int_equal(behind, at + 1);
    STATUS_TRY(part_list_behind(part, list, term->positions[at] - 1, &behind));
    assert_int_equal(behind, at);
    return status_ok();
}

static const struct model_term *term_find(const struct part_model *model, enum part_term_kind kind,
                                          struct bytes text)
{
    for (uint32_t i = 0; i < model->term_count; i++)
        if (model->terms[i].kind == kind && bytes_equal(bytes_of_text(model->terms[i].text), text))
            return &model->terms[i];
    return NULL;
}

struct walk {
    const struct part_model *model;
    uint32_t seen;
    uint32_t stop_at;
};

static bool walk_term(void *context, enum part_term_kind kind, struct bytes text,
                      const struct posting_list *list)
{
    struct walk *walk = context;
    const struct model_term *term = term_find(walk->model, kind, text);
    assert_non_null(term);
    assert_int_equal(list->count, term->count);
    walk->seen++;
    return walk->seen != walk->stop_at;
}

static struct status compare_terms(const struct part_model *model, const struct part *part, uint64_t *state)
{
    struct posting_list list = {.count = 1};
    for (uint32_t i = 0; i < model->term_count; i++) {
        const struct model_term *term = &model->terms[i];
        STATUS_TRY(part_term(part, term->kind, bytes_of_text(term->text), &list));
        STATUS_TRY(compare_list(part, term, &list, state));
    }
    STATUS_TRY(part_term(part, PART_EVENT_TYPE, BYTES_LITERAL("type-x"), &list));
    assert_int_equal(list.count, 0);
    struct walk walk = {.model = model};
    STATUS_TRY(part_terms(part, walk_term, &walk));
    assert_int_equal(walk.seen, model->term_count);
    walk = (struct walk){.model = model, .stop_at = 1};
    STATUS_TRY(part_terms(part, walk_term, &walk));
    assert_int_equal(walk.seen, 1);
    return status_ok();
}

static struct status compare_times(const struct part_model *model, const struct part *part, uint64_t *state)
{
    const uint32_t samples = (model->facts.count - 1) / PART_SAMPLE_EVENTS + 1;
    for (uint32_t i = 0; i < samples + 30; i++) {
        /* Of every event that is a sample, where a sample begins to count; then of any. */
        const uint32_t event =
            i < samples ? i * PART_SAMPLE_EVENTS : (uint32_t)random_below(state, model->facts.count);
        const int64_t time = model->timestamps[event] + (i < samples ? 0 : (int64_t)(i % 3) - 1);
        if (time < model->facts.first_timestamp_us)
            continue;
        uint32_t wanted = 0;
        for (uint32_t at = 0; at < model->facts.count; at += PART_SAMPLE_EVENTS)
            if (model->timestamps[at] <= time)
                wanted = at;
        int64_t position = 0;
        STATUS_TRY(part_sample(part, time, &position));
        assert_int_equal(position, model->facts.first_position + wanted);
    }
    return status_ok();
}

struct status part_model_compare(const struct part_model *model, const struct part *part, uint64_t seed)
{
    uint64_t state = seed;
    compare_facts(part_facts(part), &model->facts);
    STATUS_TRY(compare_places(model, part, &state));
    STATUS_TRY(compare_terms(model, part, &state));
    return compare_times(model, part, &state);
}
