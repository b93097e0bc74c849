#include "id_set_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/crypto.h"

#define HASH_BYTES     16U
#define WINDOW_ENTRIES 2048U
#define RUNS_MAX       65536U

/* As in the scratch file: the hash, then the position, so that bytes sort by hash first. */
struct entry {
    uint8_t bytes[ID_SET_RUN_BYTES];
};

struct id_set {
    struct id_set_options options;
    struct file *file; /* NULL = nothing was written yet */
    uint64_t file_bytes;
    struct entry *chunk;
    size_t count; /* in the chunk */
    size_t capacity;
    struct id_set_run *runs;
    size_t run_count;
};

/* One run while runs are merged. */
struct run_reader {
    struct file *file;
    uint64_t offset;
    uint64_t left; /* entries that are not in the window yet */
    uint32_t crc;
    uint32_t expected_crc;
    struct entry *window;
    size_t at;
    size_t count;
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the ids of the events");
}

static int64_t position_of(const struct entry *entry)
{
    uint64_t position = 0;
    for (size_t i = HASH_BYTES; i < ID_SET_RUN_BYTES; i++)
        position = position << 8 | entry->bytes[i];
    return (int64_t)position;
}

static int compare_entries(const void *a, const void *b)
{
    return memcmp(a, b, ID_SET_RUN_BYTES);
}

static bool same_hash(const struct entry *a, const struct entry *b)
{
    return memcmp(a->bytes, b->bytes, HASH_BYTES) == 0;
}

static struct status scratch_damaged(const char *name)
{
    return status_error(
        STATUS_DATA_LOSS,
        "the scratch file %s does not read as it was written; look at its disk and begin anew: this says "
        "nothing about the store",
        name);
}

static struct status check_run(struct id_set *set, const struct id_set_run *run)
{
    uint32_t crc = 0;
    for (uint64_t done = 0; done < run->count; done += WINDOW_ENTRIES) {
        const uint64_t left = run->count - done;
        const size_t size = (size_t)(left < WINDOW_ENTRIES ? left : WINDOW_ENTRIES) * sizeof *set->chunk;
        STATUS_TRY(file_read_exactly(set->file, run->offset + done * sizeof *set->chunk, set->chunk, size));
        crc = crc32c(crc, bytes_of(set->chunk, size));
    }
    return crc == run->crc ? status_ok() : scratch_damaged(set->options.name);
}

static struct status open_scratch(struct id_set *set)
{
    if (set->file != NULL)
        return status_ok();
    const enum file_flags flags =
        set->run_count > 0 ? FILE_WRITE : (enum file_flags)(FILE_WRITE | FILE_CREATE);
    STATUS_TRY(files_open(set->options.files, set->options.name, flags, &set->file));
    for (size_t i = 0; i < set->run_count; i++)
        STATUS_TRY(check_run(set, &set->runs[i]));
    /* What an interrupted run wrote behind its last checkpoint goes. */
    return file_truncate(set->file, set->file_bytes);
}

static struct id_set *make_set(const struct id_set_options *options)
{
    struct id_set *set = calloc(1, sizeof *set);
    if (set == NULL)
        return NULL;
    set->options = *options;
    set->capacity = options->chunk_ids == 0 ? ID_SET_CHUNK_IDS : options->chunk_ids;
    if (set->capacity < WINDOW_ENTRIES)
        set->capacity = WINDOW_ENTRIES;
    set->chunk = malloc(set->capacity * sizeof *set->chunk); /* untouched pages cost nothing */
    set->runs = calloc(RUNS_MAX, sizeof *set->runs);
    if (set->chunk != NULL && set->runs != NULL)
        return set;
    id_set_free(set);
    return NULL;
}

struct status id_set_new(const struct id_set_options *options, const struct id_set_run *runs,
                         size_t run_count, struct id_set **ret)
{
    CLEANUP(id_set_free_at) struct id_set *set = run_count > RUNS_MAX ? NULL : make_set(options);
    if (set == NULL)
        return no_memory();
    if (run_count > 0)
        memcpy(set->runs, runs, run_count * sizeof *runs);
    set->run_count = run_count;
    for (size_t i = 0; i < run_count; i++)
        set->file_bytes += runs[i].count * ID_SET_RUN_BYTES;
    if (run_count > 0)
        STATUS_TRY(open_scratch(set));
    *ret = TAKE_PTR(set);
    return status_ok();
}

void id_set_free(struct id_set *set)
{
    if (set == NULL)
        return;
    file_close(set->file);
    free(set->chunk);
    free(set->runs);
    free(set);
}

static struct status write_chunk(struct id_set *set)
{
    if (set->count == 0)
        return status_ok();
    if (set->run_count == RUNS_MAX)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "the store has more events than verify can compare");
    STATUS_TRY(open_scratch(set));
    qsort(set->chunk, set->count, sizeof *set->chunk, compare_entries);
    const struct bytes bytes = bytes_of(set->chunk, set->count * sizeof *set->chunk);
    STATUS_TRY(file_write_at(set->file, set->file_bytes, bytes.data, bytes.size_bytes));
    set->runs[set->run_count++] = (struct id_set_run){set->file_bytes, set->count, crc32c(0, bytes)};
    set->file_bytes += bytes.size_bytes;
    set->count = 0;
    return status_ok();
}

