#include "support/memory_files.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "support/memory_disk.h"

struct memory_file {
    struct file file;
    struct memory_disk *disk;
    struct node *node;
    uint64_t generation;
    bool writable;
    char path[MEMORY_PATH_BYTES];
};

static const struct files_ops memory_ops;

static struct memory_disk *of_files(struct files *files)
{
    return ((struct memory_files *)files)->disk;
}

static struct memory_file *of_file(struct file *file)
{
    return (struct memory_file *)file;
}

/* "./a//b" → "a/b", "." → "". */
static struct status normalise(const char *path, char ret[MEMORY_PATH_BYTES])
{
    size_t size = 0;
    if (path[0] == '\0' || path[0] == '/' || strlen(path) >= MEMORY_PATH_BYTES)
        return status_error(STATUS_INVALID_ARGUMENT, "the path \"%s\" is not below the root", path);
    for (const char *part = path; *part != '\0';) {
        const size_t length = strcspn(part, "/");
        if (length == 2 && part[0] == '.' && part[1] == '.')
            return status_error(STATUS_INVALID_ARGUMENT, "the path \"%s\" is not below the root", path);
        if (length > 0 && !(length == 1 && part[0] == '.')) {
            if (size > 0)
                ret[size++] = '/';
            memcpy(ret + size, part, length);
            size += length;
        }
        part += length;
        part += *part == '/';
    }
    ret[size] = '\0';
    return status_ok();
}

static struct status not_found(const char *path)
{
    return status_error(STATUS_NOT_FOUND, "%s: no such file or folder", path);
}

static struct status check_folder_of(const struct memory_disk *disk, const char *path)
{
    char folder[MEMORY_PATH_BYTES];
    path_folder(path, folder);
    return disk_folder_exists(disk, folder) ? status_ok() : not_found(path);
}

static struct status find_or_create(struct memory_disk *disk, const char *path, enum file_flags flags,
                                    struct node **ret)
{
    STATUS_TRY(check_folder_of(disk, path));
    struct node *node = disk_find(disk, path);
    if (path[0] == '\0' || (node != NULL && node->is_folder))
        return status_error((flags & FILE_EXCLUSIVE) != 0 ? STATUS_ALREADY_EXISTS
                                                          : STATUS_FAILED_PRECONDITION,
                            "%s is a folder", path);
    if (node != NULL && (flags & FILE_CREATE) != 0 && (flags & FILE_EXCLUSIVE) != 0)
        return status_error(STATUS_ALREADY_EXISTS, "%s exists", path);
    if (node == NULL && (flags & FILE_CREATE) == 0)
        return not_found(path);
    *ret = node != NULL ? node : disk_create(disk, path, false);
    return status_ok();
}

static struct status memory_open(struct files *files, const char *path, enum file_flags flags,
                                 struct file **ret)
{
    struct memory_disk *disk = of_files(files);
    struct memory_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a handle");
    struct status status = normalise(path, file->path);
    pthread_mutex_lock(&disk->lock);
    if (status_is_ok(&status))
        status = find_or_create(disk, file->path, flags, &file->node);
    if (status_is_ok(&status)) {
        file->file.ops = &memory_ops;
        file->disk = disk;
        file->generation = disk->generation;
        file->writable = (flags & FILE_WRITE) != 0;
        file->node->open_count++;
        disk->open_count++;
        *ret = &file->file;
    }
    pthread_mutex_unlock(&disk->lock);
    if (!status_is_ok(&status))
        free(file);
    return status;
}

static struct status check_alive(const struct memory_file *file)
{
    if (file->generation == file->disk->generation)
        return status_ok();
    return status_error(STATUS_DATA_LOSS, "%s: the machine crashed after this handle was opened", file->path);
}

static uint64_t free_locked(const struct memory_disk *disk)
{
    const uint64_t used = disk_used_bytes(disk);
    return used < disk->capacity_bytes ? disk->capacity_bytes - used : 0;
}

