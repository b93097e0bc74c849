#include "fanout_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_wire.h"

/* Fields of strata.v1.SubscribeResponse, EventBatch, Event and Checkpoint. */
enum {
    RESPONSE_BATCH = 1,
    RESPONSE_CAUGHT_UP = 2,
    BATCH_EVENT = 1,
    EVENT_POSITION = 6,
    CHECKPOINT_POSITION = 1
};

static bool begins(const uint8_t *at, size_t size, const char *text)
{
    const size_t length = strlen(text);
    return size >= length && memcmp(at, text, length) == 0;
}

static bool refuse(struct fanout_parser *parser, const char *error)
{
    parser->error = error;
    return false;
}

static void tell(const struct fanout_parser *parser, bool live, int64_t position)
{
    if (live)
        parser->events.on_live(parser->events.context, position);
    else
        parser->events.on_event(parser->events.context, position);
}

/* --- gRPC --- */

static int64_t position_of(const uint8_t *at, const uint8_t *end, uint64_t number)
{
    uint64_t value = 0;
    const uint8_t *behind = NULL;
    return load_find_field(at, end, number, &value, &behind) ? (int64_t)value : -1;
}

static void take_batch(struct fanout_parser *parser, const uint8_t *at, const uint8_t *end)
{
    uint64_t number = 0;
    uint64_t size = 0;
    while (at < end && load_get_field(&at, end, &number, &size))
        if (number == BATCH_EVENT)
            tell(parser, false, position_of(at - size, at, EVENT_POSITION));
}

void fanout_parse_message(struct fanout_parser *parser, const uint8_t *message, size_t size_bytes)
{
    const uint8_t *at = message;
    const uint8_t *end = message + size_bytes;
    uint64_t number = 0;
    uint64_t size = 0;
    while (at < end && load_get_field(&at, end, &number, &size)) {
        if (number == RESPONSE_BATCH)
            take_batch(parser, at - size, at);
        if (number == RESPONSE_CAUGHT_UP) /* without the number: 0 */
            tell(parser, true, size == 0 ? 0 : position_of(at - size, at, CHECKPOINT_POSITION));
    }
    if (at != end)
        parser->error = "a message is malformed";
}

/* --- lines and frames of JSON: `"position":"123"` stands before anything of the client's --- */

static int64_t position_in(const uint8_t *at, size_t size)
{
    static const char name[] = "\"position\":\"";
    const uint8_t *found = memmem(at, size, name, sizeof name - 1);
    return found == NULL ? 0 : strtoll((const char *)found + sizeof name - 1, NULL, 10);
}

static void take_ndjson(struct fanout_parser *parser, const uint8_t *line, size_t size)
{
    if (begins(line, size, "{\"event\":"))
        tell(parser, false, position_in(line, size));
    else if (begins(line, size, "{\"caught_up\":"))
        tell(parser, true, position_in(line, size));
}

static void take_sse(struct fanout_parser *parser, const uint8_t *line, size_t size)
{
    if (size == 0) {
        parser->named = parser->live = false;
    } else if (begins(line, size, "event: ")) {
        parser->named = true;
        parser->live = begins(line, size, "event: caught_up");
    } else if (begins(line, size, "id: ") && (parser->live || !parser->named)) {
        tell(parser, parser->live, strtoll((const char *)line + 4, NULL, 10)); /* ends at the line's end */
    }
}

static void take_lines(struct fanout_parser *parser)
{
    struct load_bytes *text = &parser->text;
    while (load_bytes_left(text) > 0) {
        const uint8_t *line = load_bytes_at(text);
        const uint8_t *end = memchr(line, '\n', load_bytes_left(text));
        if (end == NULL)
            return;
        const size_t size = (size_t)(end - line);
        if (parser->transport == FANOUT_SSE)
            take_sse(parser, line, size);
        else
            take_ndjson(parser, line, size);
        load_bytes_take(text, size + 1);
    }
}

/* --- HTTP --- */

