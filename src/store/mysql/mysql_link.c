#include "mysql_link_internal.h"

#include <errmsg.h>
#include <inttypes.h>
#include <mysqld_error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "mysql_internal.h"

/* So long may whoever holds the head be silent before the server takes the lock from him. */
#define HOLDER_SILENT_S 5
/* Longer than a silent holder keeps the head, shorter than the time-out of one statement. */
#define LOCK_WAIT_S 10

void mysql_link_init(struct mysql_link *link, struct mysql_store *store, bool writes)
{
    *link = (struct mysql_link){.store = store, .writes = writes, .sql = buffer_make(0)};
}

void mysql_link_drop(struct mysql_link *link)
{
    if (link->handle != NULL)
        mysql_close(link->handle);
    link->handle = NULL;
    link->locks = false;
}

void mysql_link_done(struct mysql_link *link)
{
    mysql_link_drop(link);
    buffer_done(&link->sql);
}

/* ---- what went wrong ---- */

/* The library's own errors: whatever they are, nobody knows what the server did with the packet. */
static bool is_librarys(unsigned number)
{
    return (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) || number >= CER_MIN_ERROR;
}

static bool is_lost(unsigned number)
{
    if (is_librarys(number))
        return true;
    switch (number) {
    case ER_SERVER_SHUTDOWN:
    case ER_CONNECTION_KILLED:
    case ER_NET_READ_ERROR:
    case ER_NET_READ_INTERRUPTED:
    case ER_NET_WRITE_INTERRUPTED:
    case ER_QUERY_INTERRUPTED:
        return true;
    default:
        return false;
    }
}

static struct status cannot_connect(const struct mysql_link *link, MYSQL *handle)
{
    const struct mysql_settings *settings = &link->store->settings;
    const unsigned number = mysql_errno(handle);
    const char *why = mysql_error(handle);
    switch (number) {
    case ER_ACCESS_DENIED_ERROR:
    case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
        return status_error(
            STATUS_PERMISSION_DENIED,
            "the database server at %s:%u refuses user \"%s\": %s; check database.mysql.username and "
            "database.mysql.password",
            settings->host, settings->port, settings->username, why);
    case ER_DBACCESS_DENIED_ERROR:
        return status_error(
            STATUS_PERMISSION_DENIED,
            "user \"%s\" may not use the database \"%s\" at %s:%u: %s; grant it with GRANT ALL ON `%s`.* "
            "TO the user, or check database.mysql.database",
            settings->username, settings->database, settings->host, settings->port, why, settings->database);
    case ER_BAD_DB_ERROR:
        return status_error(
            STATUS_NOT_FOUND,
            "there is no database \"%s\" at %s:%u; create it with CREATE DATABASE `%s`, or check "
            "database.mysql.database",
            settings->database, settings->host, settings->port, settings->database);
    case CR_SSL_CONNECTION_ERROR:
        return status_error(
            STATUS_FAILED_PRECONDITION,
            "no encrypted connection to the database server at %s:%u: %s; check its certificate and "
            "database.mysql.tls",
            settings->host, settings->port, why);
    default:
        return status_reason(
            REASON_STORE_UNREACHABLE,
            "the database server at %s:%u cannot be reached: %s; check database.mysql.host and "
            "database.mysql.port, and that it runs",
            settings->host, settings->port, why);
    }
}

static struct status failed(const struct mysql_link *link, unsigned number, const char *why)
{
    const struct mysql_settings *settings = &link->store->settings;
    switch (number) {
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_DBACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
        return status_error(
            STATUS_PERMISSION_DENIED,
            "user \"%s\" lacks a privilege in the database \"%s\": %s; grant it with GRANT ALL ON `%s`.* TO "
            "the user",
            settings->username, settings->database, why, settings->database);
    case ER_BINLOG_STMT_MODE_AND_ROW_ENGINE:
        return status_error(STATUS_FAILED_PRECONDITION,
                            "the database server at %s:%u runs with binlog_format = STATEMENT, under which "
                            "nothing can be written at READ COMMITTED; set it to ROW or MIXED",
                            settings->host, settings->port);
    default:
        return status_reason(REASON_STORE_UNREACHABLE, "the database server at %s:%u answers: %s (error %u)",
                             settings->host, settings->port, why, number);
    }
}

/* A client of the service did nothing wrong and may come again, whatever a person must mend. */
struct status mysql_link_fault(const struct mysql_link *link, struct status status)
{
    const bool for_people = status.code == STATUS_PERMISSION_DENIED || status.code == STATUS_NOT_FOUND ||
                            status.code == STATUS_FAILED_PRECONDITION;
    return link->store->opened && for_people ? status_reason(REASON_STORE_UNREACHABLE, "%s", status.message)
                                             : status;
}

/* ---- connecting ---- */

