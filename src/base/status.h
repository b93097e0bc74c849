/*
 * The outcome of anything the world can make fail: a code of gRPC's canonical set, a reason from the
 * table below, and a sentence that says what happened, with which value, and what to do.
 *
 * Rooms below service return statuses and do not log them.
 *
 * Ownership  A status is a plain value: nothing to free. `faults` alone is borrowed memory (a call's arena).
 * Threads    Any.
 * Blocking   Never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are gRPC's (google.rpc.Code). */
enum status_code {
    STATUS_OK = 0,
    STATUS_CANCELLED = 1,
    STATUS_UNKNOWN = 2,
    STATUS_INVALID_ARGUMENT = 3,
    STATUS_DEADLINE_EXCEEDED = 4,
    STATUS_NOT_FOUND = 5,
    STATUS_ALREADY_EXISTS = 6,
    STATUS_PERMISSION_DENIED = 7,
    STATUS_RESOURCE_EXHAUSTED = 8,
    STATUS_FAILED_PRECONDITION = 9,
    STATUS_ABORTED = 10,
    STATUS_OUT_OF_RANGE = 11,
    STATUS_UNIMPLEMENTED = 12,
    STATUS_INTERNAL = 13,
    STATUS_UNAVAILABLE = 14,
    STATUS_DATA_LOSS = 15,
    STATUS_UNAUTHENTICATED = 16,
};

/*
 * Reason, canonical code, HTTP status, and after how many ms the same request may succeed (0 = no advice: not before
 * somebody changes something). The names travel in google.rpc.ErrorInfo and problem+json.
 */
#define STATUS_REASON_TABLE(X)                                                                               \
    X(INVALID_ID, INVALID_ARGUMENT, 400, 0)                                                                  \
    X(INVALID_JSON, INVALID_ARGUMENT, 400, 0)                                                                \
    X(INVALID_FIELD, INVALID_ARGUMENT, 400, 0)                                                               \
    X(UNKNOWN_FIELD, INVALID_ARGUMENT, 400, 0)                                                               \
    X(TYPE_NOT_ALLOWED, INVALID_ARGUMENT, 400, 0)                                                            \
    X(VERSION_ZERO, INVALID_ARGUMENT, 400, 0)                                                                \
    X(EVENT_TOO_LARGE, INVALID_ARGUMENT, 413, 0)                                                             \
    X(APPEND_TOO_LARGE, INVALID_ARGUMENT, 413, 0)                                                            \
    X(VERSION_CONFLICT, ABORTED, 409, 0)                                                                     \
    X(CONDITION_FAILED, ABORTED, 409, 0)                                                                     \
    X(REVALIDATE_EXHAUSTED, ABORTED, 409, 0)                                                                 \
    X(IF_MATCH_FAILED, ABORTED, 412, 0)                                                                      \
    X(AGGREGATE_EXISTS, ALREADY_EXISTS, 409, 0)                                                              \
    X(EVENT_ID_USED, ALREADY_EXISTS, 409, 0)                                                                 \
    X(EVENT_ERASED, ALREADY_EXISTS, 409, 0)                                                                  \
    X(SNAPSHOT_EXISTS, ALREADY_EXISTS, 409, 0)                                                               \
    X(TRANSITION_REFUSED, FAILED_PRECONDITION, 400, 0)                                                       \
    X(TYPE_MISMATCH, FAILED_PRECONDITION, 400, 0)                                                            \
    X(PENDING_TOO_MANY, FAILED_PRECONDITION, 400, 0)                                                         \
    X(EVENTS_TOO_MANY, FAILED_PRECONDITION, 400, 0)                                                          \
    X(OPERATION_RUNNING, FAILED_PRECONDITION, 400, 0)                                                        \
    X(PRECONDITION_REQUIRED, FAILED_PRECONDITION, 428, 0)                                                    \
    X(AGGREGATE_UNKNOWN, NOT_FOUND, 404, 0)                                                                  \
    X(EVENT_UNKNOWN, NOT_FOUND, 404, 0)                                                                      \
    X(SNAPSHOT_NONE, NOT_FOUND, 404, 0)                                                                      \
    X(OPERATION_UNKNOWN, NOT_FOUND, 404, 0)                                                                  \
    X(UNAUTHENTICATED, UNAUTHENTICATED, 401, 0)                                                              \
    X(PERMISSION_DENIED, PERMISSION_DENIED, 403, 0)                                                          \
    X(LIMIT_EVENTS, RESOURCE_EXHAUSTED, 429, 0)                                                              \
    X(LIMIT_AGGREGATES, RESOURCE_EXHAUSTED, 429, 0)                                                          \
    X(LIMIT_AGGREGATE_EVENTS, RESOURCE_EXHAUSTED, 429, 0)                                                    \
    X(RATE_LIMITED, RESOURCE_EXHAUSTED, 429, 1000)                                                           \
    X(QUEUE_FULL, UNAVAILABLE, 503, 50)                                                                      \
    X(STORE_UNREACHABLE, UNAVAILABLE, 503, 1000)                                                             \
    X(STORE_FAILED, UNAVAILABLE, 503, 1000)                                                                  \
    X(BEHIND, UNAVAILABLE, 503, 1000)                                                                        \
    X(OUTCOME_UNKNOWN, UNKNOWN, 500, 0)                                                                      \
    X(POSITION_MISSING, DATA_LOSS, 500, 0)                                                                   \
    X(DAMAGED, DATA_LOSS, 500, 0)

