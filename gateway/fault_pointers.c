#include "gateway/fault_pointers_internal.h"

#include <string.h>

#include "base/json_pointer.h"

/* Each fault is looked for among all members on its way, on a thread that serves others too: a larger body gets no
 * pointers. */
#define BODY_MAX_BYTES ((size_t)128 * 1024)

/* One fault's path on its way through the body. */
struct search {
    struct arena *arena;
    const struct schema_route *route;
    struct buffer pointer; /* to where we are */
    size_t found_count;
    struct bytes found; /* with found_count 1 */
};

static void search_in(struct search *search, const struct json_value *value,
                      const struct schema_message *message, struct bytes path);

static struct bytes after(struct bytes path, size_t size_bytes)
{
    return bytes_of(path.data + size_bytes, path.size_bytes - size_bytes);
}

static bool begins_with(struct bytes path, struct bytes name)
{
    return path.size_bytes >= name.size_bytes && memcmp(path.data, name.data, name.size_bytes) == 0 &&
           (path.size_bytes == name.size_bytes || path.data[name.size_bytes] == '.' ||
            path.data[name.size_bytes] == '[');
}

/* --- what stands there --- */

static void found(struct search *search)
{
    struct buffer text = buffer_in(search->arena, 0);
    json_pointer_add_fragment(&text, buffer_bytes(&search->pointer));
    search->found = text.failed || search->pointer.failed ? BYTES_NONE : buffer_bytes(&text);
    search->found_count++;
}

static void search_element(struct search *search, const struct json_value *array,
                           const struct schema_message *message, struct bytes path)
{
    size_t index = 0;
    size_t at = 1;
    for (; at < path.size_bytes && path.data[at] >= '0' && path.data[at] <= '9' && index < array->count; at++)
        index = index * 10 + (size_t)(path.data[at] - '0');
    if (path.data[0] != '[' || at == 1 || at == path.size_bytes || path.data[at] != ']' ||
        index >= array->count)
        return;
    const size_t before = search->pointer.size_bytes;
    json_pointer_add_index(&search->pointer, index);
    search_in(search, array->elements[index], message, after(path, at + 1));
    search->pointer.size_bytes = before;
}

/* The name that a path gives a member: of the contract's fields the one in the .proto, whatever the client wrote. */
static struct bytes name_in_path(const struct schema_message *message, struct bytes name,
                                 const struct schema_message **ret_inner)
{
    *ret_inner = NULL;
    for (size_t i = 0; message != NULL && i < message->field_count; i++) {
        const struct schema_field *field = &message->fields[i];
        if (bytes_equal(name, bytes_of_text(field->name)) ||
            bytes_equal(name, bytes_of_text(field->json_name))) {
            *ret_inner = field->message;
            return bytes_of_text(field->name);
        }
    }
    return name;
}

static void search_member(struct search *search, const struct json_value *object,
                          const struct schema_message *message, struct bytes path)
{
    for (size_t i = 0; i < object->count; i++) {
        const struct json_member *member = &object->members[i];
        const struct schema_message *inner = NULL;
        const struct bytes name = name_in_path(message, member->name, &inner);
        const bool as_written = begins_with(path, member->name);
        if (!as_written && !begins_with(path, name))
            continue;
        const size_t before = search->pointer.size_bytes;
        json_pointer_add_name(&search->pointer, member->name);
        search_in(search, member->value, inner,
                  after(path, as_written ? member->name.size_bytes : name.size_bytes));
        search->pointer.size_bytes = before;
    }
}

/* --- what is missing there --- */

static bool is_plain_name(struct bytes name)
{
    for (size_t i = 0; i < name.size_bytes; i++)
        if ((name.data[i] < 'a' || name.data[i] > 'z') && name.data[i] != '_' &&
            (name.data[i] < '0' || name.data[i] > '9'))
            return false;
    return name.size_bytes > 0;
}

/* A field of the request itself may stand in path or headers; then nothing is missing in the body. */
static bool is_given_elsewhere(const struct search *search, struct bytes name)
{
    const struct schema_message *request = schema_method(search->route->method)->request;
    const struct schema_field *field = schema_field_by_name(request, name);
    if (field == NULL || field->http_header != NULL)
        return true;
    for (size_t i = 0; i < search->route->segment_count; i++)
        if (search->route->segments[i].field == field)
            return true;
    return false;
}

/* The path ends at a member that the object lacks: the pointer says where it would be. */
static void search_missing(struct search *search, const struct json_value *object, struct bytes path)
{
    const bool at_root = search->pointer.size_bytes == 0;
    if (!is_plain_name(path) || json_member(object, path) != NULL ||
        (at_root && is_given_elsewhere(search, path)))
        return;
    const size_t before = search->pointer.size_bytes;
    json_pointer_add_name(&search->pointer, path);
    found(search);
    search->pointer.size_bytes = before;
}

/* As deep as the path is long at most, and a JSON text is not deeper than JSON_DEPTH_MAX. */
static void search_in(struct search *search, const struct json_value *value,
                      const struct schema_message *message, struct bytes path)
{
    if (path.size_bytes == 0) {
        found(search);
        return;
    }
    if (value->kind == JSON_ARRAY_BEGIN) {
        search_element(search, value, message, path);
        return;
    }
    if (path.data[0] == '.')
        path = after(path, 1);
    if (value->kind != JSON_OBJECT_BEGIN || path.size_bytes == 0)
        return;
    const size_t before = search->found_count;
    search_member(search, value, message, path);
    if (search->found_count == before)
        search_missing(search, value, path);
}

static struct bytes pointer_of(struct arena *arena, const struct schema_route *route,
                               const struct json_value *body, const char *field)
{
    struct search search = {.arena = arena, .route = route, .pointer = buffer_in(arena, 0)};
    const struct schema_message *message = schema_method(route->method)->request;
    struct bytes path = bytes_of_text(field);
    if (strcmp(route->body, "*") != 0) { /* the body is one field of the request */
        const struct bytes name = bytes_of_text(route->body);
        if (!begins_with(path, name))
            return BYTES_NONE;
        message = schema_field_by_name(message, name)->message;
        path = after(path, name.size_bytes);
    }
    search_in(&search, body, message, path);
    return search.found_count == 1 ? search.found : BYTES_NONE;
}

const struct bytes *fault_pointers(struct arena *arena, const struct http_request *http,
                                   const struct schema_route *route, const struct field_faults *faults)
{
    struct json_value *body = NULL;
    if (route == NULL || route->body == NULL || faults == NULL || http->body.size_bytes == 0 ||
        http->body.size_bytes > BODY_MAX_BYTES)
        return NULL;
    const struct status status = json_parse(arena, http->body, &body);
    struct bytes *pointers = arena_array(arena, faults->count, sizeof *pointers);
    if (!status_is_ok(&status) || pointers == NULL)
        return NULL;
    for (size_t i = 0; i < faults->count; i++)
        pointers[i] = pointer_of(arena, route, body, faults->items[i].field);
    return pointers;
}
