/* search_columns.c - the planner is told what a search need not make: snippets and hits that the query does not ask for.
 *
 * They take most of the time of a search that finds little. A function cannot know which of its columns are used; but the
 * planner asks its support function while it still has the whole query. Sharp edge: whoever is in doubt says that all is
 * used. */
#include "compat.h"

#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "parser/parsetree.h"

PG_FUNCTION_INFO_V1(dsocr_search_support);

#define ARGUMENT_SNIPPETS 4 /* from 0 */
#define COLUMN_SNIPPET    4 /* from 1; the next one has the hits */

typedef struct Uses
{
    Oid function;
    const Query *query;
    Bitmapset *searches; /* in the query's range table: calls of the function */
    int level;           /* of queries inside the query */
    int calls;           /* of the function, wherever they stand */
} Uses;

static bool
is_call(const Uses *u, const Node *node)
{
    return IsA(node, FuncExpr) && ((const FuncExpr *)node)->funcid == u->function;
}

static void
find_searches(Uses *u)
{
    ListCell *cell;

    foreach (cell, u->query->rtable)
    {
        const RangeTblEntry *rte = lfirst(cell);
        const RangeTblFunction *f = rte->rtekind == RTE_FUNCTION && list_length(rte->functions) == 1
                                        ? linitial(rte->functions)
                                        : NULL;

        if (f && is_call(u, f->funcexpr))
            u->searches = bms_add_member(u->searches, foreach_current_index(cell) + 1);
    }
}

/* A column of a join may be one of ours. */
static bool
asks(const Uses *u, const Var *v)
{
    if (v->varlevelsup != u->level || IS_SPECIAL_VARNO(v->varno))
        return false;
    if (rt_fetch(v->varno, u->query->rtable)->rtekind == RTE_JOIN)
        return true;
    return bms_is_member(v->varno, u->searches) &&
           (v->varattno <= 0 || v->varattno >= COLUMN_SNIPPET);
}

static bool
walk(Node *node, void *arg)
{
    Uses *u = arg;
    bool found;

    if (node == NULL)
        return false;
    if (IsA(node, Var))
        return asks(u, (Var *)node);
    u->calls += is_call(u, node);
    if (!IsA(node, Query))
        return expression_tree_walker(node, walk, arg);
    u->level++;
    found = query_tree_walker((Query *)node, walk, arg, QTW_IGNORE_JOINALIASES);
    u->level--;
    return found;
}

static bool
asks_for_snippets(Query *query, Oid function)
{
    Uses u = {.function = function, .query = query};

    find_searches(&u);
    return query_tree_walker(query, walk, &u, QTW_IGNORE_JOINALIASES) ||
           u.calls != bms_num_members(u.searches);
}

static bool
is_true(const Node *node)
{
    return IsA(node, Const) && !((const Const *)node)->constisnull &&
           DatumGetBool(((const Const *)node)->constvalue);
}

/* The same call without snippets, or NULL. */
Datum
dsocr_search_support(PG_FUNCTION_ARGS)
{
    SupportRequestSimplify *request = (SupportRequestSimplify *)PG_GETARG_POINTER(0);
    FuncExpr *call;

    if (!IsA(request, SupportRequestSimplify) || request->root == NULL ||
        list_length(request->fcall->args) <= ARGUMENT_SNIPPETS ||
        !is_true(list_nth(request->fcall->args, ARGUMENT_SNIPPETS)) ||
        asks_for_snippets(request->root->parse, request->fcall->funcid))
        PG_RETURN_POINTER(NULL);
    call = makeNode(FuncExpr);
    *call = *request->fcall;
    call->args = list_copy(call->args);
    lfirst(list_nth_cell(call->args, ARGUMENT_SNIPPETS)) = makeBoolConst(false, false);
    PG_RETURN_POINTER(call);
}
