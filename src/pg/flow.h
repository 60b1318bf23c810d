/* flow.h - the text of a page as it is searched, and where each piece of it stands. */
#ifndef DS_FLOW_H
#define DS_FLOW_H

#include "reading.h"

#include "lib/stringinfo.h"

/* A run of the flow that was copied from one line. */
typedef struct FlowSpan
{
    int at, n; /* bytes of the flow */
    int from;  /* where they begin in the line's text */
    const ReadElement *element;
    const ReadLine *line; /* NULL: the element has no lines of its own */
    const char *text;     /* the whole line as it was read */
} FlowSpan;

typedef struct Flow
{
    StringInfoData text;
    FlowSpan *spans; /* [nspans], in the order of the text, without overlap */
    int nspans, room;
} Flow;

/* Words that are divided at the end of a line are whole; lines are separated by a line end, elements by two. */
extern Flow *flow_of(const ReadPage *page);

/* The text of a page as it is searched; that of the page itself when it has no elements. Another follows after an empty line. */
extern void flow_append_text(StringInfo to, const ReadPage *page);

/* The span at or after a byte of the flow; nspans when there is none. */
extern int flow_find(const Flow *flow, int at);

#endif
