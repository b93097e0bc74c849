#include "service/service_internal.h"

void streams_init(struct streams *streams)
{
    pthread_mutex_init(&streams->lock, NULL);
    streams->first = NULL;
}

void streams_done(struct streams *streams)
{
    pthread_mutex_destroy(&streams->lock);
}

void streams_add(struct service *service, struct stream_link *link)
{
    struct streams *streams = &service->streams;
    pthread_mutex_lock(&streams->lock);
    link->next = streams->first;
    link->previous = &streams->first;
    if (streams->first != NULL)
        streams->first->previous = &link->next;
    streams->first = link;
    if (service_stopping(service))
        link->stop(link);
    pthread_mutex_unlock(&streams->lock);
}

void streams_remove(struct service *service, struct stream_link *link)
{
    pthread_mutex_lock(&service->streams.lock);
    *link->previous = link->next;
    if (link->next != NULL)
        link->next->previous = link->previous;
    pthread_mutex_unlock(&service->streams.lock);
}

void streams_stop_all(struct service *service)
{
    pthread_mutex_lock(&service->streams.lock);
    for (struct stream_link *link = service->streams.first; link != NULL; link = link->next)
        link->stop(link);
    pthread_mutex_unlock(&service->streams.lock);
}
