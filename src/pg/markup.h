/* markup.h - the HTML that readers write, taken apart: tags, text, entities. Nothing is evaluated. */
#ifndef DS_MARKUP_H
#define DS_MARKUP_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* A tag or a run of text. Anything that is no tag by HTML's own rule is text. */
typedef struct MarkupPiece
{
    bool tag, closing;
    char name[16];       /* of a tag, lower case, cut off */
    const char *s, *end; /* a text's bytes; a tag's attributes */
} MarkupPiece;

/* The next piece from *at, which moves on. False at the end. */
extern bool markup_next(const char **at, MarkupPiece *piece);

/* An attribute of a tag as a number within least..most; other when it is not there or no number. */
extern int markup_number(const MarkupPiece *tag, const char *attribute, int other, int least,
                         int most);

/* Whether a tag's name is one of these, of which the last is NULL. */
extern bool markup_one_of(const char *name, const char *const *names);

/* Adds text with entities resolved. */
extern void markup_text(StringInfo to, const char *s, const char *end);

/* What is left when tags and the marks of headings are taken away: a cell ends in a tab, a row and a block in a line
 * end. */
extern char *markup_plain(const char *content);

/* For HTML and XML: & < > " ' escaped, control characters that XML 1.0 forbids made spaces. */
extern void markup_escape(StringInfo to, const char *s, int n);

#endif
