#include "rpc/status_details.h"

#include <assert.h>
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/duration.pb-c.h>
#include <google/rpc/error_details.pb-c.h>
#include <google/rpc/status.pb-c.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_PREFIX        "type.googleapis.com/"
#define DETAILS_MAX        4U   /* ErrorInfo, BadRequest, QuotaFailure, RetryInfo */
#define FAULT_TEXT_MAX     512U /* of a path and of a message, each */
#define DECODED_FAULTS_MAX 1000U
#define DECODE_MAX_BYTES   ((size_t)64 * 1024)

typedef Google__Rpc__ErrorInfo__MetadataEntry MetadataEntry;
typedef Google__Rpc__BadRequest__FieldViolation FieldViolation;

/* --- encoding --- */

struct encoder {
    struct arena *arena;
    Google__Protobuf__Any anys[DETAILS_MAX];
    Google__Protobuf__Any *details[DETAILS_MAX];
    size_t count;
    size_t size_bytes; /* of all details so far */
};

/* Packs `message` as the next detail; drops it when the arena is exhausted, since the code and text still tell. */
static void add_detail(struct encoder *encoder, const ProtobufCMessage *message)
{
    assert(encoder->count < DETAILS_MAX);
    const size_t size_bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = arena_alloc(encoder->arena, size_bytes);
    char *url = arena_printf(encoder->arena, TYPE_PREFIX "%s", message->descriptor->name);
    if (packed == NULL || url == NULL)
        return;
    protobuf_c_message_pack(message, packed);
    Google__Protobuf__Any *any = &encoder->anys[encoder->count];
    google__protobuf__any__init(any);
    any->type_url = url;
    any->value = (ProtobufCBinaryData){size_bytes, packed};
    encoder->details[encoder->count++] = any;
    encoder->size_bytes += size_bytes + strlen(url) + 16;
}

static void add_metadata(struct encoder *encoder, Google__Rpc__ErrorInfo *info, const char *key, char *text)
{
    MetadataEntry *entry = arena_alloc(encoder->arena, sizeof *entry);
    if (entry == NULL || text == NULL)
        return;
    google__rpc__error_info__metadata_entry__init(entry);
    entry->key = (char *)key;
    entry->value = text;
    info->metadata[info->n_metadata++] = entry;
}

static void add_number(struct encoder *encoder, Google__Rpc__ErrorInfo *info, const char *key, int64_t number,
                       int64_t none)
{
    if (number != none)
        add_metadata(encoder, info, key, arena_printf(encoder->arena, "%" PRId64, number));
}

static void add_error_info(struct encoder *encoder, const struct status *status)
{
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    MetadataEntry *entries[4];
    info.reason = (char *)status_reason_name(status->reason);
    info.domain = (char *)STATUS_DOMAIN;
    info.metadata = entries;
    add_number(encoder, &info, "expected_version", status->expected_version, STATUS_VERSION_NONE);
    add_number(encoder, &info, "current_version", status->current_version, STATUS_VERSION_NONE);
    add_number(encoder, &info, "position", status->position, 0);
    if (status->aggregate_id != NULL)
        add_metadata(encoder, &info, "aggregate_id",
                     arena_text(encoder->arena, bytes_of(status->aggregate_id, status->aggregate_id_bytes)));
    add_detail(encoder, &info.base);
}

/* Which setting a limit comes from; NULL: not a limit. */
static const char *quota_subject(enum status_reason reason)
{
    switch (reason) {
    case REASON_LIMIT_EVENTS:
        return "max_events";
    case REASON_LIMIT_AGGREGATES:
        return "max_aggregates";
    case REASON_LIMIT_AGGREGATE_EVENTS:
        return "validation_rules.max_aggregate_events";
    case REASON_RATE_LIMITED:
        return "security.rate_limit_requests";
    default:
        return NULL;
    }
}

static void add_quota_failure(struct encoder *encoder, const struct status *status)
{
    Google__Rpc__QuotaFailure__Violation violation = GOOGLE__RPC__QUOTA_FAILURE__VIOLATION__INIT;
    Google__Rpc__QuotaFailure__Violation *violations[] = {&violation};
    violation.subject = (char *)quota_subject(status->reason);
    violation.description = (char *)status->message;
    Google__Rpc__QuotaFailure failure = GOOGLE__RPC__QUOTA_FAILURE__INIT;
    failure.n_violations = 1;
    failure.violations = violations;
    add_detail(encoder, &failure.base);
}

