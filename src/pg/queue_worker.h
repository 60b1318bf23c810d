/* queue_worker.h - what the files of the queue worker share: the worker, its items, its transactions.
 *
 *   queue.c          the loop; transactions; coming and going
 *   queue_watches.c  which watches can be served, and their existing rows
 *   queue_rest.c     watches whose results find no room
 *   queue_gone.c     rows that were deleted, or have another key: their results follow
 *   queue_claim.c    job -> claim -> document -> question to the engine
 *   queue_done.c     what the engine says: pages, answers; what was cancelled meanwhile
 *   queue_fail.c     what becomes of jobs that were not read */
#ifndef DS_QUEUE_WORKER_H
#define DS_QUEUE_WORKER_H

#include "postgres.h"

#include "utils/elog.h"
#include "utils/timestamp.h"

#include "client.h"
#include "queue.h"
#include "state.h"
#include "store.h"

#define IN_FLIGHT_MAX 64

/* A watch that can be served now; 0 stands for the inbox. */
typedef struct Served
{
    int watch, priority;
    bool backfill;
    uint64 turn; /* when something was last claimed for it */
} Served;

/* All of the worker's own. */
typedef struct Worker
{
    QueueSlot *slot;
    Oid extension;
    bool placed; /* it holds the lock that only one worker of a database has */
    Client *client;
    MemoryContext jobs, answers, turn;
    Job *in_flight[IN_FLIGHT_MAX];
    int nin_flight;
    Size bytes;              /* of documents in flight */
    Job *finished, *waiting; /* answered; claimed, but there was no room yet */
    int done,
        pace; /* in this second; what is done in 50 ms, at most half of what may be in flight */
    Served *served; /* [nserved], in TopMemoryContext */
    int nserved;
    uint64 turns;
    bool suspects; /* some job may be one */
    bool longs;    /* some job may be known to be long, and wait for a place */
    bool look;     /* the queue may hold something that can be claimed */
    bool gone;     /* or notes of rows that are gone */
    bool stale;    /* what can be served has changed */
    bool lost;     /* a claim is nobody's, and could not be given back */
    TimestampTz last_tick, last_busy;
    int ticks;
} Worker;

extern Worker me;

/* queue.c */
typedef void (*Work)(void *arg);
/* Does the work in a transaction. NULL: it is committed; else it is rolled back, and this is why, in the turn's context. */
extern ErrorData *attempt(const char *what, Work work, void *arg);
/* For the rest of a transaction with several jobs: it holds rows that users may want while it waits for another of them. */
extern void wait_for_nobody(void);
/* For work that has no job to blame: the log says so, and the next tick tries again. */
extern bool attempt_or_log(const char *what, Work work, void *arg);
extern void note_in_flight(void);
extern void forget_item(Job *item); /* it is no longer in flight, and its memory is free */
extern bool engine_ready(void);

/* queue_watches.c */
extern void refresh_watches(void);
extern bool has_problem(int watch); /* looked up now; the watch says what it is */
extern bool backfill(void); /* a chunk for each watch that has one to come. True: some did */
extern bool is_busy(void);  /* something is queued, in flight, or still to be asked for */

/* queue_rest.c */
extern void rest_watch(int watch, int sqlstate, const char *why); /* it is not served for a while */
extern void has_stored(int watch);                                /* after its rest: all is well */
extern bool somebody_rests(void);
extern void add_rests(Arguments *a); /* two arguments: the watches that rest, and why */

/* queue_gone.c */
extern void notice_partitions(void); /* that were emptied or dropped by themselves */
extern bool follow_gone(void);       /* true: there may be more */

/* queue_claim.c */
extern int room(void);  /* how many more may be asked for */
extern void fill(void); /* claims and asks */
/* It turns out how many pages are left. False: it has to give its place to others. */
extern bool may_stay(Job *item);

/* queue_done.c */
extern void answered(int index, Question *q, void *arg); /* a ClientDone */
extern bool finish_answered(void);                       /* true: some were */
extern void keep_parts(void);
extern void drop_cancelled(void);

/* queue_fail.c */
extern void not_answered(Job *item, const AnswerError *e);
extern void not_stored(Job *item, ErrorData *error); /* a transaction of the job's failed */
/* It was claimed together with one of its table that somebody has locked: that is no attempt. */
extern void not_tried(Job *item, const Job *tried, const ErrorData *error);
extern void give_up(Job *item, const AnswerError *e);
/* Until a place for long documents is free; pages that are read are kept. */
extern void give_back_long(Job *item);
extern const AnswerError *crash_error(void);
extern int backoff_ms(int attempts);
extern void queue_lost_again(void); /* claims that nobody holds */

#endif
