/*
 * Completion of commands, options and values for shells. The scripts know nothing of them: they ask `strata
 * __complete WORD…`, whose last word is the one at the cursor. It answers one candidate a line, with a tab and what
 * it means, or the line ":files" or ":folders" where the shell knows better.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli_internal.h"
#include "cli/commands_internal.h"

/* --- candidates --- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The next word of each command that begins with the words typed so far. */
static bool offer_commands(const struct cli_commands *all, int count, char **words, const char *last)
{
    bool offered = false;
    char typed[256] = "";
    for (int i = 0; i < count; i++)
        (void)snprintf(typed + strlen(typed), sizeof typed - strlen(typed), "%s ", words[i]);
    const char *before = "";
    size_t before_size = 0;
    for (size_t i = 0; i < all->count; i++) {
        const char *name = all->items[i]->name;
        if (!begins(name, typed) || !begins(name + strlen(typed), last))
            continue;
        const char *word = name + strlen(typed);
        const size_t size = strcspn(word, " ");
        if (size == before_size && memcmp(word, before, size) == 0)
            continue; /* the names of a family stand together */
        (void)printf("%.*s\t%s\n", (int)size, word, word[size] == '\0' ? all->items[i]->summary : "…");
        before = word;
        before_size = size;
        offered = true;
    }
    if (count == 0 && begins("help", last))
        (void)printf("help\texplain a command\n");
    return offered;
}

static void offer_value(const struct cli_option *option, const char *last, const char *prefix)
{
    if (option->kind == CLI_FILE || option->kind == CLI_FOLDER)
        (void)printf(":%s\n", option->kind == CLI_FILE ? "files" : "folders");
    for (size_t i = 0; option->choices != NULL && option->choices[i] != NULL; i++)
        if (begins(option->choices[i], last))
            (void)printf("%s%s\t\n", prefix, option->choices[i]);
}

static void offer_options(const struct cli_command *command, const char *last)
{
    char name[64];
    for (const struct cli_option *option = command->options; option->help != NULL; option++) {
        (void)snprintf(name, sizeof name, "--%s", option->name != NULL ? option->name : "");
        if (option->name != NULL && begins(name, last))
            (void)printf("%s\t%s\n", name, option->help);
    }
    if (begins("--help", last))
        (void)printf("--help\texplain %s\n", command->name);
}

/* The option that `word` names, when its value is the next word: "--type", "-t". */
static const struct cli_option *awaits_value(const struct cli_command *command, const char *word)
{
    for (const struct cli_option *option = command->options; option->help != NULL; option++) {
        if (option->name == NULL || option->value == NULL)
            continue;
        if (begins(word, "--")
                ? strcmp(word + 2, option->name) == 0
                : word[0] == '-' && word[1] == option->letter && word[1] != '\0' && word[2] == '\0')
            return option;
    }
    return NULL;
}

/* The operand at the cursor: those before it are counted off. */
static const struct cli_option *operand_at(const struct cli_command *command, int count, char **words)
{
    size_t given = 0;
    for (int i = 0; i < count; i++) {
        if (words[i][0] == '-' && words[i][1] != '\0')
            i += awaits_value(command, words[i]) != NULL;
        else
            given++;
    }
    for (const struct cli_option *option = command->options; option->help != NULL; option++) {
        if (option->name != NULL || option->kind == CLI_HEADING)
            continue;
        if (given-- == 0 || (option->flags & CLI_REPEATED) != 0)
            return option;
    }
    return NULL;
}

/* "--output=js": the value of an option in one word. */
static bool offer_attached(const struct cli_command *command, const char *last)
{
    const char *equals = strchr(last, '=');
    char name[64];
    if (!begins(last, "--") || equals == NULL || (size_t)(equals - last) >= sizeof name - 1)
        return false;
    (void)snprintf(name, sizeof name, "%.*s", (int)(equals - last), last);
    const struct cli_option *option = awaits_value(command, name);
    char prefix[sizeof name + 1];
    (void)snprintf(prefix, sizeof prefix, "%s=", name);
    if (option != NULL)
        offer_value(option, equals + 1, prefix);
    return true;
}

static void offer_after(const struct cli_command *command, int count, char **words, const char *last)
{
    const struct cli_option *awaiting = count > 0 ? awaits_value(command, words[count - 1]) : NULL;
    if (awaiting != NULL) {
        offer_value(awaiting, last, "");
        return;
    }
    if (offer_attached(command, last))
        return;
    const struct cli_option *operand = operand_at(command, count, words);
    if (last[0] != '-' && operand != NULL)
        offer_value(operand, last, "");
    if (last[0] == '-' || operand == NULL || (operand->choices == NULL && operand->kind == CLI_TEXT))
        offer_options(command, last);
}

#define WORDS_MAX 256U

struct complete_arguments {
    struct cli_common common;
    int count;
    char *words[WORDS_MAX];
};

