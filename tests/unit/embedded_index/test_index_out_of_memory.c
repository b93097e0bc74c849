/* Every allocation of writing, opening, merging and asking fails once, and all after it. */
#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/embedded/index/index_manifest.h"
#include "unit/embedded_index/index_model.h"
#include "unit/embedded_index/part_model.h"
#include "unit/store/failing_memory.h"

#define ALLOCATIONS_MOST 2000U

static struct part_model part_model;
static struct run_model run_models[2];

static struct status scenario(struct files *files)
{
    CLEANUP(part_close_at) struct part *part = NULL;
    CLEANUP(run_close_at) struct run *first = NULL;
    CLEANUP(run_close_at) struct run *second = NULL;
    const struct part_range range = {1, 1000};
    const struct index_manifest manifest = {1, &range, &range, 1, 1};
    STATUS_TRY(part_model_write(&part_model, files, NULL));
    STATUS_TRY(run_model_write(&run_models[0], files, NULL));
    STATUS_TRY(run_model_write(&run_models[1], files, NULL));
    STATUS_TRY(part_model_open(&part_model, files, &part));
    STATUS_TRY(part_check(part));
    STATUS_TRY(run_model_open(&run_models[0], files, &first));
    STATUS_TRY(run_model_open(&run_models[1], files, &second));
    STATUS_TRY(run_check(first));
    struct run *const runs[] = {first, second};
    STATUS_TRY(run_merge(files, MODEL_FOLDER, runs, 2, model_uuid, 3, NULL));
    STATUS_TRY(index_manifest_write(files, MODEL_FOLDER, model_uuid, &manifest));
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct index_manifest found;
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the test's arena");
    return index_manifest_read(files, MODEL_FOLDER, model_uuid, arena, &found);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    char folder[] = "/tmp/strata-index-XXXXXX";
    struct files *files = NULL;
    assert_non_null(mkdtemp(folder));
    assert_status_ok(posix_files_new(folder, &files));
    assert_status_ok(files_mkdir(files, MODEL_FOLDER));
    part_model = part_model_random(1, 1000, 5, 1);
    run_models[0] = run_model_random(&(struct model_plan){1, 500, 60, 0, 2});
    run_models[1] = run_model_random(&(struct model_plan){501, 500, 60, 0, 3});
    bool hit = true;
    unsigned nth = 1;
    for (; hit; nth++) {
        failing_memory_from(nth);
        const struct status status = scenario(files);
        hit = failing_memory_stop();
        if (status.code != (hit ? STATUS_RESOURCE_EXHAUSTED : STATUS_OK))
            fail_msg("allocation %u %s: %s \"%s\"", nth, hit ? "failed" : "worked",
                     status_code_name(status.code), status.message);
        assert_status_ok(index_remove_others(files, MODEL_FOLDER, NULL));
        assert_true(nth < ALLOCATIONS_MOST);
    }
    print_message("%u allocations failed\n", nth - 2);
    assert_true(nth > 50);
    part_model_done(&part_model);
    run_model_done(&run_models[0]);
    run_model_done(&run_models[1]);
    assert_status_ok(files_remove(files, MODEL_FOLDER));
    posix_files_free(files);
    assert_int_equal(remove(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("index_out_of_memory", tests, NULL, NULL);
}
