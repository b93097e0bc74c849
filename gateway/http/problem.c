#include "gateway/http/problem.h"

#include <inttypes.h>

#include "base/json.h"

#define HTTP_STATUS_TABLE(X)                                                                                 \
    X(100, "Continue")                                                                                       \
    X(200, "OK")                                                                                             \
    X(201, "Created")                                                                                        \
    X(202, "Accepted")                                                                                       \
    X(204, "No Content")                                                                                     \
    X(206, "Partial Content")                                                                                \
    X(301, "Moved Permanently")                                                                              \
    X(302, "Found")                                                                                          \
    X(303, "See Other")                                                                                      \
    X(304, "Not Modified")                                                                                   \
    X(307, "Temporary Redirect")                                                                             \
    X(308, "Permanent Redirect")                                                                             \
    X(400, "Bad Request")                                                                                    \
    X(401, "Unauthorized")                                                                                   \
    X(403, "Forbidden")                                                                                      \
    X(404, "Not Found")                                                                                      \
    X(405, "Method Not Allowed")                                                                             \
    X(406, "Not Acceptable")                                                                                 \
    X(408, "Request Timeout")                                                                                \
    X(409, "Conflict")                                                                                       \
    X(410, "Gone")                                                                                           \
    X(411, "Length Required")                                                                                \
    X(412, "Precondition Failed")                                                                            \
    X(413, "Content Too Large")                                                                              \
    X(414, "URI Too Long")                                                                                   \
    X(415, "Unsupported Media Type")                                                                         \
    X(417, "Expectation Failed")                                                                             \
    X(421, "Misdirected Request")                                                                            \
    X(422, "Unprocessable Content")                                                                          \
    X(426, "Upgrade Required")                                                                               \
    X(428, "Precondition Required")                                                                          \
    X(429, "Too Many Requests")                                                                              \
    X(431, "Request Header Fields Too Large")                                                                \
    X(499, "Client Closed Request")                                                                          \
    X(500, "Internal Server Error")                                                                          \
    X(501, "Not Implemented")                                                                                \
    X(502, "Bad Gateway")                                                                                    \
    X(503, "Service Unavailable")                                                                            \
    X(504, "Gateway Timeout")                                                                                \
    X(505, "HTTP Version Not Supported")

const char *http_reason_phrase(int http_status)
{
    switch (http_status) {
#define X(number, phrase)                                                                                    \
    case number:                                                                                             \
        return phrase;
        HTTP_STATUS_TABLE(X)
#undef X
    default:
        return "Unknown";
    }
}

static void add_text(struct buffer *to, const char *name, struct bytes value)
{
    buffer_printf(to, "\"%s\":", name);
    json_add_string(to, value);
}

static void add_faults(struct buffer *to, const struct field_faults *faults, const struct bytes *pointers)
{
    buffer_add_text(to, ",\"errors\":[");
    for (size_t i = 0; i < faults->count; i++) {
        buffer_add_text(to, i == 0 ? "{" : ",{");
        add_text(to, "field", bytes_of_text(faults->items[i].field));
        buffer_add_text(to, ",");
        add_text(to, "message", bytes_of_text(faults->items[i].message));
        if (pointers != NULL && pointers[i].size_bytes > 0) {
            buffer_add_text(to, ",");
            add_text(to, "pointer", pointers[i]);
        }
        buffer_add_text(to, "}");
    }
    buffer_add_text(to, "]");
}

void problem_write(struct buffer *to, const struct status *status, int http_status, struct bytes request_id)
{
    problem_write_at(to, status, http_status, request_id, NULL);
}

void problem_write_at(struct buffer *to, const struct status *status, int http_status,
                      struct bytes request_id, const struct bytes *pointers)
{
    if (http_status == 0)
        http_status = status_http(status->code, status->reason);
    buffer_add_text(to, "{\"type\":\"about:blank\",");
    add_text(to, "title", bytes_of_text(http_reason_phrase(http_status)));
    buffer_printf(to, ",\"status\":%d,", http_status);
    add_text(to, "detail", bytes_of_text(status->message));
    buffer_add_text(to, ",");
    add_text(to, "code", bytes_of_text(status_code_name(status->code)));
    if (status->reason != STATUS_REASON_NONE) {
        buffer_add_text(to, ",");
        add_text(to, "reason", bytes_of_text(status_reason_name(status->reason)));
    }
    if (status->expected_version != STATUS_VERSION_NONE)
        buffer_printf(to, ",\"expected_version\":%d", status->expected_version);
    if (status->current_version != STATUS_VERSION_NONE)
        buffer_printf(to, ",\"current_version\":%d", status->current_version);
    if (status->aggregate_id != NULL) {
        buffer_add_text(to, ",");
        add_text(to, "aggregate_id", bytes_of(status->aggregate_id, status->aggregate_id_bytes));
    }
    if (status->position > 0)
        buffer_printf(to, ",\"position\":\"%" PRId64 "\"", status->position);
    if (status->faults != NULL && status->faults->count > 0)
        add_faults(to, status->faults, pointers);
    if (request_id.size_bytes > 0) {
        buffer_add_text(to, ",");
        add_text(to, "request_id", request_id);
    }
    buffer_add_text(to, "}\n");
}
