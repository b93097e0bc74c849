#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/seeded_entropy.h"

#include "base/json.h"

static struct status compact(const char *text, size_t size, char **ret)
{
    struct arena *arena = arena_new(0);
    struct buffer buffer = buffer_make(0);
    const struct status status = json_compact(arena, bytes_of(text, size), false, &buffer);
    buffer_add_byte(&buffer, '\0');
    *ret = (char *)buffer.data;
    arena_free(arena);
    return status;
}

static const struct {
    const char *text;
    const char *compact;
} good_rows[] = {
    {" { \"a\" : 1 , \"b\" : [ ] } ", "{\"a\":1,\"b\":[]}"},
    {"[1.50,-0,0e99999999999,1E+400,1e-5]", "[1.50,-0,0e99999999999,1E+400,1e-5]"},
    {"\"\\u00e9\\/\\ud834\\uDD1E\"", "\"\\u00e9\\/\\ud834\\uDD1E\""},
    {"\t\r\n true\n", "true"},
    {"{\"\":0,\"\\u0000\":1}", "{\"\":0,\"\\u0000\":1}"},
    {"{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}",
     "{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}"},
    {"\"eight plain bytes and \xE2\x82\xAC \xF0\x9D\x84\x9E and more of them\"",
     "\"eight plain bytes and \xE2\x82\xAC \xF0\x9D\x84\x9E and more of them\""},
};

static void test_compact_keeps_every_token_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good_rows); i++) {
        char *text = NULL;
        assert_status_ok(compact(good_rows[i].text, strlen(good_rows[i].text), &text));
        assert_string_equal(text, good_rows[i].compact);
        free(text);
    }
}

static const struct {
    const char *text;
    const char *message;
} bad_rows[] = {
    {"", "at byte 0: the text ends before its value does"},
    {"  ", "at byte 2: the text ends before its value does"},
    {"\xEF\xBB\xBF{}", "at byte 0: a byte order mark; leave it out"},
    {"{\"a\":1,\"a\":2}", "at byte 7: the object has two members of this name"},
    {"{\"a\":1,\"\\u0061\":2}", "at byte 7: the object has two members of this name"},
    {"{\"\\ud834\\udd1e\":1,\"\xF0\x9D\x84\x9E\":2}", "at byte 18: the object has two members of this name"},
    {"[\"\\ud800\"]", "at byte 2: half of a surrogate pair"},
    {"[\"\\udc00\"]", "at byte 2: half of a surrogate pair"},
    {"[\"\\ud800\\u0041\"]", "at byte 2: half of a surrogate pair"},
    {"[\"\\udc00\\udc00\"]", "at byte 2: half of a surrogate pair"},
    {"[\"\\ud800\\n\"]", "at byte 2: half of a surrogate pair"},
    {"[\"\xED\xA0\x80\"]", "at byte 2: not UTF-8 inside a string"},
    {"[\"\xC0\x80\"]", "at byte 2: not UTF-8 inside a string"},
    {"[\"a\nb\"]", "at byte 3: a control character inside a string"},
    {"[\"\\x\"]", "at byte 2: no such escape"},
    {"[\"\\u12g4\"]", "at byte 2: \\u needs four hexadecimal digits"},
    {"\"abc", "at byte 4: the text ends inside a string"},
    {"\"abc\\", "at byte 5: the text ends inside a string"},
    {"[1,]", "at byte 3: expected a value"},
    {"[,1]", "at byte 1: expected a value"},
    {"[1 2]", "at byte 3: expected ',' or ']' after an element"},
    {"{\"a\":1 \"b\":2}", "at byte 7: expected ',' or '}' after a member"},
    {"{\"a\":1,}", "at byte 7: expected the name of a member in quotes"},
    {"{\"a\" 1}", "at byte 5: expected ':' after the name of a member"},
    {"{a:1}", "at byte 1: expected the name of a member in quotes"},
    {"{]", "at byte 1: expected the name"},
    {"[}", "at byte 1: expected a value"},
    {"[1", "at byte 2: the text ends before its value does"},
    {"{\"a\":", "at byte 5: the text ends before its value does"},
    {"01", "at byte 0: a number must not begin with a zero"},
    {"-", "at byte 1: a digit is missing in a number"},
    {"1.", "at byte 2: a digit is missing after the point"},
    {"1.e5", "at byte 2: a digit is missing after the point"},
    {"1e", "at byte 2: a digit is missing in the exponent"},
    {"1e+", "at byte 3: a digit is missing in the exponent"},
    {".5", "at byte 0: expected a value"},
    {"+1", "at byte 0: expected a value"},
    {"tru", "at byte 0: no such word"},
    {"nul1", "at byte 0: no such word"},
    {"truex", "at byte 4: more text after the value"},
    {"1 1", "at byte 2: more text after the value"},
    {"{} x", "at byte 3: more text after the value"},
    {"[1]\xC2\xA0", "at byte 3: more text after the value"},
    {"NaN", "at byte 0: expected a value"},
    {"'a'", "at byte 0: expected a value"},
};

