/*
 * The state behind memory_files: nodes with their content as reads see it and as the disk has it, the changes
 * between the two, and the same for names. Nothing here locks: memory_files.c holds the disk's lock around
 * each call. Tests use memory_files.h.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define SECTOR_BYTES      512U
#define CONTENT_MAX_BYTES (UINT64_C(1) << 32)
#define MEMORY_PATH_BYTES 1024U

struct content {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

enum change_kind { CHANGE_WRITE, CHANGE_TRUNCATE };

/* One call since the last sync. A write without data writes zeros (allocate). */
struct change {
    struct change *next;
    enum change_kind kind;
    uint64_t offset; /* truncate: the new size */
    size_t size;
    uint8_t *data;
};

struct node {
    struct node *next; /* of all nodes of the disk */
    bool is_folder;
    bool marked; /* by disk_collect */
    size_t open_count;
    const void *locked_by; /* a handle */
    struct content cached; /* as reads see it */
    struct content durable;
    struct change *changes; /* oldest first; applying them to durable gives cached, unless some were lost */
    struct change **changes_end;
};

struct name_entry {
    char *path; /* normal form: "a/b"; the root is not listed */
    struct node *node;
};

struct tree {
    struct name_entry *items;
    size_t count;
    size_t capacity;
};

/* A creation (from NULL), a removal (to NULL) or a rename, not yet made durable by sync_dir. */
struct name_change {
    char *from;
    char *to;
    struct node *node;
};

struct memory_disk {
    pthread_mutex_t lock; /* guards all below */
    struct node *nodes;
    struct tree cached;
    struct tree durable;
    struct name_change *name_changes; /* oldest first */
    size_t name_change_count;
    size_t name_change_capacity;
    uint64_t generation; /* counts crashes; handles of an older one are dead */
    size_t open_count;
    uint64_t capacity_bytes; /* 0 = no bound */
};

struct memory_disk *disk_new(void);
void disk_free(struct memory_disk *disk);

struct node *disk_find(const struct memory_disk *disk, const char *path); /* NULL = none; not for the root */
bool disk_folder_exists(const struct memory_disk *disk, const char *path);
bool disk_folder_is_empty(const struct memory_disk *disk, const char *path);
struct node *disk_create(struct memory_disk *disk, const char *path, bool is_folder);
void disk_rename(struct memory_disk *disk, const char *from, const char *to);
void disk_remove(struct memory_disk *disk, const char *path);
void disk_sync_folder(struct memory_disk *disk, const char *path);
uint64_t disk_used_bytes(const struct memory_disk *disk); /* by files that have a name or a handle */

void node_write(struct node *node, uint64_t offset, const void *data, size_t size); /* data NULL = zeros */
void node_truncate(struct node *node, uint64_t size);
void node_sync(struct node *node);
void node_lose_changes(struct node *node);

/* NULL keeps nothing that is not durable; else a random part. */
void disk_crash(struct memory_disk *disk, uint64_t *random);

/* The folder of a normal path: "a/b" → "a", "a" → "". */
void path_folder(const char *path, char ret_folder[MEMORY_PATH_BYTES]);