static void set_options(MYSQL *handle, const struct mysql_settings *settings)
{
    const unsigned connect_s = (settings->connect_timeout_ms + 999) / 1000;
    const unsigned io_s = (settings->io_timeout_ms + 999) / 1000;
    const my_bool yes = 1;
    const unsigned by_tcp = MYSQL_PROTOCOL_TCP;
    const unsigned no_files = 0;
    (void)mysql_options(handle, MYSQL_OPT_CONNECT_TIMEOUT,
                        &connect_s); /* these fail for unknown options only */
    (void)mysql_options(handle, MYSQL_OPT_READ_TIMEOUT, &io_s);
    (void)mysql_options(handle, MYSQL_OPT_WRITE_TIMEOUT, &io_s);
    (void)mysql_options(handle, MYSQL_SET_CHARSET_NAME, "binary");
    (void)mysql_options(handle, MYSQL_OPT_PROTOCOL,
                        &by_tcp); /* "localhost" would be a socket, whatever the port */
    (void)mysql_options(handle, MYSQL_OPT_LOCAL_INFILE, &no_files);
    if (settings->tls == MYSQL_TLS_OFF)
        return;
    (void)mysql_options(handle, MYSQL_OPT_SSL_ENFORCE, &yes);
    if (settings->tls == MYSQL_TLS_VERIFIED) {
        (void)mysql_options(handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
        if (settings->tls_ca_file != NULL)
            (void)mysql_options(handle, MYSQL_OPT_SSL_CA, settings->tls_ca_file);
    }
}

static struct status set_session(struct mysql_link *link)
{
    uint64_t name[2];
    buffer_clear(&link->sql);
    sql_text(&link->sql, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;"
                         "SET SESSION sql_mode='STRICT_ALL_TABLES', time_zone='+00:00', autocommit=1");
    sql_printf(&link->sql, ", innodb_lock_wait_timeout=%d", LOCK_WAIT_S);
    if (!link->writes)
        return mysql_link_run(link, NULL, NULL, NULL);
    sql_printf(&link->sql, ", wait_timeout=%d, net_read_timeout=%d, net_write_timeout=%d", HOLDER_SILENT_S,
               HOLDER_SILENT_S, HOLDER_SILENT_S);
    entropy_fill(&system_entropy, name, sizeof name);
    (void)snprintf(link->session, sizeof link->session, "strata_writer.%016" PRIx64 "%016" PRIx64, name[0],
                   name[1]);
    sql_printf(&link->sql, ";DO GET_LOCK('%s', 0)", link->session);
    return mysql_link_run(link, NULL, NULL, NULL);
}

/* The library goes on in the clear when the server offers nothing else, whatever it was told. */
static struct status check_encrypted(const struct mysql_link *link)
{
    const struct mysql_settings *settings = &link->store->settings;
    if (settings->tls == MYSQL_TLS_OFF || mysql_get_ssl_cipher(link->handle) != NULL)
        return status_ok();
    return status_error(STATUS_FAILED_PRECONDITION,
                        "no encrypted connection to the database server at %s:%u: it offers none; give it a "
                        "certificate, or set database.mysql.tls: off",
                        settings->host, settings->port);
}

struct status mysql_link_connect(struct mysql_link *link)
{
    const struct mysql_settings *settings = &link->store->settings;
    if (link->handle != NULL)
        return status_ok();
    STATUS_TRY(mysql_reach_may_try(link->store));
    MYSQL *handle = mysql_init(NULL);
    if (handle == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for a connection to the database server");
    set_options(handle, settings);
    atomic_fetch_add(&link->store->connects, 1);
    if (mysql_real_connect(handle, settings->host, settings->username, settings->password, settings->database,
                           settings->port, NULL, CLIENT_MULTI_STATEMENTS) == NULL) {
        const struct status status = mysql_link_fault(link, cannot_connect(link, handle));
        mysql_close(handle);
        if (link != &link->store->ahead) /* without that one batches only follow each other more slowly */
            mysql_reach_failed(link->store, &status);
        return status;
    }
    link->handle = handle;
    struct status status = check_encrypted(link);
    if (status.code == STATUS_OK)
        status = set_session(link);
    if (status.code != STATUS_OK)
        mysql_link_drop(link);
    else
        mysql_reach_succeeded(link->store);
    return status;
}

/* Longer than this a reader's connection may have been closed by the server or by something between. */
#define IDLE_PING_US INT64_C(3000000)

struct status mysql_link_begin(struct mysql_link *link)
{
    const int64_t now_us = clock_monotonic_us(link->store->clock);
    if (link->handle != NULL && now_us - link->used_at_us > IDLE_PING_US && mysql_ping(link->handle) != 0)
        mysql_link_drop(link);
    STATUS_TRY(mysql_store_ready(link->store, link));
    link->used_at_us = now_us;
    link->long_value_count = 0;
    buffer_clear(&link->sql);
    return status_ok();
}

/* ---- running ---- */

static struct status take_rows(MYSQL_RES *rows, unsigned statement, sql_take take, void *context)
{
    struct status status = status_ok();
    struct sql_row row;
    while (status.code == STATUS_OK && (row.columns = mysql_fetch_row(rows)) != NULL) {
        row.sizes = mysql_fetch_lengths(rows);
        if (take != NULL)
            status = take(context, statement, &row);
    }
    return status;
}

struct status mysql_link_failed(struct mysql_link *link, unsigned statement, unsigned number, const char *why,
                                struct sql_failure *ret)
{
    const bool lost = is_lost(number);
    const struct status status = mysql_link_fault(link, failed(link, number, why));
    if (ret != NULL)
        *ret = (struct sql_failure){statement, lost, number};
    if (lost) {
        mysql_link_drop(link);
        mysql_reach_lost(link->store, &status);
    }
    return status;
}

static struct status report(struct mysql_link *link, unsigned statement, struct sql_failure *ret)
{
    return mysql_link_failed(link, statement, mysql_errno(link->handle), mysql_error(link->handle), ret);
}

struct status mysql_link_send(struct mysql_link *link, struct bytes text, struct sql_failure *ret_failure)
{
    if (ret_failure != NULL)
        *ret_failure = (struct sql_failure){0};
    return mysql_send_query(link->handle, (const char *)text.data, (unsigned long)text.size_bytes) == 0
               ? status_ok()
               : report(link, 0, ret_failure);
}

struct status mysql_link_receive(struct mysql_link *link, sql_take take, void *context,
                                 struct sql_failure *ret_failure)
{
    struct status status = status_ok();
    if (ret_failure != NULL)
        *ret_failure = (struct sql_failure){0};
    if (mysql_read_query_result(link->handle) != 0)
        return report(link, 0, ret_failure);
    for (unsigned statement = 0;; statement++) {
        MYSQL_RES *rows = mysql_use_result(link->handle);
        if (rows != NULL && status.code == STATUS_OK)
            status = take_rows(rows, statement, take, context);
        if (mysql_errno(link->handle) != 0) {
            const struct status broken = report(link, statement, ret_failure);
            if (rows != NULL)
                mysql_free_result(rows);
            return broken;
        }
        if (rows != NULL)
            mysql_free_result(rows); /* reads what is left of it */
        const int more = mysql_next_result(link->handle);
        /* Below 0 is "no more", and also what a connection answers that is lost within the description of columns. */
        if (more > 0 || mysql_errno(link->handle) != 0)
            return report(link, statement + 1, ret_failure);
        if (more < 0)
            return status;
    }
}

struct status mysql_link_run(struct mysql_link *link, sql_take take, void *context,
                             struct sql_failure *ret_failure)
{
    if (ret_failure != NULL)
        *ret_failure = (struct sql_failure){0};
    STATUS_TRY(buffer_status(&link->sql));
    if (link->long_value_count > 0)
        return mysql_link_run_long(link, ret_failure);
    STATUS_TRY(mysql_link_send(link, buffer_bytes(&link->sql), ret_failure));
    return mysql_link_receive(link, take, context, ret_failure);
}

/* ---- texts ---- */

void sql_text(struct buffer *sql, const char *text)
{
    buffer_add_text(sql, text);
}

void sql_printf(struct buffer *sql, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert(length >= 0 && (size_t)length < sizeof text); /* numbers and words of our own only */
    buffer_add(sql, text, (size_t)length);
}

/*
 * What stands behind the backslash, by the manual's "String Literals"; 0 = the byte stands for itself. Not the library's
 * mysql_real_escape_string(): that asks the connection, which another thread may be using or closing, for a character set
 * and for a mode that set_session() has settled: "binary", and backslashes count.
 */
static const char escapes[256] = {
    ['\0'] = '0', ['\n'] = 'n', ['\r'] = 'r', ['\\'] = '\\', ['\''] = '\'', ['"'] = '"', ['\032'] = 'Z',
};

void sql_bytes(struct buffer *sql, struct bytes bytes)
{
    uint8_t *to = buffer_extend(sql, 2 * bytes.size_bytes + 2);
    if (to == NULL)
        return;
    const uint8_t *const begin = to;
    *to++ = '\'';
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        const char escape = escapes[bytes.data[i]];
        if (escape != 0)
            *to++ = '\\';
        *to++ = escape != 0 ? (uint8_t)escape : bytes.data[i];
    }
    *to++ = '\'';
    sql->size_bytes -= 2 * bytes.size_bytes + 2 - (size_t)(to - begin); /* it was counted at its longest */
}

int64_t sql_int(const struct sql_row *row, unsigned column)
{
    return row->columns[column] == NULL ? 0 : strtoll(row->columns[column], NULL, 10);
}
