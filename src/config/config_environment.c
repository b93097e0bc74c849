/* STRATA_* of the environment. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "config/config_internal.h"

#define PREFIX         "STRATA_"
#define NAME_MAX_BYTES 128U

static void environment_name(const char *path, char ret_name[NAME_MAX_BYTES])
{
    (void)snprintf(ret_name, NAME_MAX_BYTES, PREFIX "%s", path); /* the longest key is far shorter */
    for (char *at = ret_name; *at != '\0'; at++)
        *at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
}

/* A Service called strata makes Kubernetes put STRATA_SERVICE_HOST, STRATA_PORT=tcp://… and the like there. */
static bool is_service_link(const char *name, const char *value)
{
    return strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0 ||
           strstr(name, "_SERVICE_HOST") != NULL || strstr(name, "_SERVICE_PORT") != NULL ||
           strstr(name, "_TCP_") != NULL || strstr(name, "_UDP_") != NULL;
}

static struct status take_json(struct config *config, enum config_key key, const char *text)
{
    struct json_value *value = NULL;
    STATUS_TRY(json_parse(config->arena, bytes_of_text(text), &value));
    const bool list = config_key_type(key) == CONFIG_LIST;
    if (value->kind != (list ? JSON_ARRAY_BEGIN : JSON_OBJECT_BEGIN))
        return status_error(STATUS_INVALID_ARGUMENT, "%s needs a JSON %s", config_key_path(key),
                            list ? "array such as [\"a\",\"b\"]" : "object such as {\"name\":\"value\"}");
    const char **items = arena_array(config->arena, value->count, sizeof *items);
    struct config_pair *pairs = arena_array(config->arena, value->count, sizeof *pairs);
    if (items == NULL || pairs == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
    for (size_t i = 0; i < value->count; i++) {
        const struct json_value *item = list ? value->elements[i] : value->members[i].value;
        if (item->kind != JSON_STRING)
            return status_error(STATUS_INVALID_ARGUMENT, "%s: every entry must be a JSON string",
                                config_key_path(key));
        struct bytes content;
        STATUS_TRY(json_string(config->arena, item, &content));
        items[i] = arena_text(config->arena, content);
        pairs[i].value = items[i];
        pairs[i].name = list ? "" : arena_text(config->arena, value->members[i].name);
        if (items[i] == NULL || pairs[i].name == NULL)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the configuration");
    }
    return list ? config_take_list(config, key, items, value->count)
                : config_take_map(config, key, pairs, value->count);
}

struct status config_set(struct config *config, enum config_key key, const char *text)
{
    const enum config_type type = config_key_type(key);
    return type == CONFIG_LIST || type == CONFIG_MAP ? take_json(config, key, text)
                                                     : config_take_scalar(config, key, text);
}

static struct status take_entry(struct config *config, const char *name, const char *value)
{
    bool known = false;
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++) {
        char own[NAME_MAX_BYTES];
        environment_name(config_key_path(key), own);
        if (strcmp(own, name) != 0)
            continue;
        known = true;
        struct status status = config_set(config, key, value);
        if (status.code != STATUS_OK)
            return status_prefix(status, "environment variable %s", name);
    }
    if (known || is_service_link(name, value))
        return status_ok();
    return status_error(STATUS_INVALID_ARGUMENT,
                        "the environment variable %s is no configuration key; correct or unset it "
                        "(`strata serve --keys` lists them)",
                        name);
}

struct status config_read_environment(struct config *config, const char *const *environment)
{
    for (const char *const *entry = environment; entry != NULL && *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals == NULL || strncmp(*entry, PREFIX, strlen(PREFIX)) != 0)
            continue;
        char name[NAME_MAX_BYTES];
        const size_t length = (size_t)(equals - *entry);
        if (length >= sizeof name)
            return status_error(STATUS_INVALID_ARGUMENT,
                                "the environment variable %.64s… is no configuration key", *entry);
        memcpy(name, *entry, length);
        name[length] = '\0';
        STATUS_TRY(take_entry(config, name, equals + 1));
    }
    return status_ok();
}
