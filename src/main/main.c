/* The composition root: which command, and for those that open stores which rooms with which options. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"
#include "main/migrate_internal.h"
#include "main/serve_internal.h"

/*
 * libmongoc counts what it does in a file of /dev/shm named after the process, which it makes before main() begins, so that no
 * variable of the environment could keep it from that here. The file of a killed process would stay, and a later one of the
 * same number complain about it on stderr. Nobody reads these counters: the service has metrics of its own.
 */
static void leave_no_shared_counters(void)
{
    char name[32];
    (void)snprintf(name, sizeof name, "/mongoc-%d", (int)getpid()); /* fits */
    (void)shm_unlink(name); /* where MONGOC_DISABLE_SHM is set there is none */
}

/*
 * Somebody may start us with standard descriptors closed. The next files that are opened, those of a store, would have
 * their numbers, and what is logged would be written into them. As it is, reading and writing there fails.
 */
static void hold_standard_descriptors(void)
{
    for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++)
        if (fcntl(number, F_GETFD) ==
            -1) /* the lowest that is free, so open takes it; where it fails nothing can be done */
            (void)open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    static const struct cli_command *const served[] = {&serve_command, &migrate_command, NULL};
    hold_standard_descriptors();
    leave_no_shared_counters();
    return cli_main(argc, argv, served, STRATA_BUILD_VERSION);
}
