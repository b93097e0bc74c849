/*
 * All file access of the stores goes through here, so that a test can fail, tear or forget any call.
 *
 * Paths are relative to a root that the implementation was made with, use '/', and contain no ".." part.
 * Three implementations pass tests/contract/test_files.c: posix_files (the real disk), memory_files (keeps
 * what was written and, apart, what was synced) and faulty_files (wraps another and fails the call that a
 * test names); the latter two are in tests/support. Numbers count bytes. The folder "." is the root.
 *
 * Ownership  A struct files outlives every file opened through it. file_close() always frees the handle.
 * Threads    Any for struct files; one handle may be read by many threads and written by one.
 * Blocking   Yes, all of it.
 * Errors     NOT_FOUND, ALREADY_EXISTS (open with FILE_EXCLUSIVE), RESOURCE_EXHAUSTED (no space, quota),
 *            UNAVAILABLE (locked by another process; the message names it and its host when known),
 *            FAILED_PRECONDITION (permission, read-only file system, folder not empty, a folder where a
 *            file is wanted), INVALID_ARGUMENT (a path that leaves the root),
 *            DATA_LOSS (an I/O error, any failed sync; the message carries the path and the system's word).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/status.h"

struct files;
struct file;

enum file_flags {
    FILE_READ = 0,
    FILE_WRITE = 1 << 0,     /* reading and writing */
    FILE_CREATE = 1 << 1,    /* make it when it is missing */
    FILE_EXCLUSIVE = 1 << 2, /* with FILE_CREATE: ALREADY_EXISTS when it is there */
};

/* One entry of a folder; `name` is the last part of its path. */
struct file_entry {
    const char *name;
    bool is_folder;
};

struct files_ops {
    struct status (*open)(struct files *files, const char *path, enum file_flags flags, struct file **ret);
    /* Reads up to `size` bytes; fewer only at the end of the file, 0 beyond it. */
    struct status (*read_at)(struct file *file, uint64_t offset, void *memory, size_t size, size_t *ret_size);
    /* All or an error; after an error any part may have been written. */
    struct status (*write_at)(struct file *file, uint64_t offset, const void *memory, size_t size);
    /* Data and the size needed to read it are durable (fdatasync). A sync that fails is DATA_LOSS whatever the cause,
     * a full disk included, and never to be repeated: the next one may lie. */
    struct status (*sync)(struct file *file);
    /* Reserves space from the end of the file up to `size` and writes zeros there, so that
     * overwriting it later changes no metadata; the size becomes at least `size`. On failure the size
     * is as before. Not durable before sync. */
    struct status (*allocate)(struct file *file, uint64_t size);
    struct status (*truncate)(struct file *file, uint64_t size);
    struct status (*size)(struct file *file, uint64_t *ret_size);
    void (*close)(struct file *file);

    struct status (*rename)(struct files *files, const char *from, const char *to); /* replaces `to` */
    struct status (*remove)(struct files *files, const char *path);                 /* file or empty folder */
    /* Entries of a folder in byte order of their names, from `arena`. */
    struct status (*list)(struct files *files, const char *path, struct arena *arena, struct file_entry **ret,
                          size_t *ret_count);
    struct status (*mkdir)(struct files *files, const char *path); /* one level; there already is OK */
    /* Makes creations, renames and removals in the folder durable. Fails as `sync` does once it has begun; a folder that
     * cannot be opened is no failed sync. */
    struct status (*sync_dir)(struct files *files, const char *path);
    /* Exclusive, for the whole process, released by close or by its death. The file is for nothing else: an
     * implementation that knows processes writes one line into it that names the holder. */
    struct status (*lock)(struct file *file);
    /* What may still be written below the root. A hint: others take from the same disk at the same time. */
    struct status (*free_bytes)(struct files *files, uint64_t *ret_bytes);
};

struct files {
    const struct files_ops *ops;
};

struct file {
    const struct files_ops *ops; /* the implementation's own fields follow */
};

/* Thin wrappers; a NULL file in file_close() is fine. */
static inline STATUS_MUST_CHECK struct status files_open(struct files *files, const char *path,
                                                         enum file_flags flags, struct file **ret)
{
    return files->ops->open(files, path, flags, ret);
}
static inline STATUS_MUST_CHECK struct status file_read_at(struct file *file, uint64_t offset, void *memory,
                                                           size_t size, size_t *ret_size)
{
    return file->ops->read_at(file, offset, memory, size, ret_size);
}
static inline STATUS_MUST_CHECK struct status file_write_at(struct file *file, uint64_t offset,
                                                            const void *memory, size_t size)
{
    return file->ops->write_at(file, offset, memory, size);
}
static inline STATUS_MUST_CHECK struct status file_sync(struct file *file)
{
    return file->ops->sync(file);
}
static inline STATUS_MUST_CHECK struct status file_allocate(struct file *file, uint64_t size)
{
    return file->ops->allocate(file, size);
}
static inline STATUS_MUST_CHECK struct status file_truncate(struct file *file, uint64_t size)
{
    return file->ops->truncate(file, size);
}
static inline STATUS_MUST_CHECK struct status file_size(struct file *file, uint64_t *ret_size)
{
    return file->ops->size(file, ret_size);
}
static inline STATUS_MUST_CHECK struct status file_lock(struct file *file)
{
    return file->ops->lock(file);
}
static inline void file_close(struct file *file)
{
    if (file != NULL)
        file->ops->close(file);
}
DEFINE_CLEANUP(struct file, file_close);
static inline STATUS_MUST_CHECK struct status files_rename(struct files *files, const char *from,
                                                           const char *to)
{
    return files->ops->rename(files, from, to);
}
static inline STATUS_MUST_CHECK struct status files_remove(struct files *files, const char *path)
{
    return files->ops->remove(files, path);
}
static inline STATUS_MUST_CHECK struct status files_list(struct files *files, const char *path,
                                                         struct arena *arena, struct file_entry **ret,
                                                         size_t *ret_count)
{
    return files->ops->list(files, path, arena, ret, ret_count);
}
static inline STATUS_MUST_CHECK struct status files_mkdir(struct files *files, const char *path)
{
    return files->ops->mkdir(files, path);
}
static inline STATUS_MUST_CHECK struct status files_sync_dir(struct files *files, const char *path)
{
    return files->ops->sync_dir(files, path);
}
static inline STATUS_MUST_CHECK struct status files_free_bytes(struct files *files, uint64_t *ret_bytes)
{
    return files->ops->free_bytes(files, ret_bytes);
}
/* Reads exactly `size` bytes; DATA_LOSS when the file ends before. */
STATUS_MUST_CHECK struct status file_read_exactly(struct file *file, uint64_t offset, void *memory,
                                                  size_t size);

/* The real disk below `root`, which is made (with parents) when missing. */
STATUS_MUST_CHECK struct status posix_files_new(const char *root, struct files **ret);
void posix_files_free(struct files *files);
DEFINE_CLEANUP(struct files, posix_files_free);
