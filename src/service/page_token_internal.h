/*
 * Page tokens: where a listing goes on. Opaque to the client, bound to the method, the filter, the store and the
 * head of the first page, so that all pages together are one reading of one store at one moment.
 */
#pragma once

#include "service/service_internal.h"

struct page_token {
    int64_t head;    /* the head at the first page */
    int64_t at;      /* go on behind this position; backward: below it */
    struct bytes id; /* snapshots: go on behind this aggregate */
    int32_t version; /* and this version */
};

/* The digest of a listing: the store, the message's name and the request packed with the fields that may change
 * between pages at their defaults; the caller has cleared them in `request`, a copy of its own. Blocks on the store. */
STATUS_MUST_CHECK struct status page_filter(struct service *service, const ProtobufCMessage *request,
                                            struct arena *arena, uint64_t *ret);

/* NULL when out of memory. */
char *page_token_write(struct arena *arena, uint64_t filter, const struct page_token *token);

/* INVALID_FIELD when it is not ours or belongs to another filter; `head` bounds what it may name. */
STATUS_MUST_CHECK struct status page_token_read(const char *text, uint64_t filter, int64_t head,
                                                struct arena *arena, struct page_token *ret);
