#include "support/memory_disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "support/seeded_entropy.h"

/* A test without memory has no way to go on. */
static void *must_have(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- content ---- */

static void content_reserve(struct content *content, size_t size)
{
    if (size <= content->capacity)
        return;
    size_t capacity = content->capacity < SECTOR_BYTES ? SECTOR_BYTES : content->capacity;
    while (capacity < size)
        capacity *= 2;
    content->data = must_have(realloc(content->data, capacity));
    content->capacity = capacity;
}

static void content_resize(struct content *content, size_t size)
{
    content_reserve(content, size);
    if (size > content->size)
        memset(content->data + content->size, 0, size - content->size);
    content->size = size;
}

static void content_write(struct content *content, uint64_t offset, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    if (offset + size > content->size)
        content_resize(content, (size_t)offset + size);
    if (data != NULL)
        memcpy(content->data + offset, data, size);
    else
        memset(content->data + offset, 0, size);
}

static void content_copy(struct content *to, const struct content *from)
{
    content_reserve(to, from->size);
    if (from->size > 0)
        memcpy(to->data, from->data, from->size);
    to->size = from->size;
}

static void changes_free(struct node *node)
{
    for (struct change *change = node->changes; change != NULL;) {
        struct change *next = change->next;
        free(change->data);
        free(change);
        change = next;
    }
    node->changes = NULL;
    node->changes_end = &node->changes;
}

static void changes_add(struct node *node, struct change change)
{
    struct change *kept = must_have(malloc(sizeof *kept));
    *kept = change;
    *node->changes_end = kept;
    node->changes_end = &kept->next;
}

void node_write(struct node *node, uint64_t offset, const void *data, size_t size)
{
    uint8_t *copy = NULL;
    if (data != NULL && size > 0) {
        copy = must_have(malloc(size));
        memcpy(copy, data, size);
    }
    content_write(&node->cached, offset, copy, size);
    changes_add(node, (struct change){.kind = CHANGE_WRITE, .offset = offset, .size = size, .data = copy});
}

void node_truncate(struct node *node, uint64_t size)
{
    content_resize(&node->cached, (size_t)size);
    changes_add(node, (struct change){.kind = CHANGE_TRUNCATE, .offset = size});
}

static void change_apply(struct content *durable, const struct change *change)
{
    if (change->kind == CHANGE_TRUNCATE)
        content_resize(durable, (size_t)change->offset);
    else
        content_write(durable, change->offset, change->data, change->size);
}

void node_sync(struct node *node)
{
    for (const struct change *change = node->changes; change != NULL; change = change->next)
        change_apply(&node->durable, change);
    changes_free(node);
}

void node_lose_changes(struct node *node)
{
    changes_free(node);
}

/* Some sectors of a write reach the disk, in any order; the one under the head when power fails may be torn. */
static void change_apply_sectors(struct content *durable, const struct change *change, uint64_t *random)
{
    for (uint64_t at = change->offset; at < change->offset + change->size;) {
        const uint64_t sector_end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
        const uint64_t change_end = change->offset + change->size;
        const uint64_t end = sector_end < change_end ? sector_end : change_end;
        size_t size = (size_t)(end - at);
        if (random_below(random, 16) == 0)
            size = (size_t)random_below(random, size);
        if (random_below(random, 2) == 0)
            content_write(durable, at, change->data == NULL ? NULL : change->data + (at - change->offset),
                          size);
        at = end;
    }
}

static void node_crash(struct node *node, uint64_t *random)
{
    enum { LOSES_ALL, KEEPS_ALL, KEEPS_SOME, FATE_COUNT } fate = LOSES_ALL;
    if (random != NULL)
        fate = (unsigned)random_below(random, FATE_COUNT);
    for (const struct change *change = node->changes; change != NULL && fate != LOSES_ALL;
         change = change->next) {
        const uint64_t draw = random_below(random, 4);
        if (fate == KEEPS_ALL || draw == 0)
            change_apply(&node->durable, change);
        else if (draw != 1 && change->kind == CHANGE_WRITE)
            change_apply_sectors(&node->durable, change, random);
    }
    changes_free(node);
    content_copy(&node->cached, &node->durable);
    node->locked_by = NULL;
}

static void node_free(struct node *node)
{
    changes_free(node);
    free(node->cached.data);
    free(node->durable.data);
    free(node);
}

/* ---- names ---- */

void path_folder(const char *path, char ret_folder[MEMORY_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    const size_t size = slash == NULL ? 0 : (size_t)(slash - path);
    assert(size < MEMORY_PATH_BYTES);
    memcpy(ret_folder, path, size);
    ret_folder[size] = '\0';
}

static bool is_in_folder(const char *path, const char *folder)
{
    char own[MEMORY_PATH_BYTES];
    path_folder(path, own);
    return strcmp(own, folder) == 0;
}

static struct node *tree_find(const struct tree *tree, const char *path)
{
    for (size_t i = 0; i < tree->count; i++)
        if (strcmp(tree->items[i].path, path) == 0)
            return tree->items[i].node;
    return NULL;
}

static void tree_delete(struct tree *tree, const char *path)
{
    for (size_t i = 0; i < tree->count; i++) {
        if (strcmp(tree->items[i].path, path) != 0)
            continue;
        free(tree->items[i].path);
        tree->items[i] = tree->items[--tree->count];
        return;
    }
}

static void tree_put(struct tree *tree, const char *path, struct node *node)
{
    tree_delete(tree, path);
    if (tree->count == tree->capacity) {
        tree->capacity = tree->capacity == 0 ? 16 : tree->capacity * 2;
        tree->items = must_have(realloc(tree->items, tree->capacity * sizeof *tree->items));
    }
    tree->items[tree->count++] = (struct name_entry){must_have(strdup(path)), node};
}

static void tree_clear(struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        free(tree->items[i].path);
    free(tree->items);
    *tree = (struct tree){0};
}

static void tree_copy(struct tree *to, const struct tree *from)
{
    tree_clear(to);
    for (size_t i = 0; i < from->count; i++)
        tree_put(to, from->items[i].path, from->items[i].node);
}

static bool tree_has_folder(const struct tree *tree, const char *path)
{
    const struct node *node = path[0] == '\0' ? NULL : tree_find(tree, path);
    return path[0] == '\0' || (node != NULL && node->is_folder);
}

static void tree_apply(struct tree *tree, const struct name_change *change)
{
    if (change->from != NULL)
        tree_delete(tree, change->from);
    if (change->to != NULL)
        tree_put(tree, change->to, change->node);
}

static bool change_touches(const struct name_change *change, const char *folder)
{
    return (change->from != NULL && is_in_folder(change->from, folder)) ||
           (change->to != NULL && is_in_folder(change->to, folder));
}

static void name_change_done(struct name_change *change)
{
    free(change->from);
    free(change->to);
}

static void record(struct memory_disk *disk, const char *from, const char *to, struct node *node)
{
    if (disk->name_change_count == disk->name_change_capacity) {
        disk->name_change_capacity = disk->name_change_capacity == 0 ? 16 : disk->name_change_capacity * 2;
        disk->name_changes =
            must_have(realloc(disk->name_changes, disk->name_change_capacity * sizeof *disk->name_changes));
    }
    struct name_change *change = &disk->name_changes[disk->name_change_count++];
    *change = (struct name_change){from == NULL ? NULL : must_have(strdup(from)),
                                   to == NULL ? NULL : must_have(strdup(to)), node};
    tree_apply(&disk->cached, change);
}

struct node *disk_find(const struct memory_disk *disk, const char *path)
{
    return tree_find(&disk->cached, path);
}

bool disk_folder_exists(const struct memory_disk *disk, const char *path)
{
    return tree_has_folder(&disk->cached, path);
}

bool disk_folder_is_empty(const struct memory_disk *disk, const char *path)
{
    for (size_t i = 0; i < disk->cached.count; i++)
        if (is_in_folder(disk->cached.items[i].path, path))
            return false;
    return true;
}

struct node *disk_create(struct memory_disk *disk, const char *path, bool is_folder)
{
    struct node *node = must_have(calloc(1, sizeof *node));
    node->is_folder = is_folder;
    node->changes_end = &node->changes;
    node->next = disk->nodes;
    disk->nodes = node;
    record(disk, NULL, path, node);
    return node;
}

void disk_rename(struct memory_disk *disk, const char *from, const char *to)
{
    record(disk, from, to, disk_find(disk, from));
}

void disk_remove(struct memory_disk *disk, const char *path)
{
    record(disk, path, NULL, NULL);
}

uint64_t disk_used_bytes(const struct memory_disk *disk)
{
    uint64_t used = 0;
    for (const struct node *node = disk->nodes; node != NULL; node = node->next) {
        bool named = node->open_count > 0;
        for (size_t i = 0; i < disk->cached.count && !named; i++)
            named = disk->cached.items[i].node == node;
        used += named ? node->cached.size : 0;
    }
    return used;
}

/* Frees the nodes that no name, no pending change and no handle leads to. */
static void disk_collect(struct memory_disk *disk)
{
    for (struct node *node = disk->nodes; node != NULL; node = node->next)
        node->marked = node->open_count > 0;
    for (size_t i = 0; i < disk->cached.count; i++)
        disk->cached.items[i].node->marked = true;
    for (size_t i = 0; i < disk->durable.count; i++)
        disk->durable.items[i].node->marked = true;
    for (size_t i = 0; i < disk->name_change_count; i++)
        if (disk->name_changes[i].node != NULL)
            disk->name_changes[i].node->marked = true;
    for (struct node **link = &disk->nodes; *link != NULL;) {
        struct node *node = *link;
        if (node->marked) {
            link = &node->next;
            continue;
        }
        *link = node->next;
        node_free(node);
    }
}

/*
 * A rename between folders drags the earlier changes of the other folder with it: otherwise the name would be
 * durable in neither. Going backwards finds them all, since only earlier changes can be dragged.
 */
static void choose_synced(const struct memory_disk *disk, const char *path, bool *chosen)
{
    char(*folders)[MEMORY_PATH_BYTES] =
        must_have(malloc((disk->name_change_count * 2 + 1) * sizeof *folders));
    size_t folder_count = 1;
    assert(strlen(path) < MEMORY_PATH_BYTES);
    strcpy(folders[0], path);
    for (size_t i = disk->name_change_count; i-- > 0;) {
        const struct name_change *change = &disk->name_changes[i];
        chosen[i] = false;
        for (size_t f = 0; f < folder_count && !chosen[i]; f++)
            chosen[i] = change_touches(change, folders[f]);
        if (!chosen[i])
            continue;
        if (change->from != NULL)
            path_folder(change->from, folders[folder_count++]);
        if (change->to != NULL)
            path_folder(change->to, folders[folder_count++]);
    }
    free(folders);
}

/* Applies the chosen changes to the durable tree, in their order, and forgets them. */
static void settle(struct memory_disk *disk, const bool *chosen)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->name_change_count; i++) {
        struct name_change *change = &disk->name_changes[i];
        if (chosen[i]) {
            tree_apply(&disk->durable, change);
            name_change_done(change);
        } else {
            disk->name_changes[kept++] = *change;
        }
    }
    disk->name_change_count = kept;
}

