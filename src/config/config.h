/*
 * The configuration: one table of keys (config_keys.h), filled from defaults, a YAML file and the environment,
 * in that order. main reads values and fills each room's own options; no other room sees this one.
 *
 * An unknown key, a wrong type, an impossible value or a key given twice stops the start; the message names
 * file, line, key and remedy. Environment: STRATA_ and the path with '_' for '.'; a name that maps to two keys
 * sets both. Lists and maps in the environment are JSON.
 *
 * Ownership  The config owns all values; texts live until config_free.
 * Threads    Built by one thread, then only read.
 * Blocking   config_read_file reads a file, config_check_files and config_exposures look at some; nothing else waits.
 * Errors     INVALID_ARGUMENT for everything a user can mend; NOT_FOUND when the file is not there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/status.h"
#include "config/config_keys.h"

enum config_key {
#define X(id, path, type, fallback, least, most, unit, help) CONFIG_##id,
    CONFIG_KEY_TABLE(X)
#undef X
        CONFIG_KEY_COUNT
};

enum config_type {
    CONFIG_TEXT,
    CONFIG_BOOL,
    CONFIG_INT,
    CONFIG_DURATION,
    CONFIG_CHOICE,
    CONFIG_LIST,
    CONFIG_MAP
};

struct config_pair {
    const char *name;
    const char *value;
};

struct config;

/* All keys at their defaults. NULL when out of memory. */
struct config *config_new(void);
void config_free(struct config *config); /* NULL is fine */
DEFINE_CLEANUP(struct config, config_free);

/* Reads a YAML text; `file` is only for messages. */
STATUS_MUST_CHECK struct status config_read_yaml(struct config *config, const char *file, const char *text,
                                                 size_t size);
STATUS_MUST_CHECK struct status config_read_file(struct config *config, const char *path);
/* Takes every STRATA_* entry of a NULL-terminated environment. */
STATUS_MUST_CHECK struct status config_read_environment(struct config *config,
                                                        const char *const *environment);

/* Values that follow others: of server.http_port and websocket.port, the one that is not given is the other one's. */
void config_settle(struct config *config);
/* What single keys cannot see: values that do not go together. */
STATUS_MUST_CHECK struct status config_check(const struct config *config);
/* UNIMPLEMENTED naming the first thing that is configured but not part of this build, and the remedy. */
STATUS_MUST_CHECK struct status config_check_built(const struct config *config, bool embedded);

/* A file that is named for an engine in use (a password, certificates, a key) and cannot be read; key, path, reason. */
STATUS_MUST_CHECK struct status config_check_files(const struct config *config);

/* A file that holds a secret, and that its group or everybody may read. */
struct config_exposure {
    enum config_key key; /* which secret stands in it, or which key names it */
    const char *file;    /* the config's */
    unsigned mode;       /* its permissions */
};
#define CONFIG_EXPOSURES_MAX 6U
/* The configuration file, and those that it names for secrets; returns how many. Looks at the latter now. */
size_t config_exposures(const struct config *config, struct config_exposure ret[CONFIG_EXPOSURES_MAX]);

const char *config_text(const struct config *config, enum config_key key); /* CONFIG_TEXT, CONFIG_CHOICE */
bool config_bool(const struct config *config, enum config_key key);
int64_t config_int(const struct config *config, enum config_key key);         /* CONFIG_INT */
int64_t config_duration_us(const struct config *config, enum config_key key); /* CONFIG_DURATION */
const char *const *config_list(const struct config *config, enum config_key key, size_t *ret_count);
const struct config_pair *config_map(const struct config *config, enum config_key key, size_t *ret_count);
bool config_is_set(const struct config *config, enum config_key key); /* given by file or environment */
/* Sets a key as the environment would; for command line options. */
STATUS_MUST_CHECK struct status config_set(struct config *config, enum config_key key, const char *text);

/*
 * Appends the configuration in effect as a JSON object, sections as objects; a secret that is set shows as "***".
 * RESOURCE_EXHAUSTED when out of memory or over the buffer's limit.
 */
STATUS_MUST_CHECK struct status config_json(const struct config *config, struct buffer *to);

const char *config_key_path(enum config_key key);
enum config_type config_key_type(enum config_key key);
const char *config_key_help(enum config_key key);

/* The engines that were chosen, or follow from the sections that are there (DESIGN §5). */
const char *config_event_store(const struct config *config);
const char *config_snapshot_store(const struct config *config);
bool config_caches_in_redis(const struct config *config);
/* A section, the cache or the snapshots name it. */
bool config_has_redis(const struct config *config);

/* How callers may be trusted (DESIGN §7). */
enum config_security { CONFIG_SECURITY_DEVELOPMENT, CONFIG_SECURITY_ENFORCED };
enum config_security config_security(const struct config *config);
/* Does server.bind reach this machine only? */
bool config_is_loopback(const struct config *config);
