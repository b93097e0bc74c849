#include "state_vfs_internal.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/embedded/store_file.h"

#define VFS_NAME_BYTES   64U
#define VFS_SECTOR_BYTES 4096
#define JULIAN_1970_MS   INT64_C(210866760000000) /* of the Julian day on which 1970 began */

struct state_vfs {
    sqlite3_vfs vfs;
    char name[VFS_NAME_BYTES];
    struct files *files;
    const struct clock *clock;
    const struct entropy *entropy;
    struct status failure;
    bool broken; /* a sync failed */
};

struct state_file {
    sqlite3_file file; /* first: SQLite allocates the whole and knows this part */
    struct state_vfs *vfs;
    struct file *handle;
    char path[STORE_PATH_BYTES];
    bool folder_dirty; /* the file was made: its name must become durable with its first sync */
};

static struct state_vfs *vfs_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static struct state_file *file_of(sqlite3_file *file)
{
    return (struct state_file *)file;
}

static int failed(struct state_vfs *vfs, const struct status *status, int code)
{
    vfs->failure = *status;
    return status->code == STATUS_RESOURCE_EXHAUSTED ? SQLITE_FULL : code;
}

static struct status broken(void)
{
    return status_error(STATUS_DATA_LOSS,
                        "an earlier sync of state/ failed; restart strata to read what the disk holds");
}

static int state_file_close(sqlite3_file *base)
{
    file_close(file_of(base)->handle);
    file_of(base)->handle = NULL;
    return SQLITE_OK;
}

static int state_file_read(sqlite3_file *base, void *memory, int size, sqlite3_int64 offset)
{
    struct state_file *file = file_of(base);
    size_t got = 0;
    struct status status = file_read_at(file->handle, (uint64_t)offset, memory, (size_t)size, &got);
    if (status.code != STATUS_OK)
        return failed(file->vfs, &status, SQLITE_IOERR_READ);
    if (got == (size_t)size)
        return SQLITE_OK;
    /* SQLite takes a short read for the end of the file, and a short first page for an empty database. */
    uint64_t file_bytes = 0;
    status = file_size(file->handle, &file_bytes);
    if (status.code == STATUS_OK && (uint64_t)offset + got < file_bytes)
        status = status_error(STATUS_DATA_LOSS, "%s: a read ended early", file->path);
    if (status.code != STATUS_OK)
        return failed(file->vfs, &status, SQLITE_IOERR_READ);
    memset((uint8_t *)memory + got, 0, (size_t)size - got); /* SQLite asks for zeros beyond the end */
    return SQLITE_IOERR_SHORT_READ;
}

static int state_file_write(sqlite3_file *base, const void *memory, int size, sqlite3_int64 offset)
{
    struct state_file *file = file_of(base);
    const struct status status =
        file->vfs->broken ? broken() : file_write_at(file->handle, (uint64_t)offset, memory, (size_t)size);
    return status.code == STATUS_OK ? SQLITE_OK : failed(file->vfs, &status, SQLITE_IOERR_WRITE);
}

static int state_file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct state_file *file = file_of(base);
    const struct status status = file->vfs->broken ? broken() : file_truncate(file->handle, (uint64_t)size);
    return status.code == STATUS_OK ? SQLITE_OK : failed(file->vfs, &status, SQLITE_IOERR_TRUNCATE);
}