static void add_retry_info(struct encoder *encoder, const struct status *status)
{
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    delay.seconds = status->retry_after_ms / 1000;
    delay.nanos = status->retry_after_ms % 1000 * 1000000;
    Google__Rpc__RetryInfo info = GOOGLE__RPC__RETRY_INFO__INIT;
    info.retry_delay = &delay;
    add_detail(encoder, &info.base);
}

/* A fault's text, cut at a character's beginning: a path may hold a client's own long names. */
static char *fault_text(struct arena *arena, const char *text)
{
    size_t size_bytes = strnlen(text, FAULT_TEXT_MAX + 1);
    if (size_bytes > FAULT_TEXT_MAX) {
        size_bytes = FAULT_TEXT_MAX;
        while (size_bytes > 0 && ((unsigned char)text[size_bytes] & 0xC0) == 0x80)
            size_bytes--;
    }
    return arena_text(arena, bytes_of(text, size_bytes));
}

static FieldViolation *violation_new(struct arena *arena, char *field, char *description)
{
    FieldViolation *violation = arena_alloc(arena, sizeof *violation);
    if (violation == NULL || field == NULL || description == NULL)
        return NULL;
    google__rpc__bad_request__field_violation__init(violation);
    violation->field = field;
    violation->description = description;
    return violation;
}

/* All faults that fit; the others become one line that counts them. */
static void add_bad_request(struct encoder *encoder, const struct field_faults *faults, size_t max_bytes)
{
    Google__Rpc__BadRequest request = GOOGLE__RPC__BAD_REQUEST__INIT;
    request.field_violations = arena_array(encoder->arena, faults->count + 1, sizeof(FieldViolation *));
    if (request.field_violations == NULL)
        return;
    size_t used = encoder->size_bytes + 128; /* for the line that counts */
    size_t next = 0;
    for (; next < faults->count; next++) {
        FieldViolation *violation =
            violation_new(encoder->arena, fault_text(encoder->arena, faults->items[next].field),
                          fault_text(encoder->arena, faults->items[next].message));
        if (violation == NULL)
            break;
        used += protobuf_c_message_get_packed_size(&violation->base) + 4;
        if (used > max_bytes)
            break;
        request.field_violations[request.n_field_violations++] = violation;
    }
    if (next < faults->count) {
        FieldViolation *rest = violation_new(
            encoder->arena, (char *)"",
            arena_printf(encoder->arena, "and %zu more faults, too many to list", faults->count - next));
        if (rest != NULL)
            request.field_violations[request.n_field_violations++] = rest;
    }
    add_detail(encoder, &request.base);
}

void status_details_encode(const struct status *status, size_t max_bytes, struct buffer *to)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    Google__Rpc__Status message = GOOGLE__RPC__STATUS__INIT;
    struct encoder encoder = {.arena = arena};
    message.code = (int32_t)status->code;
    message.message = (char *)status->message;
    if (arena != NULL) {
        if (status->reason != STATUS_REASON_NONE)
            add_error_info(&encoder, status);
        if (quota_subject(status->reason) != NULL)
            add_quota_failure(&encoder, status);
        if (status->retry_after_ms > 0)
            add_retry_info(&encoder, status);
        if (status->faults != NULL && status->faults->count > 0)
            add_bad_request(&encoder, status->faults, max_bytes);
        message.n_details = encoder.count;
        message.details = encoder.details;
    }
    const size_t size_bytes = protobuf_c_message_get_packed_size(&message.base);
    uint8_t *memory = size_bytes == 0 ? NULL : buffer_extend(to, size_bytes);
    if (memory != NULL)
        protobuf_c_message_pack(&message.base, memory);
}

/* --- decoding --- */

static void *decode_alloc(void *data, size_t size_bytes)
{
    return arena_alloc(data, size_bytes);
}

static void decode_free(void *data, void *memory)
{
    (void)data; /* goes with the arena */
    (void)memory;
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, struct arena *arena,
                                ProtobufCBinaryData packed)
{
    ProtobufCAllocator allocator = {decode_alloc, decode_free, arena};
    return protobuf_c_message_unpack(type, &allocator, packed.len, packed.data);
}

static struct status not_a_status(const char *type)
{
    return status_error(
        STATUS_DATA_LOSS,
        "the error details of the answer are not a %s; is the peer a Strata of another version?", type);
}

static int32_t version_from_text(const char *text)
{
    char *end = NULL;
    const long value = strtol(text, &end, 10);
    return *text == '\0' || *end != '\0' || value < 0 || value > INT32_MAX ? STATUS_VERSION_NONE
                                                                           : (int32_t)value;
}

