#include "config/config_internal.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"

#define SUGGESTION_DISTANCE_MAX 3U
#define FILE_MAX_BYTES          ((size_t)1024 * 1024)

const struct config_key_info config_keys[CONFIG_KEY_COUNT] = {
#define X(id, path, type, fallback, least, most, unit, help)                                                 \
    [CONFIG_##id] = {path, CONFIG_##type, fallback, least, most, unit, help},
    CONFIG_KEY_TABLE(X)
#undef X
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
}

static struct status take_bool(struct config_value *value, const char *path, const char *text)
{
    const bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0)
        return status_error(STATUS_INVALID_ARGUMENT, "%s is \"%s\"; write true or false", path, text);
    value->number = yes;
    return status_ok();
}

static struct status check_range(const struct config_key_info *info, int64_t number, const char *text)
{
    if (number >= info->least && (info->most == 0 || number <= info->most))
        return status_ok();
    if (info->most == 0)
        return status_error(STATUS_INVALID_ARGUMENT, "%s is %s; set it to %lld or more", info->path, text,
                            (long long)info->least);
    return status_error(STATUS_INVALID_ARGUMENT, "%s is %s; set it between %lld and %lld%s%s", info->path,
                        text, (long long)info->least, (long long)info->most, info->unit[0] ? " " : "",
                        info->unit);
}

static struct status take_int(struct config_value *value, const struct config_key_info *info,
                              const char *text)
{
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || isspace((unsigned char)text[0]))
        return status_error(STATUS_INVALID_ARGUMENT, "%s is \"%s\"; write a whole number", info->path, text);
    STATUS_TRY(check_range(info, number, text));
    value->number = number;
    return status_ok();
}

/* One number and one unit, as in "5m"; several add up, as in "1h30m". */
static bool parse_duration(const char *text, int64_t *ret_us)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"us", 1},       {"ms", 1000},      {"s", 1000000},
                 {"m", 60000000}, {"h", 3600000000}, {"d", 86400000000}};
    int64_t total_us = 0;
    const char *at = text;
    if (*at == '\0')
        return false;
    while (*at != '\0') {
        if (!isdigit((unsigned char)*at))
            return false;
        char *end = NULL;
        errno = 0;
        const long long number = strtoll(at, &end, 10);
        const size_t length = strspn(end, "abcdefghijklmnopqrstuvwxyz");
        int64_t unit_us = 0;
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
            if (strlen(units[i].unit) == length && strncmp(end, units[i].unit, length) == 0)
                unit_us = units[i].us;
        int64_t part_us = 0;
        if (errno != 0 || unit_us == 0 || __builtin_mul_overflow((int64_t)number, unit_us, &part_us) ||
            __builtin_add_overflow(total_us, part_us, &total_us))
            return false;
        at = end + length;
    }
    *ret_us = total_us;
    return true;
}

static struct status take_duration(struct config_value *value, const struct config_key_info *info,
                                   const char *text)
{
    int64_t us = 0;
    if (!parse_duration(text, &us))
        return status_error(STATUS_INVALID_ARGUMENT,
                            "%s is \"%s\"; write a number with its unit, such as 500ms, 30s, 5m, 24h or 7d",
                            info->path, text);
    STATUS_TRY(check_range(info, us, text));
    value->number = us;
    return status_ok();
}

static struct status take_choice(struct config_value *value, const struct config_key_info *info,
                                 const char *text)
{
    const size_t length = strlen(text);
    for (const char *word = info->unit; *word != '\0';) {
        const size_t word_length = strcspn(word, " ");
        if (word_length == length && memcmp(word, text, length) == 0) {
            value->text = text;
            return status_ok();
        }
        word += word_length + (word[word_length] == ' ');
    }
    return status_error(STATUS_INVALID_ARGUMENT, "%s is \"%s\"; choose one of: %s", info->path, text,
                        info->unit);
}

static struct status take_text(struct config *config, enum config_key key, const char *text)
{
    struct config_value *value = &config->values[key];
    const struct config_key_info *info = &config_keys[key];
    switch (info->type) {
    case CONFIG_TEXT:
        value->text = text;
        return status_ok();
    case CONFIG_BOOL:
        return take_bool(value, info->path, text);
    case CONFIG_INT:
        return take_int(value, info, text);
    case CONFIG_DURATION:
        return take_duration(value, info, text);
    case CONFIG_CHOICE:
        return take_choice(value, info, text);
    case CONFIG_LIST:
        return status_error(STATUS_INVALID_ARGUMENT, "%s is a single value; write a list such as [a, b]",
                            info->path);
    case CONFIG_MAP:
        return status_error(STATUS_INVALID_ARGUMENT, "%s is a single value; write names with values",
                            info->path);
    }
    assert(false);
    return status_ok();
}

