/*
 * Values that are too large for the text of a statement: a question mark stands there, the statement is prepared, and the
 * value follows as it is, in pieces. One round trip more than a text takes.
 */
#include <assert.h>
#include <string.h>

#include "mysql_link_internal.h"

/* A larger value does not stand in the text: all of one statement, doubled by escaping, stay below the least
 * max_allowed_packet that is accepted. */
#define TEXT_VALUE_MAX_BYTES ((size_t)1024 * 1024)
/* Of a piece. */
#define PIECE_BYTES ((size_t)1024 * 1024)

void sql_value(struct mysql_link *link, struct bytes value)
{
    if (value.size_bytes <= TEXT_VALUE_MAX_BYTES) {
        sql_bytes(&link->sql, value);
        return;
    }
    assert(link->long_value_count < SQL_LONG_VALUES_MAX);
    link->long_values[link->long_value_count++] = value;
    sql_text(&link->sql, "?");
}

/* False = it failed; the statement knows why. */
static bool send_value(MYSQL_STMT *statement, unsigned number, struct bytes value)
{
    for (size_t at = 0; at < value.size_bytes; at += PIECE_BYTES) {
        const size_t left = value.size_bytes - at;
        const size_t piece = left < PIECE_BYTES ? left : PIECE_BYTES;
        if (mysql_stmt_send_long_data(statement, number, (const char *)value.data + at,
                                      (unsigned long)piece) != 0)
            return false;
    }
    return true;
}

static bool execute(MYSQL_STMT *statement, const struct buffer *text, const struct bytes *values,
                    unsigned count)
{
    MYSQL_BIND parameters[SQL_LONG_VALUES_MAX];
    memset(parameters, 0, sizeof parameters);
    for (unsigned i = 0; i < count; i++)
        parameters[i].buffer_type = MYSQL_TYPE_LONG_BLOB;
    if (mysql_stmt_prepare(statement, (const char *)text->data, (unsigned long)text->size_bytes) != 0)
        return false;
    assert(mysql_stmt_param_count(statement) == count); /* nobody writes a question mark of his own */
    if (mysql_stmt_bind_param(statement, parameters) != 0)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!send_value(statement, i, values[i]))
            return false;
    return mysql_stmt_execute(statement) == 0;
}

struct status mysql_link_run_long(struct mysql_link *link, struct sql_failure *ret_failure)
{
    const unsigned count = link->long_value_count;
    struct status status = status_ok();
    MYSQL_STMT *statement = mysql_stmt_init(link->handle);
    link->long_value_count = 0;
    if (statement == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a statement");
    if (!execute(statement, &link->sql, link->long_values, count))
        status =
            mysql_link_failed(link, 0, mysql_stmt_errno(statement), mysql_stmt_error(statement), ret_failure);
    (void)mysql_stmt_close(statement); /* fails with the connection, whose end is heard of at its next use */
    return status;
}