static struct status sync_folder_of(struct state_vfs *vfs, const char *path)
{
    char folder[STORE_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return files_sync_dir(vfs->files, ".");
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return files_sync_dir(vfs->files, folder);
}

static int state_file_sync(sqlite3_file *base, int flags)
{
    (void)flags;
    struct state_file *file = file_of(base);
    struct status status = file->vfs->broken ? broken() : file_sync(file->handle);
    if (status.code == STATUS_OK && file->folder_dirty)
        status = sync_folder_of(file->vfs, file->path);
    if (status.code == STATUS_OK) {
        file->folder_dirty = false;
        return SQLITE_OK;
    }
    /* Never SQLITE_FULL, which says "try again". */
    file->vfs->broken = true;
    file->vfs->failure = status;
    return SQLITE_IOERR_FSYNC;
}

static int state_file_size(sqlite3_file *base, sqlite3_int64 *ret)
{
    struct state_file *file = file_of(base);
    uint64_t size = 0;
    const struct status status = file_size(file->handle, &size);
    if (status.code != STATUS_OK)
        return failed(file->vfs, &status, SQLITE_IOERR_FSTAT);
    *ret = (sqlite3_int64)size;
    return SQLITE_OK;
}

static int state_file_lock(sqlite3_file *base, int level)
{
    (void)base;
    (void)level;
    return SQLITE_OK; /* the store's LOCK keeps every other connection out */
}

static int state_file_reserved(sqlite3_file *base, int *ret)
{
    (void)base;
    *ret = 0;
    return SQLITE_OK;
}

static int state_file_control(sqlite3_file *base, int operation, void *argument)
{
    (void)base;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int state_file_sector(sqlite3_file *base)
{
    (void)base;
    return VFS_SECTOR_BYTES;
}

static int state_file_promises(sqlite3_file *base)
{
    (void)base;
    return 0; /* none: neither atomic nor power-safe overwrites are assumed */
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = state_file_close,
    .xRead = state_file_read,
    .xWrite = state_file_write,
    .xTruncate = state_file_truncate,
    .xSync = state_file_sync,
    .xFileSize = state_file_size,
    .xLock = state_file_lock,
    .xUnlock = state_file_lock,
    .xCheckReservedLock = state_file_reserved,
    .xFileControl = state_file_control,
    .xSectorSize = state_file_sector,
    .xDeviceCharacteristics = state_file_promises,
};

static int state_open(sqlite3_vfs *base, const char *name, sqlite3_file *base_file, int flags, int *ret_flags)
{
    struct state_vfs *vfs = vfs_of(base);
    struct state_file *file = file_of(base_file);
    file->file.pMethods = NULL; /* tells SQLite not to close it after a failure */
    if (name == NULL || strlen(name) >= sizeof file->path)
        return SQLITE_CANTOPEN; /* temporary files: the connection keeps them in memory */
    const bool writes = (flags & SQLITE_OPEN_READWRITE) != 0;
    struct file *handle = NULL;
    struct status status = files_open(vfs->files, name, writes ? FILE_WRITE : FILE_READ, &handle);
    bool made = false;
    if (status.code == STATUS_NOT_FOUND && (flags & SQLITE_OPEN_CREATE) != 0) {
        status = files_open(vfs->files, name, FILE_WRITE | FILE_CREATE, &handle);
        made = true;
    }
    if (status.code == STATUS_NOT_FOUND)
        return SQLITE_CANTOPEN;
    if (status.code != STATUS_OK)
        return failed(vfs, &status, SQLITE_CANTOPEN);
    file->vfs = vfs;
    file->handle = handle;
    file->folder_dirty = made;
    snprintf(file->path, sizeof file->path, "%s", name);
    file->file.pMethods = &file_methods;
    if (ret_flags != NULL)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int state_delete(sqlite3_vfs *base, const char *name, int sync_folder)
{
    struct state_vfs *vfs = vfs_of(base);
    struct status status = vfs->broken ? broken() : files_remove(vfs->files, name);
    if (status.code == STATUS_NOT_FOUND)
        return SQLITE_IOERR_DELETE_NOENT;
    if (status.code == STATUS_OK && sync_folder)
        status = sync_folder_of(vfs, name);
    return status.code == STATUS_OK ? SQLITE_OK : failed(vfs, &status, SQLITE_IOERR_DELETE);
}

static int state_access(sqlite3_vfs *base, const char *name, int flags, int *ret)
{
    (void)flags;
    struct state_vfs *vfs = vfs_of(base);
    struct file *handle = NULL;
    uint64_t size = 0;
    struct status status = files_open(vfs->files, name, FILE_READ, &handle);
    *ret = 0;
    if (status.code == STATUS_NOT_FOUND)
        return SQLITE_OK;
    if (status.code == STATUS_OK)
        status = file_size(handle, &size);
    file_close(handle);
    if (status.code != STATUS_OK)
        return failed(vfs, &status, SQLITE_IOERR_ACCESS);
    /* An empty journal or WAL holds nothing; SQLite's own unix VFS answers the same way. */
    *ret = size > 0;
    return SQLITE_OK;
}

static int state_full_path(sqlite3_vfs *base, const char *name, int size, char *ret)
{
    (void)base;
    snprintf(ret, (size_t)size, "%s", name);
    return SQLITE_OK;
}

static int state_randomness(sqlite3_vfs *base, int size, char *ret)
{
    entropy_fill(vfs_of(base)->entropy, ret, (size_t)size);
    return size;
}

static int state_sleep(sqlite3_vfs *base, int microseconds)
{
    (void)base;
    return microseconds; /* only a busy handler would sleep, and nobody else has the database */
}

static int state_time(sqlite3_vfs *base, sqlite3_int64 *ret)
{
    *ret = JULIAN_1970_MS + clock_now_us(vfs_of(base)->clock) / 1000;
    return SQLITE_OK;
}

static int state_day(sqlite3_vfs *base, double *ret)
{
    sqlite3_int64 time_ms = 0;
    state_time(base, &time_ms);
    *ret = (double)time_ms / 86400000.0;
    return SQLITE_OK;
}

static int state_last_error(sqlite3_vfs *base, int size, char *ret)
{
    (void)base;
    (void)size;
    (void)ret;
    return 0;
}

struct status state_vfs_new(struct files *files, const struct clock *clock, const struct entropy *entropy,
                            struct state_vfs **ret)
{
    struct state_vfs *vfs = calloc(1, sizeof *vfs);
    if (vfs == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for state/");
    /* SQLite finds a VFS by name in a list of the whole process: the address makes ours the only one. */
    snprintf(vfs->name, sizeof vfs->name, "strata-%p", (void *)vfs);
    vfs->files = files;
    vfs->clock = clock;
    vfs->entropy = entropy;
    vfs->failure = status_ok();
    vfs->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = sizeof(struct state_file),
        .mxPathname = STORE_PATH_BYTES - 1,
        .zName = vfs->name,
        .pAppData = vfs,
        .xOpen = state_open,
        .xDelete = state_delete,
        .xAccess = state_access,
        .xFullPathname = state_full_path,
        .xRandomness = state_randomness,
        .xSleep = state_sleep,
        .xCurrentTime = state_day,
        .xGetLastError = state_last_error,
        .xCurrentTimeInt64 = state_time,
    };
    if (sqlite3_vfs_register(&vfs->vfs, 0) != SQLITE_OK) {
        free(vfs);
        return status_error(STATUS_RESOURCE_EXHAUSTED, "SQLite could not be started for state/");
    }
    *ret = vfs;
    return status_ok();
}

void state_vfs_free(struct state_vfs *vfs)
{
    if (vfs == NULL)
        return;
    sqlite3_vfs_unregister(&vfs->vfs);
    free(vfs);
}

const char *state_vfs_name(const struct state_vfs *vfs)
{
    return vfs->name;
}

struct status state_vfs_failure(const struct state_vfs *vfs)
{
    return vfs->failure;
}

struct status state_vfs_take_failure(struct state_vfs *vfs)
{
    const struct status failure = vfs->failure;
    vfs->failure = status_ok();
    return failure;
}
