/*
 * Field numbers are those of google/protobuf/descriptor.proto. The set is our own generated one, so its
 * nesting is trusted; its bytes are checked all the same.
 */
#include "server/descriptors_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "schema/schema.h"

enum { SET_FILE = 1 };
enum {
    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_IMPORT = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    FILE_EXTENSION = 7
};
enum { MESSAGE_NAME = 1, MESSAGE_FIELD = 2, MESSAGE_NESTED = 3, MESSAGE_ENUM = 4, MESSAGE_EXTENSION = 6 };
enum { FIELD_EXTENDEE = 2, FIELD_NUMBER = 3 };
enum { ENUM_VALUE = 2, SERVICE_METHOD = 2 };

struct file {
    struct bytes name;
    struct bytes package;
    struct bytes packed;
};

struct symbol {
    struct bytes name; /* full, without a leading dot */
    size_t file;
};

struct extension {
    struct bytes extendee; /* full, without a leading dot */
    int32_t number;
    size_t file;
};

struct descriptor_index {
    struct arena *arena;
    struct buffer files;      /* of struct file */
    struct buffer symbols;    /* of struct symbol, sorted by name */
    struct buffer extensions; /* of struct extension */
    bool malformed;
    bool out_of_memory;
};

#define ITEMS(buffer, type) ((const struct type *)(const void *)(buffer).data)
#define COUNT(buffer, type) ((buffer).size_bytes / sizeof(struct type))

/* --- building --- */

/* The next field of a packed message; false at its end and on damage, which is remembered. */
static bool next_field(struct descriptor_index *index, struct bytes message, size_t *at,
                       struct wire_field *ret)
{
    if (*at >= message.size_bytes)
        return false;
    if (wire_next(message, at, ret))
        return true;
    index->malformed = true;
    return false;
}

static struct bytes find_bytes(struct descriptor_index *index, struct bytes message, uint32_t number)
{
    struct wire_field field;
    for (size_t at = 0; next_field(index, message, &at, &field);)
        if (field.number == number && field.type == WIRE_LEN)
            return field.bytes;
    return BYTES_NONE;
}

static struct bytes add_symbol(struct descriptor_index *index, struct bytes scope, struct bytes name,
                               size_t file)
{
    const char *full = scope.size_bytes == 0
                           ? arena_text(index->arena, name)
                           : arena_printf(index->arena, "%.*s.%.*s", BYTES_FORMAT(scope), BYTES_FORMAT(name));
    if (full == NULL) {
        index->out_of_memory = true;
        return BYTES_NONE;
    }
    const struct symbol symbol = {bytes_of_text(full), file};
    buffer_add(&index->symbols, &symbol, sizeof symbol);
    return symbol.name;
}

/* Adds the names of what a message, enum or service holds in its repeated field `number`. */
static void add_children(struct descriptor_index *index, struct bytes parent, uint32_t number,
                         struct bytes scope, size_t file)
{
    struct wire_field field;
    for (size_t at = 0; next_field(index, parent, &at, &field);)
        if (field.number == number && field.type == WIRE_LEN)
            (void)add_symbol(index, scope, find_bytes(index, field.bytes, MESSAGE_NAME), file);
}

static void add_extension(struct descriptor_index *index, struct bytes packed, struct bytes scope,
                          size_t file)
{
    struct extension extension = {.extendee = find_bytes(index, packed, FIELD_EXTENDEE), .file = file};
    if (extension.extendee.size_bytes > 0 && extension.extendee.data[0] == '.')
        extension.extendee = bytes_of(extension.extendee.data + 1, extension.extendee.size_bytes - 1);
    struct wire_field field;
    for (size_t at = 0; next_field(index, packed, &at, &field);)
        if (field.number == FIELD_NUMBER && field.type == WIRE_VARINT)
            extension.number = (int32_t)field.value;
    buffer_add(&index->extensions, &extension, sizeof extension);
    (void)add_symbol(index, scope, find_bytes(index, packed, MESSAGE_NAME), file);
}

static void add_enum(struct descriptor_index *index, struct bytes packed, struct bytes scope, size_t file)
{
    (void)add_symbol(index, scope, find_bytes(index, packed, MESSAGE_NAME), file);
    add_children(index, packed, ENUM_VALUE, scope, file); /* values are the enum's siblings in C++ scoping */
}

static void add_message(struct descriptor_index *index, struct bytes packed, struct bytes scope, size_t file)
{
    const struct bytes name = add_symbol(index, scope, find_bytes(index, packed, MESSAGE_NAME), file);
    add_children(index, packed, MESSAGE_FIELD, name, file);
    struct wire_field field;
    for (size_t at = 0; next_field(index, packed, &at, &field);) {
        if (field.type != WIRE_LEN)
            continue;
        if (field.number == MESSAGE_NESTED)
            add_message(index, field.bytes, name, file);
        else if (field.number == MESSAGE_ENUM)
            add_enum(index, field.bytes, name, file);
        else if (field.number == MESSAGE_EXTENSION)
            add_extension(index, field.bytes, name, file);
    }
}

