/*
 * Zeroed memory in sizes that the caller remembers. A large piece comes straight from the system: it costs nothing
 * before it is touched, and goes back whole when it is freed. (malloc's threshold for that rises with every
 * large piece that is freed; later ones would stay in the process.)
 *
 * Ownership  The caller's, from pages_new() to pages_free() with the same size.
 * Threads    Any.
 * Blocking   Never.
 */
#pragma once

#include <stddef.h>

void *pages_new(size_t size_bytes);               /* NULL when out of memory; size_bytes > 0 */
void pages_free(void *memory, size_t size_bytes); /* NULL is fine */
