#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "files_lock_internal.h"

#define ZERO_PIECE_BYTES (256U * 1024U)
/* Events of a fintech are nobody else's: the umask can only narrow these further. */
#define FILE_MODE   0600
#define FOLDER_MODE 0700

struct posix_files {
    struct files files;
    int root_fd; /* all names are resolved from here, so that a change of the working folder changes nothing
                  */
    char root[]; /* for messages */
};

struct posix_file {
    struct file file;
    struct posix_files *files;
    int fd;
    char path[];
};

static const struct files_ops posix_ops;

static struct posix_files *of_files(struct files *files)
{
    return (struct posix_files *)files;
}

static struct posix_file *of_file(struct file *file)
{
    return (struct posix_file *)file;
}

static enum status_code code_of_errno(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return STATUS_NOT_FOUND;
    case EEXIST:
        return STATUS_ALREADY_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return STATUS_RESOURCE_EXHAUSTED;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTEMPTY:
    case EISDIR:
    case EBADF: /* writing through a handle that was opened for reading */
    case EBUSY:
    case ETXTBSY:
        return STATUS_FAILED_PRECONDITION;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
        return STATUS_INVALID_ARGUMENT;
    default:
        return STATUS_DATA_LOSS;
    }
}

static const char *remedy_of(int error)
{
    return error == EACCES || error == EPERM ? "; run it as the user that the folder belongs to" : "";
}

/* "/var/lib/strata/LOCK: opening failed: Permission denied". */
static struct status fail(const struct posix_files *files, const char *path, const char *doing, int error)
{
    return status_error(code_of_errno(error), "%s/%s: %s failed: %s%s", files->root, path, doing,
                        strerror(error), remedy_of(error));
}

static struct status fail_file(const struct posix_file *file, const char *doing, int error)
{
    return fail(file->files, file->path, doing, error);
}

/* Paths come from our own code, but some carry names found on disk; none may lead out of the root. */
static struct status check_path(const struct posix_files *files, const char *path)
{
    bool bad = path[0] == '\0' || path[0] == '/';
    for (const char *part = path; !bad && part != NULL;) {
        const char *slash = strchr(part, '/');
        const size_t size = slash == NULL ? strlen(part) : (size_t)(slash - part);
        bad = size == 2 && part[0] == '.' && part[1] == '.';
        part = slash == NULL ? NULL : slash + 1;
    }
    if (bad)
        return status_error(STATUS_INVALID_ARGUMENT, "the path \"%s\" is not below %s", path, files->root);
    return status_ok();
}