static struct status grow_chunk(struct id_set *set)
{
    struct entry *larger = realloc(set->chunk, 2 * set->capacity * sizeof *larger);
    if (larger == NULL)
        return no_memory();
    set->chunk = larger;
    set->capacity *= 2;
    return status_ok();
}

struct status id_set_add(struct id_set *set, struct bytes id, int64_t position)
{
    if (set->count == set->capacity)
        STATUS_TRY(set->options.files == NULL ? grow_chunk(set) : write_chunk(set));
    const struct sha256 hash = sha256_of(&id, 1);
    struct entry *entry = &set->chunk[set->count++];
    memcpy(entry->bytes, hash.bytes, HASH_BYTES);
    for (size_t i = 0; i < ID_SET_RUN_BYTES - HASH_BYTES; i++)
        entry->bytes[HASH_BYTES + i] = (uint8_t)((uint64_t)position >> (56 - 8 * i));
    return status_ok();
}

struct status id_set_save(struct id_set *set, const struct id_set_run **ret_runs, size_t *ret_count)
{
    STATUS_TRY(write_chunk(set));
    if (set->file != NULL) {
        STATUS_TRY(file_sync(set->file));
        STATUS_TRY(files_sync_dir(set->options.files, "."));
    }
    *ret_runs = set->runs;
    *ret_count = set->run_count;
    return status_ok();
}

/* --- merging --- */

static struct status run_fill(struct run_reader *run, const char *name)
{
    const size_t count = run->left < WINDOW_ENTRIES ? (size_t)run->left : WINDOW_ENTRIES;
    run->at = 0;
    run->count = count;
    if (count == 0)
        return status_ok();
    const size_t size = count * sizeof *run->window;
    STATUS_TRY(file_read_exactly(run->file, run->offset, run->window, size));
    run->offset += size;
    run->left -= count;
    run->crc = crc32c(run->crc, bytes_of(run->window, size));
    return run->left == 0 && run->crc != run->expected_crc ? scratch_damaged(name) : status_ok();
}

static bool run_is_less(const struct run_reader *a, const struct run_reader *b)
{
    return compare_entries(&a->window[a->at], &b->window[b->at]) < 0;
}

/* Restores the heap below `place`: the run with the least entry stands first. */
static void sift_down(struct run_reader **heap, size_t count, size_t place)
{
    for (;;) {
        size_t least = place;
        for (size_t child = 2 * place + 1; child <= 2 * place + 2 && child < count; child++)
            if (run_is_less(heap[child], heap[least]))
                least = child;
        if (least == place)
            return;
        struct run_reader *moved = heap[place];
        heap[place] = heap[least];
        heap[least] = moved;
        place = least;
    }
}

static struct status merge(struct id_set *set, struct run_reader **heap, size_t count, int64_t *ret_earlier,
                           int64_t *ret_later)
{
    struct entry last = {{0}};
    bool begun = false;
    for (size_t place = count; place > 0; place--)
        sift_down(heap, count, place - 1);
    while (count > 0) {
        struct run_reader *run = heap[0];
        const struct entry *entry = &run->window[run->at];
        if (begun && same_hash(&last, entry)) {
            *ret_earlier = position_of(&last);
            *ret_later = position_of(entry);
            return status_ok();
        }
        last = *entry;
        begun = true;
        if (++run->at == run->count)
            STATUS_TRY(run_fill(run, set->options.name));
        if (run->count == 0)
            heap[0] = heap[--count];
        sift_down(heap, count, 0);
    }
    return status_ok();
}

static struct status merge_runs(struct id_set *set, int64_t *ret_earlier, int64_t *ret_later)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    struct run_reader *runs = arena == NULL ? NULL : arena_array(arena, set->run_count, sizeof *runs);
    struct run_reader **heap = arena == NULL ? NULL : arena_array(arena, set->run_count, sizeof *heap);
    if (runs == NULL || heap == NULL)
        return no_memory();
    for (size_t i = 0; i < set->run_count; i++) {
        runs[i] = (struct run_reader){
            .file = set->file,
            .offset = set->runs[i].offset,
            .left = set->runs[i].count,
            .expected_crc = set->runs[i].crc,
            .window = arena_array(arena, WINDOW_ENTRIES, sizeof *runs[i].window),
        };
        if (runs[i].window == NULL)
            return no_memory();
        STATUS_TRY(run_fill(&runs[i], set->options.name));
        heap[i] = &runs[i];
    }
    return merge(set, heap, set->run_count, ret_earlier, ret_later);
}

struct status id_set_find_repeated(struct id_set *set, int64_t *ret_earlier, int64_t *ret_later)
{
    *ret_earlier = 0;
    *ret_later = 0;
    if (set->run_count > 0) {
        STATUS_TRY(write_chunk(set));
        return merge_runs(set, ret_earlier, ret_later);
    }
    qsort(set->chunk, set->count, sizeof *set->chunk, compare_entries);
    for (size_t i = 1; i < set->count; i++) {
        if (!same_hash(&set->chunk[i - 1], &set->chunk[i]))
            continue;
        *ret_earlier = position_of(&set->chunk[i - 1]);
        *ret_later = position_of(&set->chunk[i]);
        return status_ok();
    }
    return status_ok();
}