/* For calls that change the file up to the byte before `end`. */
static struct status check_change(const struct memory_file *file, uint64_t end)
{
    const uint64_t size = file->node->cached.size;
    STATUS_TRY(check_alive(file));
    if (!file->writable)
        return status_error(STATUS_FAILED_PRECONDITION, "%s was opened for reading only", file->path);
    if (end > CONTENT_MAX_BYTES)
        return status_error(STATUS_RESOURCE_EXHAUSTED,
                            "%s: %" PRIu64 " bytes are too many for a disk in memory", file->path, end);
    if (file->disk->capacity_bytes > 0 && end > size && end - size > free_locked(file->disk))
        return status_error(STATUS_RESOURCE_EXHAUSTED, "%s: no space left on the disk in memory", file->path);
    return status_ok();
}

static struct status memory_read_at(struct file *base, uint64_t offset, void *memory, size_t size,
                                    size_t *ret_size)
{
    struct memory_file *file = of_file(base);
    pthread_mutex_lock(&file->disk->lock);
    const struct status status = check_alive(file);
    if (status_is_ok(&status)) {
        const struct content *content = &file->node->cached;
        const uint64_t left = offset < content->size ? content->size - offset : 0;
        const size_t got = size < left ? size : (size_t)left;
        if (got > 0)
            memcpy(memory, content->data + offset, got);
        *ret_size = got;
    }
    pthread_mutex_unlock(&file->disk->lock);
    return status;
}

static struct status memory_write_at(struct file *base, uint64_t offset, const void *memory, size_t size)
{
    struct memory_file *file = of_file(base);
    uint64_t end = 0;
    if (__builtin_add_overflow(offset, size, &end))
        end = UINT64_MAX;
    pthread_mutex_lock(&file->disk->lock);
    const struct status status = check_change(file, end);
    if (status_is_ok(&status) && size > 0)
        node_write(file->node, offset, memory, size);
    pthread_mutex_unlock(&file->disk->lock);
    return status;
}

static struct status memory_allocate(struct file *base, uint64_t size)
{
    struct memory_file *file = of_file(base);
    pthread_mutex_lock(&file->disk->lock);
    const struct status status = check_change(file, size);
    const uint64_t old_size = file->node->cached.size;
    if (status_is_ok(&status) && size > old_size)
        node_write(file->node, old_size, NULL, (size_t)(size - old_size));
    pthread_mutex_unlock(&file->disk->lock);
    return status;
}

static struct status memory_truncate(struct file *base, uint64_t size)
{
    struct memory_file *file = of_file(base);
    pthread_mutex_lock(&file->disk->lock);
    const struct status status = check_change(file, size);
    if (status_is_ok(&status))
        node_truncate(file->node, size);
    pthread_mutex_unlock(&file->disk->lock);
    return status;
}

static struct status memory_sync(struct file *base)
{
    struct memory_file *file = of_file(base);
    pthread_mutex_lock(&file->disk->lock);
    const struct status status = check_alive(file);
    if (status_is_ok(&status))
        node_sync(file->node);
    pthread_mutex_unlock(&file->disk->lock);
    return status;
}

static struct status memory_size(struct file *base, uint64_t *ret_size)
{
    struct memory_file *file = of_file(base);
    pthread_mutex_lock(&file->disk->lock);
    const struct status status = check_alive(file);
    if (status_is_ok(&status))
        *ret_size = file->node->cached.size;
    pthread_mutex_unlock(&file->disk->lock);
    return status;
}

static struct status memory_lock(struct file *base)
{
    struct memory_file *file = of_file(base);
    pthread_mutex_lock(&file->disk->lock);
    struct status status = check_alive(file);
    if (status_is_ok(&status)) {
        if (file->node->locked_by != NULL && file->node->locked_by != file)
            status = status_error(STATUS_UNAVAILABLE, "%s is locked by another handle", file->path);
        else
            file->node->locked_by = file;
    }
    pthread_mutex_unlock(&file->disk->lock);
    return status;
}

static void memory_close(struct file *base)
{
    struct memory_file *file = of_file(base);
    struct memory_disk *disk = file->disk;
    pthread_mutex_lock(&disk->lock);
    if (file->node->locked_by == file)
        file->node->locked_by = NULL;
    file->node->open_count--;
    disk->open_count--;
    pthread_mutex_unlock(&disk->lock);
    free(file);
}

