/*
 * The contract as tables, generated from proto/: messages with their fields and options, methods with their
 * rules, HTTP routes. What protobuf-c does not keep (options, JSON names, services) is here, and what it does
 * not check (UTF-8, NUL, ranges, memory) is checked here before it may unpack.
 *
 * Threads   Any; all tables are constant.
 * Blocking  Never.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "schema/schema_methods.h"

enum schema_kind {
    SCHEMA_BOOL,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_DOUBLE,
    SCHEMA_STRING,
    SCHEMA_BYTES,
    SCHEMA_ENUM,
    SCHEMA_MESSAGE,
};

enum schema_flags {
    SCHEMA_REPEATED = 1 << 0,    /* also maps */
    SCHEMA_MAP = 1 << 1,         /* `message` is the entry: key 1, value 2 */
    SCHEMA_PRESENCE = 1 << 2,    /* optional, member of a oneof, or a message: absent is not the default */
    SCHEMA_RAW_JSON = 1 << 3,    /* bytes that hold one JSON text, inline in JSON */
    SCHEMA_DECIMAL = 1 << 4,     /* a string that also takes a JSON number token */
    SCHEMA_JSON_NUMBER = 1 << 5, /* int64 written as a JSON number */
    SCHEMA_INTERNAL = 1 << 6,    /* never shown by the gateway */
};

/* Messages that have a JSON form of their own. */
enum schema_special { SCHEMA_PLAIN, SCHEMA_TIMESTAMP, SCHEMA_DURATION };

struct schema_message;

struct schema_enum_value {
    const char *name;
    int32_t number;
};

struct schema_enum {
    const char *name; /* "strata.v1.Direction" */
    const struct schema_enum_value *values;
    size_t count;
};

struct schema_field {
    uint32_t number;
    const char *name;      /* "aggregate_id", written out */
    const char *json_name; /* "aggregateId", read too */
    enum schema_kind kind;
    unsigned flags; /* enum schema_flags */
    int oneof;      /* index among the message's oneofs, -1 = none; `optional` fields are in none */
    const struct schema_message *message; /* SCHEMA_MESSAGE */
    const struct schema_enum *values;     /* SCHEMA_ENUM */
    const char *http_header;              /* NULL = none */
};

/* One spelling of a field's name. */
struct schema_name {
    const char *name;
    uint8_t size_bytes;
    uint8_t place; /* in `fields` */
};

struct schema_message {
    const char *name; /* "strata.v1.Event" */
    enum schema_special special;
    const struct schema_field *fields; /* by number; at most 64 */
    size_t field_count;
    const char *const *oneofs;
    size_t oneof_count;
    const struct schema_name *names; /* both spellings, by size and then by bytes */
    size_t name_count;
    const uint8_t *places; /* by number: 1 + place in `fields`, 0 = no such field */
    size_t place_count;
    size_t unpacked_bytes; /* what protobuf-c allocates for an empty one, at most */
};

/* Every message of the contract, by name. */
extern const struct schema_message *const schema_messages[];
extern const size_t schema_message_count;

enum schema_role {
    SCHEMA_ROLE_PUBLIC = 1,
    SCHEMA_ROLE_READER,
    SCHEMA_ROLE_WRITER,
    SCHEMA_ROLE_OPERATOR,
    SCHEMA_ROLE_AUDITOR,
    SCHEMA_ROLE_ADMIN,
};

enum schema_rate {
    SCHEMA_RATE_READ = 1,
    SCHEMA_RATE_WRITE,
    SCHEMA_RATE_STREAM,
    SCHEMA_RATE_ADMIN,
    SCHEMA_RATE_EXEMPT
};

struct schema_method {
    const char *path;    /* "/strata.v1.EventService/PublishEvent" */
    const char *service; /* "strata.v1.EventService" */
    const char *name;    /* "PublishEvent" */
    const struct schema_message *request;
    const struct schema_message *reply;
    const ProtobufCMessageDescriptor *request_descriptor;
    const ProtobufCMessageDescriptor *reply_descriptor;
    bool client_stream;
    bool server_stream;
    enum schema_role role;
    enum schema_rate rate;
    int http_success; /* 200, 201, … */
    bool mutating;
    bool retry_safe;
    const char *http_location; /* template over the reply, "/api/v1/aggregates/{id}"; NULL = none */
};

extern const struct schema_method schema_methods[SCHEMA_METHOD_COUNT];

