/* state.h - SQL on the tables of the schema dsocr, which users may not touch, as the owner of the extension; or their rows,
 * one by one. */
#ifndef DS_STATE_H
#define DS_STATE_H

#include "postgres.h"

#include "access/htup_details.h"
#include "access/skey.h"
#include "fmgr.h"
#include "storage/buf.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* Who the code was before. */
typedef struct Scope
{
    Oid user;
    int security, guc_level;
} Scope;

extern Oid state_owner(void); /* of the extension; ERROR 55000 when it is not installed here */

/* By name, at this moment; InvalidOid: there is none. */
extern Oid find_relation(const char *schema, const char *name);

extern void no_such_watch(int watch) __attribute__((noreturn)); /* ERROR 42704 */

/* Become that user, or another, in a security-restricted context with a fixed search_path. An error leaves it too. */
extern void scope_enter(Scope *scope, Oid user);
extern void scope_leave(Scope *scope);

/* A setting until AtEOXact_GUC undoes it, or an error. */
extern void set_here(const char *name, const char *value);

#define STATE_ARGUMENTS 80 /* a key may have 32 columns, and become another */

/* Arguments of one statement: added in order, $1 first. */
typedef struct Arguments
{
    int n;
    Oid types[STATE_ARGUMENTS];
    Datum values[STATE_ARGUMENTS];
    char nulls[STATE_ARGUMENTS];
} Arguments;

extern void add_argument(Arguments *a, Oid type, Datum value, bool null);
extern void add_int(Arguments *a, int32 value);
extern void add_bigint(Arguments *a, int64 value);
extern void add_bool(Arguments *a, bool value);
extern void add_text(Arguments *a, const char *value); /* NULL is null */
extern void add_passed(Arguments *a, FunctionCallInfo fcinfo, int i,
                       Oid type); /* what the caller has */

extern void connect_spi(void); /* or ERROR */

/* SPI must be connected. Runs as the current user; ERROR when SPI says so. Returns the number of rows. */
extern uint64 run_sql(const char *sql, const Arguments *a, long limit);
/* The same with a plan that is kept, for the worker, which says the same things again and again. */
extern uint64 run_kept_sql(const char *sql, const Arguments *a);
/* The same as the owner of the extension. */
extern uint64 run_state_sql(const char *sql, const Arguments *a);
/* The same for a change, of what is committed now: that the queue has changed the same rows since the caller's snapshot is no
 * reason to fail. */
extern uint64 change_state_now(const char *sql, const Arguments *a);

/* Of SPI's last result. NULL is NULL; strings are palloc'd in SPI's context. */
extern char *got_string(uint64 row, int column);
extern int64 got_bigint(uint64 row, int column, int64 other);
extern bool got_bool(uint64 row, int column);

/* Rows of a table of ours, one by one, as a snapshot sees them. A serializable transaction that looks at them so does not
 * count as a reader of all that others write there: two that ask, and have something read, would fail. */
typedef struct StateRows
{
    Relation table;
    Snapshot snapshot;
    struct SysScanDescData *scan; /* by an index; NULL: page by page, */
    BlockNumber block, blocks;
    Buffer buffer;
    int n, at;
    OffsetNumber seen[MaxHeapTuplesPerPage]; /* [n] of this page */
    HeapTupleData row;
} StateRows;

extern Relation state_table(const char *name, LOCKMODE lock); /* opened; for table_close */
extern int state_column(Relation table, const char *name);
/* index: what finds the keys; NULL: all rows, and no keys. */
extern void rows_begin(StateRows *r, Relation table, const char *index, int nkeys, ScanKey keys,
                       Snapshot snapshot);
/* Those with that number in the first column of an index, or those of a watch with that key in the second. */
extern void rows_of_number(StateRows *r, Relation table, const char *index, const char *column,
                           int64 number, Snapshot snapshot);
extern void rows_of_key(StateRows *r, Relation table, const char *index, const char *column,
                        int watch, Datum key, Snapshot snapshot);
extern HeapTuple rows_next(StateRows *r); /* until the next call; NULL: there are no more */
extern void rows_end(StateRows *r);

/* A column of such a row, by its name. */
extern Datum row_column(Relation table, HeapTuple row, const char *name, bool *null);
extern bool row_says(Relation table, HeapTuple row, const char *name, const char *words);
extern char *row_text(Relation table, HeapTuple row, const char *name); /* NULL is "" */
/* Deletes it, though nobody has read it. False: somebody has just changed it; seen anew, it may be another. */
extern bool row_delete(StateRows *r, HeapTuple row);

/* A key as the queue keeps it: text[] of what the types' output functions say under fixed settings. */
extern Datum key_array(char *const *texts, int n);
extern char **texts_of_array(Datum array, int *n); /* of any text[] without NULLs, [*n] */
/* Names and values; the last name is NULL. Keys are told apart by what is said under them, here and in the worker. */
extern const char *const output_settings[][2];
/* Settings that make output independent of the session; returns what AtEOXact_GUC wants to undo them. */
extern int fixed_output(void);
extern bool output_is_fixed(Oid type); /* its output depends on no setting */

#endif