static struct status rename_locked(struct memory_disk *disk, const char *from, const char *to)
{
    const struct node *node = disk_find(disk, from);
    if (node == NULL)
        return not_found(from);
    STATUS_TRY(check_folder_of(disk, to));
    const struct node *replaced = disk_find(disk, to);
    if (node->is_folder || to[0] == '\0' || (replaced != NULL && replaced->is_folder))
        return status_error(STATUS_FAILED_PRECONDITION, "renaming %s to %s: one of them is a folder", from,
                            to);
    if (node != replaced)
        disk_rename(disk, from, to);
    return status_ok();
}

static struct status memory_rename(struct files *files, const char *from, const char *to)
{
    struct memory_disk *disk = of_files(files);
    char normal_from[MEMORY_PATH_BYTES];
    char normal_to[MEMORY_PATH_BYTES];
    STATUS_TRY(normalise(from, normal_from));
    STATUS_TRY(normalise(to, normal_to));
    pthread_mutex_lock(&disk->lock);
    const struct status status = rename_locked(disk, normal_from, normal_to);
    pthread_mutex_unlock(&disk->lock);
    return status;
}

static struct status remove_locked(struct memory_disk *disk, const char *path)
{
    const struct node *node = disk_find(disk, path);
    if (node == NULL)
        return not_found(path);
    if (node->is_folder && !disk_folder_is_empty(disk, path))
        return status_error(STATUS_FAILED_PRECONDITION, "removing %s: the folder is not empty", path);
    disk_remove(disk, path);
    return status_ok();
}

static struct status memory_remove(struct files *files, const char *path)
{
    struct memory_disk *disk = of_files(files);
    char normal[MEMORY_PATH_BYTES];
    STATUS_TRY(normalise(path, normal));
    pthread_mutex_lock(&disk->lock);
    const struct status status = remove_locked(disk, normal);
    pthread_mutex_unlock(&disk->lock);
    return status;
}

static int entry_order(const void *a, const void *b)
{
    return strcmp(((const struct file_entry *)a)->name, ((const struct file_entry *)b)->name);
}

