#include "domain/tree_internal.h"

#include <assert.h>
#include <string.h>

/* Owned bytes that are overwritten in place when the new content fits. */
struct text {
    uint8_t *data;
    uint32_t size_bytes;
    uint32_t capacity_bytes;
};

struct object_member {
    struct object_member *previous; /* in the object's order */
    struct object_member *next;     /* as above, or in the list of free ones */
    struct text token;              /* the name as written, with quotes */
    struct text plain;              /* the name without escapes; empty when it has none */
    struct text raw;                /* the value, when `object` is NULL */
    struct object *object;
};

/*
 * A crit-bit tree over names. A name is read as symbols of nine bits, one a byte (0x100 | byte) and then zeros
 * for ever, so that no name is a prefix of another. A branch asks one bit: of the symbol at `byte`, the one in
 * `mask`. Both rise along every path: from the first byte to later ones, from high bits to low ones.
 */
struct object_branch {
    uintptr_t child[2]; /* a member, or a branch with bit 0 set; child[1] when the bit is set */
    uint32_t byte;
    uint32_t mask;
};

struct object {
    struct object_member *first;
    struct object_member *last;
    uintptr_t root; /* as a child; 0 = empty */
    struct object *next_free;
};

#define BRANCH_TAG 1U

static bool is_branch(uintptr_t link)
{
    return (link & BRANCH_TAG) != 0;
}

static struct object_branch *as_branch(uintptr_t link)
{
    assert(is_branch(link));
    return (struct object_branch *)(link - BRANCH_TAG);
}

static struct object_member *as_member(uintptr_t link)
{
    assert(!is_branch(link));
    return (struct object_member *)link;
}

static struct bytes text_bytes(const struct text *text)
{
    return bytes_of(text->data, text->size_bytes);
}

static void text_set(struct tree *tree, struct text *text, struct bytes content)
{
    assert(content.size_bytes <= UINT32_MAX);
    if (content.size_bytes > text->capacity_bytes) {
        /* Doubling keeps the memory left behind by a growing value below its final size. */
        size_t capacity = (size_t)text->capacity_bytes * 2;
        if (capacity < content.size_bytes)
            capacity = content.size_bytes;
        if (capacity > UINT32_MAX)
            capacity = UINT32_MAX;
        uint8_t *data = arena_alloc(tree->arena, capacity);
        if (data == NULL) {
            tree->failed = true;
            return;
        }
        text->data = data;
        text->capacity_bytes = (uint32_t)capacity;
    }
    if (content.size_bytes > 0)
        memcpy(text->data, content.data, content.size_bytes);
    text->size_bytes = (uint32_t)content.size_bytes;
}

/* --- names --- */

static struct bytes member_name(const struct object_member *member)
{
    if (member->plain.size_bytes > 0)
        return text_bytes(&member->plain);
    return bytes_of(member->token.data + 1, member->token.size_bytes - 2);
}

static uint32_t symbol_at(struct bytes name, size_t byte)
{
    return byte < name.size_bytes ? 0x100U | name.data[byte] : 0U;
}

static size_t side_of(const struct object_branch *branch, struct bytes name)
{
    return (symbol_at(name, branch->byte) & branch->mask) != 0 ? 1 : 0;
}

/* The member that `name` leads to: the one of that name, if any is. NULL when the object is empty. */
static struct object_member *nearest(const struct object *object, struct bytes name)
{
    uintptr_t link = object->root;
    while (is_branch(link)) {
        const struct object_branch *branch = as_branch(link);
        link = branch->child[side_of(branch, name)];
    }
    return as_member(link);
}

static struct object_member *find(const struct object *object, struct bytes name)
{
    struct object_member *member = nearest(object, name);
    return member != NULL && bytes_equal(member_name(member), name) ? member : NULL;
}

static struct object_branch *take_branch(struct tree *tree)
{
    struct object_branch *branch = tree->free_branches;
    if (branch != NULL)
        tree->free_branches = (struct object_branch *)branch->child[0];
    else
        branch = arena_alloc(tree->arena, sizeof *branch);
    if (branch == NULL)
        tree->failed = true;
    return branch;
}

static void give_branch(struct tree *tree, struct object_branch *branch)
{
    branch->child[0] = (uintptr_t)tree->free_branches;
    tree->free_branches = branch;
}