static int open_retrying(int root_fd, const char *path, int how)
{
    int fd = -1;
    do
        fd = openat(root_fd, path, how, FILE_MODE);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Nobody asks when a file was read last, and noting it costs a tenth of a small read. Only the owner may leave it out. */
static int open_at(int root_fd, const char *path, int how)
{
    const bool creates = (how & O_CREAT) != 0; /* a refusal could come after the creation */
    const int fd = open_retrying(root_fd, path, creates ? how : how | O_NOATIME);
    return fd < 0 && errno == EPERM && !creates ? open_retrying(root_fd, path, how) : fd;
}

static struct status posix_open(struct files *base, const char *path, enum file_flags flags,
                                struct file **ret)
{
    struct posix_files *files = of_files(base);
    STATUS_TRY(check_path(files, path));
    /* O_NONBLOCK only matters for what is not a regular file, which is refused below instead of waited for. */
    int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | ((flags & FILE_WRITE) != 0 ? O_RDWR : O_RDONLY);
    if ((flags & FILE_CREATE) != 0)
        how |= O_CREAT | ((flags & FILE_EXCLUSIVE) != 0 ? O_EXCL : 0);
    const size_t path_size = strlen(path) + 1;
    struct posix_file *file = malloc(sizeof *file + path_size);
    if (file == NULL)
        return fail(files, path, "opening", ENOMEM);
    file->file.ops = &posix_ops;
    file->files = files;
    memcpy(file->path, path, path_size);
    file->fd = open_at(files->root_fd, path, how);
    struct stat about = {0};
    int error = file->fd < 0 || fstat(file->fd, &about) != 0 ? errno : 0;
    if (error == 0 && !S_ISREG(about.st_mode))
        error = EISDIR;
    if (error != 0) {
        if (file->fd >= 0)
            (void)close(file->fd); /* nothing was written through it */
        free(file);
        return fail(files, path, (flags & FILE_CREATE) != 0 ? "creating" : "opening", error);
    }
    *ret = &file->file;
    return status_ok();
}

static struct status posix_read_at(struct file *base, uint64_t offset, void *memory, size_t size,
                                   size_t *ret_size)
{
    const struct posix_file *file = of_file(base);
    size_t done = 0;
    while (done < size) {
        const ssize_t got = pread(file->fd, (char *)memory + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_file(file, "reading", errno);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_size = done;
    return status_ok();
}

static int write_fully(int fd, uint64_t offset, const void *memory, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t put = pwrite(fd, (const char *)memory + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        if (put == 0)
            return EIO; /* POSIX does not promise progress; a loop without an end would be worse */
        done += (size_t)put;
    }
    return 0;
}

static struct status posix_write_at(struct file *base, uint64_t offset, const void *memory, size_t size)
{
    const struct posix_file *file = of_file(base);
    const int error = write_fully(file->fd, offset, memory, size);
    return error == 0 ? status_ok() : fail_file(file, "writing", error);
}

/*
 * Whatever the cause, even a full disk: the kernel may have dropped the pages that it could not write, and would then call
 * the next sync a success. So nobody repeats one, not even after EINTR.
 */
static struct status sync_failed(struct status status)
{
    status.code = STATUS_DATA_LOSS;
    return status;
}

static struct status posix_sync(struct file *base)
{
    const struct posix_file *file = of_file(base);
    return fdatasync(file->fd) == 0 ? status_ok() : sync_failed(fail_file(file, "syncing", errno));
}

/* A failure is that of a sync: the pages may be gone, and the next sync may lie. Where there is no such call it was a wish. */
static int reach_disk(int fd, uint64_t from, uint64_t to)
{
    const unsigned how = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    const int result = sync_file_range(fd, (off_t)from, (off_t)(to - from), how);
    return result == 0 || errno == ENOSYS || errno == EOPNOTSUPP ? 0 : EIO;
}

/*
 * From pages that are there: memory that is fresh each time costs more in page faults than writing it. In pieces that reach
 * the disk one by one, so that the sync of another file waits for one at most; the sync behind all has the rest to do,
 * which is the journal's part, once.
 */
static int write_zeros(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[64 * 1024];
    int error = 0;
    uint64_t reached = from;
    while (error == 0 && from < to) {
        const uint64_t left = to - from;
        const size_t piece = left < sizeof zeros ? (size_t)left : sizeof zeros;
        error = write_fully(fd, from, zeros, piece);
        from += piece;
        if (error != 0 || from == to || from - reached < ZERO_PIECE_BYTES)
            continue;
        error = reach_disk(fd, reached, from);
        reached = from;
    }
    return error;
}

static struct status posix_allocate(struct file *base, uint64_t size)
{
    const struct posix_file *file = of_file(base);
    uint64_t old_size = 0;
    STATUS_TRY(file_size(base, &old_size));
    if (size <= old_size)
        return status_ok();
    int error = 0;
    do
        error = fallocate(file->fd, 0, (off_t)old_size, (off_t)(size - old_size)) == 0 ? 0 : errno;
    while (error == EINTR);
    /* A file system without fallocate still gets its space from the zeros. */
    if (error == EOPNOTSUPP || error == ENOSYS)
        error = 0;
    /* Reserved blocks are "unwritten": turning them costs a journal commit at their first sync. Hence zeros. */
    if (error == 0)
        error = write_zeros(file->fd, old_size, size);
    if (error != 0) {
        if (ftruncate(file->fd, (off_t)old_size) != 0) {
            /* The first failure is the one to report; a longer file of zeros harms nobody. */
        }
        return fail_file(file, "reserving space", error);
    }
    return status_ok();
}

static struct status posix_truncate(struct file *base, uint64_t size)
{
    const struct posix_file *file = of_file(base);
    int result = 0;
    do
        result = ftruncate(file->fd, (off_t)size);
    while (result != 0 && errno == EINTR);
    return result == 0 ? status_ok() : fail_file(file, "truncating", errno);
}

static struct status posix_size(struct file *base, uint64_t *ret_size)
{
    const struct posix_file *file = of_file(base);
    struct stat about;
    if (fstat(file->fd, &about) != 0)
        return fail_file(file, "asking for the size", errno);
    *ret_size = (uint64_t)about.st_size;
    return status_ok();
}

static void posix_close(struct file *base)
{
    struct posix_file *file = of_file(base);
    (void)close(file->fd); /* what must be durable was synced; Linux frees the descriptor in any case */
    free(file);
}

static struct status posix_rename(struct files *base, const char *from, const char *to)
{
    struct posix_files *files = of_files(base);
    STATUS_TRY(check_path(files, from));
    STATUS_TRY(check_path(files, to));
    if (renameat(files->root_fd, from, files->root_fd, to) != 0)
        return fail(files, from, "renaming", errno);
    return status_ok();
}

static struct status posix_remove(struct files *base, const char *path)
{
    struct posix_files *files = of_files(base);
    STATUS_TRY(check_path(files, path));
    if (unlinkat(files->root_fd, path, 0) == 0)
        return status_ok();
    if (errno == EISDIR && unlinkat(files->root_fd, path, AT_REMOVEDIR) == 0)
        return status_ok();
    return fail(files, path, "removing", errno);
}

struct found {
    struct found *next;
    struct file_entry entry;
};

static bool entry_is_folder(int folder_fd, const struct dirent *entry)
{
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    struct stat about;
    return fstatat(folder_fd, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode);
}

static int entry_order(const void *a, const void *b)
{
    return strcmp(((const struct file_entry *)a)->name, ((const struct file_entry *)b)->name);
}

/* 0 or an errno. */
static int read_folder(DIR *folder, struct arena *arena, struct found **ret, size_t *ret_count)
{
    struct found *newest = NULL;
    size_t count = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            *ret = newest;
            *ret_count = count;
            return errno;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        struct found *found = arena_alloc(arena, sizeof *found);
        char *name = arena_text(arena, bytes_of_text(entry->d_name));
        if (found == NULL || name == NULL)
            return ENOMEM;
        *found = (struct found){newest, {name, entry_is_folder(dirfd(folder), entry)}};
        newest = found;
        count++;
    }
}

static struct status posix_list(struct files *base, const char *path, struct arena *arena,
                                struct file_entry **ret, size_t *ret_count)
{
    struct posix_files *files = of_files(base);
    STATUS_TRY(check_path(files, path));
    const int fd = openat(files->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(files, path, "listing", errno);
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        const int error = errno;
        (void)close(fd); /* only read from */
        return fail(files, path, "listing", error);
    }
    struct found *found = NULL;
    size_t count = 0;
    const int error = read_folder(folder, arena, &found, &count);
    (void)closedir(folder); /* only read from */
    if (error != 0)
        return fail(files, path, "listing", error);
    struct file_entry *entries = arena_array(arena, count, sizeof *entries);
    if (entries == NULL)
        return fail(files, path, "listing", ENOMEM);
    for (size_t i = 0; i < count; i++, found = found->next)
        entries[i] = found->entry;
    qsort(entries, count, sizeof *entries, entry_order);
    *ret = entries;
    *ret_count = count;
    return status_ok();
}

static struct status posix_mkdir(struct files *base, const char *path)
{
    struct posix_files *files = of_files(base);
    STATUS_TRY(check_path(files, path));
    if (mkdirat(files->root_fd, path, FOLDER_MODE) == 0)
        return status_ok();
    const int error = errno;
    struct stat about;
    if (error == EEXIST && fstatat(files->root_fd, path, &about, 0) == 0 && S_ISDIR(about.st_mode))
        return status_ok();
    return fail(files, path, "making the folder", error);
}

static struct status posix_sync_dir(struct files *base, const char *path)
{
    struct posix_files *files = of_files(base);
    STATUS_TRY(check_path(files, path));
    const int fd = openat(files->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(files, path, "syncing the folder", errno);
    const int error = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd); /* only synced */
    return error == 0 ? status_ok() : sync_failed(fail(files, path, "syncing the folder", error));
}

/*
 * flock belongs to the open file: a second open in this process is refused as well, closing another
 * descriptor of the same file does not release it (as fcntl's locks would), and it ends with the process.
 */
static struct status posix_lock(struct file *base)
{
    const struct posix_file *file = of_file(base);
    char holder[LOCK_HOLDER_BYTES];
    int result = 0;
    do
        result = flock(file->fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0) {
        lock_holder_write(file->fd);
        return status_ok();
    }
    if (errno != EWOULDBLOCK)
        return fail_file(file, "locking", errno);
    lock_holder_read(file->fd, holder);
    return status_error(STATUS_UNAVAILABLE, "%s/%s is locked by %s; stop it or choose another path",
                        file->files->root, file->path, holder);
}

/* What an ordinary user may take: the share that is kept for root is nobody's to plan with. */
static struct status posix_free_bytes(struct files *base, uint64_t *ret_bytes)
{
    const struct posix_files *files = of_files(base);
    struct statvfs about;
    int result = 0;
    do
        result = fstatvfs(files->root_fd, &about);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return fail(files, ".", "asking for the free space", errno);
    *ret_bytes = (uint64_t)about.f_bavail * about.f_frsize;
    return status_ok();
}

static const struct files_ops posix_ops = {
    .open = posix_open,
    .read_at = posix_read_at,
    .write_at = posix_write_at,
    .sync = posix_sync,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .size = posix_size,
    .close = posix_close,
    .rename = posix_rename,
    .remove = posix_remove,
    .list = posix_list,
    .mkdir = posix_mkdir,
    .sync_dir = posix_sync_dir,
    .lock = posix_lock,
    .free_bytes = posix_free_bytes,
};

struct status file_read_exactly(struct file *file, uint64_t offset, void *memory, size_t size)
{
    size_t got = 0;
    STATUS_TRY(file_read_at(file, offset, memory, size, &got));
    if (got == size)
        return status_ok();
    return status_error(STATUS_DATA_LOSS, "the file ends at byte %" PRIu64 "; %zu more were expected",
                        offset + got, size - got);
}

/* Makes `path` and its parents, each synced into its parent so that a new root survives a power cut. */
static int make_folders(char *path)
{
    for (char *c = path + 1;; c++) {
        if (*c != '/' && *c != '\0')
            continue;
        const char ending = *c;
        *c = '\0';
        const int error = mkdir(path, FOLDER_MODE) == 0 ? 0 : errno;
        if (error == 0) {
            char *slash = strrchr(path, '/');
            const bool top = slash == path;
            if (slash != NULL && !top)
                *slash = '\0';
            const int parent = open(slash == NULL ? "."
                                    : top         ? "/"
                                                  : path,
                                    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (slash != NULL && !top)
                *slash = '/';
            const int sync_error = parent < 0 || fsync(parent) != 0 ? errno : 0;
            if (parent >= 0)
                (void)close(parent); /* only synced */
            if (sync_error != 0 &&
                sync_error != EACCES) /* a parent that we may not read is not ours to sync */
                return sync_error;
        }
        *c = ending;
        if (error != 0 && error != EEXIST)
            return error;
        if (ending == '\0')
            return 0;
    }
}

struct status posix_files_new(const char *root, struct files **ret)
{
    size_t size = strlen(root);
    while (size > 1 && root[size - 1] == '/')
        size--;
    if (size == 0)
        return status_error(STATUS_INVALID_ARGUMENT, "the path of the data folder is empty; set it");
    struct posix_files *files = calloc(1, sizeof *files + size + 1);
    if (files == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the folder %s", root);
    files->files.ops = &posix_ops;
    memcpy(files->root, root, size);
    int error = make_folders(files->root);
    if (error == 0) {
        files->root_fd = open(files->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        error = files->root_fd < 0 ? errno : 0;
    }
    if (error != 0) {
        const struct status status =
            status_error(code_of_errno(error), "the folder %s cannot be opened: %s%s", root, strerror(error),
                         remedy_of(error));
        free(files);
        return status;
    }
    *ret = &files->files;
    return status_ok();
}

void posix_files_free(struct files *files)
{
    if (files == NULL)
        return;
    (void)close(of_files(files)->root_fd); /* only names were resolved from it */
    free(of_files(files));
}
