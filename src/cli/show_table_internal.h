/*
 * The tables of show.c: rows of a list, and one object as names and values with its lists below.
 *
 * Ownership  Works on the caller's struct show.
 * Threads    One.
 * Blocking   While standard output does.
 */
#pragma once

#include "cli/show_internal.h"

struct json_value;

STATUS_MUST_CHECK struct status show_table_row(struct show *show, const struct cli_column *columns,
                                               const struct json_value *object);
/* The rows so far. The next ones continue the table, without headings. */
STATUS_MUST_CHECK struct status show_table_print(struct show *show);
STATUS_MUST_CHECK struct status show_table_object(struct show *show, const struct json_value *object);
