#include "store/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#define LARGE_BYTES ((size_t)64 * 1024)

void *pages_new(size_t size_bytes)
{
    if (size_bytes < LARGE_BYTES)
        return calloc(1, size_bytes);
    void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void pages_free(void *memory, size_t size_bytes)
{
    if (memory == NULL)
        return;
    if (size_bytes < LARGE_BYTES)
        free(memory);
    else
        (void)munmap(memory, size_bytes); /* cannot fail for a piece that mmap gave */
}
