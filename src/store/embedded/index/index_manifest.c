#include "store/embedded/index/index_manifest.h"

#include <assert.h>
#include <stdio.h>

#include "index_file_internal.h"

/*
 * Behind the common fields of the header page: seed u64 · parts u32 · runs u32; then first and last position, i64 each, of
 * the parts, then of the runs. The nonce is a CRC over all that, so that no page of another MANIFEST passes.
 */
#define RANGE_BYTES 16U
#define RANGES_MOST (1U << 24) /* a store of 10^12 events has fewer */
#define FACTS_BYTES 16U
#define PATH_BYTES  512U

/* Ascending, without a gap, from position 1; *ret_last = where they end, 0 for none. */
static bool ranges_follow(const struct part_range *ranges, size_t count, int64_t *ret_last)
{
    int64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].first_position != last + 1 || ranges[i].last_position < ranges[i].first_position ||
            ranges[i].last_position == INT64_MAX)
            return false;
        last = ranges[i].last_position;
    }
    *ret_last = last;
    return true;
}

static bool manifest_fits(const struct index_manifest *manifest)
{
    int64_t parts_end = 0;
    int64_t runs_end = 0;
    return ranges_follow(manifest->parts, manifest->part_count, &parts_end) &&
           ranges_follow(manifest->runs, manifest->run_count, &runs_end) && parts_end == runs_end;
}

static uint32_t content_crc(const uint8_t *facts, const uint8_t *ranges, size_t size)
{
    return crc32c(crc32c(0, bytes_of(facts, FACTS_BYTES)), bytes_of(ranges, size));
}

/* ---- reading ---- */

static struct part_range *ranges_decode(struct arena *arena, const uint8_t *from, size_t count)
{
    struct part_range *ranges = arena_array(arena, count, sizeof *ranges);
    for (size_t i = 0; ranges != NULL && i < count; i++) {
        ranges[i].first_position = (int64_t)get_u64_le(from + i * RANGE_BYTES);
        ranges[i].last_position = (int64_t)get_u64_le(from + i * RANGE_BYTES + 8);
    }
    return ranges;
}

static struct status decode(const struct index_reader *reader, const uint8_t *facts, struct arena *arena,
                            struct index_manifest *ret)
{
    struct index_manifest manifest = {
        .seed = get_u64_le(facts), .part_count = get_u32_le(facts + 8), .run_count = get_u32_le(facts + 12)};
    const uint64_t size = ((uint64_t)manifest.part_count + manifest.run_count) * RANGE_BYTES;
    if (manifest.part_count > RANGES_MOST || manifest.run_count > RANGES_MOST ||
        INDEX_PAGE_DATA_BYTES + size != index_reader_length(reader))
        return index_damaged(index_reader_path(reader), "its header contradicts itself");
    uint8_t *bytes = arena_alloc(arena, (size_t)size);
    if (bytes == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to read %s", index_reader_path(reader));
    STATUS_TRY(index_reader_read(reader, INDEX_PAGE_DATA_BYTES, bytes, (size_t)size));
    manifest.parts = ranges_decode(arena, bytes, manifest.part_count);
    manifest.runs =
        ranges_decode(arena, bytes + (size_t)manifest.part_count * RANGE_BYTES, manifest.run_count);
    if (manifest.parts == NULL || manifest.runs == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to read %s", index_reader_path(reader));
    if (content_crc(facts, bytes, (size_t)size) != index_reader_nonce(reader) || !manifest_fits(&manifest))
        return index_damaged(index_reader_path(reader), "what it names does not fit together");
    *ret = manifest;
    return status_ok();
}

struct status index_manifest_read(struct files *files, const char *folder,
                                  const uint8_t store_uuid[INDEX_UUID_BYTES], struct arena *arena,
                                  struct index_manifest *ret)
{
    const struct index_place place = {files, folder, INDEX_MANIFEST_NAME, store_uuid};
    CLEANUP(index_reader_close_at) struct index_reader *reader = NULL;
    uint8_t header[INDEX_PAGE_BYTES];
    STATUS_TRY(index_reader_open(&place, INDEX_MANIFEST_MAGIC, header, &reader));
    STATUS_TRY(index_reader_check(reader)); /* also what pads the last page: one rule for every byte */
    return decode(reader, header + INDEX_FACTS_AT, arena, ret);
}

/* ---- writing ---- */

static void ranges_encode(struct buffer *to, const struct part_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[RANGE_BYTES];
        put_u64_le(bytes, (uint64_t)ranges[i].first_position);
        put_u64_le(bytes + 8, (uint64_t)ranges[i].last_position);
        buffer_add(to, bytes, sizeof bytes);
    }
}

static struct status content_write(const struct index_place *place, const struct index_manifest *manifest,
                                   const struct buffer *ranges)
{
    uint8_t header[INDEX_PAGE_BYTES] = {0};
    uint8_t *facts = header + INDEX_FACTS_AT;
    put_u64_le(facts, manifest->seed);
    put_u32_le(facts + 8, (uint32_t)manifest->part_count);
    put_u32_le(facts + 12, (uint32_t)manifest->run_count);
    const uint32_t nonce = content_crc(facts, ranges->data, ranges->size_bytes);
    CLEANUP(index_writer_free_at) struct index_writer *writer = NULL;
    STATUS_TRY(index_writer_open(place, nonce, NULL, &writer));
    STATUS_TRY(index_writer_add(writer, ranges->data, ranges->size_bytes));
    STATUS_TRY(index_writer_finish(writer, INDEX_MANIFEST_MAGIC, header));
    return files_sync_dir(place->files, place->folder);
}

struct status index_manifest_write(struct files *files, const char *folder,
                                   const uint8_t store_uuid[INDEX_UUID_BYTES],
                                   const struct index_manifest *manifest)
{
    assert(manifest->part_count <= RANGES_MOST);
    assert(manifest->run_count <= RANGES_MOST);
    assert(manifest_fits(manifest));
    const struct index_place place = {files, folder, INDEX_MANIFEST_NAME, store_uuid};
    struct buffer ranges = buffer_make(0);
    ranges_encode(&ranges, manifest->parts, manifest->part_count);
    ranges_encode(&ranges, manifest->runs, manifest->run_count);
    struct status status = buffer_status(&ranges);
    if (status.code == STATUS_OK)
        status = content_write(&place, manifest, &ranges);
    buffer_done(&ranges);
    return status;
}

/* ---- leftovers ---- */

static struct status remove_file(struct files *files, const char *folder, const char *name)
{
    char path[PATH_BYTES];
    const int size = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (size < 0 || size >= (int)sizeof path)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "the path %s/%s is longer than %u bytes; remove the file", folder, name,
                            PATH_BYTES - 1);
    const struct status removed = files_remove(files, path);
    return removed.code == STATUS_NOT_FOUND ? status_ok() : removed;
}

