/*
 * A run of the index whose pages all check and whose content is wrong: every reading function must refuse it or answer
 * anything, but never read or write out of bounds, never loop, never abort.
 *
 *     build/…/fuzz_index_run -max_total_time=60 <folder for finds> tests/fuzz/corpus_index_run
 *
 * The first byte chooses one of a few valid runs; each further four are an edit of it: where (u16, a fraction of the
 * file), how, and with what. Then the checksums are made to fit again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/embedded/index/index_file_internal.h"
#include "store/embedded/index/index_run.h"
#include "support/memory_files.h"
#include "support/seeded_entropy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SHAPES         4U
#define EVENTS         600
#define FOLDER         "index"
#define POSITIONS_MOST 1000U
#define FOUND_MOST     6U
#define PROBES         8U
#define NONCE          9U

static const uint8_t uuid[INDEX_UUID_BYTES] = {3};
static const struct run_facts facts = {.first_position = 1001, .last_position = 1000 + EVENTS};

/* How many different hashes there are, and how many keys. */
static const struct {
    uint64_t hashes;
    uint32_t keys;
} shapes[SHAPES] = {{UINT64_MAX, 40}, {5, 200}, {1, 3}, {UINT64_MAX, 1}};

struct image {
    uint8_t *bytes;
    size_t size;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void must(struct status status)
{
    require(status.code == STATUS_OK);
}

static uint64_t hash_of(unsigned shape, uint64_t number)
{
    uint64_t state = number % shapes[shape].hashes;
    return random_next(&state);
}

static void add_keys(struct run_builder *builder, unsigned shape)
{
    for (uint32_t key = 0; key < shapes[shape].keys; key++) {
        int64_t positions[EVENTS];
        uint32_t count = 0;
        for (uint32_t i = key; i < EVENTS; i += shapes[shape].keys)
            positions[count++] = facts.first_position + i;
        must(run_builder_add_key(builder, hash_of(shape, key), key, positions, count));
    }
}

static void run_name(char ret[64])
{
    char name[INDEX_NAME_MAX_BYTES];
    index_run_name(facts.first_position, facts.last_position, name);
    (void)snprintf(ret, 64, FOLDER "/%s", name);
}

static struct image image_make(unsigned shape)
{
    struct memory_files disk = memory_files_empty();
    struct run_builder *builder = NULL;
    struct image image;
    char path[64];
    run_name(path);
    must(files_mkdir(&disk.files, FOLDER));
    must(run_builder_new(&facts, &builder));
    for (int64_t i = 0; i < EVENTS; i++)
        must(run_builder_add_id(builder, hash_of(shape, (uint64_t)i), BYTES_NONE, facts.first_position + i));
    add_keys(builder, shape);
    must(run_builder_write(builder, &disk.files, FOLDER, uuid, NONCE, NULL));
    run_builder_free(builder);
    image.bytes = memory_files_content(&disk, path, &image.size);
    require(image.bytes != NULL);
    memory_files_done(&disk);
    return image;
}

/* One edit of a data byte, or of four. */
static void edit(uint8_t *file, size_t size, const uint8_t *how)
{
    static const uint32_t values[] = {0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, UINT32_MAX};
    const uint64_t fraction = (uint64_t)how[0] << 8 | how[1];
    const uint64_t logical = size / INDEX_PAGE_BYTES * INDEX_PAGE_DATA_BYTES * fraction / 65536;
    const size_t in_page = (size_t)(logical % INDEX_PAGE_DATA_BYTES);
    uint8_t *at = file + logical / INDEX_PAGE_DATA_BYTES * INDEX_PAGE_BYTES + in_page;
    if (how[2] % 3 == 0)
        *at = how[3];
    else if (how[2] % 3 == 1)
        *at = (uint8_t)(*at + how[3]);
    else if (in_page + 4 <= INDEX_PAGE_DATA_BYTES)
        put_u32_le(at, values[how[3] % ARRAY_COUNT(values)] + how[3] / 16);
}

static void seal(uint8_t *file, size_t size)
{
    const uint32_t nonce = get_u32_le(file + 8);
    for (size_t at = 0; at < size; at += INDEX_PAGE_BYTES) {
        const uint32_t crc = crc32c(at == 0 ? 0 : nonce, bytes_of(file + at, INDEX_PAGE_BYTES - 4));
        put_u32_le(file + at + INDEX_PAGE_BYTES - 4, crc);
    }
}

static void read_list(const struct run *run, const struct posting_list *list)
{
    static int64_t positions[POSITIONS_MOST];
    uint32_t behind = 0;
    const uint32_t most = list->count < POSITIONS_MOST ? list->count : POSITIONS_MOST;
    struct status status = run_list_read(run, list, 0, positions, most);
    status = run_list_read(run, list, list->count - most, positions, most);
    status = run_list_read(run, list, list->count / 2, positions, most / 2);
    for (int64_t position = facts.first_position - 2; position < facts.last_position + 2; position += 211) {
        status = run_list_behind(run, list, position, &behind);
        require(status.code != STATUS_OK || behind <= list->count);
    }
}

static void ask(const struct run *run, uint64_t hash)
{
    int64_t positions[FOUND_MOST];
    struct run_key keys[FOUND_MOST];
    struct run_last last[FOUND_MOST];
    uint32_t count = 0;
    struct status status = run_find_id(run, hash, 0, positions, FOUND_MOST, &count);
    require(status.code != STATUS_OK || count <= FOUND_MOST);
    for (uint32_t i = 0; status.code == STATUS_OK && i < count; i++)
        require(positions[i] >= facts.first_position && positions[i] <= facts.last_position);
    status = run_find_last(run, hash, 1, last, FOUND_MOST, &count);
    require(status.code != STATUS_OK || count <= FOUND_MOST);
    status = run_count_key(run, hash, &count);
    status = run_find_key(run, hash, 0, keys, FOUND_MOST, &count);
    for (uint32_t i = 0; status.code == STATUS_OK && i < count; i++)
        read_list(run, &keys[i].list);
}

static void look_at(struct files *files, unsigned shape, bool untouched)
{
    CLEANUP(run_close_at) struct run *run = NULL;
    struct status status =
        run_open(files, FOLDER, facts.first_position, facts.last_position, uuid, NULL, &run);
    require(status.code == STATUS_OK || !untouched);
    if (status.code != STATUS_OK)
        return;
    for (uint64_t i = 0; i < PROBES; i++)
        ask(run, hash_of(shape, i));
    status = run_check(run);
    require(status.code == STATUS_OK || !untouched);
    struct run *const runs[] = {run};
    status = run_merge(files, FOLDER, runs, 1, uuid, NONCE + 1, NULL);
    require(status.code == STATUS_OK || !untouched);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct image images[SHAPES];
    if (size < 1)
        return 0;
    const unsigned shape = data[0] % SHAPES;
    if (images[shape].bytes == NULL)
        images[shape] = image_make(shape);
    const struct image *image = &images[shape];
    uint8_t *bytes = malloc(image->size);
    require(bytes != NULL);
    memcpy(bytes, image->bytes, image->size);
    for (size_t at = 1; at + 4 <= size; at += 4)
        edit(bytes, image->size, data + at);
    seal(bytes, image->size);

    struct memory_files disk = memory_files_empty();
    struct file *file = NULL;
    char path[64];
    run_name(path);
    must(files_mkdir(&disk.files, FOLDER));
    must(files_open(&disk.files, path, FILE_WRITE | FILE_CREATE, &file));
    must(file_write_at(file, 0, bytes, image->size));
    file_close(file);
    free(bytes);
    look_at(&disk.files, shape, size < 5);
    memory_files_done(&disk);
    return 0;
}
