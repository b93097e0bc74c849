/*
 * What becomes of the files of runs that were merged: their names go, then their bytes, a little at a time. A file system
 * that is mounted with `discard` tells the disk of all that a removal frees at once, and a disk that is told of some
 * megabytes does nothing else for milliseconds, so that the sync of a commit waits.
 *
 * Threads  The builder's, or whoever steps a store without threads.
 * Blocking Yes.
 * Errors   None, but for a line in the log: they cost space and nothing else. The next start removes what is left.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct embedded_store;
struct index_view;

/*
 * Of BUILDER_MERGED_RUNS runs of `former`, from `first` on, which the store's view has no more. Takes over the caller's
 * reference of `former`. A file that somebody still reads goes whole, with its last reader. `go_on` is asked before each step,
 * as a merge asks it: a full table must not wait for the end, nor a stop. False = the rest goes whole.
 */
void builder_remove_runs(struct embedded_store *store, struct index_view *former, size_t first,
                         bool (*go_on)(void *store));
