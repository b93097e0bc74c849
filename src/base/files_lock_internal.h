/*
 * Who holds the flock of a file, for people and for the messages of those who come too late. "process 4711 on host db1" is
 * written into the file, which also tells one on another host of a network file system; the lock itself is the flock.
 *
 * Threads   Any.  Blocking  File calls.
 * Errors    None. A failure to write, on a full disk say, is no reason to refuse the lock, and nothing is synced.
 */
#pragma once

#define LOCK_HOLDER_BYTES 352U

/* By who holds it. */
void lock_holder_write(int fd);
/* By who does not: its line, or "process 4711", or "another process". */
void lock_holder_read(int fd, char ret[LOCK_HOLDER_BYTES]);