void disk_sync_folder(struct memory_disk *disk, const char *path)
{
    bool *chosen = must_have(calloc(disk->name_change_count + 1, sizeof *chosen));
    choose_synced(disk, path, chosen);
    settle(disk, chosen);
    free(chosen);
    disk_collect(disk);
}

/* A first part of each folder's changes: one that is lost takes the later ones of its folders with it. */
static void choose_surviving(const struct memory_disk *disk, uint64_t *random, bool *chosen)
{
    const uint64_t loss = random_below(random, 4); /* of 3: from none lost to all lost */
    for (size_t i = 0; i < disk->name_change_count; i++) {
        chosen[i] = random_below(random, 3) >= loss;
        for (size_t j = 0; j < i && chosen[i]; j++) {
            const struct name_change *lost = &disk->name_changes[j];
            char folder[MEMORY_PATH_BYTES];
            for (int side = 0; side < 2 && !chosen[j] && chosen[i]; side++) {
                const char *path = side == 0 ? lost->from : lost->to;
                if (path == NULL)
                    continue;
                path_folder(path, folder);
                chosen[i] = !change_touches(&disk->name_changes[i], folder);
            }
        }
    }
}

/* What stood in a folder that is gone is gone. Removing one may orphan others, hence until nothing changes. */
static void prune_orphans(struct tree *tree)
{
    for (size_t i = 0; i < tree->count;) {
        char folder[MEMORY_PATH_BYTES];
        path_folder(tree->items[i].path, folder);
        if (tree_has_folder(tree, folder)) {
            i++;
            continue;
        }
        tree_delete(tree, tree->items[i].path);
        i = 0;
    }
}

