/*
 * The folder of a store: <store_id>/LOCK, STORE, log/, state/. STORE says whose it is and in which format; it
 * is written last when a store is made, so that a store whose making was interrupted is simply made again.
 *
 *   STORE, 128 bytes: magic "STRATAST", major u16, minor u16, zeros u32, uuid 16, created u64 (microseconds),
 *   length of the store id u32, store id (at most 64 bytes, then zeros), zeros, CRC-32C of the first 124
 * bytes u32
 *
 * Threads  Any.  Blocking  Yes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/files.h"

#define STORE_ID_MAX_BYTES        64U
#define STORE_PATH_BYTES          128U /* of any path inside a store's folder */
#define STORE_IDENTITY_UUID_BYTES 16U

struct store_identity {
    uint8_t uuid[STORE_IDENTITY_UUID_BYTES]; /* random, made with the store; in every segment and in state/ */
    int64_t created_at_us;
};

/* INVALID_ARGUMENT unless the id is 1–64 of a–z, 0–9, '-', '_' and '.', beginning with a letter or digit. */
STATUS_MUST_CHECK struct status store_id_check(const char *store_id);

/*
 * Opens and locks <store_id>/LOCK; closing the handle releases it. With `create` folder and file are made.
 * NOT_FOUND without `create`; UNAVAILABLE when another process holds it.
 */
STATUS_MUST_CHECK struct status store_lock(struct files *files, const char *store_id, bool create,
                                           struct file **ret);

/*
 *   NOT_FOUND            there is no STORE
 *   DATA_LOSS/DAMAGED    it is not one, or a byte of it is wrong
 *   FAILED_PRECONDITION  another major version, or the file of a store with another id
 */
STATUS_MUST_CHECK struct status store_identity_read(struct files *files, const char *store_id,
                                                    struct store_identity *ret);

/* Durable when it returns: temporary file, sync, rename, sync of the folder. */
STATUS_MUST_CHECK struct status store_identity_write(struct files *files, const char *store_id,
                                                     const struct store_identity *identity);