static struct status list_locked(struct memory_disk *disk, const char *path, struct arena *arena,
                                 struct file_entry **ret, size_t *ret_count)
{
    if (!disk_folder_exists(disk, path))
        return not_found(path);
    struct file_entry *entries = arena_array(arena, disk->cached.count, sizeof *entries);
    size_t count = 0;
    for (size_t i = 0; entries != NULL && i < disk->cached.count; i++) {
        const struct name_entry *item = &disk->cached.items[i];
        char folder[MEMORY_PATH_BYTES];
        path_folder(item->path, folder);
        if (strcmp(folder, path) != 0)
            continue;
        const char *slash = strrchr(item->path, '/');
        const char *name = arena_text(arena, bytes_of_text(slash == NULL ? item->path : slash + 1));
        if (name == NULL)
            entries = NULL;
        else
            entries[count++] = (struct file_entry){name, item->node->is_folder};
    }
    if (entries == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the names in %s", path);
    qsort(entries, count, sizeof *entries, entry_order);
    *ret = entries;
    *ret_count = count;
    return status_ok();
}

static struct status memory_list(struct files *files, const char *path, struct arena *arena,
                                 struct file_entry **ret, size_t *ret_count)
{
    struct memory_disk *disk = of_files(files);
    char normal[MEMORY_PATH_BYTES];
    STATUS_TRY(normalise(path, normal));
    pthread_mutex_lock(&disk->lock);
    const struct status status = list_locked(disk, normal, arena, ret, ret_count);
    pthread_mutex_unlock(&disk->lock);
    return status;
}

static struct status mkdir_locked(struct memory_disk *disk, const char *path)
{
    if (disk_folder_exists(disk, path))
        return status_ok();
    if (disk_find(disk, path) != NULL)
        return status_error(STATUS_ALREADY_EXISTS, "%s is a file", path);
    STATUS_TRY(check_folder_of(disk, path));
    (void)disk_create(disk, path, true); /* found again by its name */
    return status_ok();
}

static struct status memory_mkdir(struct files *files, const char *path)
{
    struct memory_disk *disk = of_files(files);
    char normal[MEMORY_PATH_BYTES];
    STATUS_TRY(normalise(path, normal));
    pthread_mutex_lock(&disk->lock);
    const struct status status = mkdir_locked(disk, normal);
    pthread_mutex_unlock(&disk->lock);
    return status;
}

static struct status memory_sync_dir(struct files *files, const char *path)
{
    struct memory_disk *disk = of_files(files);
    char normal[MEMORY_PATH_BYTES];
    STATUS_TRY(normalise(path, normal));
    pthread_mutex_lock(&disk->lock);
    const bool exists = disk_folder_exists(disk, normal);
    if (exists)
        disk_sync_folder(disk, normal);
    pthread_mutex_unlock(&disk->lock);
    return exists ? status_ok() : not_found(path);
}

static struct status memory_free_bytes(struct files *files, uint64_t *ret_bytes)
{
    struct memory_disk *disk = of_files(files);
    pthread_mutex_lock(&disk->lock);
    *ret_bytes = disk->capacity_bytes > 0 ? free_locked(disk) : CONTENT_MAX_BYTES;
    pthread_mutex_unlock(&disk->lock);
    return status_ok();
}

static const struct files_ops memory_ops = {
    .open = memory_open,
    .read_at = memory_read_at,
    .write_at = memory_write_at,
    .sync = memory_sync,
    .allocate = memory_allocate,
    .truncate = memory_truncate,
    .size = memory_size,
    .close = memory_close,
    .rename = memory_rename,
    .remove = memory_remove,
    .list = memory_list,
    .mkdir = memory_mkdir,
    .sync_dir = memory_sync_dir,
    .lock = memory_lock,
    .free_bytes = memory_free_bytes,
};

struct memory_files memory_files_empty(void)
{
    return (struct memory_files){{&memory_ops}, disk_new()};
}

void memory_files_done(struct memory_files *files)
{
    disk_free(files->disk);
    files->disk = NULL;
}

void memory_files_limit(struct memory_files *files, uint64_t capacity_bytes)
{
    pthread_mutex_lock(&files->disk->lock);
    files->disk->capacity_bytes = capacity_bytes;
    pthread_mutex_unlock(&files->disk->lock);
}

void memory_files_crash(struct memory_files *files, uint64_t seed)
{
    pthread_mutex_lock(&files->disk->lock);
    disk_crash(files->disk, &seed);
    pthread_mutex_unlock(&files->disk->lock);
}

void memory_files_crash_hard(struct memory_files *files)
{
    pthread_mutex_lock(&files->disk->lock);
    disk_crash(files->disk, NULL);
    pthread_mutex_unlock(&files->disk->lock);
}

size_t memory_files_open_count(const struct memory_files *files)
{
    pthread_mutex_lock(&files->disk->lock);
    const size_t count = files->disk->open_count;
    pthread_mutex_unlock(&files->disk->lock);
    return count;
}

void memory_file_lose_unsynced(struct file *base)
{
    assert(base->ops == &memory_ops);
    struct memory_file *file = of_file(base);
    pthread_mutex_lock(&file->disk->lock);
    node_lose_changes(file->node);
    pthread_mutex_unlock(&file->disk->lock);
}

bool memory_files_damage(struct memory_files *files, const char *path, uint64_t offset, uint8_t mask)
{
    char normal[MEMORY_PATH_BYTES];
    const struct status status = normalise(path, normal);
    assert(status_is_ok(&status));
    bool done = false;
    pthread_mutex_lock(&files->disk->lock);
    struct node *node = disk_find(files->disk, normal);
    if (node != NULL && offset < node->cached.size) {
        node->cached.data[offset] ^= mask;
        if (offset < node->durable.size)
            node->durable.data[offset] ^= mask;
        done = true;
    }
    pthread_mutex_unlock(&files->disk->lock);
    return done;
}

uint8_t *memory_files_content(struct memory_files *files, const char *path, size_t *ret_size)
{
    char normal[MEMORY_PATH_BYTES];
    const struct status status = normalise(path, normal);
    assert(status_is_ok(&status));
    uint8_t *copy = NULL;
    pthread_mutex_lock(&files->disk->lock);
    const struct node *node = disk_find(files->disk, normal);
    if (node != NULL && !node->is_folder) {
        copy = malloc(node->cached.size + 1);
        if (copy != NULL && node->cached.size > 0)
            memcpy(copy, node->cached.data, node->cached.size);
        *ret_size = node->cached.size;
    }
    pthread_mutex_unlock(&files->disk->lock);
    return copy;
}
