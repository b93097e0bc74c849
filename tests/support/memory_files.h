/*
 * A disk in memory that remembers what was written and, apart, what was synced, so that a test can pull the
 * plug (memory_files_crash) and look at what is left.
 *
 *     struct memory_files disk = memory_files_empty();
 *     … run a store over &disk.files …
 *     memory_files_crash(&disk, seed);
 *     … open it again, look …
 *     memory_files_done(&disk);
 *
 * What a crash keeps. Everything synced. Of each write, truncation and allocation since the file's last sync
 * nothing, all, or any of its 512-byte sectors (the last one may be torn inside), applied in their order. Of
 * the creations, renames and removals since their folder's last sync_dir some first part in their order,
 * folder by folder (as a journal replays); a rename is never half done, and one between two folders survives
 * in both or in neither. What is in a folder whose own creation did not survive is gone with it.
 *
 * Ownership  memory_files_done() frees all; every handle must be closed before (asserted).
 * Threads    Any; one lock inside.
 * Blocking   Never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/files.h"

struct memory_disk;

struct memory_files {
    struct files files; /* hand out its address; the struct must not move once it is in use */
    struct memory_disk *disk;
};

struct memory_files memory_files_empty(void);
void memory_files_done(struct memory_files *files);

/*
 * The disk has so many bytes, for contents alone: what makes a file larger than the rest of them is refused with
 * RESOURCE_EXHAUSTED, whole (a file that is removed counts until its last handle is closed). 0 = no bound.
 */
void memory_files_limit(struct memory_files *files, uint64_t capacity_bytes);

/*
 * The plug is pulled and the machine comes back: what is not durable is lost but for a random
 * part that `seed` decides. Handles that are still open are dead: each of their calls but
 * close fails with DATA_LOSS. Locks are gone.
 */
void memory_files_crash(struct memory_files *files, uint64_t seed);

/* As a crash that keeps nothing beyond what was synced. */
void memory_files_crash_hard(struct memory_files *files);

/* Open handles now, dead ones included: 0 at the end of a test that leaks none. */
size_t memory_files_open_count(const struct memory_files *files);

/*
 * What Linux does when a sync fails: reads go on showing what was written since the last sync, but
 * it will never reach the disk, whatever later syncs say. `file` is a handle of a struct
 * memory_files; for faulty_files' SYNC_LOST.
 */
void memory_file_lose_unsynced(struct file *file);

/* Flips the bits of `mask` in one byte of a file, on the disk and in the
 * cache. False when there is no such byte. */
bool memory_files_damage(struct memory_files *files, const char *path, uint64_t offset, uint8_t mask);

/* A copy of the whole content of a file as reads see it now (malloc; free()
 * it); NULL when there is no such file. */
uint8_t *memory_files_content(struct memory_files *files, const char *path, size_t *ret_size);
