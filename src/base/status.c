#include "base/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum status_code code;
    int http;
    int32_t retry_after_ms;
} reasons[STATUS_REASON_COUNT] = {[STATUS_REASON_NONE] = {"", STATUS_UNKNOWN, 500, 0},
#define X(id, canonical, status, retry_ms) [REASON_##id] = {#id, STATUS_##canonical, status, retry_ms},
                                  STATUS_REASON_TABLE(X)
#undef X
};

/* The HTTP statuses are those of google.rpc.Code's comments. */
static const struct {
    const char *name;
    int http;
} codes[] = {
    [STATUS_OK] = {"OK", 200},
    [STATUS_CANCELLED] = {"CANCELLED", 499},
    [STATUS_UNKNOWN] = {"UNKNOWN", 500},
    [STATUS_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", 400},
    [STATUS_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", 504},
    [STATUS_NOT_FOUND] = {"NOT_FOUND", 404},
    [STATUS_ALREADY_EXISTS] = {"ALREADY_EXISTS", 409},
    [STATUS_PERMISSION_DENIED] = {"PERMISSION_DENIED", 403},
    [STATUS_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", 429},
    [STATUS_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", 400},
    [STATUS_ABORTED] = {"ABORTED", 409},
    [STATUS_OUT_OF_RANGE] = {"OUT_OF_RANGE", 400},
    [STATUS_UNIMPLEMENTED] = {"UNIMPLEMENTED", 501},
    [STATUS_INTERNAL] = {"INTERNAL", 500},
    [STATUS_UNAVAILABLE] = {"UNAVAILABLE", 503},
    [STATUS_DATA_LOSS] = {"DATA_LOSS", 500},
    [STATUS_UNAUTHENTICATED] = {"UNAUTHENTICATED", 401},
};
#define CODE_COUNT (sizeof codes / sizeof codes[0])

static void status_format(struct status *status, const char *format, va_list arguments)
{
    const int length = vsnprintf(status->message, sizeof status->message, format, arguments);
    assert(length >= 0);
    /* A cut message must not end inside a UTF-8 sequence: it travels in proto strings. */
    if ((size_t)length >= sizeof status->message) {
        size_t end = sizeof status->message - 1;
        while (end > 0 && ((unsigned char)status->message[end - 1] & 0xC0) == 0x80)
            end--;
        if (end > 0 && (unsigned char)status->message[end - 1] >= 0xC0)
            end--;
        status->message[end] = '\0';
    }
}

#undef status_error /* the analyzer's wrappers, see status.h */
#undef status_reason

struct status status_error(enum status_code code, const char *format, ...)
{
    struct status status = status_ok();
    status.code = code;
    va_list arguments;
    va_start(arguments, format);
    status_format(&status, format, arguments);
    va_end(arguments);
    return status;
}

struct status status_reason(enum status_reason reason, const char *format, ...)
{
    assert(reason > STATUS_REASON_NONE && reason < STATUS_REASON_COUNT);
    struct status status = status_ok();
    status.code = reasons[reason].code;
    status.reason = reason;
    status.retry_after_ms = reasons[reason].retry_after_ms;
    va_list arguments;
    va_start(arguments, format);
    status_format(&status, format, arguments);
    va_end(arguments);
    return status;
}

struct status status_prefix(struct status status, const char *format, ...)
{
    char inner[STATUS_MESSAGE_MAX_BYTES];
    memcpy(inner, status.message, sizeof inner);
    char prefix[STATUS_MESSAGE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(prefix, sizeof prefix, format, arguments); /* a cut prefix is still a prefix */
    va_end(arguments);
    struct status longer = status_error(status.code, "%s: %s", prefix, inner);
    memcpy(status.message, longer.message, sizeof status.message);
    return status;
}

const char *status_code_name(enum status_code code)
{
    return (size_t)code < CODE_COUNT ? codes[code].name : "UNKNOWN";
}

const char *status_reason_name(enum status_reason reason)
{
    assert(reason < STATUS_REASON_COUNT);
    return reasons[reason].name;
}

enum status_reason status_reason_from_name(const char *name, size_t length)
{
    for (int i = STATUS_REASON_NONE + 1; i < STATUS_REASON_COUNT; i++)
        if (strlen(reasons[i].name) == length && memcmp(reasons[i].name, name, length) == 0)
            return (enum status_reason)i;
    return STATUS_REASON_NONE;
}

int status_http(enum status_code code, enum status_reason reason)
{
    if (reason != STATUS_REASON_NONE)
        return reasons[reason].http;
    return (size_t)code < CODE_COUNT ? codes[code].http : 500;
}