/* Whether one of the ranges, which ascend, is that one; `last` < 0: whatever its last position. */
static bool has_range(const struct part_range *ranges, size_t count, int64_t first, int64_t last)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (ranges[middle].first_position < first)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].first_position == first &&
           (last < 0 || ranges[low].last_position == last);
}

/* 20 digits; -1 = something else. */
static int64_t position_parse(const char *text)
{
    int64_t position = 0;
    for (size_t i = 0; i < 20; i++) {
        if (text[i] < '0' || text[i] > '9' || position > (INT64_MAX - 9) / 10)
            return -1;
        position = position * 10 + (text[i] - '0');
    }
    return position;
}

static bool is_named(const struct index_manifest *manifest, const char *name)
{
    const size_t length = strlen(name);
    if (manifest == NULL)
        return false;
    if (strcmp(name, INDEX_MANIFEST_NAME) == 0)
        return true;
    if (length == 25 && strcmp(name + 20, ".part") == 0)
        return has_range(manifest->parts, manifest->part_count, position_parse(name), -1);
    if (length == 45 && name[20] == '-' && strcmp(name + 41, ".run") == 0) {
        const int64_t last = position_parse(name + 21);
        return last >= 0 && has_range(manifest->runs, manifest->run_count, position_parse(name), last);
    }
    return false;
}

static struct status remove_listed(struct files *files, const char *folder,
                                   const struct index_manifest *manifest, struct arena *arena)
{
    struct file_entry *entries = NULL;
    size_t count = 0;
    STATUS_TRY(files_list(files, folder, arena, &entries, &count));
    /* The MANIFEST goes first: a crash in between must not leave one that names what is gone. */
    if (manifest == NULL)
        STATUS_TRY(remove_file(files, folder, INDEX_MANIFEST_NAME));
    for (size_t i = 0; i < count; i++)
        if (!entries[i].is_folder && !is_named(manifest, entries[i].name))
            STATUS_TRY(remove_file(files, folder, entries[i].name));
    return status_ok();
}

struct status index_remove_others(struct files *files, const char *folder,
                                  const struct index_manifest *manifest)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    if (arena == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to list %s", folder);
    return remove_listed(files, folder, manifest, arena);
}
