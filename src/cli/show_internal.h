/*
 * What the service says, as a person or a program wants it: tables (libsmartcols) and colours on a terminal, JSON
 * when it is piped. The JSON is the one of the REST API: the same transcoder makes it.
 *
 * Ownership  show_done() frees.
 * Threads    One.
 * Blocking   While standard output does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

struct cli_common;
struct libscols_table;
struct schema_message;

enum show_format { SHOW_AUTO, SHOW_TABLE, SHOW_JSON, SHOW_NDJSON };

enum cli_column_flags {
    COLUMN_RIGHT = 1 << 0, /* numbers */
    COLUMN_CUT = 1 << 1,   /* cut where the terminal is too narrow */
    COLUMN_NAME = 1 << 2,  /* what the row is about: coloured */
    COLUMN_STATE = 1 << 3, /* green, yellow or red by its value */
};

struct cli_column {
    const char *title;
    const char *member; /* of the object in JSON */
    unsigned flags;
};

/* A list of objects inside an object, shown as a table below it. */
struct cli_part {
    const char *member;
    const struct cli_column *columns; /* end with a title NULL */
};

struct cli_view {
    const char *list; /* member of the reply that holds the rows; NULL = the reply is one object */
    const struct cli_column *columns; /* of a list */
    const struct cli_part *parts;     /* of one object; end with a member NULL; NULL = none */
    bool flat;                        /* one object: members of its objects stand as "bus.delivered" */
};

struct show {
    enum show_format format; /* never SHOW_AUTO */
    bool terminal;           /* standard output is one */
    bool color;
    const struct cli_view *view;
    struct libscols_table *table;
    size_t rows;         /* in `table` */
    size_t printed;      /* rows or objects that are out */
    size_t widths[16];   /* of columns as printed so far: a table that is printed in pieces keeps its shape */
    struct arena *arena; /* of one object */
    struct buffer text;
};

STATUS_MUST_CHECK struct status show_open(const struct cli_common *common, const struct cli_view *view,
                                          struct show *ret);
/* One object, in JSON: a row of the list, or with a view of one object all there is. */
STATUS_MUST_CHECK struct status show_object(struct show *show, struct bytes json);
/* The same from a packed message. */
STATUS_MUST_CHECK struct status show_message(struct show *show, const struct schema_message *message,
                                             struct bytes wire);
/* Prints the rows that are waiting and hands them to the reader. For what arrives live. */
STATUS_MUST_CHECK struct status show_flush(struct show *show);
/* Prints what is still waiting. */
STATUS_MUST_CHECK struct status show_end(struct show *show);
void show_done(struct show *show);
