#include "store/append_rate.h"

#include <stddef.h>

#define SECOND_US INT64_C(1000000)

static void forward(struct append_rate *rate, int64_t now_us)
{
    const int64_t second = now_us / SECOND_US;
    for (int64_t i = 0; rate->second < second && i < RATE_SECONDS; i++)
        rate->appends[++rate->second % RATE_SECONDS] = 0;
    if (rate->second < second) /* all slots are empty by now */
        rate->second = second;
}

struct append_rate append_rate_from(int64_t now_us)
{
    return (struct append_rate){.begun_us = now_us, .second = now_us / SECOND_US};
}

void append_rate_count(struct append_rate *rate, int64_t now_us, int64_t appends)
{
    forward(rate, now_us);
    rate->appends[rate->second % RATE_SECONDS] += appends;
}

double append_rate_per_second(struct append_rate *rate, int64_t now_us)
{
    int64_t appends = 0;
    forward(rate, now_us);
    for (size_t i = 0; i < RATE_SECONDS; i++)
        appends += rate->appends[i];
    /* The slots cover whole seconds before the one that is under way, and what has passed of that. */
    const int64_t covered_us = (rate->second - RATE_SECONDS + 1) * SECOND_US;
    const int64_t begun_us = rate->begun_us > covered_us ? rate->begun_us : covered_us;
    const int64_t elapsed_us = now_us - begun_us > SECOND_US ? now_us - begun_us : SECOND_US;
    return (double)appends * (double)SECOND_US / (double)elapsed_us;
}
