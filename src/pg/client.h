/* client.h - the asking side: questions to the engine, several at once, and what came of each. */
#ifndef DS_CLIENT_H
#define DS_CLIENT_H

#include "postgres.h"

#include "common/sha2.h"

#include "answer.h"
#include "serve/wire.h"

/* A page that was read before the rest. */
typedef struct Part
{
    struct Part *next;
    char *json; /* [n] UTF-8, as a reply with one page; the asker's to free */
    size_t n;
} Part;

/* The document of a function's argument 0 as it is stored, perhaps outside the row. */
#define DOCUMENT() ((struct varlena *)DatumGetPointer(PG_GETARG_DATUM(0)))

/* One question. Zeroed, then filled by who asks; the answer is filled by client_ask. */
typedef struct Question
{
    WireKind kind;
    const char *options; /* UTF-8 JSON */
    struct varlena *doc; /* as it came, perhaps still in TOAST; NULL: no body */
    bool bulk, alone;    /* gives way to others; nothing else may be in the engine meanwhile */
    bool many;           /* one of many: those who ask for one are not kept out by them */
    bool pagewise;       /* pages are wanted as soon as they are read */

    Part *
        parts; /* come before there is a reply, which has the pages that are left; who asks takes them off */
    uint32 pages; /* to be read; 0: not known yet */
    char *reply;  /* UTF-8 JSON from the engine, or NULL */
    size_t nreply;
    AnswerError *error; /* why there is no reply, or NULL */
    MemoryContext
        error_context; /* of the error; with it goes all of that, also when the rest stays */
} Question;

/* Called for each question as soon as it is answered. */
typedef void (*ClientDone)(int index, Question *q, void *arg);

/* Asks all, a bounded number of them at once, and returns when each has a reply or an error, allocated in the
 * current context. Interrupts are served throughout; leaving by an error (cancel, statement_timeout) closes the
 * sockets, which is the cancel for the engine. ERROR 55000 when the library was not preloaded. done may be NULL. */
extern void client_ask(Question *questions, int n, ClientDone done, void *arg);

extern void client_require_preload(void);

/* Of a document as it came, perhaps still in TOAST. */
extern void hash_document(struct varlena *doc, uint8 sha256[PG_SHA256_DIGEST_LENGTH]);

/* The same, for who has other things to do: questions are added one by one, and must live until they are done. once:
 * nothing is asked a second time, and whether a document is refused is left to who asks; an engine that is lost is told by
 * the error's code: "lost" when the document was being read, "again" when it was not, or when the engine was replaced
 * on purpose. */
typedef struct Client Client;
/* Lives in the current context, whose end closes the sockets; replies and errors go into `answers`. */
extern Client *client_open(MemoryContext answers, bool once);
extern bool client_add(Client *client, Question *q); /* false: no socket is free */
extern bool client_turn(Client *client, ClientDone done,
                        void *arg); /* what can be done now; true: some were answered */
extern void client_wait(Client *client, long ms); /* for the engine, the latch, or so long */
extern int client_busy(const Client *client);     /* questions not yet answered */
extern void client_drop(Client *client, const Question *q); /* cancels one; no done for it */
/* The same, but what the engine has told until now is taken: its parts, and perhaps the answer. True: it is answered. */
extern bool client_hang_up(Client *client, const Question *q);
extern void client_free_part(Part *part);
extern void client_free_error(Question *q);

#endif
