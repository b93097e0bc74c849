/*
 * Just enough protobuf for load programs: what they send is written by hand, and of what they get they look at a few
 * numbers, so that the client doesn't decide the figure.
 *
 * Threads    Any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each writes at `to`, where there must be room, and returns the end. */
uint8_t *load_put_varint(uint8_t *to, uint64_t value);
uint8_t *load_put_number(uint8_t *to, uint32_t field, uint64_t value);
uint8_t *load_put_field(uint8_t *to, uint32_t field, const void *data, size_t size);

/* The field at *at, which is moved behind it. Numbers: *ret_value is it. Texts and messages: *ret_value is their size,
 * and they end at the new *at. False: malformed, or of a kind that Strata's streams do not use on the outside. */
bool load_get_field(const uint8_t **at, const uint8_t *end, uint64_t *ret_number, uint64_t *ret_value);
/* The first field of that number in a message; as load_get_field, and *ret_end is its end. False: there is none. */
bool load_find_field(const uint8_t *at, const uint8_t *end, uint64_t number, uint64_t *ret_value,
                     const uint8_t **ret_end);