static void test_what_is_wrong_is_named_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_rows); i++) {
        char *text = NULL;
        const struct status status = compact(bad_rows[i].text, strlen(bad_rows[i].text), &text);
        if (status.reason != REASON_INVALID_JSON || strstr(status.message, bad_rows[i].message) == NULL)
            fail_msg("%s: wanted \"%s\", got %s \"%s\"", bad_rows[i].text, bad_rows[i].message,
                     status_code_name(status.code), status.message);
        assert_string_equal(text, ""); /* nothing is left of what was read before the fault */
        free(text);
    }
}

/* Strings are scanned eight or sixteen bytes at a time: every byte must be judged alike wherever it stands. */
static void test_every_byte_is_judged_at_every_place_of_a_string(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 1; at < 44; at++) {
            char text[48];
            char *compacted = NULL;
            memset(text, 'x', sizeof text);
            text[0] = '"';
            text[44] = '"';
            text[at] = (char)byte;
            const struct status status = compact(text, 45, &compacted);
            const bool good = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            if ((status.code == STATUS_OK) != good)
                fail_msg("byte %02x at %zu: %s", byte, at, status.message);
            if (good)
                assert_memory_equal(compacted, text, 45);
            free(compacted);
        }
    }
}

static void test_a_failure_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct buffer buffer = buffer_make(0);
    buffer_add_text(&buffer, "before");
    assert_reason(json_compact(arena, BYTES_LITERAL("[1, 2, x]"), false, &buffer), REASON_INVALID_JSON);
    assert_reason(json_compact(arena, BYTES_LITERAL(" [1]"), true, &buffer), REASON_INVALID_JSON);
    assert_status_ok(json_compact(arena, BYTES_LITERAL(" {\"a\": [1]}"), true, &buffer));
    assert_int_equal(buffer.size_bytes, strlen("before{\"a\":[1]}"));
    assert_memory_equal(buffer.data, "before{\"a\":[1]}", buffer.size_bytes);
    buffer_done(&buffer);
    struct buffer small = buffer_make(4);
    assert_status(json_compact(arena, BYTES_LITERAL("[1,2,3]"), false, &small), STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(small.size_bytes, 0);
    buffer_clear(&small);
    /* Fits without its spaces. */
    assert_status_ok(json_compact(arena, BYTES_LITERAL("[ 1   ]    "), false, &small));
    buffer_done(&small);
}

static void test_depth_is_at_most_64(void **state)
{
    (void)state;
    for (size_t depth = 63; depth <= 65; depth++) {
        char text[400] = "";
        size_t size = 0;
        for (size_t i = 0; i < depth; i++)
            size += (size_t)sprintf(text + size, "%s", i % 2 == 0 ? "[" : "{\"a\":");
        size += (size_t)sprintf(text + size, "0");
        for (size_t i = depth; i-- > 0;)
            text[size++] = i % 2 == 0 ? ']' : '}';
        char *ignored = NULL;
        const struct status status = compact(text, size, &ignored);
        free(ignored);
        if (depth <= JSON_DEPTH_MAX)
            assert_status_ok(status);
        else
            assert_non_null(strstr(status.message, "nested more than 64 deep"));
    }
}

