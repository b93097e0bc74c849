/* Heads that a process knows from its batches stay those of the store, whoever appends and whatever becomes of the database. */
#pragma once

#include <stdint.h>

struct log;

/* Against the server at `port` of loopback; `first` numbers the stores, which must be new. The number of failed tests. */
int mysql_known_heads_run(uint16_t port, int first, struct log *log);
