/*
 * The pages that the gateway serves to people, embedded when it is built: /docs with what it loads.
 *
 * A page refers to nothing outside of its own origin, and to no script or style inside of itself, so that WEB_POLICY holds.
 *
 * Ownership  Constants.
 */
#pragma once

#include <stddef.h>

#include "base/bytes.h"

/* Content-Security-Policy (CSP level 3) of the pages: they load from their own origin and nowhere else, and nothing frames them. */
#define WEB_POLICY                                                                                           \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "          \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct web_file {
    const char *path; /* "/docs" */
    const char *type; /* its Content-Type */
    struct bytes content;
};

extern const struct web_file web_files[];
extern const size_t web_file_count;
