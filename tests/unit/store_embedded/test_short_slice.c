/* Short turns of the scheduler: asked for, and nothing else about the thread is changed. */
#include "support/cmocka.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/embedded/short_slice_internal.h"

#define SLICE_NS 100000U
#define NICE     3

/* The kernel's struct sched_attr of the first size. */
struct attributes {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
};

static struct attributes asked(void)
{
    struct attributes attributes = {.size = sizeof attributes};
    assert_int_equal(syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0), 0);
    return attributes;
}

static void *ask_in_a_thread(void *context)
{
    struct attributes *both = context;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    both[0] = asked();
    short_slice_ask();
    both[1] = asked();
    return NULL;
}

/* A thread of its own, since the rest of the process must not have it. */
static void test_a_thread_gets_shorter_turns_and_keeps_all_else(void **state)
{
    (void)state;
    struct attributes both[2];
    pthread_t thread;
    const uint64_t before_ns = asked().runtime_ns;
    assert_int_equal(pthread_create(&thread, NULL, ask_in_a_thread, both), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(both[1].policy, both[0].policy);
    assert_int_equal(both[1].nice, both[0].nice);
    assert_int_equal(both[1].flags, both[0].flags);
    if (both[0].policy == SCHED_OTHER &&
        both[0].runtime_ns != 0) /* Linux tells it since it can be asked for */
        assert_int_equal(both[1].runtime_ns, SLICE_NS);
    assert_int_equal(asked().runtime_ns, before_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thread_gets_shorter_turns_and_keeps_all_else),
    };
    return cmocka_run_group_tests_name("short_slice", tests, NULL, NULL);
}