static void test_a_number_has_at_most_1000_characters(void **state)
{
    (void)state;
    char number[1002];
    memset(number, '7', sizeof number);
    number[500] = '.';
    char *ignored = NULL;
    assert_status_ok(compact(number, 1000, &ignored));
    free(ignored);
    assert_reason(compact(number, 1001, &ignored), REASON_INVALID_JSON);
    free(ignored);
}

static void test_tokens_come_in_order_with_their_places(void **state)
{
    (void)state;
    static const struct {
        enum json_kind kind;
        const char *text;
        size_t offset;
        bool escaped;
    } expected[] = {
        {JSON_OBJECT_BEGIN, "{", 1, false},
        {JSON_NAME, "\"a\"", 2, false},
        {JSON_ARRAY_BEGIN, "[", 6, false},
        {JSON_TRUE, "true", 7, false},
        {JSON_FALSE, "false", 12, false},
        {JSON_NULL, "null", 19, false},
        {JSON_ARRAY_END, "]", 23, false},
        {JSON_NAME, "\"\\n\"", 25, true},
        {JSON_STRING, "\"x\\ty\"", 30, true},
        {JSON_NAME, "\"c\"", 37, false},
        {JSON_NUMBER, "-1.5e3", 41, false},
        {JSON_OBJECT_END, "}", 47, false},
        {JSON_END, "", 48, false},
        {JSON_END, "", 48, false},
    };
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct json_reader *reader =
        json_reader_new(arena, BYTES_LITERAL(" {\"a\":[true,false, null],\"\\n\":\"x\\ty\",\"c\":-1.5e3}"));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        struct json_token token;
        assert_status_ok(json_next(reader, &token));
        assert_int_equal(token.kind, expected[i].kind);
        assert_int_equal(token.offset, expected[i].offset);
        assert_int_equal(token.escaped, expected[i].escaped);
        assert_true(bytes_equal(token.text, bytes_of_text(expected[i].text)));
    }
}

static void test_a_spent_reader_repeats_its_error(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct json_reader *reader = json_reader_new(arena, BYTES_LITERAL("[x"));
    struct json_token token;
    assert_status_ok(json_next(reader, &token));
    for (int i = 0; i < 2; i++) {
        const struct status status = json_next(reader, &token);
        assert_string_equal(status.message, "not valid JSON at byte 1: expected a value");
    }
}

static void test_whole_values_are_skipped(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct json_reader *reader = json_reader_new(
        arena, BYTES_LITERAL("{\"a\": {\"x\" : [1, {}]} ,\"b\":[[ ]],\"c\":\"s\",\"d\": 12 }"));
    static const char *const values[] = {"{\"x\" : [1, {}]}", "[[ ]]", "\"s\"", "12"};
    struct json_token token;
    assert_status_ok(json_next(reader, &token));
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        struct bytes value;
        assert_status_ok(json_next(reader, &token));
        assert_int_equal(token.kind, JSON_NAME);
        if (i % 2 == 0) {
            assert_status_ok(json_next(reader, &token));
            assert_status_ok(json_skip_value(reader, &token, &value));
        } else {
            assert_status_ok(json_skip_value(reader, NULL, &value));
        }
        assert_true(bytes_equal(value, bytes_of_text(values[i])));
    }
    assert_status_ok(json_next(reader, &token));
    assert_int_equal(token.kind, JSON_OBJECT_END);
    assert_status_ok(json_next(reader, &token));
    assert_int_equal(token.kind, JSON_END);

    struct bytes value;
    reader = json_reader_new(arena, BYTES_LITERAL("[[1,]]"));
    assert_status_ok(json_next(reader, &token));
    assert_reason(json_skip_value(reader, &token, &value), REASON_INVALID_JSON);
    reader = json_reader_new(arena, BYTES_LITERAL("[]"));
    assert_status_ok(json_next(reader, &token));
    assert_reason(json_skip_value(reader, NULL, &value), REASON_INVALID_JSON);
}

