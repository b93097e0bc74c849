/*
 * A writer on an engine that the test holds, with a memory engine behind it, and appends with their answers.
 *
 * Ownership  The fixture owns all; requests live as long as it.
 * Threads    The test's own; answers come from the writer's or the engine's.
 */
#pragma once

#include "support/cmocka.h"

#include <pthread.h>

#include "contract/store_driver.h"
#include "unit/store/held_store.h"

#include "store/writer.h"

#define REQUESTS_MAX 700
#define STORY_MAX    1024
#define TOLD_MAX     8
#define ANY          (-1) /* no expectation */

struct fixture;

/* One append and its answer; the append stands first, so that on_done finds the rest. */
struct request {
    struct append append;
    struct append_event event;
    struct expectation expectation;
    struct fixture *fixture;
    char id[24];
    bool answered;
    enum append_outcome_kind kind;
    struct status status;
    int64_t first_position;
    int64_t head_version;
};

struct fixture {
    struct event_store *memory;
    struct held_store held;
    struct writer *writer;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t answered;
    struct request requests[REQUESTS_MAX];
    size_t request_count;
    char story[STORY_MAX]; /* what happened, a letter each: C a commit told, an id's first letter an answer */
    size_t story_length;
    struct store_head told[TOLD_MAX]; /* with each C, the last one from then on */
    size_t told_count;
};

/* Opens both, starts a writer; cmocka's setup and teardown. */
int writer_fixture_open(void **state);
int writer_fixture_close(void **state);
/* The same on an engine that other processes append to as well; `ahead`: which answers facts_ahead(). */
int writer_fixture_open_shared(void **state, bool ahead);
/* Appends an event to "x" behind the writer's back. */
void append_as_rival(struct fixture *fixture, const char *id);
/* What an engine answers then. */
struct status overtaken(void);
/* Another writer, once the former was stopped. */
void writer_fixture_start(struct fixture *fixture, struct writer_options options);

/* An append of one event `id` to aggregate "x", with an expectation unless ANY. */
struct request *prepare(struct fixture *fixture, const char *id, int expected_version);
struct request *submit(struct fixture *fixture, const char *id, int expected_version);
void await_answer(struct request *request);
bool is_answered(struct request *request);
void assert_story(struct fixture *fixture, const char *expected);
