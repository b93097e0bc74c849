#include "unit/store/failing_memory.h"

#include <stddef.h>
#include <sys/mman.h>

/* The linker's names for the wrapped functions and for their wrappers. */
void *real_malloc(size_t size) __asm__("__real_malloc");
void *real_calloc(size_t count, size_t size) __asm__("__real_calloc");
void *real_realloc(void *memory, size_t size) __asm__("__real_realloc");
void *real_mmap(void *at, size_t size, int protection, int flags, int file,
                off_t offset) __asm__("__real_mmap");
void *wrap_malloc(size_t size) __asm__("__wrap_malloc");
void *wrap_calloc(size_t count, size_t size) __asm__("__wrap_calloc");
void *wrap_realloc(void *memory, size_t size) __asm__("__wrap_realloc");
void *wrap_mmap(void *at, size_t size, int protection, int flags, int file,
                off_t offset) __asm__("__wrap_mmap");

static unsigned left; /* 0 = not armed */
static bool hit;

void failing_memory_from(unsigned nth)
{
    left = nth;
    hit = false;
}

bool failing_memory_stop(void)
{
    left = 0;
    return hit;
}

static bool fails(void)
{
    if (left == 0)
        return false;
    if (left > 1) {
        left--;
        return false;
    }
    hit = true;
    return true;
}

void *wrap_malloc(size_t size)
{
    return fails() ? NULL : real_malloc(size);
}

void *wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : real_calloc(count, size);
}

void *wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : real_realloc(memory, size);
}

void *wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    return fails() ? MAP_FAILED : real_mmap(at, size, protection, flags, file, offset);
}
