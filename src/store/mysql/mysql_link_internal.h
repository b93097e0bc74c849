/*
 * One connection to the server: opened when it is needed, dropped when it fails. Statements are texts in its buffer,
 * several in one packet where the round trips count.
 *
 * Threads   One at a time.
 * Blocking  As long as the time-outs allow.
 * Errors    While the store is opened what a person must mend (password, database, privilege, setting) has its own code;
 *           all else, and afterwards everything, is UNAVAILABLE/STORE_UNREACHABLE. Either way it names the remedy.
 */
#pragma once

#include <mysql.h>

#include "base/bytes.h"
#include "base/status.h"

struct mysql_store;

/* Values of one statement that do not stand in its text. */
#define SQL_LONG_VALUES_MAX      4U
#define MYSQL_SESSION_NAME_BYTES 48U

struct mysql_link {
    struct mysql_store *store;
    bool
        writes; /* it commits events: the server ends it soon when it is silent, so that its lock on the head goes */
    MYSQL *handle; /* NULL = not connected */
    bool locks;    /* it is left in a transaction that has the lock on the head */
    char session
        [MYSQL_SESSION_NAME_BYTES]; /* if it writes: of the lock that the server's session has for its life */
    struct buffer sql;
    struct bytes
        long_values[SQL_LONG_VALUES_MAX]; /* of the question marks in `sql`, in order; the caller's */
    unsigned long_value_count;
    int64_t used_at_us; /* monotonic: since when it is idle */
};

/* One row of an answer; NULL columns are empty. */
struct sql_row {
    char **columns;
    const unsigned long *sizes;
};

/* Gets every row of every statement, numbered from 0 in the packet; not OK = the rest is not wanted. */
typedef struct status (*sql_take)(void *context, unsigned statement, const struct sql_row *row);

struct sql_failure {
    unsigned statement; /* which one failed */
    bool lost;          /* the connection is gone: the packet may have been executed */
    unsigned number;    /* the server's or the library's error; 0 = none */
};

void mysql_link_init(struct mysql_link *link, struct mysql_store *store, bool writes);
void mysql_link_done(struct mysql_link *link);
void mysql_link_drop(struct mysql_link *link); /* connects again at its next use */

/* Connects unless it is. Begins an empty text. */
STATUS_MUST_CHECK struct status mysql_link_begin(struct mysql_link *link);
/* Without the store's tables being there; for who makes them. */
STATUS_MUST_CHECK struct status mysql_link_connect(struct mysql_link *link);
/* What a caller gets to see of a fault: once the store is open everything is STORE_UNREACHABLE. */
struct status mysql_link_fault(const struct mysql_link *link, struct status status);
/* The halves of what follows, for who has something to do in between. The text is the caller's. */
STATUS_MUST_CHECK struct status mysql_link_send(struct mysql_link *link, struct bytes text,
                                                struct sql_failure *ret_failure);
STATUS_MUST_CHECK struct status mysql_link_receive(struct mysql_link *link, sql_take take, void *context,
                                                   struct sql_failure *ret_failure);
/* Sends the text, reads all answers. `take` and `failure` may be NULL. */
STATUS_MUST_CHECK struct status mysql_link_run(struct mysql_link *link, sql_take take, void *context,
                                               struct sql_failure *ret_failure);
/* The same for the text of one statement that answers no rows, and its long values (mysql_long_values.c). */
STATUS_MUST_CHECK struct status mysql_link_run_long(struct mysql_link *link, struct sql_failure *ret_failure);
/* What an error means for the caller and for the link, which is dropped when it is lost. `ret` may be NULL. */
struct status mysql_link_failed(struct mysql_link *link, unsigned statement, unsigned number, const char *why,
                                struct sql_failure *ret);

/* --- writing the text --- */
void sql_text(struct buffer *sql, const char *text);
__attribute__((format(printf, 2, 3))) void sql_printf(struct buffer *sql, const char *format, ...);
void sql_bytes(struct buffer *sql, struct bytes bytes); /* a literal, whatever the bytes are */
/*
 * The same of any size, in a text of one statement that answers no rows, which is run before `value` goes: a large one is
 * sent apart, in pieces. Escaped in the text it could be twice as long as the server takes.
 */
void sql_value(struct mysql_link *link, struct bytes value);

/* --- reading a row --- */
static inline struct bytes sql_column(const struct sql_row *row, unsigned column)
{
    return row->columns[column] == NULL ? BYTES_NONE : bytes_of(row->columns[column], row->sizes[column]);
}
int64_t sql_int(const struct sql_row *row, unsigned column);
