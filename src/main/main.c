/* The composition root: which command, and for `serve` which rooms with which options (serve.c). */
#include "cli/cli.h"
#include "main/serve_internal.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv, &serve_command, STRATA_BUILD_VERSION);
}
