/*
 * Owned pointers that free themselves on every way out of a scope.
 *
 *     CLEANUP(arena_free_at) struct arena *arena = NULL;
 *     …
 *     *ret = TAKE_PTR(arena);   // the caller's from here on: the cleanup sees NULL
 */
#pragma once

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Defines x_free_at(T **) from x_free(T *), for use with CLEANUP. */
#define DEFINE_CLEANUP(type, function)                                                                       \
    static inline void function##_at(type **pointer)                                                         \
    {                                                                                                        \
        function(*pointer);                                                                                  \
    }                                                                                                        \
    struct cleanup_eats_semicolon

#define TAKE_PTR(pointer)                                                                                    \
    __extension__({                                                                                          \
        __typeof__(pointer) taken_ = (pointer);                                                              \
        (pointer) = NULL;                                                                                    \
        taken_;                                                                                              \
    })

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