/* Skips the value of "a", which stands `outside` levels deep and is itself `depth` levels deep, and what follows it. */
static struct status skip_embedded(struct arena *arena, size_t outside, size_t depth)
{
    struct buffer text = buffer_in(arena, 0);
    for (size_t i = 0; i < outside; i++)
        buffer_add_text(&text, "{\"a\":");
    for (size_t i = 0; i < depth; i++)
        buffer_add_text(&text, i % 2 == 0 ? " [ " : "{\"b\":");
    for (size_t i = depth; i-- > 0;)
        buffer_add_text(&text, i % 2 == 0 ? "]" : i + 1 == depth ? "1}" : "}");
    for (size_t i = 0; i < outside; i++)
        buffer_add_text(&text, ",\"b\":2}");
    struct json_reader *reader = json_reader_new(arena, buffer_bytes(&text));
    struct json_token token;
    struct bytes value;
    for (size_t i = 0; i < outside; i++) {
        STATUS_TRY(json_next(reader, &token));
        STATUS_TRY(json_next(reader, &token));
    }
    STATUS_TRY(json_next(reader, &token));
    STATUS_TRY(json_skip_embedded(reader, &token, &value));
    assert_true(value.data[0] == '[' && value.data[value.size_bytes - 1] == ']');
    for (size_t i = 0; i < outside; i++) {
        STATUS_TRY(json_next(reader, &token));
        assert_int_equal(token.kind, JSON_NAME);
        STATUS_TRY(json_next(reader, &token));
        assert_int_equal(token.kind, JSON_NUMBER);
        STATUS_TRY(json_next(reader, &token));
        assert_int_equal(token.kind, JSON_OBJECT_END);
    }
    return json_next(reader, &token);
}

static void test_an_embedded_text_has_its_own_depth(void **state)
{
    (void)state;
    static const size_t outsides[] = {1, 3, 63};
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(outsides); i++) {
        assert_status_ok(skip_embedded(arena, outsides[i], 1));
        assert_status_ok(skip_embedded(arena, outsides[i], JSON_DEPTH_MAX - 1));
        assert_reason(skip_embedded(arena, outsides[i], JSON_DEPTH_MAX + 1), REASON_INVALID_JSON);
    }
}

static void test_an_embedded_text_is_read_as_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message; /* NULL: good */
    } rows[] = {
        {"[{\"a\":1}]", NULL},
        {"[12]", NULL},
        {"[{\"a\":1,\"a\":2}]", "not valid JSON at byte 8: the object has two members of this name"},
        {"[ [1,]]", "not valid JSON at byte 5: expected a value"},
        {"[[1}]", "not valid JSON at byte 3: expected ',' or ']' after an element"},
        {"[[[]", "not valid JSON at byte 4: the text ends before its value does"},
    };
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json_reader *reader = json_reader_new(arena, bytes_of_text(rows[i].text));
        struct json_token token;
        struct bytes value;
        assert_status_ok(json_next(reader, &token));
        assert_status_ok(json_next(reader, &token));
        struct status status = json_skip_embedded(reader, &token, &value);
        if (rows[i].message == NULL) {
            assert_status_ok(status);
            assert_status_ok(json_next(reader, &token));
            assert_int_equal(token.kind, JSON_ARRAY_END);
            continue;
        }
        assert_string_equal(status.message, rows[i].message);
        status = json_next(reader, &token); /* the outer one is spent too */
        assert_string_equal(status.message, rows[i].message);
    }
}

static void test_escapes_are_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *token;
        struct bytes content;
    } rows[] = {
        {"\"\"", BYTES_LITERAL("")},
        {"\"plain\"", BYTES_LITERAL("plain")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", BYTES_LITERAL("\"\\/\b\f\n\r\t")},
        {"\"a\\u0000b\"", BYTES_LITERAL("a\0b")},
        {"\"\\u007f\\u0080\\u07FF\\u0800\\uffff\"",
         BYTES_LITERAL("\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF")},
        {"\"\\ud800\\udc00\\uDBFF\\uDFFF!\"", BYTES_LITERAL("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF!")},
    };
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json_token token;
        struct bytes content;
        assert_status_ok(json_next(json_reader_new(arena, bytes_of_text(rows[i].token)), &token));
        assert_status_ok(json_unescape(arena, &token, &content));
        assert_true(bytes_equal(content, rows[i].content));
    }
}

