/* A command's option table, as argp wants it, and the values of its options, to where the table says. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli_internal.h"
#include "cli/values_internal.h"
#include "gateway/transcode/transcode.h"

#define KEY_BASE 0x100 /* an option without a letter has this and its row as key */

const char *const cli_output_choices[] = {"auto", "table", "json", "ndjson", NULL};
const char *const cli_color_choices[] = {"auto", "always", "never", NULL};

static bool is_end(const struct cli_option *option)
{
    return option->name == NULL && option->help == NULL && option->value == NULL;
}

static bool is_operand(const struct cli_option *option)
{
    return option->name == NULL && option->kind != CLI_HEADING && !is_end(option);
}

static int key_of(const struct cli_option *options, size_t row)
{
    return options[row].letter != 0 ? options[row].letter : KEY_BASE + (int)row;
}

/* As people type it, for messages: "--type", "ID". */
static const char *spelled(const struct cli_option *option, char text[64])
{
    (void)snprintf(text, 64, "%s%s", option->name != NULL ? "--" : "",
                   option->name != NULL ? option->name : option->value);
    return text;
}

/* --- requests --- */

static const struct schema_message *request_message(const struct cli_command *command)
{
    return schema_method((enum schema_method_id)command->method)->request;
}

/* The field, and the buffer that holds the fields of its message. */
static const struct schema_field *find_field(struct cli_run *run, const char *name, struct buffer **ret_to)
{
    const struct schema_message *request = request_message(run->command);
    const struct schema_field *field = NULL;
    *ret_to = &run->request;
    if (run->command->into != NULL) {
        const struct schema_field *inner = schema_field_by_name(request, bytes_of_text(run->command->into));
        field = schema_field_by_name(inner->message, bytes_of_text(name));
        if (field == NULL)
            *ret_to = &run->outer;
    }
    if (field == NULL)
        field = schema_field_by_name(request, bytes_of_text(name));
    assert(field != NULL); /* the tables are ours */
    return field;
}

void cli_request_put(struct argp_state *state, struct cli_run *run, const char *option, const char *name,
                     const char *text)
{
    struct buffer *to = NULL;
    const struct schema_field *field = find_field(run, name, &to);
    if (field->oneof >= 0 && (run->oneofs & 1U << field->oneof) != 0)
        argp_error(state, "%s says what another option has said already; give one of them", option);
    if (field->oneof >= 0)
        run->oneofs |= 1U << field->oneof;
    if ((field->flags & SCHEMA_RAW_JSON) != 0)
        wire_put_bytes(to, field->number, bytes_of_text(text));
    else if (!transcode_put_text(run->arena, field, bytes_of_text(text), true, to))
        argp_error(state, "%s is \"%s\"; give %s", option, text, transcode_wanted(run->arena, field));
}

struct status cli_request(struct cli_run *run, struct bytes *ret)
{
    if (run->command->into != NULL) {
        const struct schema_field *into =
            schema_field_by_name(request_message(run->command), bytes_of_text(run->command->into));
        wire_put_bytes(&run->outer, into->number, buffer_bytes(&run->request));
        *ret = buffer_bytes(&run->outer);
        return buffer_status(&run->outer);
    }
    *ret = buffer_bytes(&run->request);
    return buffer_status(&run->request);
}

/* --- values --- */

int64_t cli_time(struct argp_state *state, const char *option, const char *text)
{
    int64_t time_us = 0;
    if (!value_time(text, clock_now_us(&system_clock), &time_us))
        argp_error(
            state,
            "%s is \"%s\"; give a time such as 2026-11-30T14:00:00Z, a date, \"now\", or how long ago: 90s, "
            "15m, 2h, 7d",
            option, text);
    return time_us;
}

static int64_t read_number(struct argp_state *state, const struct cli_option *option, const char *text)
{
    char name[64];
    int64_t number = 0;
    const bool bounded = option->least != 0 || option->most != 0;
    const int64_t least = bounded ? option->least : INT64_MIN;
    const int64_t most = bounded ? option->most : INT64_MAX;
    if (!value_number(text, least, most, &number))
        argp_error(state, "%s is \"%s\"; give a whole number between %lld and %lld", spelled(option, name),
                   text, (long long)least, (long long)most);
    return number;
}

static int64_t read_duration(struct argp_state *state, const struct cli_option *option, const char *text)
{
    char name[64];
    int64_t us = 0;
    if (!value_duration(text, &us))
        argp_error(state, "%s is \"%s\"; give a number and its unit: 500ms, 10s, 5m, 1h",
                   spelled(option, name), text);
    return us;
}

