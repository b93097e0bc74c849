/*
 * What a team writes that keeps events in MySQL by itself: one transaction an append, on one or many connections.
 *
 *   mysql_client --port P --connections N --appends A --event-bytes B --aggregates G --statements 4|1
 *
 * 4: BEGIN, the aggregate's version FOR UPDATE, INSERT, COMMIT. 1: the INSERT alone, committed by itself; the unique key
 * on aggregate and version is the guard, and the client knows the version. Prints one JSON line.
 */
#include <limits.h>
#include <mysql.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_options.h"
#include "measure.h"

#define CONNECTIONS_MAX 512

static struct options {
    long port;
    long connections;
    long appends;
    long event_bytes;
    long aggregates;
    long statements;
} options = {.connections = 1, .appends = 1000, .event_bytes = 500, .aggregates = 1000, .statements = 4};

static atomic_int next_append;
static atomic_int errors;

static MYSQL *connect_or_exit(void)
{
    MYSQL *handle = mysql_init(NULL);
    if (handle == NULL || mysql_real_connect(handle, "127.0.0.1", "root", "", "strata_test",
                                             (unsigned)options.port, NULL, 0) == NULL) {
        (void)fprintf(stderr, "mysql_client: %s\n", handle == NULL ? "no memory" : mysql_error(handle));
        exit(1);
    }
    return handle;
}

static void run(MYSQL *handle, const char *statement)
{
    if (mysql_query(handle, statement) != 0) {
        (void)fprintf(stderr, "mysql_client: %s\n", mysql_error(handle));
        atomic_fetch_add(&errors, 1);
        return;
    }
    MYSQL_RES *rows = mysql_store_result(handle);
    if (rows != NULL)
        mysql_free_result(rows);
}

/* Each append has an aggregate of its own turn, so that versions are known and nobody waits for a row. */
static void append(MYSQL *handle, int number, const char *data)
{
    char statement[8192];
    const int aggregate = number % (int)options.aggregates;
    const int version = number / (int)options.aggregates + 1;
    if (options.statements == 4) {
        run(handle, "BEGIN");
        (void)snprintf(statement, sizeof statement,
                       "SELECT MAX(version) FROM plain_events WHERE aggregate_id='aggregate-%d' FOR UPDATE",
                       aggregate);
        run(handle, statement);
    }
    (void)snprintf(statement, sizeof statement,
                   "INSERT INTO plain_events (event_id, aggregate_id, version, type, data) VALUES "
                   "('event-%d','aggregate-%d',%d,'changed','%s')",
                   number, aggregate, version, data);
    run(handle, statement);
    if (options.statements == 4)
        run(handle, "COMMIT");
}

static void *work(void *context)
{
    MYSQL *handle = context;
    char data[4096];
    memset(data, 'x', sizeof data);
    data[options.event_bytes < 4095 ? options.event_bytes : 4095] = '\0';
    int number = 0;
    while ((number = atomic_fetch_add(&next_append, 1)) < options.appends)
        append(handle, number, data);
    return NULL;
}

#define PLACE(member) .place = offsetof(struct options, member)

static const struct load_option option_table[] = {
    {"port", "P", "of the server on 127.0.0.1", LOAD_NUMBER, 'p', PLACE(port), 1, 65535},
    {"connections", "N", "and threads (1)", LOAD_NUMBER, 'c', PLACE(connections), 1, CONNECTIONS_MAX},
    {"appends", "A", "of all connections together (1000)", LOAD_NUMBER, 'a', PLACE(appends), 1, INT_MAX},
    {"event-bytes", "B", "of an event's data (500)", LOAD_NUMBER, 'b', PLACE(event_bytes), 0, INT_MAX},
    {"aggregates", "G", "that take turns (1000)", LOAD_NUMBER, 'g', PLACE(aggregates), 1, INT_MAX},
    {"statements", "4|1", "of an append (4)", LOAD_NUMBER, 's', PLACE(statements), 1, 4},
    {0},
};

int main(int argc, char **argv)
{
    load_options_read(option_table, "Appends to plain MySQL.", argc, argv, &options);
    MYSQL *handles[CONNECTIONS_MAX];
    pthread_t threads[CONNECTIONS_MAX];
    for (int i = 0; i < options.connections; i++)
        handles[i] = connect_or_exit();
    run(handles[0], "DROP TABLE IF EXISTS plain_events");
    run(handles[0],
        "CREATE TABLE plain_events (position BIGINT AUTO_INCREMENT PRIMARY KEY, event_id VARBINARY(255) NOT NULL "
        "UNIQUE, aggregate_id VARBINARY(255) NOT NULL, version INT NOT NULL, type VARBINARY(255) NOT NULL, data "
        "LONGBLOB NOT NULL, UNIQUE KEY (aggregate_id, version)) ENGINE=InnoDB");
    for (int i = 0; i < options.connections;
         i++) /* without gap locks, under which two new versions deadlock */
        run(handles[i], "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
    const int64_t begun_ns = measure_now_ns();
    for (int i = 0; i < options.connections; i++)
        if (pthread_create(&threads[i], NULL, work, handles[i]) != 0)
            return 1;
    for (int i = 0; i < options.connections; i++)
        (void)pthread_join(threads[i], NULL); /* joinable, and joined once */
    const double took_s = (double)(measure_now_ns() - begun_ns) / 1e9;
    for (int i = 0; i < options.connections; i++)
        mysql_close(handles[i]);
    printf("{\"events_per_s\":%.1f,\"errors\":%d}\n", (double)options.appends / took_s, atomic_load(&errors));
    return errors > 0;
}
