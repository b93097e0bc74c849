/*
 * UTF-8 and the identifier rule of the store.
 *
 * Threads   Any; nothing is kept.
 * Blocking  Never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

bool utf8_is_valid(struct bytes text); /* RFC 3629: no surrogates, no overlong forms; NUL counts as valid */

/*
 * The size of the UTF-8 sequence at text[at], which must exist, and its code point; 0 when it is malformed:
 * cut short, overlong, a surrogate or beyond U+10FFFF.
 */
size_t utf8_sequence(struct bytes text, size_t at, uint32_t *ret_point);

#define ID_MAX_BYTES 255U

enum id_rule {
    ID_REQUIRED = 0,
    ID_OPTIONAL = 1 << 0,       /* may be empty */
    ID_SYSTEM_ALLOWED = 1 << 1, /* may begin with '$' (reads); combines with the former */
};

/*
 * 1–255 bytes of UTF-8 without control characters or Unicode white space, not "." or "..", not beginning
 * with '$'. INVALID_ID; the message names `field`, what is wrong with it and what is allowed.
 */
STATUS_MUST_CHECK struct status id_check(const char *field, struct bytes id, enum id_rule rule);
