/*
 * SQLite's file access over struct files, so that fault sweeps and simulated power loss cover state/ as well.
 *
 * The database runs in exclusive mode: no shared memory and no locks of its own are needed, the store's LOCK
 * keeps others out. After a failed sync nothing is written or synced any more, since the page cache may then
 * show what the disk lacks; reading goes on.
 *
 * Ownership  Borrows files, clock, entropy. Freed only after the last connection is closed.
 * Threads    Those of the one connection, one at a time.
 */
#pragma once

#include "base/clock.h"
#include "base/entropy.h"
#include "base/files.h"

struct state_vfs;

STATUS_MUST_CHECK struct status state_vfs_new(struct files *files, const struct clock *clock,
                                              const struct entropy *entropy, struct state_vfs **ret);
void state_vfs_free(struct state_vfs *vfs); /* NULL is fine */
DEFINE_CLEANUP(struct state_vfs, state_vfs_free);

const char *state_vfs_name(const struct state_vfs *vfs); /* for sqlite3_open_v2 */

/* The last failure of a file call, OK when there was none since the former question: SQLite keeps only a
 * number. */
struct status state_vfs_take_failure(struct state_vfs *vfs);
struct status state_vfs_failure(const struct state_vfs *vfs); /* the same, and it stays */
