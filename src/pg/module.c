/* module.c - what the server sees at load: settings, shared memory, the supervisor.
 *
 * Loaded by shared_preload_libraries it does all of that. Loaded later (a restore, pg_upgrade, a server that was
 * not restarted yet) it must do no harm: a POSTMASTER setting would end the session with FATAL, so there is none
 * then, no shared memory and no worker, and engine_state stays NULL, which every caller checks. */
#include "compat.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "enqueue.h"
#include "module.h"
#include "queue.h"
#include "serve/wire.h"
#include "supervisor.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

char *dsocr_engine_path, *dsocr_model, *dsocr_adapter, *dsocr_models_dir, *dsocr_devices;
int dsocr_quantization, dsocr_cpu_threads, dsocr_max_batch;
int dsocr_max_image_bytes, dsocr_max_pixels, dsocr_max_side, dsocr_min_side, dsocr_max_pages;
int dsocr_max_tokens, dsocr_page_timeout, dsocr_max_waiting;
int dsocr_max_inflight_kb, dsocr_cache_kb, dsocr_hang_timeout;
int dsocr_timeout, dsocr_class, dsocr_mode, dsocr_retries;
int dsocr_naptime, dsocr_max_attempts, dsocr_retry_delay, dsocr_job_retention;
char *dsocr_databases;
double dsocr_review_confidence;

EngineState *engine_state;
LWLock *engine_lock;

static shmem_request_hook_type previous_shmem_request;
static shmem_startup_hook_type previous_shmem_startup;

static const struct config_enum_entry quantizations[] = {{"none", 0, false}, {NULL, 0, false}};
static const struct config_enum_entry classes[] = {
    {"interactive", WIRE_INTERACTIVE, false}, {"bulk", WIRE_BULK, false}, {NULL, 0, false}};
static const struct config_enum_entry modes[] = {
    {"layout", 0, false}, {"text", 1, false}, {NULL, 0, false}};

const char *
mode_name(void)
{
    return modes[dsocr_mode].name;
}

/* ---- settings ---- */

static bool
check_model(char **value, void **extra, GucSource source)
{
    if ((*value)[0] == '/' ||
        ((*value)[0] != '\0' && (*value)[0] != '.' && strchr(*value, '/') == NULL))
        return true;
    GUC_check_errdetail(
        "A model is the name of a folder in dsocr.models_dir, or the absolute path of one.");
    return false;
}

static bool
check_adapter(char **value, void **extra, GucSource source)
{
    if ((*value)[0] == '\0' || check_model(value, extra, source))
        return true;
    GUC_check_errdetail("An adapter is the name of a folder in dsocr.models_dir, the absolute path "
                        "of one, or empty for none.");
    return false;
}

static bool
check_absolute(char **value, void **extra, GucSource source)
{
    if ((*value)[0] == '\0' || (*value)[0] == '/')
        return true;
    GUC_check_errdetail("The path must be absolute, or empty for the one that was installed.");
    return false;
}

static bool
check_devices(char **value, void **extra, GucSource source)
{
    if (strcmp(*value, "auto") == 0 || strcmp(*value, "cpu") == 0)
        return true;
    GUC_check_errdetail("This version knows \"auto\" and \"cpu\".");
    return false;
}

static void
sighup_int(const char *name, const char *what, int *value, int boot, int min, int max, int unit)
{
    DefineCustomIntVariable(name, what, NULL, value, boot, min, max, PGC_SIGHUP, unit, NULL, NULL,
                            NULL);
}

/* These make the supervisor replace the engine when they change. */
static void
define_engine_settings(void)
{
    if (process_shared_preload_libraries_in_progress)
        DefineCustomStringVariable(
            "dsocr.engine_path", "The engine's executable; empty: the one installed.", NULL,
            &dsocr_engine_path, "", PGC_POSTMASTER, GUC_SUPERUSER_ONLY, check_absolute, NULL, NULL);
    DefineCustomStringVariable("dsocr.model",
                               "The model that reads: a name in dsocr.models_dir, or a path.", NULL,
                               &dsocr_model, "mini", PGC_SIGHUP, 0, check_model, NULL, NULL);
    DefineCustomStringVariable(
        "dsocr.adapter", "A LoRA adapter of the model: a name in dsocr.models_dir, or a path.",
        "Empty: the model as it is.", &dsocr_adapter, "", PGC_SIGHUP, 0, check_adapter, NULL, NULL);
    DefineCustomStringVariable("dsocr.models_dir",
                               "The folder with the models; empty: the one installed.", NULL,
                               &dsocr_models_dir, "", PGC_SIGHUP, 0, check_absolute, NULL, NULL);
    DefineCustomStringVariable("dsocr.devices", "What the model runs on.", NULL, &dsocr_devices,
                               "auto", PGC_SIGHUP, 0, check_devices, NULL, NULL);
    DefineCustomEnumVariable("dsocr.quantization", "How weights are kept in memory.", NULL,
                             &dsocr_quantization, 0, quantizations, PGC_SIGHUP, 0, NULL, NULL,
                             NULL);
    sighup_int("dsocr.cpu_threads", "Threads of the engine; 0: all processors.", &dsocr_cpu_threads,
               0, 0, 1024, 0);
    sighup_int("dsocr.max_batch", "Sequences that the engine decodes at once; 0: automatic.",
               &dsocr_max_batch, 0, 0, 4096, 0);
}

