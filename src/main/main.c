/* The composition root: which command, and for those that open stores which rooms with which options. */
#include "cli/cli.h"
#include "main/migrate_internal.h"
#include "main/serve_internal.h"

int main(int argc, char **argv)
{
    static const struct cli_command *const served[] = {&serve_command, &migrate_command, NULL};
    return cli_main(argc, argv, served, STRATA_BUILD_VERSION);
}
