/* threads.c - a pool that splits work into pieces.
 *
 * All threads take the next piece from one counter until none is left. Whoever waits spins for some microseconds
 * and then sleeps: a database server always has other processes, and spinning beside one makes both slow.
 * Sharp edge: the counter carries the number of the job, so a thread that wakes late can never take a piece of a
 * job it did not read; and the caller waits for pieces, not for threads, so a sleeping one costs nothing. */
#include "cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define SPINS      2000
#define WAIT_LIMIT 20000000 /* ns */
#define TICK_LEAST 65536.0  /* multiply-adds */

#define COUNT_BITS 20 /* a job has at most 2^20 - 1 pieces; more stay on one thread */
#define COUNT_MASK ((1 << COUNT_BITS) - 1)

typedef struct Job
{
    PieceFn fn;
    void *arg;
    int n;
} Job;

typedef struct Worker
{
    Pool *pool;
    pthread_t thread;
    int number;
} Worker;

struct Pool
{
    _Atomic uint64_t next; /* number of the job << 40 | its pieces << 20 | next piece */
    _Atomic int finished, sleepers, skip, quit, caller_waits;
    /* Read after `next` was seen, believed after a piece was claimed. */
    _Atomic(PieceFn) fn;
    _Atomic(void *) arg;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    int threads;
    Worker *workers;
    float **scratch;
    size_t scratch_floats;
    uint64_t last_tick;
    double since_tick; /* work, since the clock was looked at */
};

uint64_t cpu_tick_every = 10000000;

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* ---- pieces ---- */

static uint64_t
job_number(Pool *p)
{
    return atomic_load(&p->next) >> (2 * COUNT_BITS);
}

/* Takes a piece of the job that is current; false when it has none left. */
static bool
claim(Pool *p, Job *job, int *piece)
{
    uint64_t next = atomic_load(&p->next);

    for (;;)
    {
        job->fn = atomic_load_explicit(&p->fn, memory_order_relaxed);
        job->arg = atomic_load_explicit(&p->arg, memory_order_relaxed);
        job->n = (int)(next >> COUNT_BITS & COUNT_MASK);
        *piece = (int)(next & COUNT_MASK);
        if (*piece >= job->n)
            return false;
        if (atomic_compare_exchange_weak(&p->next, &next, next + 1))
            return true;
    }
}

static void
finish_piece(Pool *p, int n)
{
    if (atomic_fetch_add(&p->finished, 1) + 1 == n && atomic_load(&p->caller_waits))
    {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->mutex);
    }
}

static bool
work_once(Pool *p, int thread)
{
    Job job;
    int piece;

    if (!claim(p, &job, &piece))
        return false;
    if (!atomic_load_explicit(&p->skip, memory_order_relaxed))
        job.fn(job.arg, piece, thread);
    finish_piece(p, job.n);
    return true;
}

/* Until a job newer than `seen` is there, or the end. */
static void
wait_for_work(Pool *p, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++)
    {
        if (job_number(p) != seen || atomic_load(&p->quit))
            return;
        relax();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);
    while (job_number(p) == seen && !atomic_load(&p->quit))
        pthread_cond_wait(&p->work, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void *
worker_main(void *arg)
{
    Worker *w = arg;

    while (!atomic_load(&w->pool->quit))
    {
        uint64_t seen = job_number(w->pool);

        while (work_once(w->pool, w->number))
            ;
        wait_for_work(w->pool, seen);
    }
    return NULL;
}

/* ---- the caller ---- */

/* After so much work: the clock is not worth a look for less than some microseconds of plain loops. */
static void
tick(Device *d, double work)
{
    uint64_t now;

    d->pool->since_tick += work;
    if (d->pool->since_tick < TICK_LEAST)
        return;
    d->pool->since_tick = 0;
    now = now_ns();
    if (now - d->pool->last_tick < cpu_tick_every)
        return;
    d->pool->last_tick = now;
    if (d->stopped == DS_OK && d->tick && d->tick(d->tick_arg))
    {
        d->stopped = DS_CANCELLED;
        atomic_store(&d->pool->skip, 1);
    }
}

static void
wait_for_pieces(Device *d, int n)
{
    Pool *p = d->pool;

    for (int i = 0; i < SPINS && atomic_load(&p->finished) < n; i++)
        relax();
    while (atomic_load(&p->finished) < n)
    {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAIT_LIMIT;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&p->mutex);
        atomic_store(&p->caller_waits, 1);
        if (atomic_load(&p->finished) < n)
            pthread_cond_timedwait(&p->done, &p->mutex, &until);
        atomic_store(&p->caller_waits, 0);
        pthread_mutex_unlock(&p->mutex);
        tick(d, TICK_LEAST);
    }
}

static void
publish(Pool *p, int n, PieceFn fn, void *arg)
{
    uint64_t number = job_number(p) + 1;

    atomic_store(&p->finished, 0);
    atomic_store_explicit(&p->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&p->arg, arg, memory_order_relaxed);
    atomic_store(&p->next, number << (2 * COUNT_BITS) | (uint64_t)n << COUNT_BITS);
    if (atomic_load(&p->sleepers))
    {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->work);
        pthread_mutex_unlock(&p->mutex);
    }
}

void
device_for(Device *d, int n, double work, PieceFn fn, void *arg)
{
    if (d->stopped || n <= 0)
        return;
    atomic_store(&d->pool->skip, 0);
    if (n == 1 || d->threads == 1 || work < PIECE_LEAST || n > COUNT_MASK)
        for (int i = 0; i < n && d->stopped == DS_OK; i++)
        {
            fn(arg, i, 0);
            tick(d, work / n);
        }
    else
    {
        publish(d->pool, n, fn, arg);
        while (work_once(d->pool, 0))
            tick(d, work / n);
        wait_for_pieces(d, n);
    }
}

/* ---- scratch ---- */

bool
device_scratch(Device *d, size_t floats)
{
    Pool *p = d->pool;

    if (floats <= p->scratch_floats)
        return true;
    for (int i = 0; i < p->threads; i++)
    {
        free(p->scratch[i]);
        p->scratch[i] = NULL;
    }
    p->scratch_floats = 0;
    for (int i = 0; i < p->threads; i++)
        if ((p->scratch[i] = aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64)) == NULL)
        {
            d->stopped = DS_BROKEN;
            return false;
        }
    p->scratch_floats = floats;
    return true;
}

float *
thread_scratch(Device *d, int thread)
{
    return d->pool->scratch[thread];
}

/* ---- life ---- */

static bool
start_workers(Pool *p)
{
    for (int i = 1; i < p->threads; i++)
    {
        p->workers[i] = (Worker){.pool = p, .number = i};
        if (pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]) != 0)
        {
            p->threads = i;
            return false;
        }
    }
    return true;
}

Pool *
pool_open(int threads)
{
    Pool *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->threads = threads;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->workers = calloc((size_t)threads, sizeof *p->workers);
    p->scratch = calloc((size_t)threads, sizeof *p->scratch);
    if (p->workers == NULL || p->scratch == NULL)
        p->threads = 1;
    if (p->workers == NULL || p->scratch == NULL || !start_workers(p))
    {
        pool_close(p);
        return NULL;
    }
    return p;
}

void
pool_close(Pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->quit, 1);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 1; i < p->threads; i++)
        pthread_join(p->workers[i].thread, NULL);
    for (int i = 0; p->scratch && i < p->threads; i++)
        free(p->scratch[i]);
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    free(p->workers);
    free(p->scratch);
    free(p);
}
