#include "gateway/router_internal.h"

#include <stdio.h>
#include <string.h>

#include "gateway/transcode/transcode.h"

#define SEGMENTS_MAX 16U
#define ALLOW_BYTES  64U

struct path {
    struct bytes segments[SEGMENTS_MAX]; /* decoded */
    size_t count;
};

static int hex_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f')
        return (byte | 0x20) - 'a' + 10;
    return -1;
}

bool percent_decode(struct arena *arena, struct bytes text, bool plus_is_space, struct bytes *ret)
{
    uint8_t *decoded = arena_alloc(arena, text.size_bytes + 1);
    size_t size = 0;
    if (decoded == NULL)
        return false;
    for (size_t i = 0; i < text.size_bytes; i++) {
        uint8_t byte = text.data[i];
        if (byte == '%') {
            const int high = i + 2 < text.size_bytes ? hex_value(text.data[i + 1]) : -1;
            const int low = i + 2 < text.size_bytes ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            byte = (uint8_t)(high * 16 + low);
            i += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        decoded[size++] = byte;
    }
    *ret = bytes_of(decoded, size);
    return true;
}

void percent_encode(struct bytes text, struct buffer *to)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t written = 0; /* runs of plain characters are added as one */
    for (size_t i = 0; i < text.size_bytes; i++) {
        const uint8_t byte = text.data[i];
        const bool plain = (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') ||
                           byte == '-' || byte == '.' || byte == '_' || byte == '~';
        if (plain)
            continue;
        const char encoded[3] = {'%', hex[byte >> 4], hex[byte & 15]};
        buffer_add(to, text.data + written, i - written);
        buffer_add(to, encoded, sizeof encoded);
        written = i + 1;
    }
    if (text.size_bytes > written)
        buffer_add(to, text.data + written, text.size_bytes - written);
}

/* Splits at '/', one trailing slash left out. count 0 when there are more segments than any route has. */
static struct status split_path(struct arena *arena, struct bytes text, struct path *ret)
{
    ret->count = 0;
    size_t start = 1; /* behind the leading slash */
    size_t end = text.size_bytes;
    if (end > 1 && text.data[end - 1] == '/')
        end--;
    for (size_t at = start; at <= end && end > 1; at++) {
        if (at < end && text.data[at] != '/')
            continue;
        if (ret->count == SEGMENTS_MAX) {
            ret->count = 0;
            return status_ok();
        }
        const struct bytes raw = bytes_of(text.data + start, at - start);
        if (!percent_decode(arena, raw, false, &ret->segments[ret->count++]))
            return status_reason(
                REASON_INVALID_FIELD,
                "the path segment \"%s\" has a broken percent-encoding; write %%25 for a percent "
                "sign",
                transcode_shown(arena, raw));
        start = at + 1;
    }
    return status_ok();
}

static bool segment_fits(const struct schema_segment *wanted, struct bytes segment)
{
    const char *literal = wanted->literal;
    if (segment.size_bytes == 0 || literal == NULL)
        return segment.size_bytes > 0;
    return (uint8_t)literal[0] == segment.data[0] && bytes_equal(bytes_of_text(literal), segment);
}

/* From the end: that is where routes differ, since all begin alike. */
static bool matches(const struct schema_route *route, const struct path *path)
{
    if (route->segment_count != path->count)
        return false;
    for (size_t i = path->count; i > 0; i--)
        if (!segment_fits(&route->segments[i - 1], path->segments[i - 1]))
            return false;
    return true;
}

/* Both match the path: the one with the earlier literal is the better one. */
static bool is_better(const struct schema_route *a, const struct schema_route *b)
{
    for (size_t i = 0; i < a->segment_count; i++)
        if ((a->segments[i].literal != NULL) != (b->segments[i].literal != NULL))
            return a->segments[i].literal != NULL;
    return false;
}

static bool same_shape(const struct schema_route *a, const struct schema_route *b)
{
    return !is_better(a, b) && !is_better(b, a);
}

static bool verb_is(const struct schema_route *route, struct bytes verb)
{
    return bytes_equal(bytes_of_text(route->verb), verb) ||
           (strcmp(route->verb, "GET") == 0 && bytes_equal(verb, BYTES_LITERAL("HEAD")));
}

static const char *allowed(struct arena *arena, const struct schema_route *best, const struct path *path)
{
    char allow[ALLOW_BYTES] = "";
    for (size_t i = 0; i < schema_route_count; i++) {
        const struct schema_route *route = &schema_routes[i];
        if (!matches(route, path) || !same_shape(route, best))
            continue;
        const size_t used = strlen(allow);
        (void)snprintf(allow + used, sizeof allow - used, "%s%s", route->verb, /* five verbs always fit */
                       strcmp(route->verb, "GET") == 0 ? ", HEAD, " : ", ");
    }
    return arena_printf(arena, "%sOPTIONS", allow);
}

struct status route_find(struct arena *arena, struct bytes verb, struct bytes path_text,
                         struct route_match *ret)
{
    struct path path;
    *ret = (struct route_match){0};
    STATUS_TRY(split_path(arena, path_text, &path));
    const struct schema_route *best = NULL;
    const struct schema_route *wanted = NULL; /* the best one of this verb */
    for (size_t i = 0; i < schema_route_count; i++) {
        const struct schema_route *route = &schema_routes[i];
        if (!matches(route, &path))
            continue;
        if (best == NULL || is_better(route, best))
            best = route;
        if (verb_is(route, verb) && (wanted == NULL || is_better(route, wanted)))
            wanted = route;
    }
    if (best == NULL)
        return status_ok();
    if (wanted == NULL || !same_shape(wanted, best)) {
        ret->allow = allowed(arena, best, &path);
        return status_ok();
    }
    ret->route = wanted;
    for (size_t i = 0; i < path.count; i++)
        if (ret->route->segments[i].field != NULL && ret->variable_count < ROUTE_VARIABLES_MAX)
            ret->variables[ret->variable_count++] =
                (struct route_variable){ret->route->segments[i].field, path.segments[i]};
    return status_ok();
}
