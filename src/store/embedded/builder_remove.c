#include "builder_remove_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "builder_rest_internal.h"
#include "embedded_internal.h"

#define GIVEN_BACK_AT_ONCE (256U * 1024U)

/* A run without a name; `file` is a second handle of it, NULL = none could be had. */
struct removed_run {
    struct view_run *run;
    struct file *file;
};

static void warn(struct embedded_store *store, const char *what, const struct status *why)
{
    log_warn(store->log, what, LOG_TEXT("store", store->id), LOG_TEXT("why", why->message));
}

static const char goes_whole[] =
    "a merged file of the index could not be given back in pieces, it goes whole";

static void remove_name(struct embedded_store *store, struct removed_run *removed)
{
    char folder[INDEX_FOLDER_BYTES];
    char path[INDEX_FOLDER_BYTES + 64];
    builder_folder(store, folder);
    snprintf(path, sizeof path, "%s/%020" PRId64 "-%020" PRId64 ".run", folder, removed->run->first,
             removed->run->last);
    removed->file = NULL;
    struct status status = files_open(store->files, path, FILE_WRITE, &removed->file);
    if (status.code != STATUS_OK && status.code != STATUS_NOT_FOUND)
        warn(store, goes_whole, &status);
    status = files_remove(store->files, path);
    if (status.code != STATUS_OK && status.code != STATUS_NOT_FOUND)
        warn(store, "a merged file of the index could not be removed, the next start tries again", &status);
}

static void give_back(struct embedded_store *store, const struct removed_run *removed,
                      bool (*go_on)(void *store))
{
    uint64_t size = removed->file == NULL ? 0 : run_size_bytes(removed->run->run);
    while (size > 0 && view_run_is_alone(removed->run) && go_on(store)) {
        size -= size < GIVEN_BACK_AT_ONCE ? size : GIVEN_BACK_AT_ONCE;
        const struct status status = file_truncate(removed->file, size);
        if (status.code != STATUS_OK) {
            warn(store, goes_whole, &status);
            return;
        }
        builder_rest_disk(store);
    }
}

void builder_remove_runs(struct embedded_store *store, struct index_view *former, size_t first,
                         bool (*go_on)(void *store))
{
    struct removed_run removed[BUILDER_MERGED_RUNS];
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++) {
        removed[i].run = view_run_ref(former->runs[first + i]);
        remove_name(store, &removed[i]);
    }
    view_unref(former);
    for (size_t i = 0; i < BUILDER_MERGED_RUNS; i++) {
        give_back(store, &removed[i], go_on);
        file_close(removed[i].file);
        view_run_unref(removed[i].run);
    }
}
