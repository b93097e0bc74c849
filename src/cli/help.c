/* `strata --help`, and strata(1): the parts that are no command's, around what the tables say. */
#include "cli/help_internal.h"

#include <string.h>

#include "cli/cli_internal.h"
#include "cli/commands_internal.h"

void help_print(const struct cli_commands *commands, FILE *to)
{
    (void)fprintf(
        to, "Strata, an event store: append events, rebuild any aggregate at any point of its past, follow "
            "events live.\n\nUsage: strata COMMAND [OPTION...]\n\n");
    for (size_t i = 0; i < commands->count; i++)
        (void)fprintf(to, "  %-24s %s\n", commands->items[i]->name, commands->items[i]->summary);
    (void)fprintf(
        to, "\nTo begin:\n"
            "  strata serve --embedded          the service on a store in ./data\n"
            "  strata append -t custom -i ledger-1 -y custom '{\"amount\":\"10.10\"}'\n"
            "  strata get ledger-1\n"
            "  strata tail --follow --from-start\n\n"
            "`strata help COMMAND` explains each; `strata man` prints the manual page, `strata completion "
            "bash` what\nlets a shell complete commands and options. `strata --version` prints the "
            "version.\n");
}

/* --- the manual page --- */

#define MAN_COLUMNS 72U

/* A byte in roff: nothing is an escape, and hyphens and quotes stay what they are. */
static size_t put_roff_byte(char byte, FILE *to)
{
    static const struct {
        char byte;
        const char *roff;
    } escapes[] = {{'\\', "\\e"},  {'-', "\\-"},   {'\'', "\\(aq"},
                   {'`', "\\(ga"}, {'^', "\\(ha"}, {'~', "\\(ti"}};
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++)
        if (escapes[i].byte == byte) {
            (void)fputs(escapes[i].roff, to);
            return strlen(escapes[i].roff);
        }
    (void)fputc(byte, to);
    return 1;
}

/* One line of text. Where `wraps`, in several: roff fills them again. None begins with what would be a request. */
static void put_text(const char *text, bool wraps, FILE *to)
{
    size_t column = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (wraps && *at == ' ' && column + strcspn(at + 1, " ") > MAN_COLUMNS) {
            (void)fputc('\n', to);
            column = 0;
            continue;
        }
        if (column == 0 && (*at == '.' || *at == '\''))
            (void)fputs("\\&", to);
        column += put_roff_byte(*at, to);
    }
    (void)fputc('\n', to);
}

/* Lines of two spaces are typed text, an empty line parts paragraphs; "Example:" stays a paragraph of its own. */
static void put_doc(const char *doc, FILE *to)
{
    bool typed = false;
    bool fresh = true; /* a paragraph begins here anyway */
    for (const char *at = doc; *at != '\0';) {
        const size_t size = strcspn(at, "\n");
        char line[2048];
        const bool type = strncmp(at, "  ", 2) == 0;
        (void)snprintf(line, sizeof line, "%.*s", (int)size, at);
        if (type != typed)
            (void)fputs(type ? ".PP\n.nf\n.RS\n" : ".RE\n.fi\n", to);
        else if (!type && !fresh)
            (void)fputs(".PP\n", to);
        if (size > 0)
            put_text(type ? line + 2 : line, !type, to);
        fresh = size == 0;
        typed = type;
        at += size + (at[size] == '\n');
    }
    if (typed)
        (void)fputs(".RE\n.fi\n", to);
}

static void put_option(const struct cli_option *option, FILE *to)
{
    if (option->kind == CLI_HEADING) {
        (void)fputs(".PP\n", to);
        put_text(option->help, true, to);
        return;
    }
    (void)fputs(".TP\n", to);
    if (option->name == NULL)
        (void)fprintf(to, "\\fI%s\\fR\n", option->value);
    else {
        if (option->letter != 0)
            (void)fprintf(to, "\\fB\\-%c\\fR, ", option->letter);
        (void)fputs("\\fB\\-\\-", to);
        for (const char *at = option->name; *at != '\0'; at++)
            (void)put_roff_byte(*at, to);
        (void)fprintf(to, "\\fR%s%s%s\n", option->value != NULL ? "=\\fI" : "",
                      option->value != NULL ? option->value : "", option->value != NULL ? "\\fR" : "");
    }
    put_text(option->help, true, to);
}

