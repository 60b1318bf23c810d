/* store_pages.h - finished pages of documents that are not finished: kept with the job, until the rest is read. */
#ifndef DS_STORE_PAGES_H
#define DS_STORE_PAGES_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "store.h"

/* In a transaction, SPI connected, as the owner of the extension. */

/* The question is made: what was kept of another document, or was asked in another way or read by another model, is thrown
 * away; of what fits no page is asked for again. */
extern void pages_resume(Job *item);
/* How many of those that are wanted were not kept yet; the page count is known. */
extern int pages_left(const Job *item);
extern void pages_add(Job *item, Jsonb *part);
extern void pages_forget(Job *item);

/* All that was kept and the rest, as one result. */
extern Jsonb *pages_whole(const Job *item, Jsonb *rest);
/* All that was kept, and each page that was not read as one that failed. NULL: nothing was kept. */
extern Jsonb *pages_given_up(const Job *item, const AnswerError *e);

/* store_tally.c: counts what was read, by watch and model; documents: 1 with the last page of one, else 0. Lives as long as
 * the current context. */
typedef struct Tally Tally;

extern List *tally_pages(List *tallies, int watch, Jsonb *result, int documents);
extern void tally_store(List *tallies);

#endif
