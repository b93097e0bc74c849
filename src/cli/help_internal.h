/*
 * What `strata --help` and the manual page say about all commands together.
 *
 * Threads   The main thread.
 * Blocking  While the stream does.
 */
#pragma once

#include <stdio.h>

struct cli_commands;

/* The list of commands. */
void help_print(const struct cli_commands *commands, FILE *to);

/* strata(1) in man(7) macros: the texts of help.c's own, and all commands with their options. */
void help_print_man(const struct cli_commands *commands, FILE *to);
