/* store.h - from a job to its document, and from an answer to rows. Each in one transaction of the queue worker's. */
#ifndef DS_STORE_H
#define DS_STORE_H

#include "postgres.h"

#include "client.h"

struct Watch; /* store_watch.h */

/* A claim on all job rows of one key. */
typedef struct Job
{
    MemoryContext context; /* of the item, its document and its question */
    int watch;             /* 0: dsocr.inbox */
    Datum key;             /* text[] */
    int64 newest, token;   /* the newest job; what the claim is known by */
    bool force, suspect, is_long;
    int attempts, crashes;

    Question question;
    uint8 sha256[32];
    char sha256_hex[65];
    Size bytes;
    char *mode, *pages, *options; /* what is asked, all of it */
    char *request;                /* the same as one word: md5 */
    bool ask;                     /* the document was found and has to be read */
    bool has_pages;               /* dsocr.page has something for the key */
    int nkept, page_count;        /* pages read before, or since; of the document, 0: not known */
    int nread;                    /* of them, in this claim */
    int left;                     /* to be read still; 0: not known */
    int said_pages;               /* the job's row says that there are so many */
    struct Job *next;             /* of those that wait, or are finished */
} Job;

/* In a transaction, SPI connected. Fills the question, or finds that there is nothing to read, and the job goes. ERROR 55000
 * with the reason when the watch cannot be served at present. watch: of the item opened before in this transaction, or NULL;
 * and then of this one. */
extern void store_open(Job *item, struct Watch **watch);

/* Makes the question ask for these pages. */
extern void store_ask_for(Job *item, const char *pages);

/* Keeps a page that is read while others are not. False: the claim is no longer the item's, or a newer job is there, and
 * nobody waits for the rest. */
extern bool store_page(Job *item, const char *json, size_t n);
/* For who looks at the queue: how many pages there are. */
extern void store_page_count(Job *item, int pages);

/* Stores answers, n > 0, one after the other until ms have gone: each unless its claim is no longer the item's, the row is
 * gone, or a newer job is there. Returns how many it was. */
extern int store_answers(Job *const *items, int n, int ms);

/* Gives the claim's job up, visibly: it is dead, unless a newer one is there, or the claim is another's. with_row: stores
 * that in the results too, as page 0, which the user's constraints may refuse. */
extern void store_dead(Job *item, const AnswerError *e, bool with_row);

/* A row that is gone from the source, or from its key. */
typedef struct Gone
{
    int64 job;
    int watch, attempts;
    Datum key,
        becomes; /* text[]; {}: TRUNCATE; what the key has become, 0: nothing, it was deleted; both {}: of some partition */
} Gone;

/* store_gone.c: has the results follow, and forgets the note. True: not all at once, and it is to be called again. */
extern bool store_gone(const Gone *g);

/* The row is no longer under this key: that it was to be read anew, when its newest job was this one, holds for what the
 * key has become, whose job waits until results have followed. */
extern void store_ask_anew(int watch, Datum key, int64 newest);

/* For who corrects a page by hand: the source's row and its current results, in the order in which the worker locks them.
 * Done as the owner, for a caller who may insert and update results; else ERROR 42501. SPI is connected. */
extern void store_lock(int watch, Datum key);

/* Asks for the next rows of a watch that have no result, behind the key *after, which is 0 at the beginning and in the end.
 * SPI is connected; *after outlives that. Returns how many. */
extern int store_missing(int watch, Datum *after);

/* The next keys of a source that is being backfilled into the queue. False: that was the end. */
extern bool store_backfill(int watch);

/* For tests of the tests: whether this mistake is to be made. DSOCR_PLANT names them: token (an answer is stored whoever
 * has claimed the job), early (the job goes before the result is there), requeue (claims of a worker that is gone stay),
 * rowlock (a source's row is locked against every change of it), and two, which is none: a second worker and a third are let in, and must do no harm. */
#ifdef DS_PLANT
extern bool planted(const char *mistake);
#else
#define planted(mistake) false
#endif

#endif
