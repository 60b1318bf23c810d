/* queue.h - what those who ask for work, the launcher and the queue workers know of each other. */
#ifndef DS_QUEUE_H
#define DS_QUEUE_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "port/atomics.h"

#define QUEUE_DATABASES 64 /* more of them are found by the launcher's look into each */

/* A database with work.
 *
 * The worker clears `wanted` before it looks into the queue; whoever commits a job sets it. So a worker that has
 * gone, and left `wanted` set, has left work behind, and the launcher starts another. */
typedef struct QueueSlot
{
    pg_atomic_uint32
        database;            /* 0: the slot is free; set once by anyone, cleared by the launcher */
    pg_atomic_uint32 wanted; /* set by anyone, cleared by the worker */
    pg_atomic_uint32 worker; /* its pid, 0: none; written by the worker only, as what follows */
    pg_atomic_uint32 proc;   /* its place in the server's list of processes */
    pg_atomic_uint32 in_flight;
    pg_atomic_uint32 has_extension; /* 1: no, 2: yes, 0: not looked yet */
    pg_atomic_uint32 unserved; /* 1: dsocr.databases does not name it; written by the launcher */
} QueueSlot;

typedef struct QueueState
{
    /* written by the launcher only */
    pg_atomic_uint32 launcher, launcher_proc; /* pid, 0: none */
    pg_atomic_uint32 no_room;                 /* the server took no other worker, last time */

    /* written by anyone */
    pg_atomic_uint32 everywhere; /* some database without a slot has work */
    QueueSlot slots[QUEUE_DATABASES];
} QueueState;

extern QueueState *queue_state; /* NULL: the library was not preloaded */

extern void queue_request_shared_memory(void);
extern void queue_start_shared_memory(void);
extern QueueSlot *queue_slot(Oid database, bool make); /* NULL: there is none, or none is free */
extern bool queue_slots_full(void);
extern void queue_wake_launcher(void);
/* A member of dsocr_status: ", "queue": {...}" */
extern void queue_append_status(StringInfo s);

/* This database has new work, visible to all. Raises nothing: it is called after commits. */
extern void queue_note_work(void);

/* The current transaction has made a job of this watch (0: dsocr_submit). At commit the database is noted. */
extern void queue_made_job(int watch);
/* A job of this watch (-1: of any) was made in the current transaction: nobody else can see it yet. */
extern bool queue_made_here(int watch);

/* Its transactions, and the launcher's, are as long as they have to be: a transaction_timeout (17) is meant for sessions. */
extern void queue_take_time(void);

extern void launcher_register(void);

#endif