/* Puts a member whose name the object does not have under its name. */
static void index_add(struct tree *tree, struct object *object, struct object_member *member)
{
    const struct bytes name = member_name(member);
    if (object->root == 0) {
        object->root = (uintptr_t)member;
        return;
    }
    const struct bytes other = member_name(nearest(object, name));
    size_t byte = 0;
    while (symbol_at(name, byte) == symbol_at(other, byte))
        byte++;
    const uint32_t difference = symbol_at(name, byte) ^ symbol_at(other, byte);
    const uint32_t mask = 1U << (31 - __builtin_clz(difference));

    struct object_branch *branch = take_branch(tree);
    if (branch == NULL)
        return;
    branch->byte = (uint32_t)byte;
    branch->mask = mask;
    uintptr_t *link = &object->root;
    while (is_branch(*link)) {
        struct object_branch *above = as_branch(*link);
        if (above->byte > byte || (above->byte == byte && above->mask < mask))
            break;
        link = &above->child[side_of(above, name)];
    }
    const size_t side = side_of(branch, name);
    branch->child[side] = (uintptr_t)member;
    branch->child[1 - side] = *link;
    *link = (uintptr_t)branch | BRANCH_TAG;
}

static void index_remove(struct tree *tree, struct object *object, const struct object_member *member)
{
    const struct bytes name = member_name(member);
    uintptr_t *link = &object->root;
    uintptr_t *above = NULL;
    size_t side = 0;
    while (is_branch(*link)) {
        struct object_branch *branch = as_branch(*link);
        above = link;
        side = side_of(branch, name);
        link = &branch->child[side];
    }
    assert(*link == (uintptr_t)member);
    if (above == NULL) {
        object->root = 0;
        return;
    }
    struct object_branch *branch = as_branch(*above);
    *above = branch->child[1 - side];
    give_branch(tree, branch);
}

/* --- members --- */

void tree_init(struct tree *tree, struct arena *arena)
{
    *tree = (struct tree){.arena = arena};
}

struct object *tree_object(struct tree *tree)
{
    struct object *object = tree->free_objects;
    if (object != NULL)
        tree->free_objects = object->next_free;
    else
        object = arena_alloc(tree->arena, sizeof *object);
    if (object == NULL) {
        tree->failed = true;
        return NULL;
    }
    *object = (struct object){0};
    return object;
}

static void free_index(struct tree *tree, uintptr_t link)
{
    /* A path can be as long as a name has bits, so no recursion: each branch hands its first child's branches
     * to its own place by rotating them up. */
    while (is_branch(link)) {
        struct object_branch *branch = as_branch(link);
        if (!is_branch(branch->child[0])) {
            link = branch->child[1];
            give_branch(tree, branch);
            continue;
        }
        struct object_branch *child = as_branch(branch->child[0]);
        branch->child[0] = child->child[1];
        child->child[1] = link;
        link = (uintptr_t)child | BRANCH_TAG;
    }
}

static void drop_object(struct tree *tree, struct object *object);

static void free_member(struct tree *tree, struct object_member *member)
{
    if (member->object != NULL)
        drop_object(tree, member->object);
    member->object = NULL;
    member->next = tree->free_members;
    tree->free_members = member;
}

void tree_clear(struct tree *tree, struct object *object)
{
    free_index(tree, object->root);
    for (struct object_member *member = object->first; member != NULL;) {
        struct object_member *next = member->next;
        free_member(tree, member);
        member = next;
    }
    *object = (struct object){0};
}

/* Recursion here and below is as deep as JSON may be nested (JSON_DEPTH_MAX). */
static void drop_object(struct tree *tree, struct object *object)
{
    tree_clear(tree, object);
    object->next_free = tree->free_objects;
    tree->free_objects = object;
}

static void remove_name(struct tree *tree, struct object *object, struct bytes name)
{
    struct object_member *member = find(object, name);
    if (member == NULL)
        return;
    index_remove(tree, object, member);
    *(member->previous == NULL ? &object->first : &member->previous->next) = member->next;
    *(member->next == NULL ? &object->last : &member->next->previous) = member->previous;
    free_member(tree, member);
}

static struct object_member *take_member(struct tree *tree)
{
    struct object_member *member = tree->free_members;
    if (member != NULL)
        tree->free_members = member->next;
    else
        member = arena_zalloc(tree->arena, sizeof *member);
    if (member == NULL)
        tree->failed = true;
    return member;
}