/* One segment of a route: a literal, or a variable bound to a field of the request. */
struct schema_segment {
    const char *literal;              /* NULL = a variable */
    const struct schema_field *field; /* NULL = a literal */
};

struct schema_route {
    const char *verb; /* "GET" */
    const char *path; /* the template, for messages */
    const struct schema_segment *segments;
    size_t segment_count;
    enum schema_method_id method;
    const char *body;          /* "*", a field name, or NULL: no body */
    const char *response_body; /* a field name, or NULL: the whole reply */
};

extern const struct schema_route schema_routes[];
extern const size_t schema_route_count;

/* Messages that no method names but that travel (WebSocket frames). */
extern const struct schema_message *const schema_ws_request;
extern const struct schema_message *const schema_ws_message;
extern const struct schema_message *const schema_event;

/* The serialized google.protobuf.FileDescriptorSet of everything served, for reflection. */
extern const uint8_t schema_descriptor_set[];
extern const size_t schema_descriptor_set_bytes;

/* OpenAPI 3.1 of all routes. */
extern const char schema_openapi_json[];
extern const size_t schema_openapi_json_bytes;
/* AsyncAPI 3.0 of frames and event streams. */
extern const char schema_asyncapi_json[];
extern const size_t schema_asyncapi_json_bytes;

static inline const struct schema_method *schema_method(enum schema_method_id id)
{
    return &schema_methods[id];
}

/* NULL when the message has no such field. */
static inline const struct schema_field *schema_field_by_number(const struct schema_message *message,
                                                                uint32_t number)
{
    const unsigned place = number < message->place_count ? message->places[number] : 0;
    return place == 0 ? NULL : &message->fields[place - 1];
}
/* By either spelling. */
const struct schema_field *schema_field_by_name(const struct schema_message *message, struct bytes name);
/* "strata.v1.UserCreated"; NULL when there is none. */
const struct schema_message *schema_message_by_name(struct bytes name);
/* NULL when the enum has no such value. */
const struct schema_enum_value *schema_enum_by_name(const struct schema_enum *values, struct bytes name);
const struct schema_enum_value *schema_enum_by_number(const struct schema_enum *values, int32_t number);

/* --- wire format --- */

enum wire_type { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

/* One field as it stands on the wire; `bytes` for WIRE_LEN, else `number`. */
struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;
    struct bytes bytes;
};

/* Reads the field at *at and moves *at behind it. False when the bytes are
 * not well formed. At the end: asks not. */
bool wire_next(struct bytes wire, size_t *at, struct wire_field *ret);

/* Writing; a failure stays in the buffer. */
void wire_put_varint(struct buffer *to, uint64_t value);
void wire_put_tag(struct buffer *to, uint32_t number, enum wire_type type);
void wire_put_bytes(struct buffer *to, uint32_t number, struct bytes bytes); /* tag, length, bytes */
void wire_put_uint(struct buffer *to, uint32_t number, uint64_t value);      /* tag, varint */

/*
 * What unpacking `size_bytes` may make protobuf-c allocate, in all, when each allocation is rounded up to 16
 * bytes and nothing is freed until the end (an arena). An empty submessage of 2 bytes becomes a struct of
 * hundreds, so without a bound a small request could take much memory. The factor is what the smallest legal
 * events with all their tags need.
 */
#define WIRE_UNPACKED_BASE_BYTES ((size_t)512 * 1024)
#define WIRE_UNPACKED_FACTOR     24U

static inline size_t wire_unpacked_max_bytes(size_t size_bytes)
{
    return WIRE_UNPACKED_BASE_BYTES + WIRE_UNPACKED_FACTOR * size_bytes;
}

/*
 * May protobuf-c unpack these bytes as the request `message`? To be asked before every unpack, since
 * protobuf-c cuts strings at a NUL, passes bad UTF-8, truncates numbers and allocates without bound.
 * INVALID_FIELD, naming the path of the field ("events[2].occurred_at"), when
 *   - the bytes are not well formed, or a known field has another wire type
 *   - a string is not UTF-8 or holds a NUL; an int32 is out of range; an enum has no such value
 *   - a singular message is there twice (a scalar may be: the last one counts)
 *   - unpacking would allocate more than wire_unpacked_max_bytes()
 * Unknown fields pass: they are of newer clients. Depth needs no check here: the contract is not recursive,
 * the generator refuses more than 16 levels, and what is unknown is not entered.
 */
STATUS_MUST_CHECK struct status schema_wire_check(const struct schema_message *message, struct bytes wire);
