/*
 * Base64 (RFC 4648).
 *
 * Threads   Pure.
 * Blocking  Never.
 */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"

/*
 * Either alphabet, with or without padding; appended to `to`. False for anything else, also for bits that no byte takes;
 * `to` may then have grown. Out of memory shows in the buffer.
 */
bool base64_decode(struct bytes text, struct buffer *to);
/* The plain alphabet, with padding. */
void base64_encode(struct bytes bytes, struct buffer *to);
