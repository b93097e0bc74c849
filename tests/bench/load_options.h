/*
 * Options of load programs: one table says names, kinds, bounds and where the values go.
 *
 * Ownership  Texts are argv's.
 * Threads    One, before any other is started.
 * Blocking   No.
 * Errors     What is wrong is said on stderr and ends the program with 2; --help ends it with 0.
 */
#pragma once

#include <stddef.h>

enum load_option_kind {
    LOAD_SWITCH,  /* bool, true when it is given */
    LOAD_TEXT,    /* const char *, of at most `most` bytes */
    LOAD_NUMBER,  /* long between `least` and `most` */
    LOAD_REAL,    /* double between `least` and `most` */
    LOAD_NUMBERS, /* struct load_numbers: one each time it is given */
};

#define LOAD_NUMBERS_MAX 2
struct load_numbers {
    long items[LOAD_NUMBERS_MAX];
    long count;
};

struct load_option {
    const char *name;
    const char *value; /* what stands for the value in --help; NULL = a switch */
    const char *help;
    enum load_option_kind kind;
    char letter;
    size_t place; /* in the options */
    long least;
    long most; /* 0 and 0 = any */
};

/* The table ends with a row of zeros. `options` hold the defaults, which are looked at too. */
void load_options_read(const struct load_option *table, const char *about, int argc, char **argv,
                       void *options);
/* For what no option shows alone. */
_Noreturn void load_options_refuse(const char *what);