static void add_file(struct descriptor_index *index, struct bytes packed)
{
    const struct file file = {
        .name = find_bytes(index, packed, FILE_NAME),
        .package = find_bytes(index, packed, FILE_PACKAGE),
        .packed = packed,
    };
    const size_t number = COUNT(index->files, file);
    buffer_add(&index->files, &file, sizeof file);
    struct wire_field field;
    for (size_t at = 0; next_field(index, packed, &at, &field);) {
        if (field.type != WIRE_LEN)
            continue;
        if (field.number == FILE_MESSAGE) {
            add_message(index, field.bytes, file.package, number);
        } else if (field.number == FILE_ENUM) {
            add_enum(index, field.bytes, file.package, number);
        } else if (field.number == FILE_EXTENSION) {
            add_extension(index, field.bytes, file.package, number);
        } else if (field.number == FILE_SERVICE) {
            const struct bytes service =
                add_symbol(index, file.package, find_bytes(index, field.bytes, MESSAGE_NAME), number);
            add_children(index, field.bytes, SERVICE_METHOD, service, number);
        }
    }
}

static int compare_symbols(const void *a, const void *b)
{
    return bytes_compare(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

static struct status index_status(const struct descriptor_index *index)
{
    if (index->malformed)
        return status_error(STATUS_DATA_LOSS,
                            "the built-in descriptor set is not well formed; generate and build again");
    if (index->out_of_memory)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the descriptor index");
    STATUS_TRY(buffer_status(&index->files));
    STATUS_TRY(buffer_status(&index->symbols));
    return buffer_status(&index->extensions);
}

struct status descriptor_index_new(struct bytes set, struct descriptor_index **ret)
{
    struct descriptor_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the descriptor index");
    index->files = buffer_make(0);
    index->symbols = buffer_make(0);
    index->extensions = buffer_make(0);
    index->arena = arena_new(0);
    index->out_of_memory = index->arena == NULL;
    struct wire_field field;
    for (size_t at = 0; !index->out_of_memory && next_field(index, set, &at, &field);)
        if (field.number == SET_FILE && field.type == WIRE_LEN)
            add_file(index, field.bytes);
    const struct status status = index_status(index);
    if (!status_is_ok(&status)) {
        descriptor_index_free(index);
        return status;
    }
    if (index->symbols.size_bytes > 0)
        qsort(index->symbols.data, COUNT(index->symbols, symbol), sizeof(struct symbol), compare_symbols);
    *ret = index;
    return status_ok();
}

void descriptor_index_free(struct descriptor_index *index)
{
    if (index == NULL)
        return;
    buffer_done(&index->files);
    buffer_done(&index->symbols);
    buffer_done(&index->extensions);
    arena_free(index->arena);
    free(index);
}

/* --- asking --- */

size_t descriptor_index_file(const struct descriptor_index *index, struct bytes file_name)
{
    const struct file *files = ITEMS(index->files, file);
    for (size_t i = 0; i < COUNT(index->files, file); i++)
        if (bytes_equal(files[i].name, file_name))
            return i;
    return DESCRIPTOR_FILE_NONE;
}

size_t descriptor_index_symbol(const struct descriptor_index *index, struct bytes full_name)
{
    const size_t count = COUNT(index->symbols, symbol);
    const struct symbol key = {.name = full_name};
    const struct symbol *found =
        count == 0 ? NULL : bsearch(&key, index->symbols.data, count, sizeof key, compare_symbols);
    return found == NULL ? DESCRIPTOR_FILE_NONE : found->file;
}

size_t descriptor_index_extension(const struct descriptor_index *index, struct bytes extendee, int32_t number)
{
    const struct extension *extensions = ITEMS(index->extensions, extension);
    for (size_t i = 0; i < COUNT(index->extensions, extension); i++)
        if (extensions[i].number == number && bytes_equal(extensions[i].extendee, extendee))
            return extensions[i].file;
    return DESCRIPTOR_FILE_NONE;
}

struct visit {
    const struct descriptor_index *index;
    void (*visit)(void *context, struct bytes packed);
    void *context;
    bool *seen; /* by file */
};

static void visit_file(struct visit *visit, size_t file)
{
    if (file == DESCRIPTOR_FILE_NONE || visit->seen[file])
        return;
    visit->seen[file] = true;
    const struct bytes packed = ITEMS(visit->index->files, file)[file].packed;
    struct wire_field field;
    for (size_t at = 0; at < packed.size_bytes && wire_next(packed, &at, &field);)
        if (field.number == FILE_IMPORT && field.type == WIRE_LEN)
            visit_file(visit, descriptor_index_file(visit->index, field.bytes));
    visit->visit(visit->context, packed);
}

void descriptor_index_visit(const struct descriptor_index *index, size_t file,
                            void (*visit)(void *context, struct bytes packed), void *context)
{
    struct visit walk = {index, visit, context, calloc(COUNT(index->files, file), sizeof(bool))};
    if (walk.seen != NULL)
        visit_file(&walk, file);
    free(walk.seen);
}

bool descriptor_index_visit_extensions(const struct descriptor_index *index, struct bytes extendee,
                                       void (*visit)(void *context, int32_t number), void *context)
{
    const struct extension *extensions = ITEMS(index->extensions, extension);
    for (size_t i = 0; i < COUNT(index->extensions, extension); i++)
        if (bytes_equal(extensions[i].extendee, extendee))
            visit(context, extensions[i].number);
    return descriptor_index_symbol(index, extendee) != DESCRIPTOR_FILE_NONE;
}
