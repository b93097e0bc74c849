#include "contract/event_store_suite.h"

#include "support/cmocka.h"

#include <stdlib.h>

#include "contract/event_store_suite_internal.h"

int suite_open_store(void **state)
{
    struct suite_fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->kind = *state;
    fixture->store = fixture->kind->open(fixture->kind->context);
    store_driver_init(&fixture->driver, fixture->store);
    *state = fixture;
    return 0;
}

int suite_close_store(void **state)
{
    struct suite_fixture *fixture = *state;
    store_driver_done(&fixture->driver);
    fixture->kind->close(fixture->kind->context, fixture->store);
    free(fixture);
    return 0;
}

void suite_reopen_store(struct suite_fixture *fixture)
{
    fixture->store = fixture->kind->reopen(fixture->kind->context, fixture->store);
    fixture->driver.store = fixture->store;
}

int event_store_suite_run(const struct event_store_kind *kind)
{
    return event_store_reads_run(kind) + event_store_commits_run(kind) + event_store_state_run(kind);
}
