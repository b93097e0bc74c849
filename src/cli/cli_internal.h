/* What the commands share: the address option and printing. */
#pragma once

#include <argp.h>

#include "base/arena.h"
#include "cli/cli.h"
#include "cli/client_internal.h"
#include "schema/schema.h"

#define CLI_ADDRESS_DEFAULT "127.0.0.1:50051"
#define CLI_TIMEOUT_MS      15000

#define CLI_OPTION_ADDRESS                                                                                   \
    {                                                                                                        \
        "address", 'a', "HOST:PORT", 0, "gRPC address of the service (default " CLI_ADDRESS_DEFAULT ")", 0   \
    }

/* Prints the message as one line of JSON on stdout. */
struct status cli_print(const struct schema_message *message, struct bytes wire);

struct sha256;
/* 64 digits and the end of the line; cli_print_chain() with "chain: " before them. On stdout. */
void cli_print_hex(const struct sha256 *hash);
void cli_print_chain(const struct sha256 *chain);

/* Packs into the arena. */
struct bytes cli_pack(struct arena *arena, const ProtobufCMessage *message);

/* A whole number from `least` on, or a usage error that names the option. */
int64_t cli_number(struct argp_state *state, const char *option, const char *text, int64_t least,
                   int64_t most);
