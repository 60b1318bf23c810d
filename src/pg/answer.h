/* answer.h - what the engine says, in the server's own terms: jsonb, errors with SQLSTATE. */
#ifndef DS_ANSWER_H
#define DS_ANSWER_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

/* Why a call has no result. Texts are in the database's encoding and live in the context that was current. */
typedef struct AnswerError
{
    int sqlstate;                        /* ERRCODE_... */
    const char *code;                    /* the word: "bad_input", "limit" ... */
    const char *message, *detail, *hint; /* detail and hint may be NULL */
} AnswerError;

/* json: UTF-8 text from the engine, not to be trusted. Characters that the database's encoding cannot hold, U+0000 and
 * broken sequences become '?'; how many, is put into metadata.replaced_characters. ERROR 58000 when it is not JSON. */
extern Jsonb *answer_jsonb(const char *json, size_t n);

/* The body of a wire ERROR. Never fails: nonsense gives 58000 too. */
extern AnswerError *answer_error(const char *json, size_t n);

extern AnswerError *answer_error_made(int sqlstate, const char *code, const char *message,
                                      const char *detail, const char *hint);
extern void answer_raise(const AnswerError *e) __attribute__((noreturn));

/* Walking in a jsonb that may be anything. NULL, or the other value, when it is not there or of another type. */
extern JsonbContainer *json_container(const JsonbValue *v);
extern JsonbValue *json_get(JsonbContainer *object, const char *key);
extern JsonbContainer *json_get_container(JsonbContainer *object, const char *key);
extern char *json_get_string(JsonbContainer *object, const char *key);
extern int32 json_get_int(JsonbContainer *object, const char *key, int32 other);
extern Datum json_text_column(JsonbContainer *object, const char *key, bool *null);
extern Datum json_number_column(JsonbContainer *object, const char *key, PGFunction convert,
                                bool *null);
/* [x0, y0, x1, y1], origin top left, as a box of the server: the corners, whichever way up. */
extern Datum json_box_column(JsonbContainer *object, const char *key, bool *null);
extern int json_length(JsonbContainer *array);                 /* 0 for what is no array */
extern JsonbContainer *json_nth(JsonbContainer *array, int i); /* a member, from 0, of an array */
extern JsonbContainer *json_pages(Jsonb *result);

#endif
