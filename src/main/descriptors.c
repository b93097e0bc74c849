/* How many files and connections this process may have open. */
#include <sys/resource.h>

#include "base/log.h"
#include "gateway/gateway.h"
#include "main/serve_internal.h"

/* Neither less nor more, if the hard limit has it: tables of gRPC's connections and of libwebsockets go by descriptor. */
#define DESCRIPTORS_WANTED ((rlim_t)65536)

size_t descriptors_claim(struct log *log)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return (size_t)DESCRIPTORS_WANTED; /* cannot happen: the arguments are good */
    const struct rlimit claimed = {.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max
                                                                                   : DESCRIPTORS_WANTED,
                                   .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &claimed) == 0)
        return (size_t)claimed.rlim_cur;
    log_warn(log, "the descriptor limit could not be set, going on with it as it is",
             LOG_INT("limit", (int64_t)limit.rlim_cur), LOG_INT("wanted", (int64_t)claimed.rlim_cur));
    return (size_t)(limit.rlim_cur < claimed.rlim_cur ? limit.rlim_cur : claimed.rlim_cur);
}

struct connection_limits connections_share(size_t descriptors, size_t websocket_wanted)
{
    const size_t room = (descriptors - descriptors / 4) / GATEWAY_WEBSOCKET_DESCRIPTORS;
    const size_t websocket = websocket_wanted < room ? websocket_wanted : room;
    const size_t half = (descriptors - websocket * GATEWAY_WEBSOCKET_DESCRIPTORS) / 2;
    return (struct connection_limits){.websocket = websocket,
                                      .http = half < HTTP_CONNECTIONS_MAX ? half : HTTP_CONNECTIONS_MAX};
}