enum status_reason {
    STATUS_REASON_NONE,
#define X(id, code, http, retry_ms) REASON_##id,
    STATUS_REASON_TABLE(X)
#undef X
        STATUS_REASON_COUNT
};

/* One faulty field of a request; `field` is a path such as "events[2].aggregate_id". */
struct field_fault {
    const char *field;
    const char *message;
};

struct field_faults {
    const struct field_fault *items;
    size_t count;
};

#define STATUS_MESSAGE_MAX_BYTES 768U
#define STATUS_VERSION_NONE      (-1) /* a version that does not apply */

struct status {
    enum status_code code;
    enum status_reason reason;
    int32_t expected_version; /* VERSION_CONFLICT: what the caller expected, else STATUS_VERSION_NONE */
    int32_t current_version;  /* VERSION_CONFLICT: the aggregate's, else STATUS_VERSION_NONE */
    int32_t retry_after_ms;   /* 0 = no advice; else RetryInfo and Retry-After */
    /* What the versions are about: not NUL-terminated, NULL = nothing; lives as long as the call's arena. */
    const char *aggregate_id;
    size_t aggregate_id_bytes;
    int64_t position;                  /* CONDITION_FAILED: of an event that matches; else 0 */
    const struct field_faults *faults; /* NULL or all faulty fields; lives as long as the call's arena */
    char message[STATUS_MESSAGE_MAX_BYTES];
};

#define STATUS_MUST_CHECK __attribute__((warn_unused_result))

static inline STATUS_MUST_CHECK struct status status_ok(void)
{
    struct status status;
    status.code = STATUS_OK;
    status.reason = STATUS_REASON_NONE;
    status.expected_version = STATUS_VERSION_NONE;
    status.current_version = STATUS_VERSION_NONE;
    status.retry_after_ms = 0;
    status.aggregate_id = NULL;
    status.aggregate_id_bytes = 0;
    status.position = 0;
    status.faults = NULL;
    status.message[0] = '\0'; /* the rest stays unset: an OK status must cost nothing */
    return status;
}

static inline bool status_is_ok(const struct status *status)
{
    return status->code == STATUS_OK;
}

/* A failure that has no reason of the table (our own start-up and file errors). */
__attribute__((format(printf, 2, 3))) STATUS_MUST_CHECK struct status status_error(enum status_code code,
                                                                                   const char *format, ...);

/* A failure with a reason; its code and retry_after_ms come from the table. */
__attribute__((format(printf, 2, 3))) STATUS_MUST_CHECK struct status status_reason(enum status_reason reason,
                                                                                    const char *format, ...);

/* The same failure with "prefix: " before its message, for what only the caller knows. */
__attribute__((format(printf, 2, 3))) STATUS_MUST_CHECK struct status status_prefix(struct status status,
                                                                                    const char *format, ...);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time and would follow paths on which a failure made here is OK. */
static inline struct status status_is_failure_(struct status status)
{
    if (status.code == STATUS_OK)
        __builtin_unreachable();
    return status;
}
#define status_error(...)  status_is_failure_(status_error(__VA_ARGS__))
#define status_reason(...) status_is_failure_(status_reason(__VA_ARGS__))
#endif

const char *status_code_name(enum status_code code);       /* "INVALID_ARGUMENT" */
const char *status_reason_name(enum status_reason reason); /* "VERSION_CONFLICT"; "" for none */
/* STATUS_REASON_NONE when there is no such reason. */
enum status_reason status_reason_from_name(const char *name, size_t length);

/* The HTTP status of a failure: the reason's, else the canonical mapping of its code. */
int status_http(enum status_code code, enum status_reason reason);

/* Returns from the calling function when the expression is not OK. */
#define STATUS_TRY(expression)                                                                               \
    do {                                                                                                     \
        struct status status_try_ = (expression);                                                            \
        if (status_try_.code != STATUS_OK)                                                                   \
            return status_try_;                                                                              \
    } while (0)
