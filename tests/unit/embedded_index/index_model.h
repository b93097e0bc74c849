/*
 * What a run must answer, kept in plain arrays and found by looking at all of them.
 *
 * Ownership  run_model_done() frees it.  Threads  One.
 */
#pragma once

#include "store/embedded/index/index_run.h"

#define MODEL_FOLDER "index"

struct model_id {
    uint64_t hash;
    int64_t position;
    uint64_t order;
};

struct model_key {
    uint64_t hash;
    uint32_t value;
    uint32_t count;
    int64_t *positions; /* owned */
};

struct run_model {
    struct run_facts facts;
    struct model_id *ids;
    struct model_key *keys;
    uint32_t id_count;
    uint32_t key_count;
};

/* How a model is made up. */
struct model_plan {
    int64_t first_position;
    uint32_t count;      /* events */
    uint32_t aggregates; /* they share the events by chance */
    uint32_t hashes;     /* 0: of texts; else so many different ones only, so that they collide */
    uint64_t seed;
};

extern const uint8_t model_uuid[INDEX_UUID_BYTES];
extern const uint8_t other_uuid[INDEX_UUID_BYTES];

struct run_model run_model_random(const struct model_plan *plan);
void run_model_done(struct run_model *model);
/* One key; positions are copied. */
void run_model_add_key(struct run_model *model, uint64_t hash, uint32_t value, const int64_t *positions,
                       uint32_t count);
void run_model_add_id(struct run_model *model, uint64_t hash, int64_t position);
/* All of `more`, whose positions follow; the level as after a merge. */
void run_model_append(struct run_model *model, const struct run_model *more);

/* The folder MODEL_FOLDER exists. Ids are added in a random order; `pace` may be NULL. */
STATUS_MUST_CHECK struct status run_model_write(const struct run_model *model, struct files *files,
                                                const struct index_pace *pace);
STATUS_MUST_CHECK struct status run_model_open(const struct run_model *model, struct files *files,
                                               struct run **ret);

/*
 * Asks everything that the model knows, and strangers. A status that is not OK comes from the run; a wrong answer fails
 * the test.
 */
STATUS_MUST_CHECK struct status run_model_compare(const struct run_model *model, const struct run *run,
                                                  uint64_t seed);
