/* YAML by libfyaml: duplicate keys are errors there and every node knows its line. Aliases are refused, so that
 * a small file cannot grow. */
#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_internal.h"

#define PATH_MAX_BYTES 128U
#define ITEMS_MAX      1000

struct reading {
    struct config *config;
    const char *file;
};

static struct status at_line(const struct reading *reading, struct fy_node *node, struct status status)
{
    int line = 0;
    struct fy_token *token = fy_node_is_scalar(node) ? fy_node_get_scalar_token(node) : NULL;
    const struct fy_mark *mark = token != NULL ? fy_token_start_mark(token) : NULL;
    if (mark != NULL)
        line = mark->line + 1; /* libfyaml counts from 0 */
    return status_prefix(status, "%s:%d", reading->file, line);
}

static const char *scalar_text(const struct reading *reading, struct fy_node *node)
{
    size_t length = 0;
    const char *text = fy_node_get_scalar(node, &length);
    return arena_text(reading->config->arena, bytes_of(text, length));
}

static struct status read_items(const struct reading *reading, enum config_key key, struct fy_node *key_node,
                                struct fy_node *node)
{
    const int count = fy_node_sequence_item_count(node);
    if (count < 0 || count > ITEMS_MAX)
        return at_line(reading, key_node,
                       status_error(STATUS_INVALID_ARGUMENT, "%s has more than %d entries",
                                    config_key_path(key), ITEMS_MAX));
    const char **items = arena_array(reading->config->arena, (size_t)count, sizeof *items);
    if (items == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
    for (int i = 0; i < count; i++) {
        struct fy_node *item = fy_node_sequence_get_by_index(node, i);
        items[i] = fy_node_is_scalar(item) && !fy_node_is_alias(item) ? scalar_text(reading, item) : NULL;
        if (items[i] == NULL)
            return at_line(reading, key_node,
                           status_error(STATUS_INVALID_ARGUMENT, "%s: entry %d is not a plain value",
                                        config_key_path(key), i + 1));
    }
    struct status status = config_take_list(reading->config, key, items, (size_t)count);
    return status.code == STATUS_OK ? status : at_line(reading, key_node, status);
}

static struct status read_map(const struct reading *reading, enum config_key key, struct fy_node *key_node,
                              struct fy_node *node)
{
    const int count = fy_node_mapping_item_count(node);
    if (count < 0 || count > ITEMS_MAX)
        return at_line(reading, key_node,
                       status_error(STATUS_INVALID_ARGUMENT, "%s has more than %d entries",
                                    config_key_path(key), ITEMS_MAX));
    struct config_pair *pairs = arena_array(reading->config->arena, (size_t)count, sizeof *pairs);
    if (pairs == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
    for (int i = 0; i < count; i++) {
        struct fy_node_pair *pair = fy_node_mapping_get_by_index(node, i);
        struct fy_node *name = fy_node_pair_key(pair);
        struct fy_node *value = fy_node_pair_value(pair);
        if (!fy_node_is_scalar(name) || value == NULL || !fy_node_is_scalar(value) || fy_node_is_alias(value))
            return at_line(reading, key_node,
                           status_error(STATUS_INVALID_ARGUMENT,
                                        "%s: entry %d is not a name with a plain value", config_key_path(key),
                                        i + 1));
        pairs[i] = (struct config_pair){scalar_text(reading, name), scalar_text(reading, value)};
        if (pairs[i].name == NULL || pairs[i].value == NULL)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
    }
    struct status status = config_take_map(reading->config, key, pairs, (size_t)count);
    return status.code == STATUS_OK ? status : at_line(reading, key_node, status);
}

static bool is_section(const char *path)
{
    const size_t length = strlen(path);
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++) {
        const char *other = config_key_path(key);
        if (strncmp(other, path, length) == 0 && other[length] == '.')
            return true;
    }
    return false;
}

static struct status read_section(const struct reading *reading, const char *prefix, struct fy_node *node);

static struct status read_key(const struct reading *reading, enum config_key key, struct fy_node *key_node,
                              struct fy_node *value)
{
    if (value == NULL || fy_node_is_alias(value))
        return at_line(reading, key_node,
                       status_error(STATUS_INVALID_ARGUMENT, "%s: aliases are not read; write the value",
                                    config_key_path(key)));
    if (fy_node_is_sequence(value))
        return read_items(reading, key, key_node, value);
    if (fy_node_is_mapping(value))
        return read_map(reading, key, key_node, value);
    const char *text = scalar_text(reading, value);
    if (text == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
    struct status status = config_take_scalar(reading->config, key, text);
    return status.code == STATUS_OK ? status : at_line(reading, key_node, status);
}

static struct status read_pair(const struct reading *reading, const char *prefix, struct fy_node_pair *pair)
{
    struct fy_node *key_node = fy_node_pair_key(pair);
    struct fy_node *value = fy_node_pair_value(pair);
    if (key_node == NULL || !fy_node_is_scalar(key_node))
        return status_error(STATUS_INVALID_ARGUMENT, "%s: a key is not a plain name", reading->file);
    const char *name = scalar_text(reading, key_node);
    if (name == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
    char path[PATH_MAX_BYTES];
    /* A cut path is an unknown key. */
    (void)snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", name);
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++)
        if (strcmp(path, config_key_path(key)) == 0)
            return read_key(reading, key, key_node, value);
    if (!is_section(path))
        return at_line(reading, key_node,
                       status_error(STATUS_INVALID_ARGUMENT, "the key %s is unknown%s", path,
                                    config_nearest(reading->config->arena, path)));
    if (value == NULL || !fy_node_is_mapping(value)) {
        /* A section whose keys are all commented out reads as null. */
        const char *text = value != NULL && fy_node_is_scalar(value) ? scalar_text(reading, value) : "";
        if (value == NULL ||
            (text != NULL && (text[0] == '\0' || strcmp(text, "null") == 0 || strcmp(text, "~") == 0)))
            return status_ok();
        return at_line(reading, key_node,
                       status_error(STATUS_INVALID_ARGUMENT,
                                    "%s is a section; write its keys below it, indented", path));
    }
    return read_section(reading, path, value);
}

static struct status read_section(const struct reading *reading, const char *prefix, struct fy_node *node)
{
    void *iterator = NULL;
    struct fy_node_pair *pair = NULL;
    while ((pair = fy_node_mapping_iterate(node, &iterator)) != NULL)
        STATUS_TRY(read_pair(reading, prefix, pair));
    return status_ok();
}

/* The key that a line of the text begins with. */
static struct bytes key_at(const char *text, size_t size, unsigned long line)
{
    const char *at = text;
    const char *end = text + size;
    for (; line > 1; line--) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at == NULL)
            return BYTES_NONE;
        at++;
    }
    while (at < end && (*at == ' ' || *at == '-'))
        at++;
    const char *colon = at;
    while (colon < end && *colon != ':' && *colon != '\n')
        colon++;
    return bytes_of(at, (size_t)(colon - at));
}

