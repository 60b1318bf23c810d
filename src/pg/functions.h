/* functions.h - what other ways of asking share with the plain functions. */
#ifndef DS_FUNCTIONS_H
#define DS_FUNCTIONS_H

#include "postgres.h"

#include "client.h"
#include "fmgr.h"
#include "utils/jsonb.h"

/* What the wire calls the options of a READ: {"mode", "pages", "options"} in UTF-8. NULL means the default. */
extern char *reading_options(const char *mode, const char *pages, Jsonb *options);
/* The same, in the database's encoding, of options that are JSON text. */
extern char *reading_words(const char *mode, const char *pages, const char *options);

/* The result of a document, or the error raised. question: what a mode needs that asks; else NULL. */
extern Jsonb *ask_document(struct varlena *doc, const char *mode, const char *pages,
                           const char *question, Jsonb *options);
/* The member of each page that was read, with an empty line between; pages that failed are told. */
extern text *joined_pages(Jsonb *result, const char *member);

/* The result of a question that is answered, also for a document that cannot be read; other errors are raised. */
extern Jsonb *result_of(const Question *q);

/* to_jsonb, to be called with records. */
extern void prepare_to_jsonb(FmgrInfo *f);

#endif
