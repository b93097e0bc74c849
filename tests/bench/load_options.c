#include "load_options.h"

#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 24U

struct reading {
    const struct load_option *table;
    char *options;
};

void load_options_refuse(const char *what)
{
    (void)fprintf(stderr, "%s: %s; see --help\n", program_invocation_short_name, what);
    exit(2);
}

static _Noreturn void refuse(const struct load_option *option)
{
    char what[160];
    (void)snprintf(what, sizeof what, "--%s is out of range or no such value",
                   option->name); /* names are short */
    load_options_refuse(what);
}

static bool is_within(const struct load_option *option, double value)
{
    return (option->least == 0 && option->most == 0) ||
           (value >= (double)option->least && value <= (double)option->most);
}

static bool is_good(const struct load_option *option, const void *place)
{
    switch (option->kind) {
    case LOAD_TEXT: {
        const char *text = *(const char *const *)place;
        return option->most == 0 || text == NULL || strlen(text) <= (size_t)option->most;
    }
    case LOAD_NUMBER:
        return is_within(option, (double)*(const long *)place);
    case LOAD_REAL:
        return is_within(option, *(const double *)place);
    case LOAD_SWITCH:
    case LOAD_NUMBERS:
        return true;
    }
    return false;
}

static void take(const struct load_option *option, char *text, void *place)
{
    char *end = NULL;
    errno = 0;
    switch (option->kind) {
    case LOAD_SWITCH:
        *(bool *)place = true;
        return;
    case LOAD_TEXT:
        *(const char **)place = text;
        return;
    case LOAD_NUMBER:
        *(long *)place = strtol(text, &end, 10);
        break;
    case LOAD_REAL:
        *(double *)place = strtod(text, &end);
        break;
    case LOAD_NUMBERS: {
        struct load_numbers *numbers = place;
        if (numbers->count == LOAD_NUMBERS_MAX)
            refuse(option);
        numbers->items[numbers->count++] = strtol(text, &end, 10);
        break;
    }
    }
    if (errno != 0 || end == text || *end != '\0')
        refuse(option);
}

static int on_option(int key, char *text, struct argp_state *state)
{
    const struct reading *reading = state->input;
    for (const struct load_option *option = reading->table; option->name != NULL; option++)
        if (option->letter == key) {
            take(option, text, reading->options + option->place);
            return 0;
        }
    return ARGP_ERR_UNKNOWN;
}

void load_options_read(const struct load_option *table, const char *about, int argc, char **argv,
                       void *options)
{
    struct argp_option rows[OPTIONS_MAX + 1] = {0};
    struct reading reading = {table, options};
    for (size_t i = 0; table[i].name != NULL && i < OPTIONS_MAX; i++)
        rows[i] = (struct argp_option){table[i].name, table[i].letter, table[i].value, 0, table[i].help, 0};
    const struct argp parser = {rows, on_option, NULL, about, NULL, NULL, NULL};
    if (argp_parse(&parser, argc, argv, 0, NULL, &reading) != 0)
        load_options_refuse("the options cannot be read");
    for (const struct load_option *option = table; option->name != NULL; option++)
        if (!is_good(option, reading.options + option->place))
            refuse(option);
}