/* libfyaml writes its complaint to a stream, as "<memory-…>:LINE:COLUMN: error: WHAT". */
static struct status parse_error(const char *file, const char *text, size_t size, const char *complaint)
{
    const char *place = strstr(complaint, ">:");
    const char *what = strstr(complaint, "error: ");
    if (place == NULL || what == NULL)
        return status_error(STATUS_INVALID_ARGUMENT, "%s: not usable YAML: %.*s", file,
                            (int)strcspn(complaint, "\n"), complaint);
    const unsigned long line = strtoul(place + 2, NULL, 10);
    what += strlen("error: ");
    const int length = (int)strcspn(what, "\n");
    if (strncmp(what, "duplicate key", strlen("duplicate key")) != 0)
        return status_error(STATUS_INVALID_ARGUMENT, "%s:%lu: not usable YAML: %.*s", file, line, length,
                            what);
    const struct bytes key = key_at(text, size, line);
    return status_error(STATUS_INVALID_ARGUMENT,
                        "%s:%lu: duplicate key %.*s: it stands further up already; keep one of the two", file,
                        line, BYTES_FORMAT(key));
}

/* White space and comments, for which libfyaml has no document: all keys are at their defaults. */
static bool says_nothing(const char *text, size_t size)
{
    for (size_t at = 0; at < size; at++)
        if (text[at] == '#')
            while (at + 1 < size && text[at + 1] != '\n')
                at++;
        else if (strchr(" \r\n", text[at]) == NULL || text[at] == '\0')
            return false;
    return true;
}

struct status config_read_yaml(struct config *config, const char *file, const char *text, size_t size)
{
    char *complaint = NULL;
    size_t complaint_size = 0;
    FILE *stream = open_memstream(&complaint, &complaint_size);
    if (stream == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
    const struct fy_diag_cfg diag_cfg = {
        .fp = stream, .level = FYET_ERROR, .module_mask = ~0U, .show_position = true};
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    const struct fy_parse_cfg cfg = {.flags = FYPCF_DEFAULT_DOC & ~FYPCF_RESOLVE_DOCUMENT, .diag = diag};
    struct fy_document *document = fy_document_build_from_string(&cfg, text, size);
    (void)fflush(stream); /* a memory stream */
    struct status status = status_ok();
    struct fy_node *root = document != NULL ? fy_document_root(document) : NULL;
    if (document == NULL) {
        status = says_nothing(text, size) ? status_ok() : parse_error(file, text, size, complaint);
    } else if (root != NULL && !fy_node_is_mapping(root)) {
        status =
            status_error(STATUS_INVALID_ARGUMENT, "%s: the file is not a list of keys with values", file);
    } else if (root != NULL) {
        const struct reading reading = {config, file};
        status = read_section(&reading, "", root);
    }
    fy_document_destroy(document);
    fy_diag_destroy(diag);
    (void)fclose(stream); /* a memory stream */
    free(complaint);
    return status;
}
