/* The values of a configuration, for the readers inside this room. */
#pragma once

#include "base/arena.h"
#include "config/config.h"

struct config_value {
    bool set;
    const char *text;
    int64_t number; /* booleans, integers, durations in µs */
    const char **items;
    struct config_pair *pairs;
    size_t count; /* of items or pairs */
};

struct config {
    struct arena *arena;
    struct config_value values[CONFIG_KEY_COUNT];
    struct config_exposure
        secrets; /* the file that was read, if there is a secret in it; else its name is NULL */
};

#define CONFIG_SAMPLE_SECRET "your-secret-key" /* in configs/config.yaml */

/* A file was read, and nothing behind it: remembers whether there is a secret in it, and its mode. */
void config_note_file(struct config *config, const char *path, unsigned mode);

struct config_key_info {
    const char *path;
    enum config_type type;
    const char *fallback;
    int64_t least;
    int64_t most;
    const char *unit; /* choices: the words; texts: CONFIG_UNIT_SECRET or "" */
    const char *help;
};

extern const struct config_key_info config_keys[CONFIG_KEY_COUNT];

/* Takes a scalar's text for a key of any scalar type; the message says what is wrong, without the place. */
struct status config_take_scalar(struct config *config, enum config_key key, const char *text);
struct status config_take_list(struct config *config, enum config_key key, const char **items, size_t count);
struct status config_take_map(struct config *config, enum config_key key, struct config_pair *pairs,
                              size_t count);

/* "; did you mean X?" for the key path nearest to `path`, or "". Lives in the arena. */
const char *config_nearest(struct arena *arena, const char *path);
