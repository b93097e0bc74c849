/* An open run and part are read by several threads without a lock: for ThreadSanitizer, and for right answers. */
#include "support/cmocka.h"

#include <pthread.h>

#include "support/memory_files.h"
#include "unit/embedded_index/index_model.h"
#include "unit/embedded_index/part_model.h"

#define THREADS 4U

struct reader {
    pthread_t thread;
    const struct run *run;
    const struct part *part;
    uint64_t seed;
    struct run_model run_model; /* its own: comparing sorts it */
    struct part_model part_model;
    struct status run_status;
    struct status part_status;
};

static void *read_all(void *context)
{
    struct reader *reader = context;
    reader->run_status = run_model_compare(&reader->run_model, reader->run, reader->seed);
    reader->part_status = part_model_compare(&reader->part_model, reader->part, reader->seed);
    return NULL;
}

static void test_many_threads_read_the_same_files(void **state)
{
    (void)state;
    struct memory_files disk = memory_files_empty();
    struct reader readers[THREADS];
    struct run *run = NULL;
    struct part *part = NULL;
    for (uint32_t i = 0; i < THREADS; i++)
        readers[i] = (struct reader){.run_model = run_model_random(&(struct model_plan){1, 3000, 200, 0, 1}),
                                     .part_model = part_model_random(1, 3000, 20, 2),
                                     .seed = i + 1};
    assert_status_ok(files_mkdir(&disk.files, MODEL_FOLDER));
    assert_status_ok(run_model_write(&readers[0].run_model, &disk.files, NULL));
    assert_status_ok(part_model_write(&readers[0].part_model, &disk.files, NULL));
    assert_status_ok(run_model_open(&readers[0].run_model, &disk.files, &run));
    assert_status_ok(part_model_open(&readers[0].part_model, &disk.files, &part));
    for (uint32_t i = 0; i < THREADS; i++) {
        readers[i].run = run;
        readers[i].part = part;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_status_ok(readers[i].run_status);
        assert_status_ok(readers[i].part_status);
        run_model_done(&readers[i].run_model);
        part_model_done(&readers[i].part_model);
    }
    run_close(run);
    part_close(part);
    memory_files_done(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_threads_read_the_same_files),
    };
    return cmocka_run_group_tests_name("index_threads", tests, NULL, NULL);
}
