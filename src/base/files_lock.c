#include "files_lock_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LINE_BYTES 320U /* a host name has at most 64 bytes here and 255 elsewhere */

static_assert(LOCK_HOLDER_BYTES >= LINE_BYTES, "a line fits");

void lock_holder_write(int fd)
{
    char host[256] = "unknown";
    char line[LINE_BYTES];
    (void)gethostname(host, sizeof host - 1); /* else "unknown" */
    const int size = snprintf(line, sizeof line, "process %ld on host %s\n", (long)getpid(), host);
    if (pwrite(fd, line, (size_t)size, 0) == size && ftruncate(fd, size) != 0) {
        /* The end of a longer line of a former holder stays behind ours, which is read alone. */
    }
}

/* From /proc/locks: "1: FLOCK  ADVISORY WRITE 4711 fe:00:1234 0 EOF". 0 = unknown. */
static long holder_by_kernel(int fd)
{
    struct stat about;
    FILE *locks = fopen("/proc/locks", "re");
    if (locks == NULL)
        return 0;
    long holder = 0;
    char line[256];
    while (fstat(fd, &about) == 0 && holder == 0 && fgets(line, sizeof line, locks) != NULL) {
        long pid = 0;
        unsigned major_number = 0;
        unsigned minor_number = 0;
        uint64_t inode = 0;
        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own format; a number it could not hold is no holder of ours */
        if (sscanf(line, "%*[^:]: FLOCK %*s %*s %ld %x:%x:%" SCNu64, &pid, &major_number, &minor_number,
                   &inode) == 4 &&
            inode == about.st_ino && major_number == major(about.st_dev) &&
            minor_number == minor(about.st_dev))
            holder = pid;
    }
    (void)fclose(locks); /* only read from */
    return holder > 0 ? holder : 0;
}

/* The line of another holder, "" when there is none. Whoever can write LOCK chooses it, so it must look as ours do. */
static long holder_by_line(int fd, char ret_line[LINE_BYTES])
{
    const ssize_t got = pread(fd, ret_line, LINE_BYTES - 1, 0);
    ret_line[got > 0 ? got : 0] = '\0';
    ret_line[strcspn(ret_line, "\n")] = '\0';
    bool plain = true;
    for (const char *c = ret_line; *c != '\0'; c++)
        plain = plain && *c >= ' ' && *c <= '~';
    long pid = 0;
    char host[256];
    /* NOLINTNEXTLINE(cert-err34-c): a number that does not fit names no process of ours */
    if (!plain || sscanf(ret_line, "process %10ld on host %255[^\n]", &pid, host) != 2 || pid <= 0) {
        ret_line[0] = '\0';
        return 0;
    }
    return pid;
}

/* What the kernel says wins over what is written, which a holder without a byte of space could not write. */
void lock_holder_read(int fd, char ret[LOCK_HOLDER_BYTES])
{
    char line[LINE_BYTES];
    const long written = holder_by_line(fd, line);
    const long known = holder_by_kernel(fd);
    if (written > 0 && (known == 0 || known == written))
        (void)snprintf(ret, LOCK_HOLDER_BYTES, "%s", line);
    else if (known > 0)
        (void)snprintf(ret, LOCK_HOLDER_BYTES, "process %ld", known);
    else
        (void)snprintf(ret, LOCK_HOLDER_BYTES, "another process");
}
