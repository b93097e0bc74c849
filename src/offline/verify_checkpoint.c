#include "verify_checkpoint_internal.h"

#include <stdio.h>
#include <string.h>

#define MAGIC      "STRATAVC"
#define FORMAT     1U
#define NAME_BYTES 1024U
#define BYTES_MAX  ((size_t)4 * 1024 * 1024 * 1024)

/* --- writing --- */

static void put_u32(struct buffer *to, uint32_t value)
{
    uint8_t bytes[4];
    put_u32_le(bytes, value);
    buffer_add(to, bytes, sizeof bytes);
}

static void put_u64(struct buffer *to, uint64_t value)
{
    uint8_t bytes[8];
    put_u64_le(bytes, value);
    buffer_add(to, bytes, sizeof bytes);
}

static void put_point(struct buffer *to, const struct verify_checkpoint *checkpoint)
{
    const struct log_end *end = &checkpoint->resume.end;
    buffer_add(to, checkpoint->uuid, sizeof checkpoint->uuid);
    put_u64(to, (uint64_t)end->position);
    put_u64(to, (uint64_t)end->timestamp_us);
    buffer_add(to, end->chain.bytes, SHA256_BYTES);
    put_u64(to, end->writer_epoch);
    buffer_add_byte(to, end->sealed);
    put_u64(to, (uint64_t)checkpoint->resume.first_position);
    put_u64(to, (uint64_t)checkpoint->remembered_position);
    buffer_add(to, checkpoint->remembered_chain.bytes, SHA256_BYTES);
    buffer_add_byte(to, checkpoint->remembered_seen);
}

static void put_lists(struct buffer *to, const struct verify_checkpoint *checkpoint,
                      const struct version_table *versions)
{
    const struct verified_segment *segments =
        (const struct verified_segment *)(const void *)checkpoint->segments.data;
    const struct id_set_run *runs = (const struct id_set_run *)(const void *)checkpoint->runs.data;
    const size_t segment_count = verify_checkpoint_segment_count(checkpoint);
    const size_t run_count = checkpoint->runs.size_bytes / sizeof *runs;
    put_u32(to, (uint32_t)segment_count);
    put_u32(to, (uint32_t)run_count);
    put_u64(to, versions->count);
    for (size_t i = 0; i < segment_count; i++) {
        put_u64(to, (uint64_t)segments[i].first_position);
        put_u64(to, segments[i].epoch);
        buffer_add(to, segments[i].chain.bytes, SHA256_BYTES);
    }
    for (size_t i = 0; i < run_count; i++) {
        put_u64(to, runs[i].offset);
        put_u64(to, runs[i].count);
        put_u32(to, runs[i].crc);
    }
    for (size_t i = 0; i < versions->slot_count; i++) {
        const struct version_entry *entry = &versions->slots[i];
        if (entry->id.data == NULL)
            continue;
        put_u32(to, (uint32_t)entry->version);
        buffer_add_byte(to, (uint8_t)entry->id.size_bytes);
        buffer_add_byte(to, (uint8_t)(entry->id.size_bytes >> 8));
        buffer_add_bytes(to, entry->id);
    }
}

static struct status write_file(struct files *files, const char *name, struct bytes bytes)
{
    char temporary[NAME_BYTES];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", name) >= (int)sizeof temporary)
        return status_error(STATUS_INVALID_ARGUMENT, "the name %.80s… is too long", name);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, temporary, FILE_WRITE | FILE_CREATE, &file));
    STATUS_TRY(file_truncate(file, 0));
    STATUS_TRY(file_write_at(file, 0, bytes.data, bytes.size_bytes));
    STATUS_TRY(file_sync(file));
    STATUS_TRY(files_rename(files, temporary, name));
    return files_sync_dir(files, ".");
}

struct status verify_checkpoint_write(struct files *files, const char *name,
                                      const struct verify_checkpoint *checkpoint,
                                      const struct version_table *versions)
{
    struct buffer bytes = buffer_make(BYTES_MAX);
    buffer_add(&bytes, MAGIC, 8);
    put_u32(&bytes, FORMAT);
    put_point(&bytes, checkpoint);
    put_lists(&bytes, checkpoint, versions);
    put_u32(&bytes, crc32c(0, buffer_bytes(&bytes)));
    struct status status = buffer_status(&bytes);
    if (status.code == STATUS_OK)
        status = write_file(files, name, buffer_bytes(&bytes));
    buffer_done(&bytes);
    return status;
}

/* --- reading --- */

/* What is left to read; `bad` once something did not fit. */
struct input {
    struct bytes left;
    bool bad;
};

static const uint8_t *take(struct input *input, size_t size)
{
    static const uint8_t zeros[64];
    if (size > input->left.size_bytes || input->bad) {
        input->bad = true;
        return zeros;
    }
    const uint8_t *at = input->left.data;
    input->left = bytes_of(at + size, input->left.size_bytes - size);
    return at;
}

static uint32_t take_u32(struct input *input)
{
    return get_u32_le(take(input, 4));
}

