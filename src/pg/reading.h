/* reading.h - a result as structs: what a jsonb says about pages, elements and lines, looked at once. */
#ifndef DS_READING_H
#define DS_READING_H

#include "postgres.h"

#include "utils/geo_decls.h"
#include "utils/jsonb.h"

/* Texts are in the database's encoding and end in a zero byte; NULL is what was not there or of another type. */
typedef struct ReadLine
{
    const char *text; /* never NULL */
    bool has_box;
    BOX box; /* pixels, low is top left */
    const char *geometry;
    double confidence; /* -1: none */
    JsonbContainer *object;
} ReadLine;

typedef struct ReadElement
{
    const char *type, *label, *content;
    const char *text; /* never NULL: made from content when it is not there */
    bool has_box;
    BOX box;
    const char *geometry;
    double confidence;
    ReadLine *lines; /* [nlines] */
    int nlines;
    JsonbContainer *object;
} ReadElement;

typedef struct ReadPage
{
    int number;        /* from 1 */
    int width, height; /* 0: unknown */
    int rotation; /* degrees clockwise that the reader turned the upright page; boxes are of the turned one */
    const char *status;
    const char *text, *markdown;
    double confidence;
    ReadElement *elements; /* [nelements] */
    int nelements;
} ReadPage;

typedef struct Reading
{
    const char *sha256, *model; /* of the document and its reader, or NULL */
    ReadPage *pages;            /* [npages] */
    int npages;
} Reading;

/* A whole result, or one page of it. ERROR 22023 when it is neither, or something in it is of the wrong type. */
extern Reading *reading_of(Jsonb *result);

/* The same without numbers of elements and lines: has_box false, no confidence. Numbers take longest to read. */
extern Reading *reading_texts_of(Jsonb *result);

/* The box of an element's or line's object. False: it has none. */
extern bool reading_box(JsonbContainer *object, BOX *box);

extern const ReadPage *reading_page(const Reading *r, int number); /* NULL: not there */

/* Argument i of a function as a reading. NULL: it is NULL. */
#define READING_ARGUMENT(i) (PG_ARGISNULL(i) ? NULL : reading_of(PG_GETARG_JSONB_P(i)))

#endif
