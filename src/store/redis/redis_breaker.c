#include "base/clock.h"
#include "base/log.h"
#include "redis_internal.h"

#define BACKOFF_FIRST_US INT64_C(50000)
#define BACKOFF_MOST_US  INT64_C(2000000)
/* A server that comes and goes is told of so often at most. */
#define TELL_EVERY_US INT64_C(10000000)

void redis_breaker_init(struct redis_breaker *breaker)
{
    *breaker = (struct redis_breaker){.failure = status_ok()};
    (void)pthread_mutex_init(&breaker->lock, NULL); /* fails only for attributes that are not used */
}

void redis_breaker_done(struct redis_breaker *breaker)
{
    (void)pthread_mutex_destroy(&breaker->lock);
}

struct status redis_breaker_may_try(struct redis *redis, struct redis_breaker *breaker)
{
    struct status status = status_ok();
    pthread_mutex_lock(&breaker->lock);
    if (breaker->failure.code != STATUS_OK) {
        const int64_t now_us = clock_monotonic_us(redis->clock);
        if (now_us < breaker->try_again_us)
            status = breaker->failure;
        else /* the others go on without, until this one knows */
            breaker->try_again_us = now_us + BACKOFF_MOST_US;
    }
    pthread_mutex_unlock(&breaker->lock);
    return status;
}

void redis_breaker_failed(struct redis *redis, struct redis_breaker *breaker, const struct status *why)
{
    const int64_t now_us = clock_monotonic_us(redis->clock);
    pthread_mutex_lock(&breaker->lock);
    breaker->failure = *why;
    breaker->backoff_us = breaker->backoff_us == 0 ? BACKOFF_FIRST_US : breaker->backoff_us * 2;
    if (breaker->backoff_us > BACKOFF_MOST_US)
        breaker->backoff_us = BACKOFF_MOST_US;
    breaker->try_again_us = now_us + breaker->backoff_us;
    const bool tell =
        !breaker->told && (breaker->told_at_us == 0 || now_us - breaker->told_at_us >= TELL_EVERY_US);
    if (tell) {
        breaker->told = true;
        breaker->told_at_us = now_us;
    }
    pthread_mutex_unlock(&breaker->lock);
    if (tell)
        log_warn(redis->log, "Redis fails; Strata serves without it, slower, until it is back",
                 LOG_TEXT("for", redis->purpose), LOG_TEXT("reason", why->message));
}

void redis_breaker_succeeded(struct redis *redis, struct redis_breaker *breaker)
{
    pthread_mutex_lock(&breaker->lock);
    const bool tell = breaker->told;
    if (breaker->failure.code != STATUS_OK) {
        breaker->failure = status_ok();
        breaker->try_again_us = 0;
        breaker->backoff_us = 0;
        breaker->told = false;
    }
    pthread_mutex_unlock(&breaker->lock);
    if (tell)
        log_info(redis->log, "Redis is of use again", LOG_TEXT("for", redis->purpose));
}

struct status redis_breaker_status(struct redis_breaker *breaker)
{
    pthread_mutex_lock(&breaker->lock);
    const struct status status = breaker->failure;
    pthread_mutex_unlock(&breaker->lock);
    return status;
}