static int64_t position_from_text(const char *text)
{
    char *end = NULL;
    const long long value = strtoll(text, &end, 10);
    return *text == '\0' || *end != '\0' || value < 0 ? 0 : value;
}

/* The text of an aggregate's id stays where it was unpacked: in the decoder's arena. */
static void read_error_info(const Google__Rpc__ErrorInfo *info, struct status *status)
{
    if (strcmp(info->domain, STATUS_DOMAIN) != 0)
        return;
    status->reason = status_reason_from_name(info->reason, strlen(info->reason));
    for (size_t i = 0; i < info->n_metadata; i++) {
        if (strcmp(info->metadata[i]->key, "expected_version") == 0)
            status->expected_version = version_from_text(info->metadata[i]->value);
        else if (strcmp(info->metadata[i]->key, "current_version") == 0)
            status->current_version = version_from_text(info->metadata[i]->value);
        else if (strcmp(info->metadata[i]->key, "position") == 0)
            status->position = position_from_text(info->metadata[i]->value);
        else if (strcmp(info->metadata[i]->key, "aggregate_id") == 0) {
            status->aggregate_id = info->metadata[i]->value;
            status->aggregate_id_bytes = strlen(status->aggregate_id);
        }
    }
}

static bool read_bad_request(const Google__Rpc__BadRequest *request, struct arena *arena,
                             struct status *status)
{
    const size_t count =
        request->n_field_violations < DECODED_FAULTS_MAX ? request->n_field_violations : DECODED_FAULTS_MAX;
    struct field_faults *faults = arena_alloc(arena, sizeof *faults);
    struct field_fault *items = arena_array(arena, count, sizeof *items);
    if (faults == NULL || items == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        items[i].field = request->field_violations[i]->field;
        items[i].message = request->field_violations[i]->description;
    }
    *faults = (struct field_faults){items, count};
    status->faults = faults;
    return true;
}

static void read_retry_info(const Google__Rpc__RetryInfo *info, struct status *status)
{
    if (info->retry_delay == NULL || info->retry_delay->seconds < 0 || info->retry_delay->nanos < 0)
        return;
    const int64_t seconds = info->retry_delay->seconds < 86400 ? info->retry_delay->seconds : 86400;
    status->retry_after_ms = (int32_t)(seconds * 1000 + info->retry_delay->nanos / 1000000);
}

static bool is_type(const Google__Protobuf__Any *any, const ProtobufCMessageDescriptor *type)
{
    return strncmp(any->type_url, TYPE_PREFIX, strlen(TYPE_PREFIX)) == 0 &&
           strcmp(any->type_url + strlen(TYPE_PREFIX), type->name) == 0;
}

/* Details of other types are for others and are passed over. */
static struct status read_detail(const Google__Protobuf__Any *any, struct arena *arena, struct status *status)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &google__rpc__error_info__descriptor,
        &google__rpc__bad_request__descriptor,
        &google__rpc__retry_info__descriptor,
    };
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (!is_type(any, types[i]))
            continue;
        ProtobufCMessage *detail = unpack(types[i], arena, any->value);
        if (detail == NULL)
            return not_a_status(types[i]->name);
        if (types[i] == &google__rpc__error_info__descriptor)
            read_error_info((const Google__Rpc__ErrorInfo *)detail, status);
        else if (types[i] == &google__rpc__retry_info__descriptor)
            read_retry_info((const Google__Rpc__RetryInfo *)detail, status);
        else if (!read_bad_request((const Google__Rpc__BadRequest *)detail, arena, status))
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the error details of the answer");
    }
    return status_ok();
}

struct status status_details_decode(struct bytes packed, struct arena *arena, struct status *ret)
{
    if (packed.size_bytes == 0 || packed.size_bytes > DECODE_MAX_BYTES)
        return not_a_status("google.rpc.Status");
    const Google__Rpc__Status *message =
        (const Google__Rpc__Status *)unpack(&google__rpc__status__descriptor, arena,
                                            (ProtobufCBinaryData){packed.size_bytes, (uint8_t *)packed.data});
    if (message == NULL || message->code < STATUS_OK || message->code > STATUS_UNAUTHENTICATED)
        return not_a_status("google.rpc.Status");
    struct status status = status_error((enum status_code)message->code, "%s", message->message);
    for (size_t i = 0; i < message->n_details; i++)
        STATUS_TRY(read_detail(message->details[i], arena, &status));
    *ret = status;
    return status_ok();
}