static void put_command(const struct cli_command *command, FILE *to)
{
    (void)fprintf(to, ".SS strata %s", command->name);
    for (const struct cli_option *option = command->options; option->help != NULL; option++)
        if (option->name == NULL && option->kind != CLI_HEADING)
            (void)fprintf(to, (option->flags & CLI_NEEDED) != 0 ? " %s" : " [%s]", option->value);
    (void)fputc('\n', to);
    (void)fputc(command->summary[0] & ~0x20, to);
    put_text(command->summary + 1, true, to);
    for (const struct cli_option *option = command->options; option->help != NULL; option++)
        put_option(option, to);
    if (command->doc != NULL && command->doc[0] != '\0') {
        (void)fputs(".PP\n", to);
        put_doc(command->doc, to);
    }
}

static const char man_before[] = ".SH NAME\n"
                                 "strata \\- append, read and follow the events of an event store\n"
                                 ".SH SYNOPSIS\n"
                                 ".B strata\n"
                                 ".I COMMAND\n"
                                 ".RI [ OPTION ...]\n"
                                 ".SH DESCRIPTION\n"
                                 "Strata stores events of aggregates, rebuilds an aggregate at any point\n"
                                 "of its past, and sends events live to who follows them.\n"
                                 ".B strata serve\n"
                                 "is the service; the other commands ask it over gRPC, or open the folder\n"
                                 "of a store that no service holds.\n"
                                 ".SS Output\n"
                                 "On a terminal a command shows tables, in colour unless\n"
                                 ".B NO_COLOR\n"
                                 "is set; piped it writes JSON, the one of the REST API, lists as one\n"
                                 "object a line.\n"
                                 ".B \\-\\-output\n"
                                 "and\n"
                                 ".B \\-\\-color\n"
                                 "choose otherwise.\n"
                                 "Control characters of what others have stored are shown on a terminal\n"
                                 "and not obeyed.\n"
                                 "Messages, progress and failures go to the standard error.\n"
                                 ".SH COMMANDS\n";

static const char man_after[] =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nDone.\n"
    ".TP\n.B 1\nRefused or failed; the standard error says why.\n"
    ".TP\n.B 2\nWrong usage.\n"
    ".TP\n.B 3\nThe service could not be reached or could not answer now.\n"
    "Repeat it later; an append with the id or key that the message names,\n"
    "so that it is not doubled.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B NO_COLOR\nWhen set and not empty: no colours, unless\n.B \\-\\-color "
    "always\nasks for them.\n"
    ".TP\n.B STRATA_*\nKeys of the configuration, for\n.B strata serve\nalone.\n";

void help_print_man(const struct cli_commands *commands, FILE *to)
{
    (void)fprintf(to,
                  ".\\\" Made by `strata man` from the tables of its commands.\n"
                  ".TH STRATA 1 2026-11-30 \"strata %s\" \"User Commands\"\n",
                  commands->version);
    (void)fputs(man_before, to);
    for (size_t i = 0; i < commands->count; i++)
        put_command(commands->items[i], to);
    (void)fputs(man_after, to);
}

static const struct cli_option man_options[] = {{0}};

static struct status run_man(struct cli_run *run)
{
    help_print_man(run->all, stdout);
    return status_ok();
}

const struct cli_command command_man = {
    .name = "man",
    .summary = "print the manual page, strata(1)",
    .doc = "Example:\n"
           "  strata man | man -l -\n",
    .options = man_options,
    .arguments_bytes = sizeof(struct cli_common),
    .run = run_man,
    .method = -1,
};
