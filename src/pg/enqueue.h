/* enqueue.h - jobs made by a user's statement: rows of dsocr.job, inserted as the owner of the extension. */
#ifndef DS_ENQUEUE_H
#define DS_ENQUEUE_H

#include "postgres.h"

#include "storage/itemptr.h"

/* At load: to hear of the ends of statements. */
extern void enqueue_hook(void);

/* A job for a key (text[]), at once or at the end of the statement that runs. */
extern void enqueue_job(int watch, Datum key);

/* Which statement's triggers run; no other of this session has the number. 0: not known, as in COPY. */
extern uint64 enqueue_statement(void);

/* Notes that a row is gone; becomes: its new key, 0: it was deleted. Returns where the note stands. */
extern ItemPointerData enqueue_gone(int watch, Datum key, Datum becomes);

/* It was not deleted, but has this key now. In the same statement. */
extern void enqueue_becomes(int watch, ItemPointerData note, Datum key);

#endif
