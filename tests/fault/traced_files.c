#include "fault/traced_files.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/seeded_entropy.h"

struct traced_file {
    struct file file;
    struct traced_files *files;
    struct file *inner;
    char path[128];
};

static const struct files_ops traced_ops;

static struct traced_files *of_files(struct files *files)
{
    return (struct traced_files *)files;
}

static struct traced_file *of_file(struct file *file)
{
    return (struct traced_file *)file;
}

/* Threads interleave as they never would by themselves on a disk that answers at once. */
static void give_way(struct traced_files *files)
{
    if (files->jitter == 0)
        return;
    uint64_t random = files->jitter += UINT64_C(0x9e3779b97f4a7c15);
    for (uint64_t i = random_below(&random, 4) == 0 ? random_below(&random, 60) : 0; i > 0; i--)
        sched_yield();
}

static struct files *below(struct traced_files *files, const char *path)
{
    give_way(files);
    const bool spared = files->spare != NULL && strstr(path, files->spare) != NULL;
    return spared ? files->below : &files->faulty->files;
}

static struct status note(struct traced_files *files, const char *call, const char *path,
                          struct status status)
{
    give_way(files);
    if (files->jitter != 0 || !files->faulty->hit || files->hit_call[0] != '\0')
        return status;
    files->told = status.code != STATUS_OK && strstr(status.message, "on purpose") != NULL;
    snprintf(files->hit_call, sizeof files->hit_call, "%s %s", call, path);
    return status;
}

static struct status traced_open(struct files *base, const char *path, enum file_flags flags,
                                 struct file **ret)
{
    struct traced_files *files = of_files(base);
    struct file *inner = NULL;
    STATUS_TRY(note(files, "open", path, files_open(below(files, path), path, flags, &inner)));
    struct traced_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        file_close(inner);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a handle");
    }
    file->file.ops = &traced_ops;
    file->files = files;
    file->inner = inner;
    snprintf(file->path, sizeof file->path, "%s", path);
    *ret = &file->file;
    return status_ok();
}

static struct status traced_read_at(struct file *base, uint64_t offset, void *memory, size_t size,
                                    size_t *ret_size)
{
    struct traced_file *file = of_file(base);
    give_way(file->files);
    return note(file->files, "read_at", file->path,
                file_read_at(file->inner, offset, memory, size, ret_size));
}

static struct status traced_write_at(struct file *base, uint64_t offset, const void *memory, size_t size)
{
    struct traced_file *file = of_file(base);
    give_way(file->files);
    return note(file->files, "write_at", file->path, file_write_at(file->inner, offset, memory, size));
}

static struct status traced_sync(struct file *base)
{
    struct traced_file *file = of_file(base);
    give_way(file->files);
    return note(file->files, "sync", file->path, file_sync(file->inner));
}

static struct status traced_allocate(struct file *base, uint64_t size)
{
    struct traced_file *file = of_file(base);
    if (file->files->full)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "allocate %s: no space left", file->path);
    return note(file->files, "allocate", file->path, file_allocate(file->inner, size));
}

static struct status traced_truncate(struct file *base, uint64_t size)
{
    struct traced_file *file = of_file(base);
    give_way(file->files);
    return note(file->files, "truncate", file->path, file_truncate(file->inner, size));
}

static struct status traced_size(struct file *base, uint64_t *ret_size)
{
    struct traced_file *file = of_file(base);
    give_way(file->files);
    return note(file->files, "size", file->path, file_size(file->inner, ret_size));
}

static struct status traced_lock(struct file *base)
{
    struct traced_file *file = of_file(base);
    give_way(file->files);
    return note(file->files, "lock", file->path, file_lock(file->inner));
}

static void traced_close(struct file *base)
{
    file_close(of_file(base)->inner);
    free(of_file(base));
}

static struct status traced_rename(struct files *base, const char *from, const char *to)
{
    return note(of_files(base), "rename", from, files_rename(below(of_files(base), from), from, to));
}

static struct status traced_remove(struct files *base, const char *path)
{
    return note(of_files(base), "remove", path, files_remove(below(of_files(base), path), path));
}

static struct status traced_list(struct files *base, const char *path, struct arena *arena,
                                 struct file_entry **ret, size_t *ret_count)
{
    return note(of_files(base), "list", path,
                files_list(below(of_files(base), path), path, arena, ret, ret_count));
}

static struct status traced_mkdir(struct files *base, const char *path)
{
    return note(of_files(base), "mkdir", path, files_mkdir(below(of_files(base), path), path));
}

static struct status traced_sync_dir(struct files *base, const char *path)
{
    return note(of_files(base), "sync_dir", path, files_sync_dir(below(of_files(base), path), path));
}

static struct status traced_free_bytes(struct files *base, uint64_t *ret_bytes)
{
    struct traced_files *files = of_files(base);
    return note(files, "free_bytes", ".", files_free_bytes(below(files, "."), ret_bytes));
}

static const struct files_ops traced_ops = {
    .open = traced_open,
    .read_at = traced_read_at,
    .write_at = traced_write_at,
    .sync = traced_sync,
    .allocate = traced_allocate,
    .truncate = traced_truncate,
    .size = traced_size,
    .close = traced_close,
    .rename = traced_rename,
    .remove = traced_remove,
    .list = traced_list,
    .mkdir = traced_mkdir,
    .sync_dir = traced_sync_dir,
    .lock = traced_lock,
    .free_bytes = traced_free_bytes,
};

struct traced_files traced_files_over(struct faulty_files *faulty)
{
    return (struct traced_files){.files = {&traced_ops}, .faulty = faulty, .below = faulty->inner};
}
