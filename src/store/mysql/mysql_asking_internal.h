/*
 * The questions that a batch has, their answers, and where those go: one packet on one connection.
 *
 * Ownership  An asking lives for one call of facts() or facts_ahead(); what it answers is in that call's arena.
 * Threads    The writer's thread only.
 */
#pragma once

#include "mysql_internal.h"
#include "store/hash_table.h"

/* Where the rows of one packet go. */
struct asking {
    const struct facts_request *request;
    bool ahead;               /* without the lock, while a commit is under way */
    unsigned lock_statements; /* in front of the others */
    struct arena *arena;
    struct facts *facts;
    struct mysql_known *known;
    struct mysql_known *asked;  /* where heads that are read go: `known`, or of this batch alone */
    struct hash_table ids;      /* names to their place in the request */
    unsigned changes_statement; /* 0 = not asked */
    unsigned heads_statement;
    unsigned ids_statement;
    unsigned records_statement;
    bool found_head;
    int64_t now_us; /* monotonic: when it was asked */

    /* What others have appended since `known` stood at the head. */
    int64_t changed_to; /* the last one's position */
    bool alike;         /* the store has the event at which it stood; else what is known is worth nothing */

    /* The appends that hold named ids: their records come in order of position. */
    struct found_id {
        size_t index; /* in the request */
        int64_t first_position;
    } * found;
    size_t found_count;
    struct record *records;
    int64_t *positions;
    size_t record_count;
    size_t record_capacity;
};

/* Room for the answers. `ids` is done by who made it. */
STATUS_MUST_CHECK struct status mysql_asking_begin(struct asking *asking);
/* Sends the questions, once more when the connection was idle for long and is lost: nothing has happened yet. */
STATUS_MUST_CHECK struct status mysql_asking_ask(struct mysql_store *store, struct asking *asking);
/* The changes do not lead from what is known to the head: others appended very many, or the database was set back. */
bool mysql_asking_is_useless(const struct asking *asking);
/* Turns rows into facts: heads and earlier appends. */
STATUS_MUST_CHECK struct status mysql_asking_end(struct asking *asking);
