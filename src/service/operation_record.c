/*
 * The stored form of an operation:
 *
 *   u8       1, the format
 *   u32 LE   length, and a packed strata.v1.StartOperationRequest: what was asked for
 *   u32 LE   length, and a packed strata.v1.Operation: how it stands
 *   the rest: the place where its kind goes on, at most OPERATION_PLACE_MAX_BYTES, in the kind's own format
 *
 * The event store keeps a checksum with each value, so what does not fit is of another program, not damage.
 */
#include "service/operation_store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/replies_internal.h"

#define FORMAT 1U

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for an operation");
}

void operation_free(struct operation *operation)
{
    if (operation == NULL)
        return;
    free(operation->started_by);
    free(operation->request);
    free(operation);
}

void operation_replace(struct operation *operation, struct operation *from)
{
    free(operation->started_by);
    free(operation->request);
    *operation = *from;
    free(from);
}

/* --- to the wire --- */

static char *text_of(struct arena *arena, const char *text)
{
    return arena_text(arena, bytes_of_text(text));
}

static bool results_to_proto(struct arena *arena, const struct operation *from, Strata__V1__Operation *to)
{
    to->result = arena_array(arena, from->result_count, sizeof *to->result);
    if (to->result == NULL)
        return false;
    for (size_t i = 0; i < from->result_count; i++) {
        Strata__V1__Operation__ResultEntry *entry = arena_alloc(arena, sizeof *entry);
        if (entry == NULL)
            return false;
        strata__v1__operation__result_entry__init(entry);
        entry->key = text_of(arena, from->results[i].key);
        entry->value = text_of(arena, from->results[i].value);
        if (entry->key == NULL || entry->value == NULL)
            return false;
        to->result[to->n_result++] = entry;
    }
    return true;
}

Strata__V1__Operation *operation_to_proto(struct arena *arena, const struct operation *from)
{
    Strata__V1__Operation *to = arena_alloc(arena, sizeof *to);
    if (to == NULL)
        return NULL;
    strata__v1__operation__init(to);
    to->id = text_of(arena, from->id);
    to->kind = text_of(arena, operation_kind_name(from->kind));
    to->state = (Strata__V1__Operation__State)from->state;
    to->done = from->done;
    to->total = from->total;
    to->message = text_of(arena, from->message);
    to->started_at = time_to_proto(arena, from->started_at_us);
    to->ended_at = time_to_proto(arena, from->ended_at_us);
    to->started_by = text_of(arena, from->started_by);
    to->error_code = from->error_code;
    const bool whole = to->id != NULL && to->kind != NULL && to->message != NULL && to->started_by != NULL &&
                       (to->started_at != NULL || from->started_at_us == 0) &&
                       (to->ended_at != NULL || from->ended_at_us == 0) && results_to_proto(arena, from, to);
    return whole ? to : NULL;
}

/* --- to the store --- */

static void put_part(struct buffer *to, struct bytes part)
{
    uint8_t length[4];
    put_u32_le(length, (uint32_t)part.size_bytes);
    buffer_add(to, length, sizeof length);
    buffer_add_bytes(to, part);
}

struct status operation_encode(const struct operation *operation, struct buffer *to)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return no_memory();
    const Strata__V1__Operation *message = operation_to_proto(arena, operation);
    if (message == NULL)
        return no_memory();
    const size_t size_bytes = strata__v1__operation__get_packed_size(message);
    uint8_t *packed = arena_alloc(arena, size_bytes);
    if (packed == NULL)
        return no_memory();
    (void)strata__v1__operation__pack(message, packed); /* writes exactly what it has just counted */
    buffer_add_byte(to, FORMAT);
    put_part(to, bytes_of(operation->request, operation->request_bytes));
    put_part(to, bytes_of(packed, size_bytes));
    buffer_add(to, operation->place, operation->place_bytes);
    return buffer_status(to);
}

/* --- from the store --- */

static bool take_part(struct bytes *left, struct bytes *ret)
{
    if (left->size_bytes < 4)
        return false;
    const size_t length = get_u32_le(left->data);
    if (length > left->size_bytes - 4)
        return false;
    *ret = bytes_of(left->data + 4, length);
    *left = bytes_of(left->data + 4 + length, left->size_bytes - 4 - length);
    return true;
}

static int64_t time_of(const Google__Protobuf__Timestamp *time)
{
    return time == NULL ? 0 : time->seconds * 1000000 + time->nanos / 1000;
}

static bool kind_of(const char *name, enum operation_kind *ret)
{
    for (int kind = 0; kind < OPERATION_KIND_COUNT; kind++)
        if (strcmp(name, operation_kind_name((enum operation_kind)kind)) == 0) {
            *ret = (enum operation_kind)kind;
            return true;
        }
    return false;
}

/* False: another program wrote it. */
static bool fields_from_proto(const Strata__V1__Operation *from, struct operation *to)
{
    if (strlen(from->id) != sizeof to->id - 1 || !kind_of(from->kind, &to->kind) ||
        from->state < STRATA__V1__OPERATION__STATE__RUNNING ||
        from->state > STRATA__V1__OPERATION__STATE__CANCELLED || from->n_result > OPERATION_RESULTS_MAX)
        return false;
    memcpy(to->id, from->id, sizeof to->id);
    to->state = (enum operation_state)from->state;
    to->done = from->done;
    to->total = from->total;
    to->started_at_us = time_of(from->started_at);
    to->ended_at_us = time_of(from->ended_at);
    to->error_code = from->error_code;
    (void)snprintf(to->message, sizeof to->message, "%s", from->message); /* it was cut to this size */
    for (size_t i = 0; i < from->n_result; i++) {
        struct operation_result *result = &to->results[to->result_count++];
        (void)snprintf(result->key, sizeof result->key, "%s", from->result[i]->key);
        (void)snprintf(result->value, sizeof result->value, "%s", from->result[i]->value);
    }
    return true;
}

static struct status parts_take(struct bytes left, struct operation *operation)
{
    struct bytes request = BYTES_NONE;
    struct bytes state = BYTES_NONE;
    const bool ours = left.size_bytes > 0 && left.data[0] == FORMAT;
    left = ours ? bytes_of(left.data + 1, left.size_bytes - 1) : BYTES_NONE;
    Strata__V1__Operation *message = NULL;
    if (ours && take_part(&left, &request) && take_part(&left, &state) &&
        left.size_bytes <= sizeof operation->place)
        message = strata__v1__operation__unpack(NULL, state.size_bytes, state.data);
    const bool read = message != NULL && fields_from_proto(message, operation);
    struct status status = status_error(STATUS_DATA_LOSS, "it is not a record of this version of strata");
    if (read) {
        operation->started_by = strdup(message->started_by);
        operation->request = malloc(request.size_bytes + 1); /* an empty one is one too */
        status = operation->started_by == NULL || operation->request == NULL ? no_memory() : status_ok();
    }
    if (message != NULL)
        strata__v1__operation__free_unpacked(message, NULL);
    STATUS_TRY(status);
    memcpy(operation->request, request.data, request.size_bytes);
    operation->request_bytes = request.size_bytes;
    if (left.size_bytes > 0)
        memcpy(operation->place, left.data, left.size_bytes);
    operation->place_bytes = left.size_bytes;
    return status_ok();
}

struct status operation_decode(struct bytes record, struct operation **ret)
{
    struct operation *operation = calloc(1, sizeof *operation);
    if (operation == NULL)
        return no_memory();
    const struct status status = parts_take(record, operation);
    if (status_is_ok(&status))
        *ret = operation;
    else
        operation_free(operation);
    return status;
}