static void take_word(struct argp_state *state, struct cli_run *run, char *value)
{
    struct complete_arguments *arguments = run->arguments;
    (void)state;
    if (arguments->count < (int)WORDS_MAX)
        arguments->words[arguments->count++] = value;
}

static struct status run_complete(struct cli_run *run)
{
    struct complete_arguments *arguments = run->arguments;
    char **words = arguments->words;
    int count = arguments->count - 1;
    int taken = 0;
    if (count < 0)
        return status_ok();
    const char *last = words[count];
    const bool helps = count > 0 && strcmp(words[0], "help") == 0;
    words += helps;
    count -= helps;
    const struct cli_command *command = commands_find(run->all, count, words, &taken);
    if (command != NULL && !helps)
        offer_after(command, count - taken, words + taken, last);
    else
        (void)offer_commands(run->all, count, words, last);
    return status_ok();
}

static const struct cli_option complete_options[] = {
    {NULL, "WORD", "the words of the line, up to the cursor", CLI_TEXT, .flags = CLI_REPEATED,
     .take = take_word},
    {0},
};

const struct cli_command command_complete = {
    .name = "__complete",
    .summary = "answer what could stand at the cursor",
    .options = complete_options,
    .arguments_bytes = sizeof(struct complete_arguments),
    .run = run_complete,
    .method = -1,
};

/* --- scripts --- */

static const char bash_script[] =
    "# bash completion of strata: source <(strata completion bash)\n"
    "_strata() {\n"
    "    local line word=${COMP_WORDS[COMP_CWORD]} "
    "words=(\"${COMP_WORDS[@]:1:COMP_CWORD}\") i\n"
    "    # bash takes --name=value apart at the \"=\"\n"
    "    for ((i = 1; i < ${#words[@]}; i++)); do\n"
    "        if [[ ${words[i]} == = ]]; then\n"
    "            words=(\"${words[@]:0:i-1}\" \"${words[i-1]}=${words[i+1]}\" "
    "\"${words[@]:i+2}\")\n"
    "        fi\n"
    "    done\n"
    "    [[ $word == = ]] && word=\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "            :files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < "
    "<(compgen -f -- \"$word\") ;;\n"
    "            :folders) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < "
    "<(compgen -d -- \"$word\") ;;\n"
    "            --*=*) line=${line%%$'\\t'*}; COMPREPLY+=(\"${line#*=}\") ;;\n"
    "            *) COMPREPLY+=(\"${line%%$'\\t'*}\") ;;\n"
    "        esac\n"
    "    done < <(\"${COMP_WORDS[0]}\" __complete -- \"${words[@]}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _strata strata\n";

static const char zsh_script[] =
    "#compdef strata\n"
    "# zsh completion of strata: source <(strata completion zsh)\n"
    "_strata() {\n"
    "    local line name\n"
    "    local -a found\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "            :files) _files ;;\n"
    "            :folders) _files -/ ;;\n"
    "            *) name=${line%%$'\\t'*}; found+=(\"${name//:/\\\\:}:${line#*$'\\t'}\") "
    ";;\n"
    "        esac\n"
    "    done < <(\"${words[1]}\" __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    (( ${#found} )) && _describe strata found\n"
    "}\n"
    "compdef _strata strata\n";

static const char fish_script[] = "# fish completion of strata: strata completion fish | source\n"
                                  "function __strata_complete\n"
                                  "    set -l words (commandline -opc) (commandline -ct)\n"
                                  "    for line in ($words[1] __complete -- $words[2..-1] 2>/dev/null)\n"
                                  "        switch $line\n"
                                  "            case :files\n"
                                  "                __fish_complete_path (commandline -ct)\n"
                                  "            case :folders\n"
                                  "                __fish_complete_directories (commandline -ct)\n"
                                  "            case '*'\n"
                                  "                echo $line\n"
                                  "        end\n"
                                  "    end\n"
                                  "end\n"
                                  "complete -c strata -f -a '(__strata_complete)'\n";

static const char *const shell_choices[] = {"bash", "zsh", "fish", NULL};
static const char *const scripts[] = {bash_script, zsh_script, fish_script};

struct completion_arguments {
    struct cli_common common;
    int shell;
};

static const struct cli_option completion_options[] = {
    {NULL, "SHELL", "bash, zsh or fish", CLI_CHOICE, .flags = CLI_NEEDED,
     .place = offsetof(struct completion_arguments, shell), .choices = shell_choices},
    {0},
};

static struct status run_completion(struct cli_run *run)
{
    (void)fputs(scripts[((const struct completion_arguments *)run->arguments)->shell], stdout);
    return status_ok();
}

const struct cli_command command_completion = {
    .name = "completion",
    .summary = "print what lets a shell complete commands, options and values",
    .doc = "Examples, for the shell that runs and for every one to come:\n"
           "  source <(strata completion bash)\n"
           "  strata completion bash > ~/.local/share/bash-completion/completions/strata\n",
    .options = completion_options,
    .arguments_bytes = sizeof(struct completion_arguments),
    .run = run_completion,
    .method = -1,
};