static const char *read_address(struct argp_state *state, const struct cli_option *option, const char *text)
{
    char name[64];
    if (!value_address(text))
        argp_error(state, "%s is \"%s\"; give the gRPC address of a service as HOST:PORT, such as %s",
                   spelled(option, name), text, CLI_ADDRESS_DEFAULT);
    return text;
}

static int read_choice(struct argp_state *state, const struct cli_option *option, const char *text)
{
    char name[64];
    struct buffer all = buffer_make(0);
    assert(text != NULL); /* a choice has a value, so argp asks for it */
    for (int i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            buffer_done(&all);
            return i;
        }
        buffer_printf(&all, "%s%s", i == 0 ? "" : ", ", option->choices[i]);
    }
    argp_error(state, "%s is \"%s\"; give one of %.*s", spelled(option, name), text,
               BYTES_FORMAT(buffer_bytes(&all)));
    buffer_done(&all);
    return 0;
}

static void to_field(struct argp_state *state, struct cli_run *run, const struct cli_option *option,
                     const char *text)
{
    char name[64];
    char time[TIME_TEXT_BYTES];
    (void)spelled(option, name);
    if (option->kind == CLI_NUMBER)
        (void)read_number(state, option, text); /* refused here with its bounds */
    if (option->kind == CLI_CHOICE)
        (void)read_choice(state, option, text);
    if (option->kind == CLI_TIME) {
        time_format(cli_time(state, name, text), time);
        text = time;
    }
    cli_request_put(state, run, name, option->field, text);
}

static void to_place(struct argp_state *state, struct cli_run *run, const struct cli_option *option,
                     char *text)
{
    char name[64];
    char *place = (char *)run->arguments + option->place;
    switch (option->kind) {
    case CLI_SWITCH:
        *(bool *)place = true;
        break;
    case CLI_TEXT:
    case CLI_FILE:
    case CLI_FOLDER:
        *(const char **)(void *)place = text;
        break;
    case CLI_ADDRESS:
        *(const char **)(void *)place = read_address(state, option, text);
        break;
    case CLI_NUMBER:
        *(int64_t *)(void *)place = read_number(state, option, text);
        break;
    case CLI_TIME:
        *(int64_t *)(void *)place = cli_time(state, spelled(option, name), text);
        break;
    case CLI_DURATION:
        *(int64_t *)(void *)place = read_duration(state, option, text);
        break;
    case CLI_CHOICE:
        *(int *)(void *)place = read_choice(state, option, text);
        break;
    case CLI_LIST: {
        struct cli_list *list = (struct cli_list *)(void *)place;
        if (list->count == CLI_LIST_MAX)
            argp_error(state, "%s is given more than %u times", spelled(option, name), CLI_LIST_MAX);
        else
            list->items[list->count++] = text;
        break;
    }
    case CLI_HEADING:
        break;
    }
}

static void take(struct argp_state *state, struct cli_run *run, size_t row, char *text)
{
    const struct cli_option *option = &run->command->options[row];
    const bool repeated = (option->flags & CLI_REPEATED) != 0 || option->kind == CLI_LIST;
    char name[64];
    if (!repeated && (run->given >> row & 1U) != 0)
        argp_error(state, "%s is given twice", spelled(option, name));
    run->given |= UINT64_C(1) << row;
    if (text == NULL && option->field != NULL)
        to_field(state, run, option, option->constant != NULL ? option->constant : "true");
    else if (option->field != NULL)
        to_field(state, run, option, text);
    else if (option->take != NULL)
        option->take(state, run, text);
    else
        to_place(state, run, option, text);
}

bool cli_given(const struct cli_run *run, const char *name)
{
    const struct cli_option *options = run->command->options;
    for (size_t row = 0; !is_end(&options[row]); row++) {
        const char *own = options[row].name != NULL ? options[row].name : options[row].value;
        if (own != NULL && strcmp(own, name) == 0)
            return (run->given >> row & 1U) != 0;
    }
    assert(!"the option is in the table");
    return false;
}

/* --- argp --- */

static void take_operand(struct argp_state *state, struct cli_run *run, char *text)
{
    const struct cli_option *options = run->command->options;
    size_t place = 0;
    for (size_t row = 0; !is_end(&options[row]); row++) {
        if (!is_operand(&options[row]))
            continue;
        const bool repeated = (options[row].flags & CLI_REPEATED) != 0;
        if (place++ == run->operands || repeated) {
            run->operands++;
            take(state, run, row, text);
            return;
        }
    }
    argp_error(state, "\"%s\" is one argument too many", text);
}