/* The member of that name, made at the end of the object when it has none; NULL when the arena is exhausted.
 * The value of a new one is to be set. */
static struct object_member *member_of(struct tree *tree, struct object *object, struct bytes name,
                                       struct bytes token)
{
    struct object_member *member = find(object, name);
    if (member != NULL)
        return member;
    member = take_member(tree);
    if (member == NULL)
        return NULL;
    member->raw.size_bytes = 0;
    text_set(tree, &member->token, token);
    /* A name without escapes is the token without its quotes. */
    text_set(tree, &member->plain, name.size_bytes + 2 == token.size_bytes ? BYTES_NONE : name);
    if (tree->failed)
        return NULL;
    index_add(tree, object, member);
    member->next = NULL;
    member->previous = object->last;
    *(object->last == NULL ? &object->first : &object->last->next) = member;
    object->last = member;
    return member;
}

static void set_raw(struct tree *tree, struct object_member *member, struct bytes raw)
{
    if (member->object != NULL)
        drop_object(tree, member->object);
    member->object = NULL;
    text_set(tree, &member->raw, raw);
}

enum nulls { NULLS_REMOVE, NULLS_KEEP };

static void merge(struct tree *tree, struct object *object, const struct view *patch, enum nulls nulls);

static void merge_member(struct tree *tree, struct object *object, const struct view_member *from,
                         enum nulls nulls)
{
    if (nulls == NULLS_REMOVE && raw_is_null(from->raw)) {
        remove_name(tree, object, from->name);
        return;
    }
    struct object_member *member = member_of(tree, object, from->name, from->token);
    if (member == NULL)
        return;
    if (from->object == NULL) {
        set_raw(tree, member, from->raw);
        return;
    }
    if (member->object == NULL)
        member->object = tree_object(tree);
    if (member->object != NULL)
        merge(tree, member->object, from->object, nulls);
}

static void merge(struct tree *tree, struct object *object, const struct view *patch, enum nulls nulls)
{
    for (const struct view_member *from = patch->first; from != NULL && !tree->failed; from = from->next)
        merge_member(tree, object, from, nulls);
}

void tree_merge(struct tree *tree, struct object *object, const struct view *patch)
{
    merge(tree, object, patch, NULLS_REMOVE);
}

void tree_copy(struct tree *tree, struct object *object, const struct view *from)
{
    assert(object->root == 0);
    merge(tree, object, from, NULLS_KEEP);
}

void tree_replace(struct tree *tree, struct object *object, struct bytes name, struct bytes token,
                  const struct view_member *value)
{
    struct object_member *member = find(object, name);
    if (member != NULL && member->object != NULL)
        tree_clear(tree, member->object);
    const struct view_member renamed = {
        .token = token, .name = name, .raw = value->raw, .object = value->object};
    merge_member(tree, object, &renamed, NULLS_REMOVE);
}

void tree_set(struct tree *tree, struct object *object, const char *name, const char *raw)
{
    char token[64];
    const struct bytes plain = bytes_of_text(name);
    assert(plain.size_bytes + 2 <= sizeof token);
    token[0] = '"';
    memcpy(token + 1, plain.data, plain.size_bytes);
    token[plain.size_bytes + 1] = '"';
    struct object_member *member = member_of(tree, object, plain, bytes_of(token, plain.size_bytes + 2));
    if (member != NULL)
        set_raw(tree, member, bytes_of_text(raw));
}

struct bytes tree_find(const struct object *object, const char *name)
{
    const struct object_member *member = find(object, bytes_of_text(name));
    if (member == NULL)
        return BYTES_NONE;
    return member->object != NULL ? BYTES_LITERAL("{") : text_bytes(&member->raw);
}

void tree_write(const struct object *object, struct buffer *to)
{
    buffer_add_byte(to, '{');
    for (const struct object_member *member = object->first; member != NULL; member = member->next) {
        if (member != object->first)
            buffer_add_byte(to, ',');
        buffer_add_bytes(to, text_bytes(&member->token));
        buffer_add_byte(to, ':');
        if (member->object != NULL)
            tree_write(member->object, to);
        else
            buffer_add_bytes(to, text_bytes(&member->raw));
    }
    buffer_add_byte(to, '}');
}
