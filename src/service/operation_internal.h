/*
 * What a long-running operation is made of, for the files that run one: its kind says what there is to do and does it,
 * its task is how it hears of an end and says how far it is.
 *
 *   plan (a call's thread) → recorded as RUNNING → run (a thread of its own) → SUCCEEDED | FAILED
 *                                                   │ cancelled: CANCELLED at once, run returns soon
 *                                                   │ the service stops: stays RUNNING
 *                                                   └ the next start: run again, from the recorded place
 *
 * A place is what a kind needs to go on: bytes of its own format, recorded with the operation. What was done behind the
 * last recorded place is done again, so every step must be one that may be repeated.
 *
 * Threads   plan on a worker of the pool; run, and everything that takes a task, on the task's thread.
 * Blocking  Both may: on the stores.
 */
#pragma once

#include "service/checks_internal.h"
#include "service/service_internal.h"

#define OPERATION_PLACE_MAX_BYTES 128U
#define OPERATION_RESULTS_MAX     8U

/* Identifier, name on the wire. */
#define OPERATION_KIND_TABLE(X)                                                                              \
    X(VERIFY, verify)                                                                                        \
    X(CLEANUP, cleanup)                                                                                      \
    X(REBUILD, rebuild)

enum operation_kind {
#define X(id, name) OPERATION_##id,
    OPERATION_KIND_TABLE(X)
#undef X
        OPERATION_KIND_COUNT
};

struct operation_plan {
    int64_t total; /* 0 = not known yet */
    uint8_t place[OPERATION_PLACE_MAX_BYTES];
    size_t place_bytes;
    char message[160]; /* "would read 12 events" without "would": what is done */
};

struct operation_task;

struct operation_kind_ops {
    /* Checks the request: what is wrong with its fields goes into `faults`. `exactly`: nothing will be started, so that
     * counting may take a while. */
    struct status (*plan)(struct service *service, const Strata__V1__StartOperationRequest *request,
                          bool exactly, struct faults *faults, struct operation_plan *ret);
    /* Returns operation_stopped() soon after operation_goes_on() has become false. */
    struct status (*run)(struct operation_task *task);
};

extern const struct operation_kind_ops operation_verify;
extern const struct operation_kind_ops operation_cleanup;
extern const struct operation_kind_ops operation_rebuild;

struct service *operation_service(const struct operation_task *task);
const Strata__V1__StartOperationRequest *operation_request(const struct operation_task *task);
/* As it was recorded last; valid until the first operation_moved. */
struct bytes operation_place(const struct operation_task *task);

/* False once it was cancelled or the service stops. Cheap. */
bool operation_goes_on(const struct operation_task *task);
STATUS_MUST_CHECK struct status operation_stopped(void);

void operation_set_total(struct operation_task *task, int64_t total);
/* So much is done, and a later run could go on at `place`. Recorded at most once a second. */
void operation_moved(struct operation_task *task, int64_t done, struct bytes place);
/* Replaces an earlier one of that name; `key` is borrowed for ever. */
__attribute__((format(printf, 3, 4))) void operation_set_result(struct operation_task *task, const char *key,
                                                                const char *format, ...);
