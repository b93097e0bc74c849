/* What /api/v1/info says about the libraries: their versions as loaded, not as compiled against. */
#include <grpc/grpc.h>
#include <libfyaml.h>
#include <libwebsockets.h>
#include <openssl/crypto.h>
#include <protobuf-c/protobuf-c.h>
#include <sqlite3.h>
#include <string.h>

#include "main/serve_internal.h"

size_t library_versions(struct service_pair ret[LIBRARIES_MAX])
{
    const struct service_pair libraries[] = {
        {"grpc", grpc_version_string()},
        {"libfyaml", fy_library_version()},
        {"libwebsockets", lws_get_library_version()},
        {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
        {"protobuf-c", protobuf_c_version()},
        {"sqlite", sqlite3_libversion()},
    };
    _Static_assert(ARRAY_COUNT(libraries) <= LIBRARIES_MAX, "all fit");
    memcpy(ret, libraries, sizeof libraries);
    return ARRAY_COUNT(libraries);
}
