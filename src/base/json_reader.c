#include "base/json.h"

#include <assert.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/json_internal.h"
#include "base/text.h"

#define TEXT_MAX_BYTES                                                                                       \
    (UINT64_C(1)                                                                                             \
     << 30) /* far above any limit of a request; keeps counts inside 32 bits                     \
                         */
#define REPEAT(byte) (UINT64_C(0x0101010101010101) * (byte))

/* What may come next. A reader goes from EXPECT_VALUE to EXPECT_NOTHING, or to SPENT when the text is wrong. */
enum expect {
    EXPECT_VALUE,        /* at the beginning, after ':', and after ',' in an array */
    EXPECT_VALUE_OR_END, /* after '[' */
    EXPECT_NAME,         /* after ',' in an object */
    EXPECT_NAME_OR_END,  /* after '{' */
    EXPECT_COMMA_OR_END, /* after a member or an element */
    EXPECT_NOTHING,      /* after the outermost value */
    SPENT,
};

struct json_reader {
    const uint8_t *begin;
    const uint8_t *at;
    const uint8_t *end;
    struct arena *arena;
    enum expect expect;
    unsigned depth;    /* open objects and arrays */
    uint64_t objects;  /* bit d: the container at depth d is an object */
    const char *wrong; /* SPENT: what is wrong with the text; NULL: the arena is exhausted */
    const uint8_t *wrong_at;
    struct buffer *compact; /* NULL, or where the text goes without its white space */
    const uint8_t *run;     /* compact: the first byte that has not been copied yet */
    struct json_names names;
};

static_assert(JSON_DEPTH_MAX <= 64, "a bit of `objects` each");

static void reader_init(struct json_reader *reader, struct arena *arena, struct bytes text)
{
    reader->begin = text.data == NULL ? (const uint8_t *)"" : text.data;
    reader->at = reader->begin;
    reader->end = reader->begin + text.size_bytes;
    reader->arena = arena;
    reader->expect = EXPECT_VALUE;
    reader->depth = 0;
    reader->objects = 0;
    reader->wrong = NULL;
    reader->wrong_at = reader->begin;
    reader->compact = NULL;
    reader->run = reader->begin;
    json_names_init(&reader->names, arena);
}

struct json_reader *json_reader_new(struct arena *arena, struct bytes text)
{
    struct json_reader *reader = arena_alloc(arena, sizeof *reader);
    if (reader != NULL)
        reader_init(reader, arena, text);
    return reader;
}

static __attribute__((cold, noinline)) bool refuse(struct json_reader *reader, const uint8_t *at,
                                                   const char *wrong)
{
    reader->expect = SPENT;
    reader->wrong = wrong;
    reader->wrong_at = at;
    return false;
}

static struct status reader_status(const struct json_reader *reader)
{
    if (reader->wrong == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for reading %zu bytes of JSON",
                            (size_t)(reader->end - reader->begin));
    return status_reason(REASON_INVALID_JSON, "not valid JSON at byte %zu: %s",
                         (size_t)(reader->wrong_at - reader->begin), reader->wrong);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static __attribute__((noinline)) void skip_spaces(struct json_reader *reader)
{
    const uint8_t *at = reader->at;
    if (reader->compact != NULL)
        buffer_add(reader->compact, reader->run, (size_t)(at - reader->run));
    do
        at++;
    while (at < reader->end && is_space(*at));
    reader->at = at;
    reader->run = at;
}

/* Asked between any two tokens; where the text is compact the answer must cost nothing. */
static inline __attribute__((always_inline)) void skip_space(struct json_reader *reader)
{
    if (reader->at < reader->end && *reader->at <= ' ' && is_space(*reader->at))
        skip_spaces(reader);
}

/* *at stands on a backslash and moves behind its escape, a pair of surrogates counting as one. */
static bool skip_escape(struct json_reader *reader, const uint8_t **at)
{
    const uint8_t *escape = *at;
    if (reader->end - escape < 2)
        return refuse(reader, reader->end, "the text ends inside a string");
    if (escape[1] != 'u') {
        if (escape[1] == '\0' || strchr("\"\\/bfnrt", escape[1]) == NULL)
            return refuse(reader, escape,
                          "no such escape; JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX");
        *at = escape + 2;
        return true;
    }
    const int32_t unit = json_hex4(escape + 2, reader->end);
    if (unit < 0)
        return refuse(reader, escape, "\\u needs four hexadecimal digits");
    *at = escape + 6;
    if (unit < 0xD800 || unit > 0xDFFF)
        return true;
    const bool paired = unit < 0xDC00 && reader->end - *at >= 2 && (*at)[0] == '\\' && (*at)[1] == 'u';
    const int32_t low = paired ? json_hex4(*at + 2, reader->end) : -1;
    if (low < 0xDC00 || low > 0xDFFF)
        return refuse(reader, escape, "half of a surrogate pair; escape both halves or write the character");
    *at += 6;
    return true;
}

/*
 * The first byte at or after `at` that needs a look: '"', '\', a control character or one beyond ASCII. Sixteen bytes a
 * step where every processor can (signed, what is beyond ASCII is less than a space too), else eight: a byte's top bit is
 * set in `odd` when it is one of these. Borrows can set bits above a true one, never below, and only the lowest is used.
 */
static const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
#if defined(__SSE2__)
    const __m128i quotes = _mm_set1_epi8('"');
    const __m128i backslashes = _mm_set1_epi8('\\');
    const __m128i spaces = _mm_set1_epi8(' ');
    while (end - at >= 16) {
        const __m128i piece = _mm_loadu_si128((const __m128i *)(const void *)at);
        const __m128i odd =
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(piece, quotes), _mm_cmpeq_epi8(piece, backslashes)),
                         _mm_cmplt_epi8(piece, spaces));
        const unsigned places = (unsigned)_mm_movemask_epi8(odd);
        if (places != 0)
            return at + __builtin_ctz(places);
        at += 16;
    }
