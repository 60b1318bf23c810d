/* answers.h - what the fake engine says of a document: the form of api.md, the text by formula.
 *
 * The text of page p of a document of n bytes is "page P of N bytes, mark M", M being the document's FNV-1a in 16
 * hexadecimal digits; a document that begins with "TEXT:" reads as what follows up to the first zero byte or the
 * word FAKE:. A question is answered by itself, behind the number of its page. Malloc'd JSON text each. */
#ifndef FAKE_ANSWERS_H
#define FAKE_ANSWERS_H

#include "faults.h"
#include "wire.h"

#define FAKE_PAGES 1000 /* at most */

/* The pages asked for into pages [FAKE_PAGES]; returns how many. Nonsense is page 1. */
int fake_pages(const Faults *f, const char *options, int *pages);
char *fake_reading(const Faults *f, const char *options, const char *body, size_t n,
                   const int *pages, int npages);
char *fake_info(const Faults *f, const char *body, size_t n);
char *fake_status(const WirePong *pong);
char *fake_error(const char *status, const char *message);

#endif