struct status config_take_scalar(struct config *config, enum config_key key, const char *text)
{
    const char *copy = arena_text(config->arena, bytes_of_text(text));
    if (copy == NULL)
        return no_memory();
    STATUS_TRY(take_text(config, key, copy));
    config->values[key].set = true;
    return status_ok();
}

struct status config_take_list(struct config *config, enum config_key key, const char **items, size_t count)
{
    if (config_keys[key].type != CONFIG_LIST)
        return status_error(STATUS_INVALID_ARGUMENT, "%s is a list; write one value", config_keys[key].path);
    config->values[key] = (struct config_value){.set = true, .items = items, .count = count};
    return status_ok();
}

struct status config_take_map(struct config *config, enum config_key key, struct config_pair *pairs,
                              size_t count)
{
    if (config_keys[key].type != CONFIG_MAP)
        return status_error(STATUS_INVALID_ARGUMENT, "%s has keys below it; write one value",
                            config_keys[key].path);
    config->values[key] = (struct config_value){.set = true, .pairs = pairs, .count = count};
    return status_ok();
}

struct config *config_new(void)
{
    struct config *config = calloc(1, sizeof *config);
    if (config == NULL)
        return NULL;
    config->arena = arena_new(0);
    if (config->arena == NULL) {
        free(config);
        return NULL;
    }
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++) {
        const struct config_key_info *info = &config_keys[key];
        config->values[key].text = "";
        if (info->fallback[0] == '\0')
            continue;
        struct status status = config_set(config, key, info->fallback);
        assert(status.code == STATUS_OK); /* a default out of its own range is our bug */
        config->values[key].set = false;
    }
    return config;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    arena_free(config->arena);
    free(config);
}

const char *config_text(const struct config *config, enum config_key key)
{
    assert(config_keys[key].type == CONFIG_TEXT || config_keys[key].type == CONFIG_CHOICE);
    return config->values[key].text;
}

bool config_bool(const struct config *config, enum config_key key)
{
    assert(config_keys[key].type == CONFIG_BOOL);
    return config->values[key].number != 0;
}

int64_t config_int(const struct config *config, enum config_key key)
{
    assert(config_keys[key].type == CONFIG_INT);
    return config->values[key].number;
}

int64_t config_duration_us(const struct config *config, enum config_key key)
{
    assert(config_keys[key].type == CONFIG_DURATION);
    return config->values[key].number;
}

const char *const *config_list(const struct config *config, enum config_key key, size_t *ret_count)
{
    assert(config_keys[key].type == CONFIG_LIST);
    *ret_count = config->values[key].count;
    return config->values[key].items;
}

const struct config_pair *config_map(const struct config *config, enum config_key key, size_t *ret_count)
{
    assert(config_keys[key].type == CONFIG_MAP);
    *ret_count = config->values[key].count;
    return config->values[key].pairs;
}

bool config_is_set(const struct config *config, enum config_key key)
{
    return config->values[key].set;
}

const char *config_key_path(enum config_key key)
{
    return config_keys[key].path;
}

enum config_type config_key_type(enum config_key key)
{
    return config_keys[key].type;
}

const char *config_key_help(enum config_key key)
{
    return config_keys[key].help;
}

/* Levenshtein distance over two rows; paths are short. */
static size_t distance(const char *a, const char *b)
{
    size_t row[96];
    const size_t length = strlen(b);
    if (length + 1 > sizeof row / sizeof row[0])
        return SIZE_MAX;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            const size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[length];
}

const char *config_nearest(struct arena *arena, const char *path)
{
    size_t best = SUGGESTION_DISTANCE_MAX + 1;
    const char *nearest = NULL;
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++) {
        const size_t d = distance(path, config_keys[key].path);
        if (d < best) {
            best = d;
            nearest = config_keys[key].path;
        }
    }
    const char *text = nearest == NULL ? "" : arena_printf(arena, "; did you mean %s?", nearest);
    return text == NULL ? "" : text;
}

struct status config_read_file(struct config *config, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return status_error(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_INVALID_ARGUMENT,
                            "the configuration file \"%s\" cannot be read: %s", path, strerror(errno));
    struct buffer text = buffer_in(config->arena, FILE_MAX_BYTES);
    char chunk[4096];
    size_t got = 0;
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0)
        buffer_add(&text, chunk, got);
    struct stat about = {0};
    const bool failed = ferror(file) != 0 || fstat(fileno(file), &about) != 0;
    (void)fclose(file); /* only read from */
    if (failed || text.failed)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "the configuration file \"%s\" cannot be read or is over 1 MiB", path);
    STATUS_TRY(config_read_yaml(config, path, (const char *)text.data, text.size_bytes));
    config_note_file(config, path, S_ISREG(about.st_mode) ? about.st_mode & 07777 : 0);
    return status_ok();
}