static void test_any_content_survives_being_written_as_a_string(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    char content[128];
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)i;
    struct buffer buffer = buffer_make(0);
    json_add_string(&buffer, bytes_of(content, sizeof content));
    json_add_string(&buffer, BYTES_NONE);
    assert_memory_equal(buffer.data, "\"\\u0000\\u0001", 13);
    assert_memory_equal(buffer.data + buffer.size_bytes - 3, "\"\"\"", 3);
    struct json_token token;
    struct bytes again;
    assert_status_ok(json_next(json_reader_new(arena, bytes_of(buffer.data, buffer.size_bytes - 2)), &token));
    assert_status_ok(json_unescape(arena, &token, &again));
    assert_true(bytes_equal(again, bytes_of(content, sizeof content)));
    buffer_done(&buffer);
}

/* What must be escaped is found wherever it stands among bytes that are looked at together. */
static void test_what_must_be_escaped_is_found_anywhere(void **state)
{
    (void)state;
    static const char special[] = {'"', '\\', '\n', '\0', '\x1f'};
    static const char *const written[] = {"\\\"", "\\\\", "\\n", "\\u0000", "\\u001f"};
    for (size_t size = 1; size < 40; size++) {
        for (size_t i = 0; i < size * sizeof special; i++) {
            char content[40];
            char wanted[64];
            const size_t place = i / sizeof special;
            memset(content, i % 2 == 0 ? 'x' : '\xff', sizeof content); /* UTF-8 is not its business */
            content[place] = special[i % sizeof special];
            const int length =
                snprintf(wanted, sizeof wanted, "\"%.*s%s%.*s\"", (int)place, content,
                         written[i % sizeof special], (int)(size - place - 1), content + place + 1);
            struct buffer buffer = buffer_make(0);
            json_add_string(&buffer, bytes_of(content, size));
            assert_true(bytes_equal(buffer_bytes(&buffer), bytes_of(wanted, (size_t)length)));
            buffer_done(&buffer);
        }
    }
}

/* An object of `count` members; the one at `same` (if below count) repeats the first name, with an escape. */
static char *make_object(size_t count, size_t same, size_t *ret_size)
{
    char *text = malloc(count * 32 + 16);
    size_t size = (size_t)sprintf(text, "{");
    for (size_t i = 0; i < count; i++)
        size += (size_t)sprintf(text + size, "%s\"%s%zu\":{\"n0\":1}", i == 0 ? "" : ",",
                                i == same ? "\\u006E" : "n", i == same ? 0 : i);
    text[size++] = '}';
    *ret_size = size;
    return text;
}

static void test_duplicates_are_found_at_every_size(void **state)
{
    (void)state;
    static const size_t counts[] = {2, 3, 11, 12, 13, 14, 15, 31, 32, 33, 34, 64, 65, 100, 1000, 5000};
    for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
        for (size_t twice = 0; twice < 2; twice++) {
            size_t size = 0;
            char *ignored = NULL;
            char *text = make_object(counts[c], twice == 0 ? SIZE_MAX : counts[c] - 1, &size);
            const struct status status = compact(text, size, &ignored);
            if ((status.code == STATUS_OK) != (twice == 0))
                fail_msg("%zu members: %s", counts[c], status.message);
            free(ignored);
            free(text);
        }
    }
}

static void test_every_name_is_remembered(void **state)
{
    (void)state;
    enum { COUNT = 150 };
    for (size_t same = 0; same < COUNT; same++) {
        struct buffer text = buffer_make(0);
        char *ignored = NULL;
        for (size_t i = 0; i < COUNT; i++)
            buffer_printf(&text, "%c\"n%zu\":0", i == 0 ? '{' : ',', i);
        buffer_printf(&text, ",\"n%zu\":0}", same);
        assert_reason(compact((char *)text.data, text.size_bytes, &ignored), REASON_INVALID_JSON);
        free(ignored);
        buffer_done(&text);
    }
}

