/*
 * The operations in memory and in the event store's state: what operation_store.c keeps and operation_tasks.c runs.
 *
 * Lock order: save_lock → lock. `save_lock` is held over a write to the state, so that an older version of an operation is
 * never written over a newer one; `lock` is a leaf.
 */
#pragma once

#include "service/operations_internal.h"

#include "store/event_store.h"

#define OPERATION_TASKS_MAX                                                                                  \
    4U /* threads; one more than kinds: a cancelled one may still be coming to its end */

/* Of an operation where processes share the store. Of one whose process has died another begins at most so much, and the
 * interval of the keeper's listings, later. */
#define OPERATION_LEASE_TTL_MS   INT64_C(10000)
#define OPERATION_LEASE_RENEW_US INT64_C(3000000)

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

    uint64_t revision;    /* of memory alone, like all below */
    bool unsaved;         /* changed since it was recorded */
    bool has_task;        /* a thread is inside of it: it must stay */
    bool lost;            /* another process runs it: that one's records are not written over */
    uint64_t stored_hash; /* of the record that was read last; 0 = none was, or it is out of date */
    uint64_t seen;        /* the number of the listing that had it last */
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
    int64_t saved_at_us;  /* the thread's */
    int64_t lease_epoch;  /* 0 = none is needed; guarded by lock, like the one below */
    int64_t lease_due_us; /* monotonic: it is to be renewed */
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

    /* Where several processes share the store; else all is unused. */
    bool shared;
    char holder[LEASE_NAME_MAX_BYTES + 1];
    uint64_t listings; /* guarded by save_lock */
    pthread_t keeper;
    bool keeper_started;         /* of the thread that makes and ends the service */
    pthread_cond_t keeper_wakes; /* the service stops */
};

/* --- operation_record.c --- */
STATUS_MUST_CHECK struct status operation_encode(const struct operation *operation, struct buffer *to);
/* DATA_LOSS when the bytes are not a record of ours. */
STATUS_MUST_CHECK struct status operation_decode(struct bytes record, struct operation **ret);
/* The new contents of one that has no task; `from` is used up. */
void operation_replace(struct operation *operation, struct operation *from);
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

#define OPERATION_KEY_PREFIX    "operation/"
#define OPERATION_KEY_MAX_BYTES 64U /* a prefix of ours and an id */
struct bytes operation_key(const char *prefix, const char *id, char memory[OPERATION_KEY_MAX_BYTES]);

/* --- operation_tasks.c --- */
/* Runs one that no thread is inside of. False: it did not start, and the next look at it may try again. */
bool operation_go_on_locked(struct operations *operations, struct operation *operation, int64_t lease_epoch);
/* It has ended by a cancel; its thread, if it has one, hears of it. */
void operation_cancel_locked(struct operations *operations, struct operation *operation, int64_t at_us);
/* Its thread stops, and what it would record is not. */
void operation_lose_locked(struct operations *operations, struct operation *operation);

/* --- operation_shared.c: only where several processes share the store --- */
/* Learns of what others have recorded: of all operations; of one, which is no longer there if its record is not. */
STATUS_MUST_CHECK struct status operations_refresh_shared(struct operations *operations);
STATUS_MUST_CHECK struct status operation_refresh_shared(struct operations *operations, const char *id);
STATUS_MUST_CHECK struct status operation_cancel_shared(struct operations *operations, const char *id);
/* That this process starts one of a kind; FAILED_PRECONDITION/OPERATION_RUNNING while another one does. */
STATUS_MUST_CHECK struct status operation_turn_take(struct operations *operations, enum operation_kind kind,
                                                    int64_t *ret_epoch);
void operation_turn_end(struct operations *operations, enum operation_kind kind, int64_t epoch);
/* The lease that an operation runs under. ABORTED: another process has it. */
STATUS_MUST_CHECK struct status operation_lease_take(struct operations *operations, const char *id,
                                                     int64_t *ret_epoch);
/* With the operation's end nothing is left of it. */
void operation_lease_end(struct operations *operations, const char *id, int64_t epoch);
/* The cancel of it is no longer to be remembered: it is recorded, or there is no operation. */
void operation_mark_remove(struct operations *operations, const char *id);

/* --- operation_keeper.c --- */
STATUS_MUST_CHECK struct status operations_keeper_start(struct operations *operations);
void operations_keeper_stop(struct operations *operations);