#endif
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        const uint64_t quote = word ^ REPEAT('"');
        const uint64_t backslash = word ^ REPEAT('\\');
        const uint64_t odd =
            ((quote - REPEAT(1)) | (backslash - REPEAT(1)) | (word - REPEAT(0x20)) | word) & REPEAT(0x80);
        if (odd != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            at += __builtin_ctzll(odd) / 8;
#endif
            break;
        }
        at += 8;
    }
    while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* The reader stands on the opening quote and moves behind the closing one. */
static bool scan_string(struct json_reader *reader, bool *ret_escaped)
{
    const uint8_t *at = reader->at + 1;
    const struct bytes text = {reader->begin, (size_t)(reader->end - reader->begin)};
    *ret_escaped = false;
    for (;;) {
        at = skip_plain(at, reader->end);
        if (at == reader->end)
            return refuse(reader, at, "the text ends inside a string");
        if (*at == '"')
            break;
        if (*at == '\\') {
            *ret_escaped = true;
            if (!skip_escape(reader, &at))
                return false;
        } else if (*at < 0x20) {
            return refuse(reader, at, "a control character inside a string; escape it");
        } else {
            uint32_t point = 0;
            const size_t size = utf8_sequence(text, (size_t)(at - reader->begin), &point);
            if (size == 0)
                return refuse(reader, at, "not UTF-8 inside a string");
            at += size;
        }
    }
    reader->at = at + 1;
    return true;
}

static const uint8_t *skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* RFC 8259 6: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static bool scan_number(struct json_reader *reader)
{
    const uint8_t *end = reader->end;
    const uint8_t *at = reader->at + (*reader->at == '-');
    const uint8_t *digits = at;
    at = skip_digits(at, end);
    if (at == digits)
        return refuse(reader, at, "a digit is missing in a number");
    if (*digits == '0' && at - digits > 1)
        return refuse(reader, digits, "a number must not begin with a zero");
    if (at < end && *at == '.') {
        digits = at + 1;
        at = skip_digits(digits, end);
        if (at == digits)
            return refuse(reader, at, "a digit is missing after the point of a number");
    }
    if (at < end && (*at | 0x20) == 'e') {
        digits = at + 1;
        if (digits < end && (*digits == '+' || *digits == '-'))
            digits++;
        at = skip_digits(digits, end);
        if (at == digits)
            return refuse(reader, at, "a digit is missing in the exponent of a number");
    }
    if ((size_t)(at - reader->at) > JSON_NUMBER_MAX_BYTES)
        return refuse(reader, reader->at, "a number of more than 1000 characters; send it as a string");
    reader->at = at;
    return true;
}

static bool scan_word(struct json_reader *reader, const char *word, size_t size)
{
    if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, word, size) != 0)
        return refuse(reader, reader->at, "no such word; JSON has true, false and null");
    reader->at += size;
    return true;
}

