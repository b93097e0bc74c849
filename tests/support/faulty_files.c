#include "support/faulty_files.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

struct faulty_file {
    struct file file;
    struct faulty_files *files;
    struct file *inner;
};

static const struct files_ops faulty_ops;

static const char *const kind_names[FAULT_KIND_COUNT] = {
#define X(id, name) [FAULT_##id] = name,
    FAULT_TABLE(X)
#undef X
};

const char *fault_kind_name(enum fault_kind kind)
{
    assert(kind < FAULT_KIND_COUNT);
    return kind_names[kind];
}

struct faulty_files faulty_files_over(struct files *inner, unsigned fail_at, enum fault_kind kind)
{
    return (struct faulty_files){.files = {&faulty_ops}, .inner = inner, .kind = kind, .fail_at = fail_at};
}

static struct faulty_files *of_files(struct files *files)
{
    return (struct faulty_files *)files;
}

static struct faulty_file *of_file(struct file *file)
{
    return (struct faulty_file *)file;
}

#define BIT(kind) (1U << FAULT_##kind)

/* Counts a call that the kinds of the set `fits` fit; the fault that it must now show, or FAULT_NONE. */
static enum fault_kind count_call(struct faulty_files *files, unsigned fits)
{
    (void)atomic_fetch_add(&files->call_count, 1); /* read by tests only */
    if ((fits & 1U << files->kind) == 0)
        return FAULT_NONE;
    const unsigned number = atomic_fetch_add(&files->fit_count, 1) + 1;
    if (files->fail_at == 0 || (files->sticky ? number < files->fail_at : number != files->fail_at))
        return FAULT_NONE;
    atomic_store(&files->hit, true);
    return files->kind;
}

static struct status injected(enum fault_kind kind, const char *call)
{
    const enum status_code code = kind == FAULT_NO_SPACE ? STATUS_RESOURCE_EXHAUSTED : STATUS_DATA_LOSS;
    return status_error(code, "%s: %s (a fault made on purpose)", call, fault_kind_name(kind));
}

/* A call that either fails, or is done and then reported as failed. `call` is evaluated at most once. */
#define DO_OR_FAIL(files, fits, name, call)                                                                  \
    do {                                                                                                     \
        const enum fault_kind kind_ = count_call((files), (fits) | BIT(IO) | BIT(IO_AFTER));                 \
        if (kind_ != FAULT_NONE && kind_ != FAULT_IO_AFTER)                                                  \
            return injected(kind_, (name));                                                                  \
        const struct status done_ = (call);                                                                  \
        return kind_ == FAULT_NONE || done_.code != STATUS_OK ? done_ : injected(kind_, (name));             \
    } while (0)

static struct status faulty_open(struct files *base, const char *path, enum file_flags flags,
                                 struct file **ret)
{
    struct faulty_files *files = of_files(base);
    const unsigned fits = BIT(IO) | BIT(IO_AFTER) | ((flags & FILE_CREATE) != 0 ? BIT(NO_SPACE) : 0);
    const enum fault_kind kind = count_call(files, fits);
    if (kind != FAULT_NONE && kind != FAULT_IO_AFTER)
        return injected(kind, "open");
    struct file *inner = NULL;
    STATUS_TRY(files_open(files->inner, path, flags, &inner));
    if (kind == FAULT_IO_AFTER) {
        file_close(inner);
        return injected(kind, "open");
    }
    struct faulty_file *file = malloc(sizeof *file);
    if (file == NULL) {
        file_close(inner);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a handle");
    }
    *file = (struct faulty_file){{&faulty_ops}, files, inner};
    *ret = &file->file;
    return status_ok();
}

static struct status faulty_read_at(struct file *base, uint64_t offset, void *memory, size_t size,
                                    size_t *ret_size)
{
    struct faulty_file *file = of_file(base);
    /* Whether a corruption fits is known only after reading; so is what it could corrupt. */
    size_t got = 0;
    const struct status done = file_read_at(file->inner, offset, memory, size, &got);
    const unsigned fits = done.code == STATUS_OK && got > 0 ? BIT(READ_CORRUPT) | BIT(READ_SHORT) : 0;
    switch (count_call(file->files, fits | BIT(IO) | BIT(IO_AFTER))) {
    case FAULT_IO:
    case FAULT_IO_AFTER:
        return injected(FAULT_IO, "read_at");
    case FAULT_READ_CORRUPT:
        ((uint8_t *)memory)[got / 2] ^= 0x10;
        break;
    case FAULT_READ_SHORT:
        got /= 2;
        break;
    default:
        break;
    }
    if (done.code == STATUS_OK)
        *ret_size = got;
    return done;
}