static void check_needed(struct argp_state *state, struct cli_run *run)
{
    const struct cli_option *options = run->command->options;
    char name[64];
    for (size_t row = 0; !is_end(&options[row]); row++)
        if ((options[row].flags & CLI_NEEDED) != 0 && (run->given >> row & 1U) == 0)
            argp_error(state, "%s is needed", spelled(&options[row], name));
}

static error_t take_key(int key, char *text, struct argp_state *state)
{
    struct cli_run *run = state->input;
    const struct cli_option *options = run->command->options;
    if (key == ARGP_KEY_ARG) {
        take_operand(state, run, text);
        return 0;
    }
    if (key == ARGP_KEY_END) {
        check_needed(state, run);
        if (run->command->check != NULL)
            run->command->check(state, run);
        return 0;
    }
    for (size_t row = 0; !is_end(&options[row]); row++)
        if (options[row].name != NULL && key_of(options, row) == key) {
            take(state, run, row, text);
            return 0;
        }
    return ARGP_ERR_UNKNOWN;
}

/* The table for argp, with the texts that it wants in one piece. */
struct argp_table {
    struct argp_option options[CLI_OPTIONS_MAX + 1];
    char operands[128];
    size_t count; /* of options */
    struct buffer text;
    struct argp argp;
};

static void add_operand(struct argp_table *table, const struct cli_option *option)
{
    const size_t used = strlen(table->operands);
    const bool needed = (option->flags & CLI_NEEDED) != 0;
    (void)snprintf(table->operands + used, sizeof table->operands - used, "%s%s%s%s", used > 0 ? " " : "",
                   needed ? "" : "[", option->value, needed ? "" : "]");
    if ((option->flags & CLI_REPEATED) != 0)
        (void)strncat(table->operands, "...", sizeof table->operands - strlen(table->operands) - 1);
}

static void describe(struct argp_table *table, const struct cli_command *command)
{
    table->text = buffer_make(0);
    buffer_printf(&table->text, "%c%s.\n", command->summary[0] & ~0x20, command->summary + 1);
    for (const struct cli_option *option = command->options; !is_end(option); option++)
        if (is_operand(option))
            buffer_printf(&table->text, "\n%s: %s.", option->value, option->help);
    if (command->doc != NULL && command->doc[0] != '\0')
        buffer_printf(&table->text, "\v%s", command->doc);
    buffer_add_byte(&table->text, '\0');
    table->argp = (struct argp){
        .options = table->count > 0 ? table->options : NULL, /* of an empty table argp leaks */
        .parser = take_key,
        .args_doc = table->operands[0] != '\0' ? table->operands : NULL,
        .doc = table->text.failed ? "" : (const char *)table->text.data,
    };
}

static void make_table(const struct cli_command *command, struct argp_table *table)
{
    int group = 0;
    *table = (struct argp_table){0};
    for (size_t row = 0; !is_end(&command->options[row]); row++) {
        const struct cli_option *option = &command->options[row];
        assert(row < CLI_OPTIONS_MAX); /* the tables are ours */
        if (is_operand(option)) {
            add_operand(table, option);
            continue;
        }
        group += option->kind == CLI_HEADING;
        table->options[table->count++] = (struct argp_option){
            .name = option->name,
            .key = option->kind == CLI_HEADING ? 0 : key_of(command->options, row),
            .arg = option->value,
            .doc = option->help,
            .group = group,
        };
    }
    describe(table, command);
}

void options_program(const struct cli_command *command, char ret[64])
{
    (void)snprintf(ret, 64, "strata %s", command->name);
}

void options_parse(struct cli_run *run, int argc, char **argv)
{
    struct argp_table table;
    char program[64];
    options_program(run->command, program);
    argv[0] = program; /* argp shows it in usage lines */
    make_table(run->command, &table);
    if (argp_parse(&table.argp, argc, argv, 0, NULL, run) != 0)
        exit(CLI_USAGE); /* as argp itself does after a usage error */
    buffer_done(&table.text);
}

void options_help(const struct cli_command *command)
{
    struct argp_table table;
    char program[64];
    struct cli_run run = {.command = command};
    char help[] = "--help";
    char *argv[] = {program, help, NULL};
    options_program(command, program);
    make_table(command, &table);
    (void)argp_parse(&table.argp, 2, argv, 0, NULL, &run); /* shows it and ends the process */
    buffer_done(&table.text);
}
