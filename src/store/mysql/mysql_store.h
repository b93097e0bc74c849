/*
 * The event store on MySQL or MariaDB, for several processes at once: the head is a row that whoever appends locks from
 * its facts to its commit, so positions are gapless in commit order for every reader. Also the snapshot store beside it.
 * The tables: README.md of this room.
 *
 * A server that cannot be reached is no failure of opening: the store is there, its calls answer STORE_UNREACHABLE, and
 * it goes on by itself. A commit whose answer was lost is settled by its records before it is answered.
 *
 * Ownership  Texts of the options are copied. Clock and log are borrowed and outlive the store.
 * Threads    As event_store.h says; readers share a pool of connections and wait for one.
 * Blocking   Every call, for connect_timeout_ms (also to wait for a connection) and io_timeout_ms at most (a commit that
 *            is being settled: longer).
 */
#pragma once

#include "store/event_store.h"
#include "store/snapshot_store.h"

struct clock;
struct log;

enum mysql_tls {
    MYSQL_TLS_OFF,
    MYSQL_TLS_REQUIRED, /* encrypted, whoever the server is */
    MYSQL_TLS_VERIFIED, /* and its certificate is signed by tls_ca_file and names the host */
};

struct mysql_store_options {
    const char *host;
    uint16_t port; /* 0 = 3306 */
    const char *username;
    const char *password;
    const char *database;
    const char *store_id;
    enum mysql_tls tls;
    const char *tls_ca_file;     /* MYSQL_TLS_VERIFIED; NULL = the system's */
    unsigned pool_size;          /* connections of readers; 0 = 8 */
    uint32_t connect_timeout_ms; /* 0 = 5,000 */
    uint32_t io_timeout_ms;      /* of one statement; 0 = 30,000 */
    uint32_t settle_timeout_ms;  /* how long a commit of unknown fate is looked for; 0 = 15,000 */
    bool allow_weak_durability;  /* of the server's settings */
    const struct clock
        *lease_clock; /* of leases and checkpoints; NULL = the server's, which all processes share */
};

/*
 * Connects, makes or migrates the tables, checks the server's settings. OK also when the server cannot be reached.
 *   FAILED_PRECONDITION  a setting under which an acknowledged event could be lost, or tables of a later version
 *   PERMISSION_DENIED, NOT_FOUND  user, password, database or privilege
 *   INVALID_ARGUMENT     an option
 */
STATUS_MUST_CHECK struct status mysql_store_open(const struct mysql_store_options *options,
                                                 const struct clock *clock, struct log *log,
                                                 struct event_store **ret);

/* Snapshots in the same database; closed before the store. */
STATUS_MUST_CHECK struct status mysql_store_snapshots(struct event_store *store, struct snapshot_store **ret);

/* What the store asked of the server so far, for tests and benches of its cost. */
struct mysql_counts {
    int64_t writer_round_trips; /* of facts and commits */
    int64_t batches;            /* that were committed */
    int64_t connects;
    int64_t settled; /* commits whose answer was lost */
};
void mysql_store_counts(struct event_store *store, struct mysql_counts *ret);
