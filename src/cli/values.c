#include "cli/values_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"

#define DATE_CHARACTERS 10U /* 2026-11-30 */

bool value_number(const char *text, int64_t least, int64_t most, int64_t *ret)
{
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most)
        return false;
    *ret = number;
    return true;
}

bool value_address(const char *text)
{
    int64_t port = 0;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strchr(text, '/') != NULL || strspn(colon + 1, "0123456789") == 0)
        return false;
    const bool bracketed = colon[-1] == ']'; /* an IPv6 address has colons of its own */
    return value_number(colon + 1, 1, 65535, &port) && (bracketed || strchr(text, ':') == colon);
}

bool value_duration(const char *text, int64_t *ret_us)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"us", 1},
                 {"ms", 1000},
                 {"s", 1000000},
                 {"m", 60 * INT64_C(1000000)},
                 {"h", 3600 * INT64_C(1000000)},
                 {"d", 86400 * INT64_C(1000000)}};
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || number < 0)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].name) == 0 && number <= INT64_MAX / units[i].us) {
            *ret_us = number * units[i].us;
            return true;
        }
    return false;
}

bool value_time(const char *text, int64_t now_us, int64_t *ret_us)
{
    char whole[sizeof "2026-11-30T00:00:00Z"];
    int64_t ago_us = 0;
    if (strcmp(text, "now") == 0) {
        *ret_us = now_us;
        return true;
    }
    if (value_duration(text, &ago_us)) {
        *ret_us = now_us - ago_us > TIME_MIN_US ? now_us - ago_us : TIME_MIN_US;
        return true;
    }
    const bool date = strlen(text) == DATE_CHARACTERS;
    if (date) {
        memcpy(whole, text, DATE_CHARACTERS);
        memcpy(whole + DATE_CHARACTERS, "T00:00:00Z", sizeof "T00:00:00Z");
    }
    return time_parse(bytes_of_text(date ? whole : text), ret_us).code == STATUS_OK;
}