void disk_crash(struct memory_disk *disk, uint64_t *random)
{
    bool *chosen = must_have(calloc(disk->name_change_count + 1, sizeof *chosen));
    if (random != NULL)
        choose_surviving(disk, random, chosen);
    settle(disk, chosen);
    free(chosen);
    for (size_t i = 0; i < disk->name_change_count; i++)
        name_change_done(&disk->name_changes[i]);
    disk->name_change_count = 0;
    prune_orphans(&disk->durable);
    tree_copy(&disk->cached, &disk->durable);
    disk_collect(disk);
    for (struct node *node = disk->nodes; node != NULL; node = node->next)
        node_crash(node, random);
    disk->generation++;
}

struct memory_disk *disk_new(void)
{
    struct memory_disk *disk = must_have(calloc(1, sizeof *disk));
    (void)pthread_mutex_init(&disk->lock, NULL); /* cannot fail with default attributes */
    return disk;
}

void disk_free(struct memory_disk *disk)
{
    assert(disk->open_count == 0);
    for (size_t i = 0; i < disk->name_change_count; i++)
        name_change_done(&disk->name_changes[i]);
    free(disk->name_changes);
    tree_clear(&disk->cached);
    tree_clear(&disk->durable);
    while (disk->nodes != NULL) {
        struct node *next = disk->nodes->next;
        node_free(disk->nodes);
        disk->nodes = next;
    }
    (void)pthread_mutex_destroy(&disk->lock); /* nobody holds it */
    free(disk);
}
