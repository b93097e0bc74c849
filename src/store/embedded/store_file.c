#include "store/embedded/store_file.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "segment_format_internal.h"

static const char store_magic[8] = {'S', 'T', 'R', 'A', 'T', 'A', 'S', 'T'};

enum {
    STORE_MAJOR = 8,
    STORE_MINOR = 10,
    STORE_UUID = 16,
    STORE_CREATED = 32,
    STORE_ID_LENGTH = 40,
    STORE_ID = 44,
    STORE_ZEROS = STORE_ID + STORE_ID_MAX_BYTES,
    STORE_CRC = 124,
    STORE_BYTES = 128,
};

static_assert(STORE_IDENTITY_UUID_BYTES == STORE_UUID_BYTES, "the segments carry the store's uuid");

struct status store_id_check(const char *store_id)
{
    const size_t length = strlen(store_id);
    bool fits = length >= 1 && length <= STORE_ID_MAX_BYTES;
    for (size_t i = 0; fits && i < length; i++) {
        const char c = store_id[i];
        const bool letter_or_digit = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        fits = letter_or_digit || (i > 0 && (c == '-' || c == '_' || c == '.'));
    }
    if (fits)
        return status_ok();
    return status_error(
        STATUS_INVALID_ARGUMENT,
        "the store id is \"%.80s\"; use 1 to 64 of a-z, 0-9, '-', '_' and '.', beginning with a "
        "letter or digit",
        store_id);
}

struct status store_lock(struct files *files, const char *store_id, bool create, struct file **ret)
{
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/LOCK", store_id);
    if (create)
        STATUS_TRY(files_mkdir(files, store_id));
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, path, create ? FILE_WRITE | FILE_CREATE : FILE_WRITE, &file));
    STATUS_TRY(file_lock(file));
    *ret = TAKE_PTR(file);
    return status_ok();
}

static struct status damaged(const char *path, const char *what)
{
    return status_reason(REASON_DAMAGED, "%s %s; restore it from a backup of the same store", path, what);
}

static struct status decode(const char *path, const char *store_id, const uint8_t *from,
                            struct store_identity *ret)
{
    if (memcmp(from, store_magic, sizeof store_magic) != 0)
        return damaged(path, "does not begin with the magic word STRATAST");
    if (get_u32_le(from + STORE_CRC) != crc32c(0, bytes_of(from, STORE_CRC)))
        return damaged(path, "has a checksum that does not fit");
    const unsigned major = (unsigned)from[STORE_MAJOR] | (unsigned)from[STORE_MAJOR + 1] << 8;
    if (major != FORMAT_MAJOR)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s has format version %u and this program reads %u; use a newer strata", path,
                            major, FORMAT_MAJOR);
    const size_t length = get_u32_le(from + STORE_ID_LENGTH);
    if (length > STORE_ID_MAX_BYTES)
        return damaged(path, "holds an id that is too long");
    if (!bytes_equal(bytes_of(from + STORE_ID, length), bytes_of_text(store_id)))
        return status_error(STATUS_FAILED_PRECONDITION,
                            "%s belongs to the store \"%.*s\"; rename the folder back or open that store",
                            path, (int)length, (const char *)from + STORE_ID);
    memcpy(ret->uuid, from + STORE_UUID, STORE_UUID_BYTES);
    ret->created_at_us = (int64_t)get_u64_le(from + STORE_CREATED);
    return status_ok();
}

struct status store_identity_read(struct files *files, const char *store_id, struct store_identity *ret)
{
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/STORE", store_id);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, path, FILE_READ, &file));
    uint8_t bytes[STORE_BYTES + 1];
    size_t size = 0;
    STATUS_TRY(file_read_at(file, 0, bytes, sizeof bytes, &size));
    if (size != STORE_BYTES)
        return damaged(path, "is not 128 bytes long");
    return decode(path, store_id, bytes, ret);
}

struct status store_identity_write(struct files *files, const char *store_id,
                                   const struct store_identity *identity)
{
    uint8_t bytes[STORE_BYTES] = {0};
    memcpy(bytes, store_magic, sizeof store_magic);
    bytes[STORE_MAJOR] = FORMAT_MAJOR;
    bytes[STORE_MINOR] = FORMAT_MINOR;
    memcpy(bytes + STORE_UUID, identity->uuid, STORE_UUID_BYTES);
    put_u64_le(bytes + STORE_CREATED, (uint64_t)identity->created_at_us);
    put_u32_le(bytes + STORE_ID_LENGTH, (uint32_t)strlen(store_id));
    memcpy(bytes + STORE_ID, store_id, strlen(store_id));
    put_u32_le(bytes + STORE_CRC, crc32c(0, bytes_of(bytes, STORE_CRC)));

    char path[STORE_PATH_BYTES];
    char temporary[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/STORE", store_id);
    snprintf(temporary, sizeof temporary, "%s/STORE.tmp", store_id);
    CLEANUP(file_close_at) struct file *file = NULL;
    STATUS_TRY(files_open(files, temporary, FILE_WRITE | FILE_CREATE, &file));
    STATUS_TRY(file_truncate(file, 0));
    STATUS_TRY(file_write_at(file, 0, bytes, sizeof bytes));
    STATUS_TRY(file_sync(file));
    STATUS_TRY(files_rename(files, temporary, path));
    STATUS_TRY(files_sync_dir(files, store_id));
    return files_sync_dir(files, ".");
}