static bool open_container(struct json_reader *reader, bool is_object)
{
    if (reader->depth == JSON_DEPTH_MAX)
        return refuse(reader, reader->at, "nested more than 64 deep");
    const uint64_t bit = UINT64_C(1) << reader->depth;
    reader->objects = is_object ? reader->objects | bit : reader->objects & ~bit;
    reader->depth++;
    reader->at++;
    reader->expect = is_object ? EXPECT_NAME_OR_END : EXPECT_VALUE_OR_END;
    if (is_object)
        json_names_enter(&reader->names);
    return true;
}

static bool in_object(const struct json_reader *reader)
{
    return (reader->objects >> (reader->depth - 1) & 1) != 0;
}

static void close_container(struct json_reader *reader)
{
    if (in_object(reader))
        json_names_leave(&reader->names);
    reader->depth--;
    reader->at++;
    reader->expect = reader->depth == 0 ? EXPECT_NOTHING : EXPECT_COMMA_OR_END;
}

static bool scan_name(struct json_reader *reader, struct json_token *token)
{
    const uint8_t *quote = reader->at;
    if (*quote != '"')
        return refuse(reader, quote, "expected the name of a member in quotes");
    token->kind = JSON_NAME;
    if (!scan_string(reader, &token->escaped))
        return false;
    token->text = bytes_of(quote, (size_t)(reader->at - quote));
    struct bytes name = bytes_of(quote + 1, token->text.size_bytes - 2);
    if (token->escaped) {
        const struct status unescaped = json_unescape(reader->arena, token, &name);
        if (!status_is_ok(&unescaped))
            return refuse(reader, quote, NULL);
    }
    switch (json_names_add(&reader->names, name)) {
    case JSON_NAMES_DUPLICATE:
        return refuse(reader, quote, "the object has two members of this name");
    case JSON_NAMES_NO_MEMORY:
        return refuse(reader, quote, NULL);
    case JSON_NAMES_NEW:
        break;
    }
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != ':')
        return refuse(reader, reader->at, "expected ':' after the name of a member");
    reader->at++;
    reader->expect = EXPECT_VALUE;
    return true;
}

static bool scan_value(struct json_reader *reader, struct json_token *token)
{
    const uint8_t *first = reader->at;
    bool good = false;
    switch (*first) {
    case '{':
        token->kind = JSON_OBJECT_BEGIN;
        token->text = bytes_of(first, 1);
        return open_container(reader, true);
    case '[':
        token->kind = JSON_ARRAY_BEGIN;
        token->text = bytes_of(first, 1);
        return open_container(reader, false);
    case '"':
        token->kind = JSON_STRING;
        good = scan_string(reader, &token->escaped);
        break;
    case 't':
        token->kind = JSON_TRUE;
        good = scan_word(reader, "true", 4);
        break;
    case 'f':
        token->kind = JSON_FALSE;
        good = scan_word(reader, "false", 5);
        break;
    case 'n':
        token->kind = JSON_NULL;
        good = scan_word(reader, "null", 4);
        break;
    default:
        if (*first != '-' && (*first < '0' || *first > '9'))
            return refuse(reader, first,
                          first == reader->begin && *first == 0xEF ? "a byte order mark; leave it out"
                                                                   : "expected a value");
        token->kind = JSON_NUMBER;
        good = scan_number(reader);
        break;
    }
    token->text = bytes_of(first, (size_t)(reader->at - first));
    reader->expect = !good ? SPENT : reader->depth == 0 ? EXPECT_NOTHING : EXPECT_COMMA_OR_END;
    return good;
}

static bool end_container(struct json_reader *reader, struct json_token *token)
{
    token->kind = in_object(reader) ? JSON_OBJECT_END : JSON_ARRAY_END;
    token->text = bytes_of(reader->at, 1);
    close_container(reader);
    return true;
}

