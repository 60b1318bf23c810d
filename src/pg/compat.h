/* compat.h - differences between server versions (15 and later), and no code. */
#ifndef DS_COMPAT_H
#define DS_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "dsocr needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM >= 160000
#define owns_relation(relation, role) object_ownercheck(RelationRelationId, relation, role)
#else
#define owns_relation(relation, role) pg_class_ownercheck(relation, role)
#endif

#if PG_VERSION_NUM >= 170000
#define my_proc_number() GetNumberFromPGProc(MyProc)
#else
#define my_proc_number() (MyProc->pgprocno)
#endif

#if PG_VERSION_NUM >= 170000
#define create_wait_set(n) CreateWaitEventSet(NULL, n)
#define make_json_lexer(text, n, encoding)                                                         \
    makeJsonLexContextCstringLen(NULL, text, n, encoding, true)
#else
#define create_wait_set(n)                 CreateWaitEventSet(CurrentMemoryContext, n)
#define make_json_lexer(text, n, encoding) makeJsonLexContextCstringLen(text, n, encoding, true)
#endif

#ifndef pg_attribute_noreturn /* 18 has pg_noreturn, in front */
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

#endif
