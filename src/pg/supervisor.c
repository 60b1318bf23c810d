/* supervisor.c - the background worker that owns the engine process: starts, watches and replaces it, and does
 * nothing else.
 *
 * It speaks with the engine over a socketpair (wire.h): settings go down, a ping each second, what the engine is
 * doing comes up and is put into shared memory. Sharp edge: a worker that ends in any way but exit 1 (or 0, which
 * means never again) restarts the whole cluster, so nothing here may crash and all model code is in the child. */
#include "compat.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/timestamp.h"

#include "module.h"
#include "serve/wire.h"
#include "supervisor.h"

#define CONTROL_FD    3    /* the engine's end of the socketpair, in the engine */
#define PING_MS       1000 /* once it is ready */
#define PING_EARLY_MS 20   /* while it starts: callers wait for it */
#define STOP_MS       2000
#define BACKOFF_MAX_S 60
#define LASTING_MS    10000 /* an engine that was ready and lived this long had a good start */
#define UNSENT_MAX    (256 << 10)

extern PGDLLEXPORT void dsocr_supervisor_main(Datum arg) __attribute__((noreturn));

/* The child, as its owner sees it. */
typedef struct Engine
{
    pid_t pid;     /* 0: none */
    int control;   /* -1: none */
    bool stopping; /* its end is our wish */
    TimestampTz spawned, pinged, progressed, next_start;
    uint64 progress;
    int failures;  /* ends in a row that followed no good start */
    char *command; /* what it was started with; a change replaces it */
    StringInfoData unsent;
    char in[sizeof(WireHeader) + sizeof(WirePong)];
    size_t nin;
} Engine;

static Engine engine = {.control = -1};

/* ---- words for those who ask ---- */

static void
set_state(EngineStateName state)
{
    pg_atomic_write_u32(&engine_state->state, state);
}

static void
note_error(const char *text)
{
    LWLockAcquire(engine_lock, LW_EXCLUSIVE);
    strlcpy(engine_state->error, text, sizeof engine_state->error);
    LWLockRelease(engine_lock);
}

static void
note_and_log(const char *text)
{
    ereport(LOG, (errmsg("dsocr engine: %s", text)));
    note_error(text);
}

static bool
past(TimestampTz since, int ms)
{
    return TimestampDifferenceExceeds(since, GetCurrentTimestamp(), ms);
}

/* ---- how it is started ---- */

/* The setting, or the executable beside the server's, or the one in the library folder, there or not. */
static char *
engine_path(void)
{
    char path[MAXPGPATH], lib[MAXPGPATH];

    if (dsocr_engine_path[0] != '\0')
        return pstrdup(dsocr_engine_path);
    strlcpy(path, my_exec_path, sizeof path);
    get_parent_directory(path);
    join_path_components(path, path, "dsocr");
    if (access(path, X_OK) == 0)
        return pstrdup(path);
    get_pkglib_path(my_exec_path, lib);
    return psprintf("%s/dsocr/bin/dsocr", lib);
}

/* Of a model or an adapter: a path, or the folder of that name among the models. */
static char *
model_path(const char *name)
{
    char share[MAXPGPATH];

    if (name[0] == '/')
        return pstrdup(name);
    if (dsocr_models_dir[0] != '\0')
        return psprintf("%s/%s", dsocr_models_dir, name);
    get_share_path(my_exec_path, share);
    return psprintf("%s/dsocr/models/%s", share, name);
}

#define MAX_ARGUMENTS 20

/* Fills argv; the same, joined, tells whether a running engine is still the right one. */
static char *
engine_command(char **argv)
{
    StringInfoData joined;
    int n = 0;

    argv[n++] = engine_path();
    argv[n++] = "serve";
    argv[n++] = "--socket";
    argv[n++] = ENGINE_SOCKET;
    argv[n++] = "--lock";
    argv[n++] = ENGINE_LOCK;
    argv[n++] = "--control";
    argv[n++] = psprintf("%d", CONTROL_FD);
    argv[n++] = "--extension";
    argv[n++] = DSOCR_VERSION;
    argv[n++] = "--model";
    argv[n++] = model_path(dsocr_model);
    if (dsocr_adapter[0] != '\0')
    {
        argv[n++] = "--adapter";
        argv[n++] = model_path(dsocr_adapter);
    }
    argv[n++] = "--threads";
    argv[n++] = psprintf("%d", dsocr_cpu_threads);
    argv[n++] = "--max-batch";
    argv[n++] = psprintf("%d", dsocr_max_batch);
    argv[n] = NULL;
    Assert(n < MAX_ARGUMENTS);
    initStringInfo(&joined);
    for (int i = 0; i < n; i++)
        appendStringInfo(&joined, "%s\n", argv[i]);
    appendStringInfo(&joined, "devices %s\nquantization %d\n", dsocr_devices, dsocr_quantization);
    return joined.data;
}

