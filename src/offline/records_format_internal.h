/*
 * The bytes of a file of records. All numbers are little-endian, all checksums CRC-32C (docs/export-format.md).
 *
 *   header, 128 bytes   magic, major, minor, size of the header, uuid of the store, position before, time before, chain
 *                       before, created, zeros, CRC of all before it
 *   each record         length of the header (never 0), length of the payload, CRC of both lengths, header and payload;
 *                       then header and payload
 *   trailer, 96 bytes   zeros (4), its size, count, position, time, chain, zeros, CRC of all before it
 *
 * Behind the trailer the file ends.
 */
#pragma once

#include <stdint.h>

static const uint8_t records_magic[8] = {'S', 'T', 'R', 'A', 'T', 'A', 'R', 'X'};

enum {
    RECORDS_FORMAT_MAJOR = 1,
    RECORDS_FORMAT_MINOR = 0,

    RECORDS_HEADER_MAJOR = 8,
    RECORDS_HEADER_MINOR = 10,
    RECORDS_HEADER_SIZE = 12,
    RECORDS_HEADER_UUID = 16,
    RECORDS_HEADER_POSITION = 32,
    RECORDS_HEADER_TIME = 40,
    RECORDS_HEADER_CHAIN = 48,
    RECORDS_HEADER_CREATED = 80,
    RECORDS_HEADER_CRC = 124,
    RECORDS_HEADER_BYTES = 128,

    RECORDS_ENTRY_CRC = 8,
    RECORDS_ENTRY_BYTES = 12,
    RECORDS_ENTRY_MAX = 4 * 1024 * 1024, /* header or payload: data and metadata have at most 3 MiB */

    RECORDS_TRAILER_SIZE = 4,
    RECORDS_TRAILER_COUNT = 8,
    RECORDS_TRAILER_POSITION = 16,
    RECORDS_TRAILER_TIME = 24,
    RECORDS_TRAILER_CHAIN = 32,
    RECORDS_TRAILER_CRC = 92,
    RECORDS_TRAILER_BYTES = 96,
};
