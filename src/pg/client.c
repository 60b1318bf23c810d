/* client.c - the asking side: connect, send, wait, cancel, clean up. The protocol is in serve/wire.h.
 *
 * Everything is non-blocking and in one loop, so that one session can have many documents in the engine. A document
 * is taken out of TOAST only after the engine has said GO; one that is stored uncompressed goes slice by slice and is
 * never whole in this process. Sharp edge: the engine may die at any line. What it was reading then is suspect: it is
 * asked for once more, alone in the engine, and refused for an hour if that ends the engine again. */
#include "compat.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "access/detoast.h"
#include "common/cryptohash.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "client.h"
#include "module.h"

#define SOCKETS_MAX      64    /* of one client */
#define SOCKETS_ASKED    16    /* of one call of client_ask */
#define START_WAIT_MS    30000 /* how long a call waits for an engine that starts */
#define RETRY_CONNECT_MS 10
#define AGAIN_MAX        4 /* how often a call that was not being read is asked anew */

/* WAITING -connected-> ASKED -GO-> SENDING -all sent-> SENT -RESULT or ERROR-> DONE
 * the connection ends before GO, or with an engine that was replaced:     -> WAITING
 * the engine dies after GO:                                 first -> WAITING (alone), then -> DONE (refused) */
typedef enum CallState
{
    CALL_WAITING,
    CALL_ASKED,
    CALL_SENDING,
    CALL_SENT,
    CALL_DONE,
} CallState;

typedef struct Call
{
    Question *q;
    int index;
    CallState state;
    int fd;            /* -1: none */
    uint64 generation; /* of the engine asked */
    int losses, again;
    bool hung_up;        /* by us */
    TimestampTz give_up; /* WAITING: no engine by then is an error */

    StringInfoData out;    /* header and options; then the slice of the body at hand */
    int sent;              /* of out */
    Size size, taken;      /* of the body: all, already put into out */
    struct varlena *whole; /* taken out of TOAST; NULL: not needed, or not yet */

    WireHeader in;
    size_t nin;
    StringInfoData body; /* of the message at hand */
} Call;

struct Client
{
    MemoryContext context, answers; /* what ends with the call; where replies go */
    MemoryContext scratch;          /* of done(), for one answer */
    Call calls[SOCKETS_MAX];
    int ncalls;
    TimestampTz deadline; /* of dsocr.timeout; 0: none */
    bool once;            /* nothing is asked a second time */
};

void
client_require_preload(void)
{
    if (engine_state == NULL)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("dsocr was not loaded when the server started"),
                        errdetail("The engine that reads is owned by a worker of the server."),
                        errhint("Add dsocr to shared_preload_libraries in postgresql.conf and "
                                "restart the server.")));
}

/* ---- ends ---- */

static void
disconnect(Call *c)
{
    if (c->fd < 0)
        return;
    close(c->fd);
    ReleaseExternalFD();
    c->fd = -1;
}

/* Of the client's context: however a call is left, its sockets are closed. */
static void
close_all(void *arg)
{
    Client *client = arg;

    for (int i = 0; i < client->ncalls; i++)
        disconnect(&client->calls[i]);
}

static void
finish(Call *c)
{
    c->state = CALL_DONE;
    disconnect(c);
    if (c->whole && c->whole != c->q->doc)
        pfree(c->whole);
    c->whole = NULL;
}

/* Switches to the context of the call's error. Returns what was current. */
static MemoryContext
begin_error(Client *client, Call *c)
{
    c->q->error_context =
        AllocSetContextCreate(client->answers, "dsocr error", ALLOCSET_SMALL_SIZES);
    return MemoryContextSwitchTo(c->q->error_context);
}

void
client_free_error(Question *q)
{
    if (q->error_context)
        MemoryContextDelete(q->error_context);
    q->error_context = NULL;
    q->error = NULL;
}

static void
fail(Client *client, Call *c, int sqlstate, const char *code, const char *message,
     const char *detail, const char *hint)
{
    MemoryContext old = begin_error(client, c);

    c->q->error =
        answer_error_made(sqlstate, code, pstrdup(message), detail ? pstrdup(detail) : NULL, hint);
    MemoryContextSwitchTo(old);
    finish(c);
}

