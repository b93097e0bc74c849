/*
 * Lets a test decide which allocation fails. The test program is linked with --wrap for malloc, calloc, realloc
 * and mmap, so that the code under test, which allocates as always, meets it; shared libraries do not.
 *
 * Threads  One, while armed.
 */
#pragma once

#include <stdbool.h>

/* From now on the n-th allocation (from 1) and all after it fail, until failing_memory_stop(). */
void failing_memory_from(unsigned nth);
bool failing_memory_stop(void); /* whether one has failed */
