/*
 * What the parts of the suite share: the fixture of one test, and the group of tests that each part runs.
 *
 * Threads  One a test.
 */
#pragma once

#include "contract/event_store_suite.h"
#include "contract/store_driver.h"

/* One test's store. The kind comes in as cmocka's initial state. */
struct suite_fixture {
    const struct event_store_kind *kind;
    struct event_store *store;
    struct store_driver driver;
};

int suite_open_store(void **state);
int suite_close_store(void **state);
void suite_reopen_store(struct suite_fixture *fixture);

/* A row of a group's table; `initial` is the kind. */
#define SUITE_TEST(function)                                                                                 \
    cmocka_unit_test_prestate_setup_teardown(function, suite_open_store, suite_close_store, initial)

int event_store_reads_run(const struct event_store_kind *kind);
int event_store_commits_run(const struct event_store_kind *kind);
int event_store_state_run(const struct event_store_kind *kind);