static void
set_attributes(posix_spawnattr_t *attr)
{
    sigset_t all, none;

    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    sigemptyset(&none);
    posix_spawnattr_init(attr);
    posix_spawnattr_setsigdefault(attr, &all);
    posix_spawnattr_setsigmask(attr, &none);
    posix_spawnattr_setflags(attr,
                             POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
}

/* Default signals, an empty mask, a session of its own, an environment from scratch, and no descriptor but these
 * four. 0 or an errno. */
static int
spawn(char **argv, int theirs, pid_t *pid)
{
    char *environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    int rc;

    set_attributes(&attr);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, theirs, CONTROL_FD);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, CONTROL_FD + 1);
    rc = posix_spawn(pid, argv[0], &files, &attr, argv, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return rc;
}

/* ---- speaking with it ---- */

/* What does not fit now goes with the next turn of the loop. */
static void
flush_unsent(void)
{
    ssize_t n;

    if (engine.control < 0 || engine.unsent.len == 0)
        return;
    n = send(engine.control, engine.unsent.data, engine.unsent.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n <= 0)
        return; /* full, or the end, which reading will tell */
    memmove(engine.unsent.data, engine.unsent.data + n, engine.unsent.len - n);
    engine.unsent.len -= n;
}

static void
tell(WireType type, const char *options)
{
    WireHeader h;

    if (engine.unsent.len > UNSENT_MAX)
        return; /* it does not listen; the hang check will see to it */
    wire_header(&h, type, 0);
    h.options_length = options ? strlen(options) : 0;
    appendBinaryStringInfo(&engine.unsent, (char *)&h, sizeof h);
    if (options)
        appendStringInfoString(&engine.unsent, options);
    flush_unsent();
}

static void
tell_config(void)
{
    char *config =
        psprintf("{\"max_image_bytes\":%d,\"max_pixels\":%d,\"max_side\":%d,\"min_side\":%d,\"max_"
                 "pages\":%d,\"max_tokens\":%d,"
                 "\"page_timeout\":%d,\"max_waiting\":%d,\"max_inflight_bytes\":" INT64_FORMAT
                 ",\"cache_bytes\":" INT64_FORMAT "}",
                 dsocr_max_image_bytes, dsocr_max_pixels, dsocr_max_side, dsocr_min_side,
                 dsocr_max_pages, dsocr_max_tokens, dsocr_page_timeout, dsocr_max_waiting,
                 (int64)dsocr_max_inflight_kb * 1024, (int64)dsocr_cache_kb * 1024);

    tell(WIRE_CONFIG, config);
    pfree(config);
}

static void
ping(void)
{
    bool early = pg_atomic_read_u32(&engine_state->state) < ENGINE_READY;

    if (engine.pid == 0 || !past(engine.pinged, early ? PING_EARLY_MS : PING_MS))
        return;
    engine.pinged = GetCurrentTimestamp();
    tell(WIRE_PING, NULL);
}

/* ---- its end ---- */

static void
kill_engine(void)
{
    /* The whole session: a decoder child must not outlive it. The leader is not reaped yet, so the number is its. */
    if (engine.pid != 0 && kill(-engine.pid, SIGKILL) != 0)
        kill(engine.pid, SIGKILL);
}

static char *
end_reason(int status)
{
    int code = WEXITSTATUS(status);

    if (WIFSIGNALED(status))
        return psprintf("was ended by signal %d: %s", WTERMSIG(status),
                        pg_strsignal(WTERMSIG(status)));
    if (code == SERVE_EXIT_BROKEN)
        return pstrdup("found its device or weights unusable (exit 10)");
    if (code == SERVE_EXIT_ZYGOTE)
        return pstrdup("lost the process that forks its image decoders (exit 11)");
    if (code == SERVE_EXIT_LOCKED)
        return pstrdup("found another engine of this data directory at work (exit 12)");
    return psprintf("ended with exit status %d", code);
}

