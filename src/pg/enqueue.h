/* enqueue.h - jobs made by a user's statement: rows of dsocr.job, inserted as the owner of the extension. */
#ifndef DS_ENQUEUE_H
#define DS_ENQUEUE_H

#include "postgres.h"

/* At load: to hear of the ends of statements. */
extern void enqueue_hook(void);

/* A job for a key (text[]), at once or at the end of the statement that runs. */
extern void enqueue_job(int watch, Datum key);

/* Notes that a row is gone; becomes: its new key, 0: it was deleted. Returns the number of the note. */
extern int64 enqueue_gone(int watch, Datum key, Datum becomes);

/* It was not deleted, but has this key now. */
extern void enqueue_becomes(int64 note, Datum key);

#endif
