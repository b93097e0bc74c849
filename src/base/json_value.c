#include "base/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINEAR_MAX_MEMBERS 8U

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for a JSON value");
}

/* Order of the index: shorter names first, which spares most comparisons of bytes. */
static int name_order(struct bytes a, struct bytes b)
{
    if (a.size_bytes != b.size_bytes)
        return a.size_bytes < b.size_bytes ? -1 : 1;
    return a.size_bytes == 0 ? 0 : memcmp(a.data, b.data, a.size_bytes);
}

static int index_order(const void *a, const void *b, void *members)
{
    const struct json_member *of = members;
    return name_order(of[*(const uint32_t *)a].name, of[*(const uint32_t *)b].name);
}

static struct status make_index(struct arena *arena, struct json_value *object)
{
    assert(object->kind == JSON_OBJECT_BEGIN);
    object->index = NULL;
    if (object->count <= LINEAR_MAX_MEMBERS)
        return status_ok();
    assert(object->count <= UINT32_MAX);
    uint32_t *index = arena_array(arena, object->count, sizeof *index);
    if (index == NULL)
        return no_memory();
    for (size_t i = 0; i < object->count; i++)
        index[i] = (uint32_t)i;
    qsort_r(index, object->count, sizeof *index, index_order, object->members);
    object->index = index;
    return status_ok();
}