/* These reach the running engine at a reload. */
static void
define_limits(void)
{
    sighup_int("dsocr.max_image_bytes", "Largest document, in bytes.", &dsocr_max_image_bytes,
               64 << 20, 1024, WIRE_MAX_BODY, GUC_UNIT_BYTE);
    sighup_int("dsocr.max_pixels", "Most pixels of one page.", &dsocr_max_pixels, 64000000, 256,
               INT_MAX, 0);
    sighup_int("dsocr.max_side", "Longest side of a page, in pixels.", &dsocr_max_side, 20000, 16,
               65535, 0);
    sighup_int("dsocr.min_side", "Shortest side of a page, in pixels.", &dsocr_min_side, 16, 1,
               4096, 0);
    sighup_int("dsocr.max_pages", "Most pages of one document.", &dsocr_max_pages, 500, 1, 1000000,
               0);
    sighup_int("dsocr.max_tokens", "Most tokens that one page may take.", &dsocr_max_tokens, 8192,
               1, 131072, 0);
    sighup_int("dsocr.page_timeout",
               "Longest time for one page; 0: 10 s and four times what the engine's measured speed "
               "predicts.",
               &dsocr_page_timeout, 0, 0, INT_MAX, GUC_UNIT_MS);
    sighup_int("dsocr.max_waiting",
               "Requests that may wait for the engine before more are refused.", &dsocr_max_waiting,
               1000, 0, 1000000, 0);
    sighup_int("dsocr.max_inflight_bytes", "Bytes of documents that the engine holds at once.",
               &dsocr_max_inflight_kb, 256 << 10, 1024, INT_MAX, GUC_UNIT_KB);
    sighup_int("dsocr.cache_size", "Memory for answers that may be asked for again; 0: none.",
               &dsocr_cache_kb, 64 << 10, 0, INT_MAX, GUC_UNIT_KB);
    sighup_int("dsocr.hang_timeout", "An engine that makes no progress for this long is replaced.",
               &dsocr_hang_timeout, 30000, 100, INT_MAX, GUC_UNIT_MS);
}

