#include "output_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"

#define PENDING_BYTES ((size_t)1024 * 1024)

struct status cli_folder(const char *path, struct files **ret)
{
    struct stat about;
    if (stat(path, &about) != 0 && errno != ENOENT && errno != ENOTDIR)
        return status_error(
            STATUS_PERMISSION_DENIED,
            "the folder %s cannot be reached: %s; run it as the user that the folder belongs to", path,
            strerror(errno));
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))
        return status_error(STATUS_NOT_FOUND, "there is no folder \"%s\"; name one that exists", path);
    return posix_files_new(path, ret);
}

struct status cli_folder_of(const char *path, struct files **ret, char ret_name[OUTPUT_NAME_MAX_BYTES])
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    char folder[4096] = ".";
    const size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strlen(name) > 200 ||
        length >= sizeof folder)
        return status_error(STATUS_INVALID_ARGUMENT, "\"%.200s\" is no name of a file", path);
    if (slash == path)
        snprintf(folder, sizeof folder, "/");
    else if (slash != NULL)
        snprintf(folder, sizeof folder, "%.*s", (int)length, path);
    snprintf(ret_name, OUTPUT_NAME_MAX_BYTES, "%s", name);
    return cli_folder(folder, ret);
}

/* Whether FILE may get this name. A rename would replace a device or a pipe too, instead of writing into it. */
static struct status check_name(const char *path, bool replace)
{
    struct stat about;
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode))
        return status_error(STATUS_INVALID_ARGUMENT,
                            "\"%s\" is no file; name one, or write to the standard output (-)", path);
    if (replace || lstat(path, &about) != 0)
        return status_ok();
    return status_error(STATUS_ALREADY_EXISTS,
                        "\"%s\" exists and is left as it is; name another file, or replace it with --force",
                        path);
}

struct status output_open(const char *path, bool replace, struct output *ret)
{
    *ret = (struct output){.path = path, .replace = replace, .pending = buffer_make(0)};
    if (path == NULL || strcmp(path, "-") == 0)
        return status_ok();
    STATUS_TRY(check_name(path, replace));
    STATUS_TRY(cli_folder_of(path, &ret->files, ret->name));
    snprintf(ret->temporary, sizeof ret->temporary, "%.200s.tmp", ret->name);
    STATUS_TRY(files_open(ret->files, ret->temporary, FILE_WRITE | FILE_CREATE, &ret->file));
    STATUS_TRY(file_lock(ret->file));   /* two exports into one file would mix */
    return file_truncate(ret->file, 0); /* of the line that names the holder too */
}

static struct status write_standard(struct bytes bytes)
{
    while (bytes.size_bytes > 0) {
        const ssize_t wrote = write(STDOUT_FILENO, bytes.data, bytes.size_bytes);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return status_error(STATUS_UNAVAILABLE, "cannot write to the standard output: %s",
                                strerror(errno));
        bytes = bytes_of(bytes.data + wrote, bytes.size_bytes - (size_t)wrote);
    }
    return status_ok();
}

static struct status flush(struct output *output)
{
    const struct bytes bytes = buffer_bytes(&output->pending);
    STATUS_TRY(buffer_status(&output->pending));
    if (bytes.size_bytes == 0)
        return status_ok();
    STATUS_TRY(output->file == NULL
                   ? write_standard(bytes)
                   : file_write_at(output->file, output->written, bytes.data, bytes.size_bytes));
    output->written += bytes.size_bytes;
    buffer_clear(&output->pending);
    return status_ok();
}

struct status output_add(struct output *output, struct bytes bytes)
{
    buffer_add_bytes(&output->pending, bytes);
    return output->pending.size_bytes >= PENDING_BYTES || output->pending.failed ? flush(output)
                                                                                 : status_ok();
}

struct status output_finish(struct output *output)
{
    STATUS_TRY(flush(output));
    if (output->file == NULL)
        return status_ok();
    STATUS_TRY(file_sync(output->file));
    STATUS_TRY(check_name(output->path, output->replace)); /* it took its time */
    STATUS_TRY(files_rename(output->files, output->temporary, output->name));
    return files_sync_dir(output->files, ".");
}

void output_done(struct output *output)
{
    file_close(output->file);
    posix_files_free(output->files);
    buffer_done(&output->pending);
    *output = (struct output){0};
}

void cli_print_hex(const struct sha256 *hash)
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)printf("%02x", hash->bytes[i]);
    (void)printf("\n");
}

void cli_print_chain(const struct sha256 *chain)
{
    (void)printf("chain: ");
    cli_print_hex(chain);
}