/* True when it was there and is taken. */
static bool take_head(struct fanout_parser *parser, const char *wanted)
{
    struct load_bytes *raw = &parser->raw;
    const uint8_t *end = memmem(load_bytes_at(raw), load_bytes_left(raw), "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    if (!begins(load_bytes_at(raw), load_bytes_left(raw), wanted))
        return refuse(parser, "the answer's status is another one");
    load_bytes_take(raw, (size_t)(end - load_bytes_at(raw)) + 4);
    parser->has_head = true;
    return true;
}

/* Takes the line with the size of a chunk. False: it is not there whole, or the body ends. */
static bool take_chunk_head(struct fanout_parser *parser)
{
    struct load_bytes *raw = &parser->raw;
    const uint8_t *end =
        load_bytes_left(raw) == 0 ? NULL : memmem(load_bytes_at(raw), load_bytes_left(raw), "\r\n", 2);
    if (end == NULL)
        return false;
    parser->chunk_bytes = strtoul((const char *)load_bytes_at(raw), NULL, 16) + 2;
    load_bytes_take(raw, (size_t)(end - load_bytes_at(raw)) + 2);
    return parser->chunk_bytes > 2 || refuse(parser, "the server ended the stream");
}

static void take_chunks(struct fanout_parser *parser)
{
    struct load_bytes *raw = &parser->raw;
    for (;;) {
        if (parser->chunk_bytes == 0 && !take_chunk_head(parser))
            break;
        const size_t left = load_bytes_left(raw);
        const size_t size = left < parser->chunk_bytes ? left : parser->chunk_bytes;
        if (size == 0)
            break;
        const size_t content = parser->chunk_bytes > 2 ? parser->chunk_bytes - 2 : 0;
        load_bytes_add(&parser->text, load_bytes_at(raw), size < content ? size : content);
        load_bytes_take(raw, size);
        parser->chunk_bytes -= size;
    }
    take_lines(parser);
}

/* --- WebSocket --- */

enum { FRAME_TEXT = 1, FRAME_CLOSE = 8, FRAME_PING = 9, FRAME_PONG = 10 };

/* Size of the frame's head and of its content; false: not there whole. */
static bool frame_sizes(const uint8_t *at, size_t left, size_t *ret_head, size_t *ret_content)
{
    if (left < 2)
        return false;
    const size_t first = at[1] & 0x7F;
    const size_t bytes = first == 126 ? 2 : first == 127 ? 8 : 0;
    *ret_head = 2 + bytes;
    if (left < *ret_head)
        return false;
    *ret_content = bytes == 0 ? first : 0;
    for (size_t i = 0; i < bytes; i++)
        *ret_content = *ret_content << 8 | at[2 + i];
    return left - *ret_head >= *ret_content;
}

/* With a mask of zeros the content stays as it is. */
static void pong(struct fanout_parser *parser, const uint8_t *content, size_t size)
{
    const uint8_t head[] = {0x80 | FRAME_PONG, (uint8_t)(0x80 | size), 0, 0, 0, 0};
    load_bytes_add(&parser->reply, head, sizeof head);
    load_bytes_add(&parser->reply, content, size);
}

static void take_frames(struct fanout_parser *parser)
{
    struct load_bytes *raw = &parser->raw;
    size_t head = 0;
    size_t size = 0;
    while (frame_sizes(load_bytes_at(raw), load_bytes_left(raw), &head, &size)) {
        const int kind = load_bytes_at(raw)[0] & 0x0F;
        const uint8_t *content = load_bytes_at(raw) + head;
        if (kind == FRAME_TEXT && begins(content, size, "{\"type\":\"event\""))
            tell(parser, false, position_in(content, size));
        else if (kind == FRAME_TEXT && begins(content, size, "{\"type\":\"caught_up\""))
            tell(parser, true, position_in(content, size));
        else if (kind == FRAME_TEXT && begins(content, size, "{\"type\":\"error\""))
            parser->error = "the server sent an error";
        else if (kind == FRAME_PING)
            pong(parser, content, size);
        else if (kind == FRAME_CLOSE)
            parser->error = "the server closed the WebSocket";
        load_bytes_take(raw, head + size);
    }
}

/* --- Redis: answers of XREAD, [[key, [[id, [name, value]], …]]] with ids "0-N"; each brings the next question --- */

void fanout_put_question(struct load_bytes *to, int64_t after)
{
    char id[32];
    char question[160];
    const int digits = snprintf(id, sizeof id, "0-%" PRId64, after);
    const int size = snprintf(question, sizeof question,
                              "*8\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$3\r\n256\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n"
                              "$7\r\nSTREAMS\r\n$6\r\nfanout\r\n$%d\r\n%s\r\n",
                              digits, id);
    load_bytes_add(to, question, (size_t)size);
}

static void take_replies(struct fanout_parser *parser)
{
    struct load_bytes *raw = &parser->raw;
    /* From its beginning each time: an answer is seldom split, and its events count once it is whole. */
    const uint8_t *begin = load_bytes_at(raw);
    const uint8_t *at = begin;
    const uint8_t *end = begin + load_bytes_left(raw);
    int64_t positions[512];
    size_t count = 0;
    for (long items = 1; items > 0; items--) {
        const uint8_t *line_end = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (line_end == NULL)
            return;
        const long value = strtol((const char *)at + 1, NULL, 10);
        const uint8_t kind = *at;
        at = line_end + 1;
        if (kind == '*' && value >= 0) {
            items += value;
        } else if (kind == '$' && value >= 0) {
            if (end - at < value + 2)
                return;
            if (begins(at, (size_t)value, "0-") && count < sizeof positions / sizeof positions[0])
                positions[count++] = strtoll((const char *)at + 2, NULL, 10);
            at += value + 2;
        } else {
            parser->error = "Redis answered with an error";
            return;
        }
    }
    load_bytes_take(raw, (size_t)(at - begin));
    fanout_put_question(&parser->reply, count == 0 ? 0 : positions[count - 1]);
    for (size_t i = 0; i < count; i++)
        tell(parser, false, positions[i]);
}

bool fanout_parse(struct fanout_parser *parser, const uint8_t *data, size_t size_bytes)
{
    load_bytes_add(&parser->raw, data, size_bytes);
    const bool websocket = parser->transport == FANOUT_WEBSOCKET;
    if (parser->transport == FANOUT_REDIS)
        take_replies(parser);
    else if (parser->has_head || take_head(parser, websocket ? "HTTP/1.1 101" : "HTTP/1.1 200")) {
        if (websocket)
            take_frames(parser);
        else
            take_chunks(parser);
    }
    return parser->error == NULL;
}

void fanout_parser_done(struct fanout_parser *parser)
{
    load_bytes_done(&parser->raw);
    load_bytes_done(&parser->text);
    load_bytes_done(&parser->reply);
}