static char *
last_engine_error(void)
{
    char text[sizeof engine_state->error];

    LWLockAcquire(engine_lock, LW_SHARED);
    strlcpy(text, engine_state->error, sizeof text);
    LWLockRelease(engine_lock);
    return pstrdup(text);
}

/* ---- the document ---- */

static Size
document_size(const struct varlena *doc)
{
    return doc ? toast_raw_datum_size(PointerGetDatum(doc)) - VARHDRSZ : 0;
}

/* Stored outside the row and uncompressed: its parts can be had one by one. */
static bool
document_sliceable(const struct varlena *doc)
{
    struct varatt_external where;

    if (!VARATT_IS_EXTERNAL_ONDISK(doc))
        return false;
    VARATT_EXTERNAL_GET_POINTER(where, doc);
    return !VARATT_EXTERNAL_IS_COMPRESSED(where);
}

void
hash_document(struct varlena *doc, uint8 sha256[PG_SHA256_DIGEST_LENGTH])
{
    struct varlena *whole = detoast_attr(doc);
    pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

    if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
        pg_cryptohash_update(hash, (uint8 *)VARDATA_ANY(whole), VARSIZE_ANY_EXHDR(whole)) < 0 ||
        pg_cryptohash_final(hash, sha256, PG_SHA256_DIGEST_LENGTH) < 0)
        elog(ERROR, "could not compute SHA-256 of a document");
    pg_cryptohash_free(hash);
    if (whole != doc)
        pfree(whole);
}

static bool
document_refused(struct varlena *doc, Size size)
{
    uint8 sha256[PG_SHA256_DIGEST_LENGTH];

    if (doc == NULL || !blob_may_be_refused(size))
        return false;
    hash_document(doc, sha256);
    return blob_is_refused(sha256, size);
}

/* The next slice of the body into out. */
static void
take_slice(Call *c)
{
    Size n = Min(c->size - c->taken, WIRE_SLICE);

    resetStringInfo(&c->out);
    c->sent = 0;
    if (document_sliceable(c->q->doc))
    {
        struct varlena *slice = detoast_attr_slice(c->q->doc, c->taken, n);

        appendBinaryStringInfo(&c->out, VARDATA_ANY(slice), VARSIZE_ANY_EXHDR(slice));
        pfree(slice);
    }
    else
    {
        if (c->whole == NULL)
        {
            /* Where the call's other memory is: who asks may come back in a context of the next row's. */
            MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(c->out.data));

            c->whole = detoast_attr(c->q->doc);
            MemoryContextSwitchTo(old);
        }
        appendBinaryStringInfo(&c->out, VARDATA_ANY(c->whole) + c->taken, n);
    }
    c->taken += c->out.len;
    if ((Size)c->out.len != n)
        elog(ERROR, "a document's length is not what its header says");
}

/* ---- the beginning of a call ---- */

static int
milliseconds_left(TimestampTz until)
{
    return (int)Min(INT_MAX, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until));
}

static void
wait_for_engine(Call *c)
{
    disconnect(c);
    c->state = CALL_WAITING;
    c->give_up = GetCurrentTimestamp() + (TimestampTz)START_WAIT_MS * 1000;
}

/* The limit is checked here, on the header of the stored value, and again by the engine. */
static void
begin(Client *client, Call *c, Question *q, int index)
{
    memset(c, 0, sizeof *c);
    c->q = q;
    c->index = index;
    c->fd = -1;
    c->size = document_size(q->doc);
    initStringInfo(&c->out);
    MemoryContextSwitchTo(client->answers);
    initStringInfo(&c->body);
    MemoryContextSwitchTo(client->context);
    wait_for_engine(c);
    if (c->size > (Size)dsocr_max_image_bytes)
        fail(client, c, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "limit",
             psprintf("document has %zu bytes", c->size),
             psprintf("dsocr.max_image_bytes is %d.", dsocr_max_image_bytes),
             "Store a smaller scan, or raise dsocr.max_image_bytes.");
    else if (c->size > (Size)dsocr_max_inflight_kb * 1024)
        fail(client, c, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "limit",
             psprintf("document has %zu bytes", c->size),
             psprintf("dsocr.max_inflight_bytes is %d kB.", dsocr_max_inflight_kb),
             "Raise dsocr.max_inflight_bytes above dsocr.max_image_bytes.");
    else if (!client->once && document_refused(q->doc, c->size))
        fail(client, c, ERRCODE_SYSTEM_ERROR, "engine_crash",
             "this document is not read, since it ended the engine twice",
             "It is refused for an hour after the second time.",
             "Please report it; the server's log says how the engine ended.");
}

