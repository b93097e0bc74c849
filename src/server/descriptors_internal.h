/*
 * An index over a serialized google.protobuf.FileDescriptorSet: which file defines a symbol, what it imports.
 *
 * Ownership  descriptor_index_new()/_free(); the set is borrowed and must outlive the index.
 * Threads    Any, once made; nothing changes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct descriptor_index;

/* DATA_LOSS when the bytes are not a descriptor set, RESOURCE_EXHAUSTED when out of memory. */
STATUS_MUST_CHECK struct status descriptor_index_new(struct bytes set, struct descriptor_index **ret);
void descriptor_index_free(struct descriptor_index *index); /* NULL is fine */

#define DESCRIPTOR_FILE_NONE SIZE_MAX

/* Each answers the number of a file, or DESCRIPTOR_FILE_NONE. */
size_t descriptor_index_file(const struct descriptor_index *index, struct bytes file_name);
size_t descriptor_index_symbol(const struct descriptor_index *index, struct bytes full_name);
size_t descriptor_index_extension(const struct descriptor_index *index, struct bytes extendee,
                                  int32_t number);

/*
 * Calls `visit` with the packed FileDescriptorProto of the file and of everything
 * that it imports, each once, imports first.
 */
void descriptor_index_visit(const struct descriptor_index *index, size_t file,
                            void (*visit)(void *context, struct bytes packed), void *context);

/* Calls `visit` with the number of each extension of the message. False when the message is unknown. */
bool descriptor_index_visit_extensions(const struct descriptor_index *index, struct bytes extendee,
                                       void (*visit)(void *context, int32_t number), void *context);