static uint64_t take_u64(struct input *input)
{
    return get_u64_le(take(input, 8));
}

static struct sha256 take_hash(struct input *input)
{
    struct sha256 hash;
    memcpy(hash.bytes, take(input, SHA256_BYTES), SHA256_BYTES);
    return hash;
}

static void take_point(struct input *input, struct verify_checkpoint *checkpoint)
{
    struct log_end *end = &checkpoint->resume.end;
    memcpy(checkpoint->uuid, take(input, sizeof checkpoint->uuid), sizeof checkpoint->uuid);
    end->position = (int64_t)take_u64(input);
    end->timestamp_us = (int64_t)take_u64(input);
    end->chain = take_hash(input);
    end->writer_epoch = take_u64(input);
    end->sealed = *take(input, 1) != 0;
    checkpoint->resume.first_position = (int64_t)take_u64(input);
    checkpoint->remembered_position = (int64_t)take_u64(input);
    checkpoint->remembered_chain = take_hash(input);
    checkpoint->remembered_seen = *take(input, 1) != 0;
}

static struct status take_lists(struct input *input, struct version_table *versions,
                                struct verify_checkpoint *checkpoint)
{
    const uint32_t segment_count = take_u32(input);
    const uint32_t run_count = take_u32(input);
    const uint64_t aggregate_count = take_u64(input);
    for (uint32_t i = 0; i < segment_count && !input->bad; i++) {
        struct verified_segment segment = {.first_position = (int64_t)take_u64(input)};
        segment.epoch = take_u64(input);
        segment.chain = take_hash(input);
        buffer_add(&checkpoint->segments, &segment, sizeof segment);
    }
    for (uint32_t i = 0; i < run_count && !input->bad; i++) {
        struct id_set_run run;
        memset(&run, 0, sizeof run);
        run.offset = take_u64(input);
        run.count = take_u64(input);
        run.crc = take_u32(input);
        buffer_add(&checkpoint->runs, &run, sizeof run);
    }
    for (uint64_t i = 0; i < aggregate_count && !input->bad; i++) {
        const int32_t version = (int32_t)take_u32(input);
        const uint8_t *length = take(input, 2);
        const size_t size = (size_t)length[0] | (size_t)length[1] << 8;
        struct version_entry *entry = NULL;
        bool is_new = false;
        const struct bytes id = bytes_of(take(input, size), size);
        if (input->bad || size == 0)
            break;
        STATUS_TRY(version_table_get(versions, id, &entry, &is_new));
        entry->version = version;
    }
    STATUS_TRY(buffer_status(&checkpoint->segments));
    return buffer_status(&checkpoint->runs);
}

static struct status read_file(struct files *files, const char *name, struct buffer *ret)
{
    uint64_t size = 0;
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, name, FILE_READ, &file));
    STATUS_TRY(file_size(file, &size));
    if (size > BYTES_MAX)
        return status_error(STATUS_DATA_LOSS, "%s is too large for a checkpoint", name);
    uint8_t *memory = buffer_extend(ret, (size_t)size);
    STATUS_TRY(buffer_status(ret));
    return size == 0 ? status_ok() : file_read_exactly(file, 0, memory, (size_t)size);
}

static struct status damaged(const char *name)
{
    return status_error(STATUS_DATA_LOSS, "%s is no checkpoint of a verification, or was altered", name);
}

static struct status decode(const char *name, struct bytes bytes, struct version_table *versions,
                            struct verify_checkpoint *ret)
{
    if (bytes.size_bytes < 16 || memcmp(bytes.data, MAGIC, 8) != 0)
        return damaged(name);
    const size_t body = bytes.size_bytes - 4;
    if (get_u32_le(bytes.data + body) != crc32c(0, bytes_of(bytes.data, body)))
        return damaged(name);
    struct input input = {bytes_of(bytes.data + 8, body - 8), false};
    if (take_u32(&input) != FORMAT)
        return status_error(STATUS_DATA_LOSS, "%s is of another version of strata", name);
    take_point(&input, ret);
    STATUS_TRY(take_lists(&input, versions, ret));
    return input.bad || input.left.size_bytes > 0 ? damaged(name) : status_ok();
}

struct status verify_checkpoint_read(struct files *files, const char *name, struct version_table *versions,
                                     struct verify_checkpoint *ret)
{
    struct buffer bytes = buffer_make(0);
    struct verify_checkpoint checkpoint = {.segments = buffer_make(0), .runs = buffer_make(0)};
    struct status status = read_file(files, name, &bytes);
    if (status.code == STATUS_OK)
        status = decode(name, buffer_bytes(&bytes), versions, &checkpoint);
    buffer_done(&bytes);
    if (status.code != STATUS_OK)
        verify_checkpoint_done(&checkpoint);
    else
        *ret = checkpoint;
    return status;
}

void verify_checkpoint_done(struct verify_checkpoint *checkpoint)
{
    buffer_done(&checkpoint->segments);
    buffer_done(&checkpoint->runs);
}