struct json_value *json_member(const struct json_value *object, struct bytes name)
{
    assert(object->kind == JSON_OBJECT_BEGIN);
    if (object->index == NULL) {
        for (size_t i = 0; i < object->count; i++)
            if (bytes_equal(object->members[i].name, name))
                return object->members[i].value;
        return NULL;
    }
    size_t low = 0;
    size_t high = object->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct json_member *member = &object->members[object->index[middle]];
        const int order = name_order(member->name, name);
        if (order == 0)
            return member->value;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/*
 * Parsing keeps the members and elements of the containers that are still open in two stacks outside the
 * arena: how many there will be is known only at the end of each, and the arena cannot give memory back.
 */
struct parser {
    struct json_reader *reader;
    struct arena *arena;
    struct buffer members;  /* of struct json_member */
    struct buffer elements; /* of struct json_value * */
};

static void parser_done(struct parser *parser)
{
    buffer_done(&parser->members);
    buffer_done(&parser->elements);
}

static struct status parse_value(struct parser *parser, const struct json_token *first,
                                 struct json_value **ret);

/* Moves what stands above `begin` of a stack into the arena; NULL when that is nothing. */
static struct status take_above(struct parser *parser, struct buffer *stack, size_t begin_bytes, void **ret)
{
    const size_t size_bytes = stack->size_bytes - begin_bytes;
    *ret = NULL;
    if (size_bytes == 0)
        return status_ok();
    *ret = arena_alloc(parser->arena, size_bytes);
    if (*ret == NULL)
        return no_memory();
    memcpy(*ret, stack->data + begin_bytes, size_bytes);
    stack->size_bytes = begin_bytes;
    return status_ok();
}

static struct status parse_object(struct parser *parser, struct json_value *object)
{
    const size_t begin_bytes = parser->members.size_bytes;
    struct json_token token;
    for (;;) {
        STATUS_TRY(json_next(parser->reader, &token));
        if (token.kind == JSON_OBJECT_END)
            break;
        struct json_member member = {.name_token = token.text};
        STATUS_TRY(json_unescape(parser->arena, &token, &member.name));
        STATUS_TRY(json_next(parser->reader, &token));
        STATUS_TRY(parse_value(parser, &token, &member.value));
        buffer_add(&parser->members, &member, sizeof member);
        STATUS_TRY(buffer_status(&parser->members));
    }
    object->count = (parser->members.size_bytes - begin_bytes) / sizeof *object->members;
    void *members = NULL;
    STATUS_TRY(take_above(parser, &parser->members, begin_bytes, &members));
    object->members = members;
    return make_index(parser->arena, object);
}

static struct status parse_array(struct parser *parser, struct json_value *array)
{
    const size_t begin_bytes = parser->elements.size_bytes;
    struct json_token token;
    for (;;) {
        STATUS_TRY(json_next(parser->reader, &token));
        if (token.kind == JSON_ARRAY_END)
            break;
        struct json_value *element = NULL;
        STATUS_TRY(parse_value(parser, &token, &element));
        buffer_add(&parser->elements, &element, sizeof(struct json_value *));
        STATUS_TRY(buffer_status(&parser->elements));
    }
    array->count = (parser->elements.size_bytes - begin_bytes) / sizeof(struct json_value *);
    void *elements = NULL;
    STATUS_TRY(take_above(parser, &parser->elements, begin_bytes, &elements));
    array->elements = elements;
    return status_ok();
}

/* Recursion is as deep as the text, which the reader bounds by JSON_DEPTH_MAX. */
static struct status parse_value(struct parser *parser, const struct json_token *first,
                                 struct json_value **ret)
{
    struct json_value *value = arena_zalloc(parser->arena, sizeof *value);
    if (value == NULL)
        return no_memory();
    value->kind = first->kind;
    if (first->kind == JSON_OBJECT_BEGIN)
        STATUS_TRY(parse_object(parser, value));
    else if (first->kind == JSON_ARRAY_BEGIN)
        STATUS_TRY(parse_array(parser, value));
    else
        value->token = first->text;
    *ret = value;
    return status_ok();
}

static struct status parse_text(struct parser *parser, struct json_value **ret)
{
    struct json_token token;
    struct json_value *value = NULL;
    STATUS_TRY(json_next(parser->reader, &token));
    STATUS_TRY(parse_value(parser, &token, &value));
    STATUS_TRY(json_next(parser->reader, &token));
    assert(token.kind == JSON_END);
    *ret = value;
    return status_ok();
}

struct status json_parse(struct arena *arena, struct bytes text, struct json_value **ret)
{
    struct parser parser = {json_reader_new(arena, text), arena, buffer_make(0), buffer_make(0)};
    if (parser.reader == NULL)
        return no_memory();
    const struct status status = parse_text(&parser, ret);
    parser_done(&parser);
    return status;
}

struct status json_string(struct arena *arena, const struct json_value *value, struct bytes *ret)
{
    assert(value->kind == JSON_STRING);
    const struct json_token token = {
        .kind = JSON_STRING,
        .text = value->token,
        .escaped = memchr(value->token.data, '\\', value->token.size_bytes) != NULL,
    };
    return json_unescape(arena, &token, ret);
}

void json_write(const struct json_value *value, struct buffer *to)
{
    switch (value->kind) {
    case JSON_OBJECT_BEGIN:
        buffer_add_byte(to, '{');
        for (size_t i = 0; i < value->count; i++) {
            if (i > 0)
                buffer_add_byte(to, ',');
            buffer_add_bytes(to, value->members[i].name_token);
            buffer_add_byte(to, ':');
            json_write(value->members[i].value, to);
        }
        buffer_add_byte(to, '}');
        break;
    case JSON_ARRAY_BEGIN:
        buffer_add_byte(to, '[');
        for (size_t i = 0; i < value->count; i++) {
            if (i > 0)
                buffer_add_byte(to, ',');
            json_write(value->elements[i], to);
        }
        buffer_add_byte(to, ']');
        break;
    default:
        buffer_add_bytes(to, value->token);
        break;
    }
}

static struct status objects_equal(struct arena *arena, const struct json_value *a,
                                   const struct json_value *b, bool *ret_equal)
{
    /* A value that was changed has no index; many members without one would take quadratic time. */
    struct json_value indexed = *b;
    if (indexed.index == NULL)
        STATUS_TRY(make_index(arena, &indexed));
    for (size_t i = 0; i < a->count; i++) {
        const struct json_value *other = json_member(&indexed, a->members[i].name);
        bool equal = false;
        if (other != NULL)
            STATUS_TRY(json_equal(arena, a->members[i].value, other, &equal));
        if (!equal) {
            *ret_equal = false;
            return status_ok();
        }
    }
    *ret_equal = true; /* names are unique within each, so equal counts leave nothing over in b */
    return status_ok();
}

static struct status arrays_equal(struct arena *arena, const struct json_value *a, const struct json_value *b,
                                  bool *ret_equal)
{
    bool equal = true;
    for (size_t i = 0; equal && i < a->count; i++)
        STATUS_TRY(json_equal(arena, a->elements[i], b->elements[i], &equal));
    *ret_equal = equal;
    return status_ok();
}

static struct status strings_equal(struct arena *arena, const struct json_value *a,
                                   const struct json_value *b, bool *ret_equal)
{
    if (bytes_equal(a->token, b->token)) {
        *ret_equal = true;
        return status_ok();
    }
    struct bytes content_a = BYTES_NONE;
    struct bytes content_b = BYTES_NONE;
    STATUS_TRY(json_string(arena, a, &content_a));
    STATUS_TRY(json_string(arena, b, &content_b));
    *ret_equal = bytes_equal(content_a, content_b);
    return status_ok();
}

struct status json_equal(struct arena *arena, const struct json_value *a, const struct json_value *b,
                         bool *ret_equal)
{
    if (a->kind != b->kind || a->count != b->count) {
        *ret_equal = false;
        return status_ok();
    }
    switch (a->kind) {
    case JSON_OBJECT_BEGIN:
        return objects_equal(arena, a, b, ret_equal);
    case JSON_ARRAY_BEGIN:
        return arrays_equal(arena, a, b, ret_equal);
    case JSON_STRING:
        return strings_equal(arena, a, b, ret_equal);
    case JSON_NUMBER:
        *ret_equal = json_number_compare(a->token, b->token) == 0;
        return status_ok();
    default:
        *ret_equal = true; /* true, false and null are all there is to them */
        return status_ok();
    }
}