/* The tables of a depth serve one object after the other; none may see another's names. */
static void test_siblings_may_repeat_names(void **state)
{
    (void)state;
    struct buffer text = buffer_make(0);
    buffer_add_byte(&text, '[');
    for (size_t i = 0; i < 40; i++) {
        size_t size = 0;
        char *object = make_object(i % 2 == 0 ? 200 : 5 + i, SIZE_MAX, &size);
        if (i > 0)
            buffer_add_byte(&text, ',');
        buffer_add(&text, object, size);
        free(object);
    }
    buffer_add_byte(&text, ']');
    char *ignored = NULL;
    assert_status_ok(compact((char *)text.data, text.size_bytes, &ignored));
    free(ignored);
    buffer_done(&text);
}

static void test_memory_for_names_stays_proportional_to_the_text(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct buffer buffer = buffer_make(0);
    size_t size = 0;
    char *text = make_object(100000, SIZE_MAX, &size);
    assert_status_ok(json_compact(arena, bytes_of(text, size), true, &buffer));
    assert_true(arena_used_bytes(arena) < 6 * size);
    CLEANUP(arena_free_at) struct arena *little = arena_new(100000);
    assert_status(json_compact(little, bytes_of(text, size), true, &buffer), STATUS_RESOURCE_EXHAUSTED);
    free(text);
    buffer_done(&buffer);
}

/* ---- random texts: written twice at once, with and without white space ---- */

struct writer {
    struct buffer spaced;
    struct buffer tight;
    uint64_t random;
};

static void write_both(struct writer *writer, const char *text)
{
    buffer_add_text(&writer->spaced, text);
    buffer_add_text(&writer->tight, text);
}

static void write_space(struct writer *writer)
{
    while (random_below(&writer->random, 3) == 0)
        buffer_add_byte(&writer->spaced, (uint8_t) " \t\r\n"[random_below(&writer->random, 4)]);
}

static void write_string(struct writer *writer, const char *unique)
{
    static const char *const parts[] = {"a",
                                        "longer part of it",
                                        "\\n",
                                        "\\u0041",
                                        "\xC3\xA9",
                                        "\xE2\x82\xAC",
                                        "\\ud83d\\ude00",
                                        "\xF0\x9F\x98\x80",
                                        "\\\\",
                                        "\\\"",
                                        " "};
    write_both(writer, "\"");
    for (uint64_t i = random_below(&writer->random, 6); i > 0; i--)
        write_both(writer, parts[random_below(&writer->random, ARRAY_SIZE(parts))]);
    write_both(writer, unique);
    write_both(writer, "\"");
}

static void write_value(struct writer *writer, unsigned depth)
{
    static const char *const words[] = {
        "true", "false", "null", "0", "-0.0", "1e5", "123456789012345678901234567890", "1.10"};
    const uint64_t choice = random_below(&writer->random, depth > 8 ? 2 : 4);
    if (choice == 0) {
        write_both(writer, words[random_below(&writer->random, ARRAY_SIZE(words))]);
    } else if (choice == 1) {
        write_string(writer, "");
    } else {
        const uint64_t count = random_below(&writer->random, 6) * random_below(&writer->random, 4);
        write_both(writer, choice == 2 ? "{" : "[");
        for (uint64_t i = 0; i < count; i++) {
            write_space(writer);
            if (choice == 2) {
                char unique[24];
                (void)snprintf(unique, sizeof unique, "#%d", (int)i);
                write_string(writer, unique);
                write_space(writer);
                write_both(writer, ":");
                write_space(writer);
            }
            write_value(writer, depth + 1);
            write_space(writer);
            write_both(writer, i + 1 < count ? "," : "");
        }
        write_space(writer);
        write_both(writer, choice == 2 ? "}" : "]");
    }
}

