/* field_values.h - numbers, amounts and dates in a text, in the form that a computer wants. */
#ifndef DS_FIELD_VALUES_H
#define DS_FIELD_VALUES_H

#include "fold.h"

typedef struct FoundValue
{
    int from, to;      /* of the folded text */
    const char *value; /* "1234.50", "1898-05-17" */
    bool exact;        /* an amount with decimals */
} FoundValue;

/* The next number at or behind character `from`, which ends before `to`. amount: no percentage, no part of a word.
 * decimal: the decimal mark, 0: by the rule of README.md. */
extern bool value_number(const Folded *f, int from, int to, bool amount, char decimal,
                         FoundValue *v);

/* years_from: the first of the hundred years that two digits may mean. */
extern bool value_date(const Folded *f, int from, int to, bool day_first, int years_from,
                       FoundValue *v);

#endif