static void
put_request(Client *client, Call *c)
{
    WireHeader h;
    Size noptions = c->q->options ? strlen(c->q->options) : 0;

    wire_header(&h, WIRE_REQUEST, c->index + 1);
    h.kind = c->q->kind;
    h.class_ = c->q->bulk ? WIRE_BULK : dsocr_class;
    h.role = GetUserId();
    h.database = MyDatabaseId;
    h.options_length = noptions;
    h.body_length = c->size;
    h.flags = (c->losses > 0 || c->q->alone ? WIRE_ALONE : 0) |
              (c->q->pagewise ? WIRE_PAGEWISE : 0) | (c->q->many ? WIRE_MANY : 0);
    h.timeout_ms = client->deadline ? Max(1, milliseconds_left(client->deadline)) : 0;
    resetStringInfo(&c->out);
    appendBinaryStringInfo(&c->out, (char *)&h, sizeof h);
    if (noptions > 0)
        appendBinaryStringInfo(&c->out, c->q->options, noptions);
    c->sent = 0;
    c->taken = 0;
    c->nin = 0;
    c->state = CALL_ASKED;
}

/* False: not now. */
static bool
connect_engine(Call *c)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strlcpy(address.sun_path, ENGINE_SOCKET, sizeof address.sun_path);
    if (!AcquireExternalFD())
        ereport(ERROR, (errcode_for_file_access(),
                        errmsg("no file descriptor is left for the engine's socket: %m")));
    c->generation = pg_atomic_read_u64(&engine_state->generation);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
    {
        ReleaseExternalFD();
        return false;
    }
    /* EAGAIN is a full backlog, ENOENT and ECONNREFUSED an engine that went just now: all pass. */
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0)
        return true;
    disconnect(c);
    return false;
}

static void
step_waiting(Client *client, Call *c)
{
    EngineStateName state = pg_atomic_read_u32(&engine_state->state);
    bool usable = state >= ENGINE_READY && state != ENGINE_FAILING;

    if (state == ENGINE_LOADING && c->q->kind != WIRE_READ)
        usable = true; /* no model is needed */
    if (state == ENGINE_FAILING)
        fail(client, c, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "not_ready",
             "the engine does not start", last_engine_error(),
             "The server's log has more; the next start is tried within a minute.");
    else if (usable && connect_engine(c))
        put_request(client, c);
    else if (GetCurrentTimestamp() >= c->give_up &&
             pg_atomic_read_u32(&engine_state->supervisor) == 0)
        fail(client, c, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "not_ready",
             "the server does not run the worker that starts the engine",
             psprintf("It was awaited for %d s.", START_WAIT_MS / 1000),
             "The server's log may say why. max_worker_processes has to leave room for two workers "
             "of dsocr, and one for each database that it reads for.");
    else if (GetCurrentTimestamp() >= c->give_up)
        fail(client, c, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "not_ready",
             "the engine is still starting",
             psprintf("It was not ready within %d s.", START_WAIT_MS / 1000), "Try again later.");
}

/* ---- the end of a call ---- */

static void
lost(Client *client, Call *c)
{
    bool by_wish = pg_atomic_read_u64(&engine_state->replaced) >= c->generation;
    bool was_reading = c->state > CALL_ASKED;
    uint8 sha256[PG_SHA256_DIGEST_LENGTH];

    if (c->hung_up)
    {
        finish(c);
        return;
    }
    if (client->once)
    {
        fail(client, c, ERRCODE_SYSTEM_ERROR, by_wish || !was_reading ? "again" : "lost",
             "the engine was lost while it read this document", NULL, NULL);
        return;
    }
    if ((by_wish || !was_reading) && c->again++ < AGAIN_MAX)
    {
        wait_for_engine(c);
        return;
    }
    if (c->losses++ == 0)
    {
        wait_for_engine(c);
        return;
    }
    if (c->q->doc)
    {
        hash_document(c->q->doc, sha256);
        blob_refuse(sha256, c->size);
    }
    fail(client, c, ERRCODE_SYSTEM_ERROR, "engine_crash",
         "the engine was lost twice while it read this document",
         "The second time it read nothing else; the document is refused for an hour.",
         "Please report it; the server's log says how the engine ended.");
}