/* The next token into *token, all but its offset; false when the reader is spent by an error. */
static bool step(struct json_reader *reader, struct json_token *token)
{
    token->escaped = false;
    skip_space(reader);
    if (reader->at == reader->end && reader->expect != SPENT) {
        if (reader->expect != EXPECT_NOTHING)
            return refuse(reader, reader->at, "the text ends before its value does");
        token->kind = JSON_END;
        token->text = bytes_of(reader->end, 0);
        return true;
    }
    const bool closes =
        reader->expect != SPENT && reader->depth > 0 && *reader->at == (in_object(reader) ? '}' : ']');
    switch (reader->expect) {
    case EXPECT_COMMA_OR_END:
        if (closes)
            return end_container(reader, token);
        if (*reader->at != ',')
            return refuse(reader, reader->at,
                          in_object(reader) ? "expected ',' or '}' after a member"
                                            : "expected ',' or ']' after an element");
        reader->at++;
        skip_space(reader);
        if (reader->at == reader->end)
            return refuse(reader, reader->at, "the text ends before its value does");
        return in_object(reader) ? scan_name(reader, token) : scan_value(reader, token);
    case EXPECT_NAME_OR_END:
        return closes ? end_container(reader, token) : scan_name(reader, token);
    case EXPECT_VALUE_OR_END:
        return closes ? end_container(reader, token) : scan_value(reader, token);
    case EXPECT_NAME:
        return scan_name(reader, token);
    case EXPECT_VALUE:
        return scan_value(reader, token);
    case EXPECT_NOTHING:
        return refuse(reader, reader->at, "more text after the value");
    case SPENT:
        break;
    }
    return false;
}

static bool text_is_too_long(struct json_reader *reader)
{
    return (uint64_t)(reader->end - reader->begin) > TEXT_MAX_BYTES;
}

struct status json_next(struct json_reader *reader, struct json_token *ret)
{
    if (text_is_too_long(reader))
        (void)refuse(reader, reader->begin, "more than 1 GiB of text"); /* reported below */
    if (!step(reader, ret))
        return reader_status(reader);
    ret->offset = (size_t)(ret->text.data - reader->begin);
    return status_ok();
}

struct status json_skip_value(struct json_reader *reader, const struct json_token *first,
                              struct bytes *ret_value)
{
    struct json_token token = {.kind = JSON_END};
    if (first != NULL)
        token = *first;
    else
        STATUS_TRY(json_next(reader, &token));
    const size_t begin = token.offset;
    if (token.kind == JSON_OBJECT_BEGIN || token.kind == JSON_ARRAY_BEGIN) {
        const unsigned outside = reader->depth - 1;
        while (reader->depth > outside)
            if (!step(reader, &token))
                return reader_status(reader);
    } else if (token.kind == JSON_END || token.kind == JSON_OBJECT_END || token.kind == JSON_ARRAY_END ||
               token.kind == JSON_NAME) {
        (void)refuse(reader, reader->begin + begin, "expected a value"); /* reported here */
        return reader_status(reader);
    }
    *ret_value = bytes_of(reader->begin + begin,
                          (size_t)(token.text.data + token.text.size_bytes - reader->begin) - begin);
    return status_ok();
}

/* A container is read by a reader of its own, which begins at depth 0; then the outer one goes on behind it. */
struct status json_skip_embedded(struct json_reader *reader, const struct json_token *first,
                                 struct bytes *ret_value)
{
    if (first->kind != JSON_OBJECT_BEGIN && first->kind != JSON_ARRAY_BEGIN)
        return json_skip_value(reader, first, ret_value);
    struct json_reader inner; /* 4 KiB here instead of in the arena for every event of a request */
    struct json_token token;
    reader_init(&inner, reader->arena, bytes_of(reader->begin, (size_t)(reader->end - reader->begin)));
    inner.at = first->text.data;
    do
        if (!step(&inner, &token)) {
            reader->expect = SPENT;
            reader->wrong = inner.wrong;
            reader->wrong_at = inner.wrong_at;
            return reader_status(reader);
        }
    while (inner.depth > 0);
    reader->at = inner.at - 1;
    close_container(reader);
    *ret_value = bytes_of(first->text.data, (size_t)(reader->at - first->text.data));
    return status_ok();
}

struct status json_compact(struct arena *arena, struct bytes text, bool object_only, struct buffer *ret)
{
    struct json_reader reader; /* 4 KiB here instead of in the arena for every event of an append */
    reader_init(&reader, arena, text);
    reader.compact = ret;
    const size_t size_before = ret->size_bytes;
    struct json_token token = {.kind = JSON_NULL};
    bool good = text_is_too_long(&reader) ? refuse(&reader, reader.begin, "more than 1 GiB of text")
                                          : step(&reader, &token);
    if (good && object_only && token.kind != JSON_OBJECT_BEGIN)
        good = refuse(&reader, token.text.data, "expected an object");
    while (good && token.kind != JSON_END)
        good = step(&reader, &token);
    if (!good) {
        ret->size_bytes = size_before;
        return reader_status(&reader);
    }
    buffer_add(ret, reader.run, (size_t)(reader.at - reader.run));
    if (ret->failed)
        ret->size_bytes = size_before;
    return buffer_status(ret);
}
