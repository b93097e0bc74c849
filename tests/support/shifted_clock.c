/*
 * For a real process whose wall clock a test steps: loaded before libc (LD_PRELOAD), it adds to CLOCK_REALTIME the
 * microseconds that stand, as 8 bytes, in the file called by SHIFTED_CLOCK. Other clocks go on as they are.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MICRO INT64_C(1000000)

static _Atomic int64_t *shift_us;

__attribute__((constructor)) static void map_shift(void)
{
    const char *path = getenv("SHIFTED_CLOCK");
    const int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *shift_us, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        abort(); /* a test that steps no clock would pass for nothing */
    shift_us = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    if (syscall(SYS_clock_gettime, clock, ret) != 0)
        return -1;
    if (clock != CLOCK_REALTIME || shift_us == NULL)
        return 0;
    const int64_t now_us = (int64_t)ret->tv_sec * MICRO + ret->tv_nsec / 1000 + atomic_load(shift_us);
    ret->tv_sec = (time_t)(now_us / MICRO);
    ret->tv_nsec = (long)(now_us % MICRO) * 1000 + ret->tv_nsec % 1000;
    return 0;
}
