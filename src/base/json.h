/*
 * JSON as tokens that keep their bytes (RFC 8259): names, escapes and numbers stay exactly as written.
 *
 * A pull tokenizer over one text in memory. Strict: UTF-8 without lone surrogates (raw or escaped), no
 * duplicate names within an object (compared after unescaping), no BOM, bounded depth and number length,
 * nothing but white space after the value. Tokens point into the text; nothing is copied or converted.
 *
 * Ownership  The text is borrowed and must outlive reader, tokens and values; all else is the arena's.
 * Threads    One reader belongs to one thread.
 * Blocking   Never.
 * Errors     INVALID_ARGUMENT/INVALID_JSON; the message names what is wrong and the byte offset.
 *            RESOURCE_EXHAUSTED when the arena is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

#define JSON_DEPTH_MAX        64U
#define JSON_NUMBER_MAX_BYTES 1000U

enum json_kind {
    JSON_END, /* the text is over */
    JSON_OBJECT_BEGIN,
    JSON_OBJECT_END,
    JSON_ARRAY_BEGIN,
    JSON_ARRAY_END,
    JSON_NAME,   /* a member's name; text with its quotes */
    JSON_STRING, /* text with its quotes */
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};

struct json_token {
    enum json_kind kind;
    struct bytes text; /* as written; strings and names include the quotes */
    bool escaped;      /* strings and names: contains a backslash */
    size_t offset;     /* of the first byte of `text` */
};

struct json_reader; /* opaque; made in an arena */

/* NULL when the arena is exhausted. `text` is borrowed. Memory is taken from
 * `arena` as nesting and names need it. */
struct json_reader *json_reader_new(struct arena *arena, struct bytes text);

/* The next token. After an error or JSON_END the reader is spent. */
STATUS_MUST_CHECK struct status json_next(struct json_reader *reader, struct json_token *ret);

/*
 * Skips the whole value that begins with `first`, the token just read, and gives its bytes as written.
 * `first` NULL: the value that comes next; INVALID_JSON when none does (the container or the text ends).
 */
STATUS_MUST_CHECK struct status json_skip_value(struct json_reader *reader, const struct json_token *first,
                                                struct bytes *ret_value);

/*
 * The same for a text that stands inside another, such as an event's data inside a request: the bound of depth is its own,
 * however deep it stands.
 */
STATUS_MUST_CHECK struct status json_skip_embedded(struct json_reader *reader, const struct json_token *first,
                                                   struct bytes *ret_value);

/* The content of a JSON_STRING or JSON_NAME without quotes and escapes; borrowed from the text when it has none. */
STATUS_MUST_CHECK struct status json_unescape(struct arena *arena, const struct json_token *token,
                                              struct bytes *ret);

/*
 * Checks a whole text and appends it to `ret` without insignificant white space, all tokens and the order of
 * members kept. `object_only`: anything but an object is refused. On failure `ret` is as it was, but for
 * `failed` when its own limit was passed. The arena is used for escaped names and objects of many members only.
 */
STATUS_MUST_CHECK struct status json_compact(struct arena *arena, struct bytes text, bool object_only,
                                             struct buffer *ret);

/* Appends `content` as a JSON string with quotes; control characters, '"' and '\' escaped, UTF-8 kept. */
void json_add_string(struct buffer *to, struct bytes content);

/*
 * A parsed value, for what needs more than one pass (folding, comparing). Numbers and strings keep their
 * tokens. Members are in the order of the text and found by hash.
 */
struct json_value;
struct json_member {
    struct bytes name;       /* unescaped */
    struct bytes name_token; /* as written, with quotes */
    struct json_value *value;
};
struct json_value {
    enum json_kind kind;   /* JSON_OBJECT_BEGIN, JSON_ARRAY_BEGIN, JSON_STRING, JSON_NUMBER, JSON_TRUE, … */
    struct bytes token;    /* scalars: as written */
    size_t count;          /* members or elements; with 0 the pointers below may be NULL */
    const uint32_t *index; /* objects: the order of names; NULL = search is linear */
    union {
        struct json_member *members;  /* objects */
        struct json_value **elements; /* arrays */
    };
};

/* Whoever changes `members` or `count` of what was parsed sets `index` to NULL. */
STATUS_MUST_CHECK struct status json_parse(struct arena *arena, struct bytes text, struct json_value **ret);
/* The member called `name`, or NULL; linear below 9 members, binary search over a sorted index above. */
struct json_value *json_member(const struct json_value *object, struct bytes name);
/* A string value without quotes and escapes. Asserts kind == JSON_STRING. */
STATUS_MUST_CHECK struct status json_string(struct arena *arena, const struct json_value *value,
                                            struct bytes *ret);
void json_write(const struct json_value *value, struct buffer *to); /* compact, tokens as they were */

/* Equal as JSON values: member order does not matter, strings by content, numbers as exact decimals
 * (1.0 = 1e0 = 1). RESOURCE_EXHAUSTED when the arena is. */
STATUS_MUST_CHECK struct status json_equal(struct arena *arena, const struct json_value *a,
                                           const struct json_value *b, bool *ret_equal);

/* <0, 0, >0: two number tokens of a reader compared as exact decimals, in time linear in their length; the
 * exponent may have any size, and -0 equals 0. */
int json_number_compare(struct bytes a, struct bytes b);
