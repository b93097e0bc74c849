/*
 * The operations in memory and in the event store's state: what operation_store.c keeps and operation_tasks.c runs.
 *
 * Lock order: save_lock → lock. `save_lock` is held over a write to the state, so that an older version of an operation is
 * never written over a newer one; `lock` is a leaf.
 */
#pragma once

#include "service/operations_internal.h"

#define OPERATION_TASKS_MAX                                                                                  \
    4U /* threads; one more than kinds: a cancelled one may still be coming to its end */

/* Numbers are those of strata.v1.Operation.State. */
enum operation_state {
    OPERATION_RUNS = 1,
    OPERATION_SUCCEEDED = 2,
    OPERATION_FAILED = 3,
    OPERATION_CANCELLED = 4
};

struct operation_result {
    char key[32];
    char value[96];
};

struct operation {
    char id[UUID_TEXT_BYTES];
    enum operation_kind kind;
    enum operation_state state;
    int64_t done;
    int64_t total;
    int64_t started_at_us;
    int64_t ended_at_us; /* 0 = it runs */
    int32_t error_code;
    char *started_by; /* its own, like the request: a packed StartOperationRequest */
    uint8_t *request;
    size_t request_bytes;
    char message[STATUS_MESSAGE_MAX_BYTES];
    struct operation_result results[OPERATION_RESULTS_MAX];
    size_t result_count;
    uint8_t place[OPERATION_PLACE_MAX_BYTES];
    size_t place_bytes;

    uint64_t revision; /* of memory alone, like the two below */
    bool unsaved;      /* changed since it was recorded */
    bool has_task;     /* a thread is inside of it: it must stay */
};

/* A thread that runs an operation. */
struct operation_task {
    struct operations *operations;
    struct operation *operation;
    const Strata__V1__StartOperationRequest *request; /* from the arena */
    struct arena *arena;
    pthread_t thread;
    bool taken;   /* guarded by lock, like the two below */
    bool started; /* `thread` is one to be joined */
    bool ended;   /* its last act: a join takes no time */
    atomic_bool stop;
    int64_t saved_at_us; /* the thread's */
};

struct operations {
    struct service *service;
    pthread_mutex_t save_lock;                    /* guards the writing of records */
    pthread_mutex_t lock;                         /* guards all below */
    struct operation *items[OPERATIONS_KEPT_MAX]; /* by id; a UUIDv7, so by the time of their starts */
    size_t count;
    uint64_t revision; /* the last one given */
    bool stopping;
    struct operation_task tasks[OPERATION_TASKS_MAX];
};

/* --- operation_record.c --- */
STATUS_MUST_CHECK struct status operation_encode(const struct operation *operation, struct buffer *to);
/* DATA_LOSS when the bytes are not a record of ours. */
STATUS_MUST_CHECK struct status operation_decode(struct bytes record, struct operation **ret);
/* NULL when out of memory. */
Strata__V1__Operation *operation_to_proto(struct arena *arena, const struct operation *operation);
void operation_free(struct operation *operation); /* NULL is fine */
DEFINE_CLEANUP(struct operation, operation_free);

/* --- operation_store.c; names ending in _locked: under lock --- */
STATUS_MUST_CHECK struct status status_operation_unknown(const char *id);
struct operation *operation_find_locked(struct operations *operations, const char *id); /* NULL = none */
/* It has changed. */
void operation_touch_locked(struct operations *operations, struct operation *operation);
/* Makes room by letting the oldest finished one go; *ret_gone is then the caller's to remove from the state and to free. */
STATUS_MUST_CHECK struct status operation_insert_locked(struct operations *operations,
                                                        struct operation *operation,
                                                        struct operation **ret_gone);
void operation_take_out_locked(struct operations *operations, struct operation *operation);
/* Records it as it stands now; nothing to do when there is no such operation or nothing has changed. */
STATUS_MUST_CHECK struct status operation_save(struct operations *operations, const char *id);
/* Removes the record and frees. */
void operation_forget(struct operations *operations, struct operation *operation);
