/*
 * The contract as tables, generated from proto/: messages with their fields and options, methods with their rules,
 * HTTP routes. What protobuf-c does not keep (options, JSON names, services) is here, and what it does not check
 * (UTF-8, NUL, depth, counts) is checked here before it may unpack.
 *
 * Threads  Any; all tables are constant.
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
    unsigned flags;   /* enum schema_flags */
    int oneof;        /* index among the message's oneofs, -1 = none; `optional` fields are in none */
    const struct schema_message *message; /* SCHEMA_MESSAGE */
    const struct schema_enum *values;     /* SCHEMA_ENUM */
    const char *http_header;              /* NULL = none */
};

struct schema_message {
    const char *name; /* "strata.v1.Event" */
    enum schema_special special;
    const struct schema_field *fields; /* by number */
    size_t field_count;
    const char *const *oneofs;
    size_t oneof_count;
};

enum schema_role {
    SCHEMA_ROLE_PUBLIC = 1,
    SCHEMA_ROLE_READER,
    SCHEMA_ROLE_WRITER,
    SCHEMA_ROLE_OPERATOR,
    SCHEMA_ROLE_AUDITOR,
    SCHEMA_ROLE_ADMIN,
};

enum schema_rate { SCHEMA_RATE_READ = 1, SCHEMA_RATE_WRITE, SCHEMA_RATE_STREAM, SCHEMA_RATE_ADMIN, SCHEMA_RATE_EXEMPT };

struct schema_method {
    const char *path; /* "/strata.v1.EventService/PublishEvent" */
    const char *name; /* "PublishEvent" */
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

static inline const struct schema_method *schema_method(enum schema_method_id id)
{
    return &schema_methods[id];
}

/* NULL when the message has no such field. */
const struct schema_field *schema_field_by_number(const struct schema_message *message, uint32_t number);
/* By either spelling. */
const struct schema_field *schema_field_by_name(const struct schema_message *message, struct bytes name);

/* --- wire format --- */

enum wire_type { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

/* One field as it stands on the wire; `bytes` for WIRE_LEN, else `number`. */
struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;
    struct bytes bytes;
};

/* Reads the field at *at and moves *at behind it. False when the bytes are not well formed. At the end: asks not. */
bool wire_next(struct bytes wire, size_t *at, struct wire_field *ret);

/* Writing; a failure stays in the buffer. */
void wire_put_varint(struct buffer *to, uint64_t value);
void wire_put_tag(struct buffer *to, uint32_t number, enum wire_type type);
void wire_put_bytes(struct buffer *to, uint32_t number, struct bytes bytes); /* tag, length, bytes */
void wire_put_uint(struct buffer *to, uint32_t number, uint64_t value);      /* tag, varint */

#define WIRE_DEPTH_MAX   16U
#define WIRE_FIELDS_MAX  65536U /* fields of one message with all that it holds: bounds what unpacking allocates */

/*
 * May protobuf-c unpack these bytes as `message`? Checks wire form, wire types of known fields, UTF-8 and absence of
 * NUL in strings, depth, the number of fields, singular messages sent twice. Unknown fields pass. INVALID_FIELD naming
 * the path of the field.
 */
STATUS_MUST_CHECK struct status schema_wire_check(const struct schema_message *message, struct bytes wire);
