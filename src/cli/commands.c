/* All commands, and what `strata` does with its words: find one, read its options, run it, say how it ended. */
#include "cli/commands_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "cli/cli_internal.h"
#include "cli/help_internal.h"
#include "cli/terminal_internal.h"

static const struct cli_command *const own_commands[] = {
    &command_append,
    &command_get,
    &command_tail,
    &command_create,
    &command_save,
    &command_event,
    &command_list_aggregates,
    &command_list_events,
    &command_list_operations,
    &command_list_snapshots,
    &command_list_subscriptions,
    &command_snapshot_take,
    &command_snapshot_get,
    &command_health,
    &command_stats,
    &command_info,
    &command_operation_verify,
    &command_operation_cleanup,
    &command_operation_rebuild,
    &command_operation_get,
    &command_operation_watch,
    &command_operation_cancel,
    &command_export,
    &command_import,
    &command_verify,
    &command_bench_append,
    &command_bench_get,
    &command_bench_read,
    &command_bench_subscribe,
    &command_completion,
    &command_man,
};

#define OWN_COUNT (sizeof own_commands / sizeof own_commands[0])

static struct cli_commands all_commands(const struct cli_command *const *served, const char *version)
{
    struct cli_commands all = {.version = version};
    while (served[all.count] != NULL) {
        assert(all.count + OWN_COUNT < CLI_COMMANDS_MAX);
        all.items[all.count] = served[all.count];
        all.count++;
    }
    memcpy(&all.items[all.count], own_commands, sizeof own_commands);
    all.count += OWN_COUNT;
    return all;
}

/* How many words of argv the name takes; 0 when it is not the one. */
static int words_of(const char *name, int argc, char **argv)
{
    int words = 0;
    for (const char *at = name; *at != '\0';) {
        const size_t size = strcspn(at, " ");
        if (words == argc || strlen(argv[words]) != size || memcmp(argv[words], at, size) != 0)
            return 0;
        words++;
        at += size + (at[size] == ' ');
    }
    return words;
}

const struct cli_command *commands_find(const struct cli_commands *commands, int argc, char **argv,
                                        int *ret_words)
{
    for (size_t i = 0; i < commands->count; i++) {
        const int words = words_of(commands->items[i]->name, argc, argv);
        if (words > 0) {
            *ret_words = words;
            return commands->items[i];
        }
    }
    return NULL;
}

/* --- one command --- */

int cli_fail(const struct status *status)
{
    (void)fputs("strata: ", stderr);
    terminal_print(stderr, status->message);
    (void)fprintf(stderr, "%s%s\n", status->reason != STATUS_REASON_NONE ? " — " : "",
                  status_reason_name(status->reason));
    for (size_t i = 0; status->faults != NULL && i < status->faults->count; i++) {
        (void)fputs("  ", stderr);
        terminal_print(stderr, status->faults->items[i].field);
        (void)fputs(": ", stderr);
        terminal_print(stderr, status->faults->items[i].message);
        (void)fputc('\n', stderr);
    }
    return CLI_FAILED;
}

/* A later attempt may succeed, or has to find out what became of this one. */
int cli_fail_run(const struct cli_run *run, const struct status *status)
{
    const bool unavailable = run->asks_service && (status->code == STATUS_UNAVAILABLE ||
                                                   status->code == STATUS_DEADLINE_EXCEEDED ||
                                                   status->reason == REASON_OUTCOME_UNKNOWN);
    const int failed = cli_fail(status);
    return unavailable ? CLI_UNAVAILABLE : failed;
}

static int run_command(const struct cli_commands *all, const struct cli_command *command, int argc,
                       char **argv)
{
    CLEANUP(arena_free_at) struct arena *arena = arena_new(0);
    CLEANUP(arena_free_at) struct arena *replies = arena_new(0);
    struct status status = status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the command");
    if (arena == NULL || replies == NULL)
        return cli_fail(&status);
    struct cli_run run = {
        .command = command,
        .all = all,
        .arena = arena,
        .replies = replies,
        .arguments = arena_zalloc(arena, command->arguments_bytes),
        .request = buffer_in(arena, 0),
        .outer = buffer_in(arena, 0),
    };
    if (run.arguments == NULL)
        return cli_fail(&status);
    if (command->defaults != NULL)
        memcpy(run.arguments, command->defaults, command->arguments_bytes);
    options_parse(&run, argc, argv);
    status = command->run != NULL ? command->run(&run) : cli_call_and_show(&run);
    if (status.code == STATUS_OK && fflush(stdout) != 0)
        status = status_error(STATUS_UNAVAILABLE, "cannot write to the standard output");
    return status.code == STATUS_OK ? run.exit_code : cli_fail_run(&run, &status);
}

static int unknown_command(const struct cli_commands *all, int argc, char **argv)
{
    bool begun = false;
    const size_t size = strlen(argv[0]);
    for (size_t i = 0; i < all->count; i++) {
        const char *name = all->items[i]->name;
        if (strncmp(name, argv[0], size) != 0 || name[size] != ' ')
            continue;
        if (!begun)
            (void)fprintf(stderr, "strata: \"%s%s%s\" is no command; these begin so:\n", argv[0],
                          argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
        (void)fprintf(stderr, "  strata %-22s %s\n", name, all->items[i]->summary);
        begun = true;
    }
    if (!begun)
        (void)fprintf(stderr, "strata: there is no command \"%s\"; `strata --help` lists them\n", argv[0]);
    return CLI_USAGE;
}

static int help(const struct cli_commands *all, int argc, char **argv)
{
    int words = 0;
    if (argc == 0) {
        help_print(all, stdout);
        return CLI_OK;
    }
    const struct cli_command *command = commands_find(all, argc, argv, &words);
    if (command == NULL)
        return unknown_command(all, argc, argv);
    options_help(command);
    return CLI_OK;
}

int cli_main(int argc, char **argv, const struct cli_command *const *served, const char *version)
{
    const struct cli_commands all = all_commands(served, version);
    int words = 0;
    argp_err_exit_status = CLI_USAGE;
    if (argc < 2) {
        help_print(&all, stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return help(&all, argc - 2, argv + 2);
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("strata %s\n", version);
        return CLI_OK;
    }
    if (strcmp(argv[1], command_complete.name) == 0)
        return run_command(&all, &command_complete, argc - 1, argv + 1);
    const struct cli_command *command = commands_find(&all, argc - 1, argv + 1, &words);
    if (command == NULL)
        return unknown_command(&all, argc - 1, argv + 1);
    return run_command(&all, command, argc - words, argv + words);
}
