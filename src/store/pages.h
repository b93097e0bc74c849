/*
 * Zeroed memory in sizes that the caller remembers. A large piece comes straight from the system: it costs nothing
 * before it is touched, and goes back whole when it is freed. (malloc's threshold for that rises with every
 * large piece that is freed; later ones would stay in the process.)
 *
 * What is made again and again in the same sizes may be recycled: some large pieces are then kept, zeroed, for the next of
 * their size. Memory that the system gives anew is paid for with a fault for each page, by the thread that touches it.
 *
 * Ownership  The caller's, from pages_new() to pages_free() or pages_recycle() with the same size.
 * Threads    Any.
 * Blocking   Never.
 */
#pragma once

#include <stddef.h>

void *pages_new(size_t size_bytes);               /* NULL when out of memory; size_bytes > 0 */
void pages_free(void *memory, size_t size_bytes); /* NULL is fine, as for the next */
void pages_recycle(void *memory,
                   size_t size_bytes); /* worth it when most of the piece was used: it is zeroed here */
void pages_trim(void);                 /* gives what is kept back to the system */