static void
mad(Client *client, Call *c, const char *why)
{
    fail(client, c, ERRCODE_SYSTEM_ERROR, "broken", "the engine did not answer as agreed", why,
         "This is a fault of the engine; its log is the server's.");
}

static void
other_version(Client *client, Call *c)
{
    fail(client, c, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "not_ready",
         "the engine speaks another protocol version",
         psprintf("The engine speaks version %d, the library that the server has loaded speaks "
                  "version %d.",
                  c->in.version, WIRE_VERSION),
         "Restart the server after an upgrade of dsocr.");
}

/* An engine that has just been replaced may still be loading when its word of readiness is read: then wait on. */
static void
take_error(Client *client, Call *c)
{
    EngineStateName state = pg_atomic_read_u32(&engine_state->state);
    MemoryContext old = begin_error(client, c);

    c->q->error = answer_error(c->body.data, c->body.len);
    MemoryContextSwitchTo(old);
    if (strcmp(c->q->error->code, "not_ready") == 0 &&
        (state == ENGINE_STARTING || state == ENGINE_LOADING) && c->again++ < AGAIN_MAX)
    {
        client_free_error(c->q);
        wait_for_engine(c);
        return;
    }
    finish(c);
}

/* The text that came is handed over, not copied: it may be large. */
static void
take_result(Call *c)
{
    c->q->reply = c->body.data;
    c->q->nreply = c->body.len;
    c->body.data = NULL;
    finish(c);
}

/* As a result, but more is to come. */
static void
take_part(Client *client, Call *c)
{
    MemoryContext old = MemoryContextSwitchTo(client->answers);
    Part *part = palloc(sizeof *part), **end = &c->q->parts;

    *part = (Part){NULL, c->body.data, c->body.len};
    while (*end)
        end = &(*end)->next;
    *end = part;
    initStringInfo(&c->body);
    MemoryContextSwitchTo(old);
}

static void
take_progress(Call *c)
{
    WireProgress p;

    if (c->body.len != sizeof p)
        return;
    memcpy(&p, c->body.data, sizeof p);
    c->q->pages = p.pages;
}

/* ---- messages ---- */

static void
take_message(Client *client, Call *c)
{
    c->nin = 0;
    switch (c->in.type)
    {
        case WIRE_GO:
            if (c->state != CALL_ASKED)
                mad(client, c, "It said GO twice.");
            else
                c->state = CALL_SENDING;
            break;
        case WIRE_PROGRESS:
            take_progress(c);
            break;
        case WIRE_PAGE:
            if (c->state != CALL_SENT || !c->q->pagewise)
                mad(client, c, "It told a page when none was awaited.");
            else
                take_part(client, c);
            break;
        case WIRE_RESULT:
            if (c->state != CALL_SENT)
                mad(client, c, "A result came before the document was sent.");
            else
                take_result(c);
            break;
        case WIRE_ERROR:
            take_error(client, c);
            break;
        default:
            mad(client, c, "It sent a message that only askers send.");
    }
}

static bool
check_header(Client *client, Call *c)
{
    bool version = false;
    const char *wrong = wire_check(&c->in, WIRE_MAX_REPLY, &version);

    resetStringInfo(&c->body);
    if (version)
        other_version(client, c);
    else if (wrong)
        mad(client, c, psprintf("It sent %s.", wrong));
    else if (c->in.id != (uint64)c->index + 1)
        mad(client, c, "It answered a question that was not asked.");
    else if (c->in.type != WIRE_RESULT && c->in.type != WIRE_ERROR && c->in.type != WIRE_PAGE &&
             c->in.body_length > sizeof(WireProgress))
        mad(client, c, "It sent a long message where a short one belongs.");
    return c->state != CALL_DONE;
}

