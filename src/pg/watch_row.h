/* watch_row.h - a row of dsocr.watch, and who may do what with it. */
#ifndef DS_WATCH_ROW_H
#define DS_WATCH_ROW_H

#include "state.h"

/* For rows_end; NULL: there is none of that number. */
extern HeapTuple find_watch(StateRows *r, Relation watches, int watch, Snapshot snapshot);

/* What it reads, by the name that it has now; InvalidOid: there is none. */
extern Oid watch_source(Relation watches, HeapTuple row);

/* As the view dsocr.watches shows it: to whom may SELECT the source, or, when that is gone, to whom attached it. */
extern bool watch_is_seen(Relation watches, HeapTuple row);

/* ERROR unless the caller owns the source, or, when that is gone, is who attached it. */
extern void require_watch_owner(int watch);

#endif
