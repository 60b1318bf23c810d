/* fold.h - a text without case and accents, and how nearly a label stands somewhere in it. */
#ifndef DS_FOLD_H
#define DS_FOLD_H

#include "postgres.h"

#include "mb/pg_wchar.h"

typedef struct Folded
{
    const char *text;
    pg_wchar
        *c;  /* [n], small, without accents, ligatures as their letters, Hangul as its; c[n] is 0 */
    int *at; /* [n + 1], the byte where the character stands in the text */
    int n;
    pg_wchar *
        letters; /* [nletters], letters and digits alone; those that are mistaken for one another are the same */
    int *where; /* [nletters], which of c it is */
    int nletters;
} Folded;

extern Folded fold(const char *text);

extern bool fold_is_word(pg_wchar c); /* a letter or a digit */

/* The label, read at letter `start` of the text with few errors, to a word's end. -1: no; else how many errors, and
 * *end: the letter behind it. */
extern int fold_label_at(const Folded *text, int start, const Folded *label, int *end);

#endif