#define READ_CHUNK (64 << 10) /* memory follows what has come, not what was announced */

/* One recv: of the header, or of the body. As recv(2). */
static ssize_t
receive(Call *c)
{
    ssize_t n;
    Size want;

    if (c->nin < sizeof c->in)
    {
        n = recv(c->fd, (char *)&c->in + c->nin, sizeof c->in - c->nin, MSG_DONTWAIT);
        if (n > 0)
            c->nin += n;
        return n;
    }
    want = Min(c->in.body_length - c->body.len, READ_CHUNK);
    enlargeStringInfo(&c->body, want);
    n = recv(c->fd, c->body.data + c->body.len, want, MSG_DONTWAIT);
    if (n > 0)
    {
        c->body.len += n;
        c->body.data[c->body.len] = '\0';
    }
    return n;
}

/* Reads what is there. */
static void
step_receive(Client *client, Call *c)
{
    while (c->state == CALL_ASKED || c->state == CALL_SENDING || c->state == CALL_SENT)
    {
        bool in_header = c->nin < sizeof c->in;
        ssize_t n = receive(c);

        CHECK_FOR_INTERRUPTS();
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0)
        {
            lost(client, c);
            return;
        }
        if (in_header && (c->nin < sizeof c->in || !check_header(client, c)))
            continue;
        if (c->nin == sizeof c->in && (uint64)c->body.len == c->in.body_length)
            take_message(client, c);
    }
}

/* Sends what goes now: the request, and after GO the body, a slice at a time. */
static void
step_send(Call *c)
{
    ssize_t n;

    while (c->state == CALL_ASKED || c->state == CALL_SENDING)
    {
        CHECK_FOR_INTERRUPTS();
        if (c->sent == c->out.len)
        {
            if (c->state == CALL_ASKED)
                return; /* GO is awaited */
            if (c->taken == c->size)
            {
                c->state = CALL_SENT;
                return;
            }
            take_slice(c);
        }
        n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            c->sent += n;
        else if (errno != EINTR)
            return; /* full; or the end, which reading tells, with the reason that may stand before it */
    }
}

/* ---- the loop ---- */

static void
step(Client *client, Call *c)
{
    if (c->state != CALL_DONE && client->deadline && GetCurrentTimestamp() >= client->deadline)
    {
        fail(client, c, ERRCODE_QUERY_CANCELED, "cancelled", "the document was not read in time",
             psprintf("dsocr.timeout is %d ms.", dsocr_timeout),
             "Raise dsocr.timeout, or set it to 0.");
        return;
    }
    if (c->state == CALL_WAITING)
        step_waiting(client, c);
    if (c->fd >= 0)
        step_send(c);
    if (c->fd >= 0)
        step_receive(client, c);
    if (c->fd >= 0)
        step_send(c); /* GO may have come */
}

static long
time_to_wait(Client *client, long ms)
{
    for (int i = 0; i < client->ncalls; i++)
        if (client->calls[i].state == CALL_WAITING)
            ms = Min(ms, RETRY_CONNECT_MS);
    if (client->deadline)
        ms = Min(ms, milliseconds_left(client->deadline) + 1);
    return ms;
}

void
client_wait(Client *client, long ms)
{
    WaitEventSet *set = create_wait_set(client->ncalls + 2);
    WaitEvent event;

    AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
    AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
    for (int i = 0; i < client->ncalls; i++)
    {
        Call *c = &client->calls[i];
        bool unsent = c->sent < c->out.len || (c->state == CALL_SENDING && c->taken < c->size);

        if (c->fd >= 0)
            AddWaitEventToSet(set, WL_SOCKET_READABLE | (unsent ? WL_SOCKET_WRITEABLE : 0), c->fd,
                              NULL, NULL);
    }
    (void)WaitEventSetWait(set, time_to_wait(client, ms), &event, 1, PG_WAIT_EXTENSION);
    FreeWaitEventSet(set);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
}

