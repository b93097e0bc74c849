#include "domain/view_internal.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for reading an event");
}

static struct status read_object(struct arena *arena, struct json_reader *reader, struct view **ret);

static struct status read_value(struct arena *arena, struct json_reader *reader,
                                const struct json_token *first, struct view_member *member)
{
    if (first->kind == JSON_OBJECT_BEGIN)
        return read_object(arena, reader, &member->object);
    return json_skip_value(reader, first, &member->raw);
}

/* After '{'. Recursion is as deep as the text, which the reader bounds by JSON_DEPTH_MAX. */
static struct status read_object(struct arena *arena, struct json_reader *reader, struct view **ret)
{
    struct view *view = arena_zalloc(arena, sizeof *view);
    if (view == NULL)
        return no_memory();
    struct view_member **link = &view->first;
    struct json_token token;
    for (;;) {
        STATUS_TRY(json_next(reader, &token));
        if (token.kind == JSON_OBJECT_END)
            break;
        struct view_member *member = arena_zalloc(arena, sizeof *member);
        if (member == NULL)
            return no_memory();
        member->token = token.text;
        STATUS_TRY(json_unescape(arena, &token, &member->name));
        STATUS_TRY(json_next(reader, &token));
        STATUS_TRY(read_value(arena, reader, &token, member));
        *link = member;
        link = &member->next;
    }
    *ret = view;
    return status_ok();
}

struct status view_parse(struct arena *arena, struct bytes text, struct view **ret)
{
    struct json_reader *reader = json_reader_new(arena, text);
    if (reader == NULL)
        return no_memory();
    struct json_token token;
    struct view *view = NULL;
    STATUS_TRY(json_next(reader, &token));
    if (token.kind != JSON_OBJECT_BEGIN)
        return status_reason(REASON_INVALID_JSON, "the text is not a JSON object");
    STATUS_TRY(read_object(arena, reader, &view));
    STATUS_TRY(json_next(reader, &token));
    assert(token.kind == JSON_END);
    *ret = view;
    return status_ok();
}

struct status view_parse_list(struct arena *arena, struct bytes raw, struct view **ret)
{
    *ret = NULL;
    if (raw.size_bytes == 0 || raw.data[0] != '[')
        return status_ok();
    struct json_reader *reader = json_reader_new(arena, raw);
    if (reader == NULL)
        return no_memory();
    struct json_token token;
    struct view **link = ret;
    STATUS_TRY(json_next(reader, &token));
    for (;;) {
        STATUS_TRY(json_next(reader, &token));
        if (token.kind == JSON_ARRAY_END)
            return status_ok();
        struct bytes skipped;
        if (token.kind != JSON_OBJECT_BEGIN) {
            STATUS_TRY(json_skip_value(reader, &token, &skipped));
            continue;
        }
        STATUS_TRY(read_object(arena, reader, link));
        link = &(*link)->next;
    }
}

const struct view_member *view_find(const struct view *view, const char *name)
{
    const struct bytes wanted = bytes_of_text(name);
    for (const struct view_member *member = view->first; member != NULL; member = member->next)
        if (bytes_equal(member->name, wanted))
            return raw_is_null(member->raw) ? NULL : member;
    return NULL;
}

struct status raw_text(struct arena *arena, struct bytes raw, struct bytes *ret)
{
    assert(raw_is_string(raw));
    const struct json_token token = {
        .kind = JSON_STRING,
        .text = raw,
        .escaped = memchr(raw.data, '\\', raw.size_bytes) != NULL,
    };
    return json_unescape(arena, &token, ret);
}

struct status raw_is_text(struct arena *arena, struct bytes raw, const char *text, bool *ret)
{
    struct bytes content = BYTES_NONE;
    *ret = false;
    if (!raw_is_string(raw))
        return status_ok();
    STATUS_TRY(raw_text(arena, raw, &content));
    *ret = bytes_equal(content, bytes_of_text(text));
    return status_ok();
}