static void
define_queue_settings(void)
{
    DefineCustomStringVariable(
        "dsocr.databases", "Databases whose queues are served; empty: all with the extension.",
        NULL, &dsocr_databases, "", PGC_SIGHUP, GUC_LIST_INPUT, NULL, NULL, NULL);
    sighup_int("dsocr.naptime", "Time between two looks into every database for forgotten work.",
               &dsocr_naptime, 60, 1, INT_MAX / 1000, GUC_UNIT_S);
    sighup_int("dsocr.max_attempts", "Attempts at a document before its job is given up.",
               &dsocr_max_attempts, 5, 1, 1000, 0);
    sighup_int("dsocr.retry_delay", "Time before the second attempt; it doubles up to 300 s.",
               &dsocr_retry_delay, 1000, 1, 300000, GUC_UNIT_MS);
    sighup_int("dsocr.job_retention", "Time that results of submitted documents are kept.",
               &dsocr_job_retention, 7 * 24 * 60, 1, INT_MAX, GUC_UNIT_MIN);
    DefineCustomRealVariable("dsocr.review_confidence",
                             "Pages read with less confidence are listed in dsocr.review.", NULL,
                             &dsocr_review_confidence, 0.85, 0, 1, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_user_settings(void)
{
    DefineCustomIntVariable(
        "dsocr.timeout", "Longest time that a call may wait for its answer; 0: no limit.", NULL,
        &dsocr_timeout, 0, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
    DefineCustomEnumVariable(
        "dsocr.class", "Whether calls are interactive, or bulk work that gives way.", NULL,
        &dsocr_class, WIRE_INTERACTIVE, classes, PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomEnumVariable("dsocr.mode", "How pages are read when the call does not say.", NULL,
                             &dsocr_mode, 0, modes, PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("dsocr.retries",
                            "Further attempts at a page that loops; -1: the engine decides.", NULL,
                            &dsocr_retries, -1, -1, 8, PGC_USERSET, 0, NULL, NULL, NULL);
}

/* ---- shared memory ---- */

static void
request_shared_memory(void)
{
    if (previous_shmem_request)
        previous_shmem_request();
    RequestAddinShmemSpace(MAXALIGN(sizeof(EngineState)));
    RequestNamedLWLockTranche("dsocr", 1);
    queue_request_shared_memory();
}

static void
init_engine_state(EngineState *s)
{
    pg_atomic_uint32 *u32[] = {&s->state,   &s->pid,   &s->supervisor, &s->active,
                               &s->waiting, &s->slots, &s->slots_used, &s->any_refused};
    pg_atomic_uint64 *u64[] = {&s->generation, &s->replaced,  &s->restarts,     &s->ready_since,
                               &s->pages,      &s->rss_bytes, &s->weight_bytes, &s->inflight_bytes};

    memset(s, 0, sizeof *s);
    for (int i = 0; i < lengthof(u32); i++)
        pg_atomic_init_u32(u32[i], 0);
    for (int i = 0; i < lengthof(u64); i++)
        pg_atomic_init_u64(u64[i], 0);
}

static void
start_shared_memory(void)
{
    bool found;

    if (previous_shmem_startup)
        previous_shmem_startup();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    engine_state = ShmemInitStruct("dsocr", sizeof(EngineState), &found);
    if (!found)
        init_engine_state(engine_state);
    engine_lock = &GetNamedLWLockTranche("dsocr")->lock;
    queue_start_shared_memory();
    LWLockRelease(AddinShmemInitLock);
}

/* ---- documents that are refused ---- */

void
blob_refuse(const uint8 sha256[32], uint64 bytes)
{
    RefusedBlob *oldest = &engine_state->refused[0];

    LWLockAcquire(engine_lock, LW_EXCLUSIVE);
    for (int i = 0; i < REFUSED_BLOBS; i++)
        if (engine_state->refused[i].until < oldest->until)
            oldest = &engine_state->refused[i];
    pg_atomic_write_u32(&engine_state->any_refused, 1);
    memcpy(oldest->sha256, sha256, sizeof oldest->sha256);
    oldest->bytes = bytes;
    oldest->until = GetCurrentTimestamp() + (TimestampTz)REFUSED_SECONDS * USECS_PER_SEC;
    LWLockRelease(engine_lock);
}

/* sha256 NULL: any document of that length. */
static bool
find_refused(const uint8 *sha256, uint64 bytes)
{
    TimestampTz now;
    bool found = false;

    if (pg_atomic_read_u32(&engine_state->any_refused) == 0)
        return false;
    now = GetCurrentTimestamp();
    LWLockAcquire(engine_lock, LW_SHARED);
    for (int i = 0; i < REFUSED_BLOBS && !found; i++)
    {
        const RefusedBlob *r = &engine_state->refused[i];

        found = r->until > now && r->bytes == bytes &&
                (sha256 == NULL || memcmp(r->sha256, sha256, sizeof r->sha256) == 0);
    }
    LWLockRelease(engine_lock);
    return found;
}

void
loaded_model(char model[sizeof engine_state->model])
{
    LWLockAcquire(engine_lock, LW_SHARED);
    strlcpy(model, engine_state->model, sizeof engine_state->model);
    LWLockRelease(engine_lock);
}

bool
blob_is_refused(const uint8 sha256[32], uint64 bytes)
{
    return find_refused(sha256, bytes);
}

bool
blob_may_be_refused(uint64 bytes)
{
    return find_refused(NULL, bytes);
}

int
blobs_refused(void)
{
    TimestampTz now = GetCurrentTimestamp();
    int n = 0;

    LWLockAcquire(engine_lock, LW_SHARED);
    for (int i = 0; i < REFUSED_BLOBS; i++)
        n += engine_state->refused[i].until > now;
    LWLockRelease(engine_lock);
    return n;
}

/* ---- workers ---- */

BackgroundWorker
worker_of(const char *name, const char *function, BgWorkerStartTime start)
{
    BackgroundWorker worker = {.bgw_flags =
                                   BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
                               .bgw_start_time = start,
                               .bgw_restart_time = 1};

    strlcpy(worker.bgw_name, name, BGW_MAXLEN);
    strlcpy(worker.bgw_type, name, BGW_MAXLEN);
    strlcpy(worker.bgw_library_name, "dsocr", BGW_MAXLEN);
    strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
    return worker;
}

/* ---- load ---- */

void
_PG_init(void)
{
    define_engine_settings();
    define_limits();
    define_queue_settings();
    define_user_settings();
    enqueue_hook();
    if (!process_shared_preload_libraries_in_progress)
        return;
    MarkGUCPrefixReserved("dsocr");
    if (IsBinaryUpgrade)
        return;
    previous_shmem_request = shmem_request_hook;
    shmem_request_hook = request_shared_memory;
    previous_shmem_startup = shmem_startup_hook;
    shmem_startup_hook = start_shared_memory;
    supervisor_register();
    launcher_register();
}
