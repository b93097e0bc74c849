#include "store/pages.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE_BYTES    ((size_t)64 * 1024)
#define KEPT_BYTES_MAX ((size_t)32 * 1024 * 1024)
#define KEPT_MAX       64U

/* Freed pieces that the next ones of their size are made of: zeroed already, the oldest first. */
struct kept {
    void *memory;
    size_t size_bytes;
};
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER; /* guards: */
static struct kept kept[KEPT_MAX];
static size_t kept_count;
static size_t kept_bytes;

/* Takes number `at` out; kept_lock is held. */
static struct kept take_out(size_t at)
{
    const struct kept taken = kept[at];
    kept_count--;
    kept_bytes -= taken.size_bytes;
    memmove(&kept[at], &kept[at + 1], (kept_count - at) * sizeof *kept);
    return taken;
}

static void *take_kept(size_t size_bytes)
{
    void *memory = NULL;
    pthread_mutex_lock(&kept_lock);
    for (size_t i = kept_count; i-- > 0 && memory == NULL;)
        if (kept[i].size_bytes == size_bytes)
            memory = take_out(i).memory;
    pthread_mutex_unlock(&kept_lock);
    return memory;
}

static void unmap(struct kept piece)
{
    (void)munmap(piece.memory, piece.size_bytes); /* cannot fail for a piece that mmap gave */
}

/* Older ones give way. */
static void keep(struct kept piece)
{
    struct kept out[KEPT_MAX];
    size_t out_count = 0;
    memset(piece.memory, 0, piece.size_bytes);
    pthread_mutex_lock(&kept_lock);
    while (kept_count == KEPT_MAX || kept_bytes + piece.size_bytes > KEPT_BYTES_MAX)
        out[out_count++] = take_out(0);
    kept[kept_count++] = piece;
    kept_bytes += piece.size_bytes;
    pthread_mutex_unlock(&kept_lock);
    for (size_t i = 0; i < out_count; i++)
        unmap(out[i]);
}

void *pages_new(size_t size_bytes)
{
    if (size_bytes < LARGE_BYTES)
        return calloc(1, size_bytes);
    void *memory = take_kept(size_bytes);
    if (memory != NULL)
        return memory;
    memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void pages_free(void *memory, size_t size_bytes)
{
    if (size_bytes < LARGE_BYTES)
        free(memory);
    else if (memory != NULL)
        unmap((struct kept){memory, size_bytes});
}

void pages_recycle(void *memory, size_t size_bytes)
{
    if (memory == NULL || size_bytes < LARGE_BYTES || size_bytes > KEPT_BYTES_MAX / 4)
        pages_free(memory, size_bytes);
    else
        keep((struct kept){memory, size_bytes});
}

void pages_trim(void)
{
    struct kept out[KEPT_MAX];
    pthread_mutex_lock(&kept_lock);
    const size_t count = kept_count;
    memcpy(out, kept, count * sizeof *kept);
    kept_count = 0;
    kept_bytes = 0;
    pthread_mutex_unlock(&kept_lock);
    for (size_t i = 0; i < count; i++)
        unmap(out[i]);
}
