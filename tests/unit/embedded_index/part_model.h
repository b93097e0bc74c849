/*
 * What a part must answer, in plain arrays.
 *
 * Ownership  part_model_done() frees it.  Threads  One.
 */
#pragma once

#include "store/embedded/index/index_part.h"

struct model_term {
    enum part_term_kind kind;
    char text[32];
    int64_t *positions;
    uint32_t count;
};

struct part_model {
    struct part_facts facts;
    struct place *places;
    int64_t *timestamps;
    struct model_term *terms;
    uint32_t term_count;
};

/* `count` events with `types` event types, a third as many aggregate types, a tenth of them creations. */
struct part_model part_model_random(int64_t first_position, uint32_t count, uint32_t types, uint64_t seed);
void part_model_done(struct part_model *model);
STATUS_MUST_CHECK struct status part_model_write(const struct part_model *model, struct files *files,
                                                 const struct index_pace *pace);
STATUS_MUST_CHECK struct status part_model_open(const struct part_model *model, struct files *files,
                                                struct part **ret);
/* As run_model_compare(). Places by part_places_checked(). */
STATUS_MUST_CHECK struct status part_model_compare(const struct part_model *model, const struct part *part,
                                                   uint64_t seed);
