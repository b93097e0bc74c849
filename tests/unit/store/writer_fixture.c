#include "unit/store/writer_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "store/memory/memory_store.h"

static void tell(struct fixture *fixture, char letter)
{
    pthread_mutex_lock(&fixture->lock);
    if (fixture->story_length < STORY_MAX - 1)
        fixture->story[fixture->story_length++] = letter;
    pthread_mutex_unlock(&fixture->lock);
}

static void on_commit(void *context, const struct store_head *head)
{
    struct fixture *fixture = context;
    assert_true(head->position > 0);
    tell(fixture, 'C');
    pthread_mutex_lock(&fixture->lock);
    fixture->told[fixture->told_count] = *head;
    fixture->told_count += fixture->told_count < TOLD_MAX - 1;
    pthread_mutex_unlock(&fixture->lock);
}

void writer_fixture_start(struct fixture *fixture, struct writer_options options)
{
    options.on_commit = on_commit;
    options.on_commit_context = fixture;
    assert_status_ok(
        writer_start(&fixture->held.store, &options, &system_clock, &system_entropy, &fixture->writer));
}

int writer_fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    assert_status_ok(memory_store_open(&system_clock, &fixture->memory));
    held_store_init(&fixture->held, fixture->memory);
    (void)pthread_mutex_init(&fixture->lock, NULL);
    (void)pthread_cond_init(&fixture->answered, NULL);
    writer_fixture_start(fixture, (struct writer_options){0});
    *state = fixture;
    return 0;
}

int writer_fixture_open_shared(void **state, bool ahead)
{
    (void)writer_fixture_open(state);
    struct fixture *fixture = *state;
    writer_stop(fixture->writer);
    fixture->held.store.pipelined = false;
    if (ahead)
        held_store_look_ahead(&fixture->held);
    writer_fixture_start(fixture, (struct writer_options){0});
    return 0;
}

void append_as_rival(struct fixture *fixture, const char *id)
{
    struct store_driver rival;
    store_driver_init(&rival, fixture->memory);
    const struct append_event event = sample_event(id, "x", "changed", "custom");
    const struct append append = sample_append(&event, 1);
    assert_int_equal(store_driver_append(&rival, &append).kind, APPEND_ACCEPTED);
    store_driver_done(&rival);
}

struct status overtaken(void)
{
    return status_error(STATUS_ABORTED, "another service was first");
}

int writer_fixture_close(void **state)
{
    struct fixture *fixture = *state;
    writer_stop(fixture->writer);
    held_store_done(&fixture->held);
    event_store_close(fixture->memory);
    free(fixture);
    return 0;
}

static void on_done(struct append *append, const struct append_outcome *outcome)
{
    struct request *request = (struct request *)append;
    struct fixture *fixture = request->fixture;
    tell(fixture, request->id[0]);
    pthread_mutex_lock(&fixture->lock);
    assert_false(request->answered); /* once */
    request->answered = true;
    request->kind = outcome->kind;
    request->status = outcome->status;
    request->first_position = outcome->first_position;
    request->head_version = outcome->head_count > 0 ? outcome->heads[0].version : -1;
    pthread_cond_broadcast(&fixture->answered);
    pthread_mutex_unlock(&fixture->lock);
}

struct request *prepare(struct fixture *fixture, const char *id, int expected_version)
{
    assert_true(fixture->request_count < REQUESTS_MAX);
    struct request *request = &fixture->requests[fixture->request_count++];
    request->fixture = fixture;
    (void)snprintf(request->id, sizeof request->id, "%s", id);
    request->event = sample_event(request->id, "x", "changed", "custom");
    request->append = sample_append(&request->event, 1);
    request->append.on_done = on_done;
    if (expected_version != ANY) {
        request->expectation = (struct expectation){BYTES_LITERAL("x"), EXPECT_VERSION, expected_version};
        request->append.expectations = &request->expectation;
        request->append.expectation_count = 1;
    }
    return request;
}

struct request *submit(struct fixture *fixture, const char *id, int expected_version)
{
    struct request *request = prepare(fixture, id, expected_version);
    assert_status_ok(writer_submit(fixture->writer, &request->append));
    return request;
}

void await_answer(struct request *request)
{
    pthread_mutex_lock(&request->fixture->lock);
    while (!request->answered)
        pthread_cond_wait(&request->fixture->answered, &request->fixture->lock);
    pthread_mutex_unlock(&request->fixture->lock);
}

bool is_answered(struct request *request)
{
    pthread_mutex_lock(&request->fixture->lock);
    const bool answered = request->answered;
    pthread_mutex_unlock(&request->fixture->lock);
    return answered;
}

void assert_story(struct fixture *fixture, const char *expected)
{
    pthread_mutex_lock(&fixture->lock);
    fixture->story[fixture->story_length] = '\0';
    assert_string_equal(fixture->story, expected);
    pthread_mutex_unlock(&fixture->lock);
}
