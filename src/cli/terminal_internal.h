/*
 * What a terminal may be sent: colour when it is wanted, and never a control character of somebody else's text.
 *
 * Threads   Any.
 * Blocking  Never.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/bytes.h"

enum terminal_color { TERMINAL_COLOR_AUTO, TERMINAL_COLOR_ALWAYS, TERMINAL_COLOR_NEVER };

/* Whether standard output gets colours: AUTO = it is a terminal that is not "dumb", and NO_COLOR is not set. */
bool terminal_has_color(enum terminal_color wanted);

/*
 * Appends `text` so that a terminal shows it and does not obey it. Control characters (C0, DEL, C1), marks that
 * change the direction of writing, line separators and bytes that are not UTF-8 become "\n", "\u009b" or "\xff". A
 * JSON text of one line remains the same JSON: what is escaped there stands inside strings.
 */
void terminal_add_text(struct buffer *to, struct bytes text);

/* Prints `text` so, for messages. */
void terminal_print(FILE *to, const char *text);
