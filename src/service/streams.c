#include "service/service_internal.h"

/* Whoever opens or ends a stream waits no longer than for so many to be looked at. */
#define SEEN_AT_A_TIME 64

void streams_init(struct streams *streams)
{
    pthread_mutex_init(&streams->lock, NULL);
    streams->first = NULL;
    streams->end = &streams->first;
    streams->last_number = 0;
}

void streams_done(struct streams *streams)
{
    pthread_mutex_destroy(&streams->lock);
}

/* --- the list; under the lock --- */

/* Puts it where `at` points. */
static void link_in(struct streams *streams, struct stream_link *link, struct stream_link **at)
{
    link->next = *at;
    link->previous = at;
    if (link->next != NULL)
        link->next->previous = &link->next;
    else
        streams->end = &link->next;
    *at = link;
}

static void link_out(struct streams *streams, struct stream_link *link)
{
    *link->previous = link->next;
    if (link->next != NULL)
        link->next->previous = link->previous;
    else
        streams->end = link->previous;
}

/* --- its doors --- */

void streams_add(struct service *service, struct stream_link *link)
{
    struct streams *streams = &service->streams;
    pthread_mutex_lock(&streams->lock);
    link->number = ++streams->last_number;
    link_in(streams, link, streams->end);
    if (service_stopping(service))
        link->stop(link);
    pthread_mutex_unlock(&streams->lock);
}

void streams_remove(struct service *service, struct stream_link *link)
{
    pthread_mutex_lock(&service->streams.lock);
    link_out(&service->streams, link);
    pthread_mutex_unlock(&service->streams.lock);
}

void streams_stop_all(struct service *service)
{
    pthread_mutex_lock(&service->streams.lock);
    for (struct stream_link *link = service->streams.first; link != NULL; link = link->next)
        link->stop(link);
    pthread_mutex_unlock(&service->streams.lock);
}

static void stop_nothing(struct stream_link *link)
{
    (void)link;
}

void streams_each(struct service *service, void (*see)(void *context, struct stream_link *link),
                  void *context)
{
    struct streams *streams = &service->streams;
    struct stream_link place = {.stop = stop_nothing}; /* keeps the place while the lock is given up */
    pthread_mutex_lock(&streams->lock);
    link_in(streams, &place, &streams->first);
    while (place.next != NULL) {
        for (int i = 0; i < SEEN_AT_A_TIME && place.next != NULL; i++) {
            struct stream_link *link = place.next;
            if (link->is_subscription)
                see(context, link);
            link_out(streams, &place);
            link_in(streams, &place, &link->next);
        }
        pthread_mutex_unlock(&streams->lock);
        pthread_mutex_lock(&streams->lock);
    }
    link_out(streams, &place);
    pthread_mutex_unlock(&streams->lock);
}