static void test_random_texts_lose_their_white_space_only(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct writer writer = {buffer_make(0), buffer_make(0), seed};
        write_space(&writer);
        write_value(&writer, 0);
        write_space(&writer);
        struct buffer compacted = buffer_make(0);
        const struct status status = json_compact(arena, buffer_bytes(&writer.spaced), false, &compacted);
        if (status.code != STATUS_OK || !bytes_equal(buffer_bytes(&compacted), buffer_bytes(&writer.tight)))
            fail_msg("seed %d: %s\n%.*s", (int)seed, status.message,
                     BYTES_FORMAT(buffer_bytes(&writer.spaced)));
        struct json_value *value = NULL;
        struct buffer rewritten = buffer_make(0);
        assert_status_ok(json_parse(arena, buffer_bytes(&writer.spaced), &value));
        json_write(value, &rewritten);
        assert_true(bytes_equal(buffer_bytes(&rewritten), buffer_bytes(&writer.tight)));
        buffer_done(&writer.spaced);
        buffer_done(&writer.tight);
        buffer_done(&compacted);
        buffer_done(&rewritten);
        arena_reset(arena);
    }
}

/* Whatever is accepted after random damage must be stable: compacting it again changes nothing. */
static void test_damaged_texts_are_refused_or_stable(void **state)
{
    (void)state;
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    size_t accepted = 0;
    size_t refused = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct writer writer = {buffer_make(0), buffer_make(0), seed};
        write_value(&writer, 0);
        for (int i = 0; i < 2; i++) {
            const uint64_t at = random_below(&writer.random, writer.spaced.size_bytes);
            static const char likely[] = "\"\\{}[]:,e1 u";
            const uint8_t any = (uint8_t)random_next(&writer.random);
            writer.spaced.data[at] = any % 2 == 0 ? (uint8_t)likely[any / 2 % (sizeof likely - 1)] : any;
        }
        /* A copy of exact size, so that the address sanitizer sees any step behind the end. */
        uint8_t *exact = malloc(writer.spaced.size_bytes);
        memcpy(exact, writer.spaced.data, writer.spaced.size_bytes);
        struct buffer once = buffer_make(0);
        struct buffer twice = buffer_make(0);
        const struct status status =
            json_compact(arena, bytes_of(exact, writer.spaced.size_bytes), false, &once);
        refused += status.code != STATUS_OK;
        if (status.code == STATUS_OK) {
            accepted++;
            assert_status_ok(json_compact(arena, buffer_bytes(&once), false, &twice));
            assert_true(bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
        }
        free(exact);
        buffer_done(&writer.spaced);
        buffer_done(&writer.tight);
        buffer_done(&once);
        buffer_done(&twice);
        arena_reset(arena);
    }
    assert_true(accepted > 30);
    assert_true(refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact_keeps_every_token_as_written),
        cmocka_unit_test(test_what_is_wrong_is_named_with_its_place),
        cmocka_unit_test(test_every_byte_is_judged_at_every_place_of_a_string),
        cmocka_unit_test(test_a_failure_leaves_the_buffer_as_it_was),
        cmocka_unit_test(test_depth_is_at_most_64),
        cmocka_unit_test(test_a_number_has_at_most_1000_characters),
        cmocka_unit_test(test_tokens_come_in_order_with_their_places),
        cmocka_unit_test(test_a_spent_reader_repeats_its_error),
        cmocka_unit_test(test_whole_values_are_skipped),
        cmocka_unit_test(test_an_embedded_text_has_its_own_depth),
        cmocka_unit_test(test_an_embedded_text_is_read_as_strictly),
        cmocka_unit_test(test_escapes_are_replaced),
        cmocka_unit_test(test_any_content_survives_being_written_as_a_string),
        cmocka_unit_test(test_what_must_be_escaped_is_found_anywhere),
        cmocka_unit_test(test_duplicates_are_found_at_every_size),
        cmocka_unit_test(test_every_name_is_remembered),
        cmocka_unit_test(test_siblings_may_repeat_names),
        cmocka_unit_test(test_memory_for_names_stays_proportional_to_the_text),
        cmocka_unit_test(test_random_texts_lose_their_white_space_only),
        cmocka_unit_test(test_damaged_texts_are_refused_or_stable),
    };
    return cmocka_run_group_tests_name("json_reader", tests, NULL, NULL);
}
