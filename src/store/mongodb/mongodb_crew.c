/* A few threads with clients of their own: what one batch asks is asked at the same time. */
#include <string.h>

#include "mongodb_internal.h"

/* The next that nobody has taken, or NULL. With the lock held. */
static struct mongodb_find *take(struct mongodb_crew *crew)
{
    if (crew->next == crew->count)
        return NULL;
    crew->working++;
    return crew->finds[crew->next++];
}

/* With the lock held, which is let go while the server is asked. */
static void work(struct mongodb_crew *crew, mongoc_client_t **client)
{
    struct mongodb_find *find = NULL;
    while ((find = take(crew)) != NULL) {
        pthread_mutex_unlock(&crew->lock);
        mongodb_client_refresh(crew->store, client);
        mongodb_find_run(crew->store, *client, find);
        pthread_mutex_lock(&crew->lock);
        crew->working--;
    }
    if (crew->working == 0)
        pthread_cond_signal(&crew->finished);
}

static void *crew_main(void *context)
{
    struct mongodb_crew *crew = context;
    mongoc_client_t *client = mongodb_client_lend(crew->store);
    pthread_mutex_lock(&crew->lock);
    while (!crew->stopping) {
        if (crew->next < crew->count)
            work(crew, &client);
        else
            pthread_cond_wait(&crew->work, &crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
    mongodb_client_return(crew->store, client);
    return NULL;
}

struct status mongodb_crew_start(struct mongodb_crew *crew, struct mongodb_store *store)
{
    crew->store = store;
    for (; crew->thread_count < CREW_THREADS; crew->thread_count++)
        if (pthread_create(&crew->threads[crew->thread_count], NULL, crew_main, crew) != 0)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no thread to talk to the database server");
    return status_ok();
}

void mongodb_crew_stop(struct mongodb_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->stopping = true;
    pthread_cond_broadcast(&crew->work);
    pthread_mutex_unlock(&crew->lock);
    for (size_t i = 0; i < crew->thread_count; i++)
        (void)pthread_join(crew->threads[i], NULL); /* joinable, and joined once */
}

void mongodb_crew_run(struct mongodb_crew *crew, mongoc_client_t **client, struct mongodb_find **finds,
                      size_t count)
{
    pthread_mutex_lock(&crew->lock);
    crew->finds = finds;
    crew->count = count;
    crew->next = 0;
    if (count > 1)
        pthread_cond_broadcast(&crew->work);
    work(crew, client);
    while (crew->working > 0)
        pthread_cond_wait(&crew->finished, &crew->lock);
    crew->finds = NULL;
    crew->count = crew->next = 0;
    pthread_mutex_unlock(&crew->lock);
}
