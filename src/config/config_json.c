/* The configuration in effect as JSON: sections are objects, secrets are masked. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "config/config_internal.h"

#define SECRET_SHOWN "***"

/* As an operator would write it: with the largest unit that divides it. */
static void add_duration(struct buffer *to, int64_t us)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"d", 86400000000}, {"h", 3600000000}, {"m", 60000000}, {"s", 1000000}, {"ms", 1000}};
    for (size_t i = 0; us != 0 && i < ARRAY_COUNT(units); i++)
        if (us % units[i].us == 0) {
            buffer_printf(to, "\"%lld%s\"", (long long)(us / units[i].us), units[i].unit);
            return;
        }
    buffer_printf(to, us == 0 ? "\"0s\"" : "\"%lldus\"", (long long)us);
}

static void add_text(struct buffer *to, const struct config_key_info *info, const char *text)
{
    const bool hidden = strcmp(info->unit, CONFIG_UNIT_SECRET) == 0 && text[0] != '\0';
    json_add_string(to, bytes_of_text(hidden ? SECRET_SHOWN : text));
}

static void add_list(struct buffer *to, const struct config_value *value)
{
    buffer_add_byte(to, '[');
    for (size_t i = 0; i < value->count; i++) {
        buffer_add_text(to, i == 0 ? "" : ",");
        json_add_string(to, bytes_of_text(value->items[i]));
    }
    buffer_add_byte(to, ']');
}

static void add_map(struct buffer *to, const struct config_value *value)
{
    buffer_add_byte(to, '{');
    for (size_t i = 0; i < value->count; i++) {
        buffer_add_text(to, i == 0 ? "" : ",");
        json_add_string(to, bytes_of_text(value->pairs[i].name));
        buffer_add_byte(to, ':');
        json_add_string(to, bytes_of_text(value->pairs[i].value));
    }
    buffer_add_byte(to, '}');
}

static void add_value(struct buffer *to, const struct config_key_info *info, const struct config_value *value)
{
    switch (info->type) {
    case CONFIG_TEXT:
    case CONFIG_CHOICE:
        add_text(to, info, value->text);
        return;
    case CONFIG_BOOL:
        buffer_add_text(to, value->number != 0 ? "true" : "false");
        return;
    case CONFIG_INT:
        buffer_printf(to, "%lld", (long long)value->number);
        return;
    case CONFIG_DURATION:
        add_duration(to, value->number);
        return;
    case CONFIG_LIST:
        add_list(to, value);
        return;
    case CONFIG_MAP:
        add_map(to, value);
        return;
    }
    assert(false);
}

/* How far two paths lie in the same sections: the length up to and with the last '.' in common. */
static size_t common_sections(const char *a, const char *b)
{
    size_t common = 0;
    for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++)
        if (a[i] == '.')
            common = i + 1;
    return common;
}

static void close_sections(struct buffer *to, const char *below)
{
    for (; *below != '\0'; below++)
        if (*below == '.')
            buffer_add_byte(to, '}');
}

/* The table lists the keys of a section one after the other, so each section is opened once. */
struct status config_json(const struct config *config, struct buffer *to)
{
    const char *former = "";
    buffer_add_byte(to, '{');
    for (enum config_key key = 0; key < CONFIG_KEY_COUNT; key++) {
        const char *path = config_keys[key].path;
        const size_t common = common_sections(former, path);
        close_sections(to, former + common);
        buffer_add_text(to, key == 0 ? "" : ",");
        const char *name = path + common;
        for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(name, '.')) {
            buffer_printf(to, "\"%.*s\":{", (int)(dot - name), name);
            name = dot + 1;
        }
        buffer_printf(to, "\"%s\":", name);
        add_value(to, &config_keys[key], &config->values[key]);
        former = path;
    }
    close_sections(to, former);
    buffer_add_byte(to, '}');
    return buffer_status(to);
}
