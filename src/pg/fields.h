/* fields.h - what dsocr_fields is asked for, and where it may be. */
#ifndef DS_FIELDS_H
#define DS_FIELDS_H

#include "field_values.h"
#include "reading.h"

typedef enum FieldType
{
    FIELD_TEXT,
    FIELD_NUMBER,
    FIELD_AMOUNT,
    FIELD_DATE
} FieldType;

typedef enum FieldTake
{
    TAKE_FIRST,
    TAKE_LAST,
    TAKE_LARGEST
} FieldTake;

typedef struct Field
{
    const char *name;
    FieldType type;
    FieldTake take;
    Folded *labels; /* [nlabels], the preferred first */
    int nlabels;
    text *pattern; /* or NULL */
    bool anywhere, day_first;
    int years_from; /* two digits of a year are of the hundred years from this on */
    char decimal;   /* 0: by the rule of field_values.c */
} Field;

/* Every field of a schema; *n of them. ERROR 22023 naming the key that is wrong. */
extern Field *fields_asked(Jsonb *schema, int *n);

/* The first part of a text [from, to), in characters of the folded one, that the pattern matches: its first group, if it has one.
 * ERROR 22023 for a pattern that is none. */
extern bool field_matches(const Field *field, const Folded *f, int from, int to, int *first,
                          int *last);

typedef struct FieldValue
{
    bool found;
    const char *value; /* a number, a date or a text */
    const char *text;  /* as it was read */
    const char *method;
    int page;
    bool has_box;
    BOX box;
    double confidence; /* -1: none */
} FieldValue;

/* The values of all fields, [n]. */
extern FieldValue *fields_find(const Reading *r, const Field *fields, int n);

#endif