/* What done() leaves behind is freed at once: there may be many more answers to come. */
static void
deliver(Client *client, int i, ClientDone done, void *arg)
{
    Call *c = &client->calls[i];

    if (done)
    {
        MemoryContextSwitchTo(client->scratch);
        done(c->index, c->q, arg);
        MemoryContextSwitchTo(client->context);
        MemoryContextReset(client->scratch);
    }
    pfree(c->out.data);
    if (c->body.data)
        pfree(c->body.data);
    *c = client->calls[--client->ncalls];
    client->calls[client->ncalls].fd = -1;
}

static void
add(Client *client, Question *q, int index)
{
    MemoryContext old = MemoryContextSwitchTo(client->context);

    begin(client, &client->calls[client->ncalls], q, index);
    client->ncalls++;
    MemoryContextSwitchTo(old);
}

bool
client_turn(Client *client, ClientDone done, void *arg)
{
    MemoryContext old = CurrentMemoryContext;
    bool answered = false;

    for (int i = client->ncalls - 1; i >= 0; i--)
    {
        step(client, &client->calls[i]);
        if (client->calls[i].state != CALL_DONE)
            continue;
        deliver(client, i, done, arg);
        answered = true;
        MemoryContextSwitchTo(old);
    }
    return answered;
}

static void
run(Client *client, Question *questions, int n, ClientDone done, void *arg)
{
    int next = 0;

    while (next < n || client->ncalls > 0)
    {
        for (; next < n && client->ncalls < SOCKETS_ASKED; next++)
            add(client, &questions[next], next);
        if (!client_turn(client, done, arg) && client->ncalls > 0)
            client_wait(client, 10000);
    }
}

static Client *
client_make(void)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "dsocr client", ALLOCSET_DEFAULT_SIZES);
    Client *client = MemoryContextAllocZero(context, sizeof *client);
    MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof *callback);

    client->context = context;
    client->scratch = AllocSetContextCreate(context, "dsocr answer", ALLOCSET_DEFAULT_SIZES);
    client->answers = CurrentMemoryContext;
    if (dsocr_timeout > 0)
        client->deadline = GetCurrentTimestamp() + (TimestampTz)dsocr_timeout * 1000;
    callback->func = close_all;
    callback->arg = client;
    MemoryContextRegisterResetCallback(context, callback);
    return client;
}

void
client_ask(Question *questions, int n, ClientDone done, void *arg)
{
    Client *client;

    client_require_preload();
    client = client_make();
    PG_TRY();
    {
        MemoryContextSwitchTo(client->context);
        run(client, questions, n, done, arg);
    }
    PG_FINALLY();
    {
        /* Not left to the caller's context: an exception block may keep that for long. */
        MemoryContextSwitchTo(client->answers);
        MemoryContextDelete(client->context);
    }
    PG_END_TRY();
}

/* ---- one by one ---- */

Client *
client_open(MemoryContext answers, bool once)
{
    Client *client = client_make();

    client->answers = answers;
    client->once = once;
    client->deadline = 0;
    return client;
}

bool
client_add(Client *client, Question *q)
{
    if (client->ncalls == SOCKETS_MAX)
        return false;
    add(client, q, client->ncalls);
    return true;
}

int
client_busy(const Client *client)
{
    return client->ncalls;
}

void
client_free_part(Part *part)
{
    pfree(part->json);
    pfree(part);
}

static int
find_call(const Client *client, const Question *q)
{
    int i = client->ncalls - 1;

    while (i >= 0 && client->calls[i].q != q)
        i--;
    return i;
}

void
client_drop(Client *client, const Question *q)
{
    int i = find_call(client, q);

    if (i < 0)
        return;
    finish(&client->calls[i]);
    deliver(client, i, NULL, NULL);
}

/* From the shutdown on the engine's words fail, as after a close; but those before it can still be read, up to their end. */
bool
client_hang_up(Client *client, const Question *q)
{
    int i = find_call(client, q);
    Call *c;

    if (i < 0)
        return false;
    c = &client->calls[i];
    c->hung_up = true;
    if (c->fd >= 0 && shutdown(c->fd, SHUT_RDWR) == 0)
        step_receive(client, c);
    if (c->state != CALL_DONE)
        finish(c);
    deliver(client, i, NULL, NULL);
    return q->reply || q->error;
}