static struct status faulty_write_at(struct file *base, uint64_t offset, const void *memory, size_t size)
{
    struct faulty_file *file = of_file(base);
    const enum fault_kind kind =
        count_call(file->files, BIT(IO) | BIT(IO_AFTER) | BIT(NO_SPACE) | BIT(TORN_WRITE));
    switch (kind) {
    case FAULT_NONE:
        return file_write_at(file->inner, offset, memory, size);
    case FAULT_TORN_WRITE:
    case FAULT_NO_SPACE:
        STATUS_TRY(file_write_at(file->inner, offset, memory, size / 2));
        break;
    case FAULT_IO_AFTER:
        STATUS_TRY(file_write_at(file->inner, offset, memory, size));
        break;
    default:
        break;
    }
    return injected(kind, "write_at");
}

static struct status faulty_sync(struct file *base)
{
    struct faulty_file *file = of_file(base);
    const enum fault_kind kind = count_call(file->files, BIT(IO) | BIT(IO_AFTER) | BIT(SYNC_LOST));
    if (kind == FAULT_NONE)
        return file_sync(file->inner);
    if (kind == FAULT_SYNC_LOST && file->files->lose_unsynced != NULL)
        file->files->lose_unsynced(file->inner);
    if (kind == FAULT_IO_AFTER)
        STATUS_TRY(file_sync(file->inner));
    return injected(kind, "sync");
}

static struct status faulty_allocate(struct file *base, uint64_t size)
{
    struct faulty_file *file = of_file(base);
    DO_OR_FAIL(file->files, BIT(NO_SPACE), "allocate", file_allocate(file->inner, size));
}

static struct status faulty_truncate(struct file *base, uint64_t size)
{
    struct faulty_file *file = of_file(base);
    DO_OR_FAIL(file->files, BIT(NO_SPACE), "truncate", file_truncate(file->inner, size));
}

static struct status faulty_size(struct file *base, uint64_t *ret_size)
{
    struct faulty_file *file = of_file(base);
    DO_OR_FAIL(file->files, 0U, "size", file_size(file->inner, ret_size));
}

static struct status faulty_lock(struct file *base)
{
    struct faulty_file *file = of_file(base);
    DO_OR_FAIL(file->files, 0U, "lock", file_lock(file->inner));
}

static void faulty_close(struct file *base)
{
    file_close(of_file(base)->inner);
    free(of_file(base));
}

static struct status faulty_rename(struct files *base, const char *from, const char *to)
{
    DO_OR_FAIL(of_files(base), BIT(NO_SPACE), "rename", files_rename(of_files(base)->inner, from, to));
}

static struct status faulty_remove(struct files *base, const char *path)
{
    DO_OR_FAIL(of_files(base), 0U, "remove", files_remove(of_files(base)->inner, path));
}

static struct status faulty_list(struct files *base, const char *path, struct arena *arena,
                                 struct file_entry **ret, size_t *ret_count)
{
    DO_OR_FAIL(of_files(base), 0U, "list", files_list(of_files(base)->inner, path, arena, ret, ret_count));
}

static struct status faulty_mkdir(struct files *base, const char *path)
{
    DO_OR_FAIL(of_files(base), BIT(NO_SPACE), "mkdir", files_mkdir(of_files(base)->inner, path));
}

static struct status faulty_sync_dir(struct files *base, const char *path)
{
    DO_OR_FAIL(of_files(base), BIT(SYNC_LOST), "sync_dir", files_sync_dir(of_files(base)->inner, path));
}

static struct status faulty_free_bytes(struct files *base, uint64_t *ret_bytes)
{
    DO_OR_FAIL(of_files(base), 0U, "free_bytes", files_free_bytes(of_files(base)->inner, ret_bytes));
}

static const struct files_ops faulty_ops = {
    .open = faulty_open,
    .read_at = faulty_read_at,
    .write_at = faulty_write_at,
    .sync = faulty_sync,
    .allocate = faulty_allocate,
    .truncate = faulty_truncate,
    .size = faulty_size,
    .close = faulty_close,
    .rename = faulty_rename,
    .remove = faulty_remove,
    .list = faulty_list,
    .mkdir = faulty_mkdir,
    .sync_dir = faulty_sync_dir,
    .lock = faulty_lock,
    .free_bytes = faulty_free_bytes,
};