static void
forget_engine(void)
{
    if (engine.control >= 0)
    {
        close(engine.control);
        ReleaseExternalFD();
    }
    engine.control = -1;
    engine.pid = 0;
    engine.nin = 0;
    resetStringInfo(&engine.unsent);
    pg_atomic_write_u32(&engine_state->pid, 0);
}

/* 0, 1, 2, 4 ... 60 s. */
static void
back_off(void)
{
    int seconds = engine.failures <= 1 ? 0 : Min(BACKOFF_MAX_S, 1 << Min(engine.failures - 2, 6));

    engine.next_start = GetCurrentTimestamp() + (TimestampTz)seconds * USECS_PER_SEC;
}

/* seen: it was ready, or at least answered without a model, at some time. */
static void
note_end(int status, bool seen)
{
    char *reason = end_reason(status);

    if (seen && past(engine.spawned, LASTING_MS))
        engine.failures = 0;
    engine.failures++;
    pg_atomic_fetch_add_u64(&engine_state->restarts, 1);
    set_state(seen || engine.failures < 2 ? ENGINE_STOPPED : ENGINE_FAILING);
    note_and_log(psprintf("the engine (PID %d) %s", (int)engine.pid, reason));
    back_off();
}

/* Notices that the process has ended. The group is killed before the leader is reaped: until then nobody else can
 * have its number. */
