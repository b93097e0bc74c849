/* Files that the configuration names, and the one that it stands in: whether they are there, and who may read them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "config/config_internal.h"

/* ---- those that must be there ---- */

/* NULL = it can. Opens nothing: what is read only once, such as a pipe, stays whole. */
static const char *why_unreadable(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return strerror(errno);
    if (S_ISDIR(about.st_mode))
        return strerror(EISDIR);
    return access(path, R_OK) == 0 ? NULL : strerror(errno);
}

static struct status check_file(const struct config *config, enum config_key key)
{
    const char *path = config_text(config, key);
    const char *why = path[0] == '\0' ? NULL : why_unreadable(path);
    if (why == NULL)
        return status_ok();
    return status_error(
        STATUS_INVALID_ARGUMENT,
        "%s is \"%s\", which cannot be read: %s; correct the path (from the working folder, unless "
        "it begins with /), or let the service read the file",
        config_key_path(key), path, why);
}

static bool uses(const struct config *config, const char *engine)
{
    return strcmp(config_event_store(config), engine) == 0 ||
           strcmp(config_snapshot_store(config), engine) == 0;
}

/* Hints go between processes that share a store. */
static bool uses_redis(const struct config *config)
{
    const char *events = config_event_store(config);
    const bool shared = strcmp(events, "embedded") != 0 && strcmp(events, "memory") != 0;
    return uses(config, "redis") || config_caches_in_redis(config) ||
           (shared && config_has_redis(config) && config_bool(config, CONFIG_REDIS_HINTS));
}

struct status config_check_files(const struct config *config)
{
    static const enum config_key mysql[] = {CONFIG_MYSQL_PASSWORD_FILE, CONFIG_MYSQL_TLS_CA_FILE};
    static const enum config_key redis[] = {CONFIG_REDIS_PASSWORD_FILE, CONFIG_REDIS_TLS_CA_FILE,
                                            CONFIG_REDIS_TLS_CERT_FILE, CONFIG_REDIS_TLS_KEY_FILE};
    for (size_t i = 0; uses(config, "mysql") && i < sizeof mysql / sizeof mysql[0]; i++)
        STATUS_TRY(check_file(config, mysql[i]));
    for (size_t i = 0; uses_redis(config) && i < sizeof redis / sizeof redis[0]; i++)
        STATUS_TRY(check_file(config, redis[i]));
    return uses(config, "mongodb") ? check_file(config, CONFIG_MONGODB_URI_FILE) : status_ok();
}

/* ---- secrets that others may read ---- */

/* The sample is none: everybody knows it. */
static bool is_secret(const struct config *config, enum config_key key)
{
    const char *text = config_text(config, key);
    if (key == CONFIG_MONGODB_URI) /* the one that may be shown without its password */
        return strchr(text, '@') != NULL;
    return text[0] != '\0' && strcmp(text, CONFIG_SAMPLE_SECRET) != 0;
}

void config_note_file(struct config *config, const char *path, unsigned mode)
{
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++) {
        if (strcmp(config_keys[key].unit, CONFIG_UNIT_SECRET) != 0 || !config_is_set(config, key) ||
            !is_secret(config, key))
            continue;
        config->secrets = (struct config_exposure){key, arena_text(config->arena, bytes_of_text(path)), mode};
        return;
    }
}

static bool others_may_read(unsigned mode)
{
    return (mode & (S_IRGRP | S_IROTH)) != 0;
}

size_t config_exposures(const struct config *config, struct config_exposure ret[CONFIG_EXPOSURES_MAX])
{
    static const enum config_key files[CONFIG_EXPOSURES_MAX - 1] = {
        CONFIG_MYSQL_PASSWORD_FILE, CONFIG_MONGODB_URI_FILE, CONFIG_REDIS_PASSWORD_FILE,
        CONFIG_REDIS_TLS_KEY_FILE, CONFIG_SECURITY_JWT_SECRET_FILE};
    size_t count = 0;
    if (config->secrets.file != NULL && others_may_read(config->secrets.mode))
        ret[count++] = config->secrets;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *path = config_text(config, files[i]);
        struct stat about;
        if (path[0] != '\0' && stat(path, &about) == 0 && S_ISREG(about.st_mode) &&
            others_may_read(about.st_mode))
            ret[count++] = (struct config_exposure){files[i], path, about.st_mode & 07777};
    }
    return count;
}
