/*
 * What the gateway serves as it is: the descriptions of the API, the pages.
 *
 * Each is compressed once, at the start, and has two strong tags, one for each of its representations (RFC 9110 8.8.3.3), so
 * that a client asks again for little: If-None-Match with the right one is answered with 304.
 *
 * Ownership  The gateway's, from documents_new until documents_free.
 * Threads    Immutable after documents_new: any.
 * Blocking   Never.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/status.h"
#include "gateway/http/exchange.h"

struct documents;

/* RESOURCE_EXHAUSTED when out of memory. */
STATUS_MUST_CHECK struct status documents_new(struct documents **ret);
/* NULL is fine. */
void documents_free(struct documents *documents);
DEFINE_CLEANUP(struct documents, documents_free);

struct document;

/* NULL: none has this path, with or without a trailing slash. */
const struct document *documents_find(const struct documents *documents, struct bytes path);

/* Answers GET and HEAD. */
void document_serve(const struct document *document, struct http_exchange *exchange);