static void
reap(void)
{
    siginfo_t info = {0};
    int status;
    EngineStateName was = pg_atomic_read_u32(&engine_state->state);

    if (engine.pid == 0 || waitid(P_PID, engine.pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return;
    kill(-engine.pid, SIGKILL);
    waitpid(engine.pid, &status, 0);
    if (engine.stopping)
        set_state(ENGINE_STOPPED);
    else
        note_end(status, was == ENGINE_READY || was == ENGINE_NO_MODEL);
    forget_engine();
}

/* Waits for its end, which is our wish. False: it does not even follow SIGKILL, as a process can that waits for a
 * device; then reap() goes on looking, and the server's shutdown is not kept waiting. */
static bool
await_end(int patience_ms)
{
    TimestampTz since = GetCurrentTimestamp();

    engine.stopping = true;
    while (reap(), engine.pid != 0 && !past(since, patience_ms))
    {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
    }
    return engine.pid == 0;
}

/* Asks it to go, by closing the line, and makes it go after two seconds. */
static void
stop_engine(void)
{
    if (engine.pid == 0)
        return;
    pg_atomic_write_u64(&engine_state->replaced, pg_atomic_read_u64(&engine_state->generation));
    shutdown(engine.control, SHUT_RDWR);
    if (!await_end(STOP_MS))
    {
        kill_engine();
        (void)await_end(STOP_MS);
    }
    engine.next_start = 0;
    SetLatch(MyLatch); /* what else woke us meanwhile is looked at in the next turn */
}

/* Ends an engine that hangs or talks nonsense. hopeless: the next one will be no better, so callers
 * shall not wait for it. */
static void
condemn(const char *why, bool hopeless)
{
    note_and_log(why);
    kill_engine();
    (void)await_end(STOP_MS);
    engine.failures = Max(engine.failures + 1, hopeless ? 2 : 0);
    pg_atomic_fetch_add_u64(&engine_state->restarts, 1);
    set_state(hopeless ? ENGINE_FAILING : ENGINE_STOPPED);
    back_off();
    SetLatch(MyLatch);
}

/* ---- its beginning ---- */

static void
engine_started(pid_t pid, int ours, char *command)
{
    engine.pid = pid;
    engine.control = ours;
    engine.stopping = false;
    engine.spawned = engine.progressed = GetCurrentTimestamp();
    engine.pinged = 0;
    engine.progress = 0;
    engine.command = MemoryContextStrdup(TopMemoryContext, command);
    pg_atomic_write_u32(&engine_state->pid, pid);
    pg_atomic_fetch_add_u64(&engine_state->generation, 1);
    set_state(ENGINE_STARTING);
    tell_config();
    ping();
}

static void
start_failed(const char *path, int rc)
{
    note_and_log(psprintf("could not start \"%s\": %s", path, strerror(rc)));
    engine.failures = Max(engine.failures + 1, 2);
    set_state(ENGINE_FAILING);
    back_off();
}

static void
start_engine(void)
{
    char *argv[MAX_ARGUMENTS];
    char *command = engine_command(argv);
    int pair[2], rc;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    {
        start_failed(argv[0], errno);
        return;
    }
    if (engine.command)
        pfree(engine.command);
    engine.command = NULL;
    rc = spawn(argv, pair[1], &pid);
    close(pair[1]);
    if (rc == 0 && AcquireExternalFD())
    {
        engine_started(pid, pair[0], command);
        return;
    }
    close(pair[0]);
    if (rc == 0)
    {
        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
        rc = EMFILE;
    }
    start_failed(argv[0], rc);
}

/* ---- what it says ---- */

static const EngineStateName state_of_pong[] = {
    [WIRE_STARTING] = ENGINE_LOADING, [WIRE_READY] = ENGINE_READY, [WIRE_FAILED] = ENGINE_NO_MODEL};

static void
note_numbers(const WirePong *p)
{
    pg_atomic_write_u64(&engine_state->pages, p->pages);
    pg_atomic_write_u64(&engine_state->rss_bytes, p->rss_bytes);
    pg_atomic_write_u64(&engine_state->weight_bytes, p->weight_bytes);
    pg_atomic_write_u64(&engine_state->inflight_bytes, p->inflight_bytes);
    pg_atomic_write_u32(&engine_state->active, p->active);
    pg_atomic_write_u32(&engine_state->waiting, p->waiting);
    pg_atomic_write_u32(&engine_state->slots, p->slots);
    pg_atomic_write_u32(&engine_state->slots_used, p->slots_used);
}

static void
note_words(const WirePong *p)
{
    LWLockAcquire(engine_lock, LW_EXCLUSIVE);
    strlcpy(engine_state->model, p->model, sizeof engine_state->model);
    strlcpy(engine_state->device, p->device, sizeof engine_state->device);
    strlcpy(engine_state->weights_sha256, p->weights_sha256, sizeof engine_state->weights_sha256);
    if (p->state == WIRE_FAILED)
        strlcpy(engine_state->error, p->error, sizeof engine_state->error);
    LWLockRelease(engine_lock);
}

static void
note_arrival(const WirePong *p, EngineStateName state)
{
    pg_atomic_write_u64(&engine_state->ready_since, GetCurrentTimestamp());
    if (state == ENGINE_READY)
        ereport(LOG, (errmsg("dsocr engine: model \"%s\" is ready on %s (PID %d)", p->model,
                             p->device, (int)engine.pid)));
    else
        ereport(LOG, (errmsg("dsocr engine: running without a model"), errdetail("%s", p->error)));
}

static void
take_pong(WirePong *p)
{
    EngineStateName state;

    p->model[sizeof p->model - 1] = p->device[sizeof p->device - 1] = '\0';
    p->weights_sha256[sizeof p->weights_sha256 - 1] = p->error[sizeof p->error - 1] = '\0';
    if (p->state < WIRE_STARTING || p->state > WIRE_FAILED)
    {
        condemn(psprintf("the engine is in an unknown state %u", p->state), true);
        return;
    }
    if (p->progress != engine.progress)
        engine.progressed = GetCurrentTimestamp();
    engine.progress = p->progress;
    state = state_of_pong[p->state];
    note_numbers(p);
    note_words(p);
    if (state >= ENGINE_READY && pg_atomic_read_u32(&engine_state->state) != state)
        note_arrival(p, state);
    set_state(state);
}

/* Acts on what is in the buffer, if it is whole. */
static void
take_message(void)
{
    WireHeader h;
    WirePong pong;
    bool other_version = false;
    const char *wrong;

    memcpy(&h, engine.in, sizeof h);
    wrong = wire_check(&h, sizeof pong, &other_version);
    if (wrong && other_version)
        condemn(psprintf("\"%s\" speaks version %d of the protocol, the library that the server "
                         "has loaded version %d;"
                         " restart the server after an upgrade",
                         engine_path(), h.version, WIRE_VERSION),
                true);
    else if (wrong || h.type != WIRE_PONG || h.body_length != sizeof pong)
        condemn(psprintf("the engine does not answer its owner as agreed: %s",
                         wrong ? wrong : "not a pong"),
                true);
    else if (engine.nin == sizeof h + sizeof pong)
    {
        memcpy(&pong, engine.in + sizeof h, sizeof pong);
        engine.nin = 0;
        take_pong(&pong);
    }
}

/* False: nothing more to read now. */
static bool
read_control(void)
{
    size_t want = sizeof(WireHeader) + (engine.nin >= sizeof(WireHeader) ? sizeof(WirePong) : 0);
    ssize_t n;

    if (engine.control < 0)
        return false;
    n = recv(engine.control, engine.in + engine.nin, want - engine.nin, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (n <= 0)
    {
        kill_engine(); /* the line is broken: it is gone, or of no use; reap() tells which */
        return false;
    }
    engine.nin += n;
    if (engine.nin >= sizeof(WireHeader))
        take_message();
    return true;
}

/* ---- the loop ---- */

static void
check_hang(void)
{
    if (engine.pid == 0 || engine.stopping || !past(engine.progressed, dsocr_hang_timeout))
        return;
    condemn(psprintf("no progress for %d ms (dsocr.hang_timeout): the engine (PID %d) is replaced",
                     dsocr_hang_timeout, (int)engine.pid),
            false);
}

/* Another model, device or number of threads means another engine; one that could not load its model tries again. */
static void
reload(void)
{
    char *argv[MAX_ARGUMENTS];
    bool other;

    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
    engine.failures = Min(engine.failures, 1);
    engine.next_start = 0;
    if (engine.pid == 0)
        return;
    other = engine.command == NULL || strcmp(engine.command, engine_command(argv)) != 0;
    if (other || pg_atomic_read_u32(&engine_state->state) == ENGINE_NO_MODEL)
    {
        ereport(LOG, (errmsg("dsocr engine: replaced, since its settings have changed")));
        stop_engine();
    }
    else
        tell_config();
}

static long
time_to_wait(void)
{
    if (engine.pid == 0)
        return Min(1000,
                   TimestampDifferenceMilliseconds(GetCurrentTimestamp(), engine.next_start) + 1);
    if (pg_atomic_read_u32(&engine_state->state) < ENGINE_READY)
        return PING_EARLY_MS;
    return Min(PING_MS, Max(10, dsocr_hang_timeout / 4));
}

static void
wait_for_something(void)
{
    int events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;

    if (engine.control >= 0)
        events |= WL_SOCKET_READABLE;
    (void)WaitLatchOrSocket(MyLatch, events,
                            engine.control >= 0 ? engine.control : PGINVALID_SOCKET, time_to_wait(),
                            PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
}

static void
one_turn(void)
{
    if (ConfigReloadPending)
        reload();
    while (read_control())
        ;
    reap();
    check_hang();
    if (engine.pid == 0 && GetCurrentTimestamp() >= engine.next_start)
        start_engine();
    flush_unsent();
    ping();
}

static void
child_ended(SIGNAL_ARGS)
{
    int save_errno = errno;

    SetLatch(MyLatch);
    errno = save_errno;
}

/* However the worker ends, its engine does not stay. */
static void
at_exit(int code, Datum arg)
{
    kill_engine();
    set_state(ENGINE_STOPPED);
    pg_atomic_write_u32(&engine_state->pid, 0);
    pg_atomic_write_u32(&engine_state->supervisor, 0);
}

static void
set_up(void)
{
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    pqsignal(SIGCHLD, child_ended);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(NULL, NULL, 0); /* so that pg_stat_activity shows it */
    pgstat_report_appname("dsocr supervisor");
    before_shmem_exit(at_exit, 0);
    pg_atomic_write_u32(&engine_state->supervisor, MyProcPid);
    MemoryContextSwitchTo(TopMemoryContext);
    initStringInfo(&engine.unsent);
}

void
dsocr_supervisor_main(Datum arg)
{
    MemoryContext turn;

    set_up();
    turn = AllocSetContextCreate(TopMemoryContext, "dsocr supervisor", ALLOCSET_SMALL_SIZES);
    MemoryContextSwitchTo(turn);
    while (!ShutdownRequestPending)
    {
        one_turn();
        MemoryContextReset(turn);
        wait_for_something();
        CHECK_FOR_INTERRUPTS();
    }
    stop_engine();
    proc_exit(
        1); /* 0 would mean never again, should it be a pg_terminate_backend and not a shutdown */
}

void
supervisor_register(void)
{
    BackgroundWorker worker =
        worker_of("dsocr supervisor", "dsocr_supervisor_main", BgWorkerStart_ConsistentState);

    RegisterBackgroundWorker(&worker);
}
