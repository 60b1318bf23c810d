/* module.h - the settings, and the word on the engine that all processes of the server share. */
#ifndef DS_MODULE_H
#define DS_MODULE_H

#include "postgres.h"

#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/lwlock.h"

/* Settings: api.md section 7. Hidden, since the names of SQL functions, dsocr_*, are let out of the library. */
#pragma GCC visibility push(hidden)
extern char *dsocr_engine_path, *dsocr_model, *dsocr_adapter, *dsocr_models_dir, *dsocr_devices;
extern int dsocr_quantization, dsocr_cpu_threads, dsocr_max_batch;
extern int dsocr_max_image_bytes, dsocr_max_pixels, dsocr_max_side, dsocr_min_side, dsocr_max_pages;
extern int dsocr_max_tokens, dsocr_page_timeout, dsocr_max_waiting;
extern int dsocr_max_inflight_kb, dsocr_cache_kb, dsocr_hang_timeout;
extern int dsocr_timeout, dsocr_class, dsocr_mode, dsocr_retries;
extern int dsocr_naptime, dsocr_max_attempts, dsocr_retry_delay, dsocr_job_retention;
extern char *dsocr_databases;
extern double dsocr_review_confidence;
#pragma GCC visibility pop

extern const char *mode_name(void); /* of dsocr.mode */

/* A background worker of this library's, to be registered: its name, its function, and when it may start. One that comes
 * back when it has ended. */
extern BackgroundWorker worker_of(const char *name, const char *function, BgWorkerStartTime start);

/* What the engine is doing, as the supervisor sees it.
 *
 *   STOPPED -spawn-> STARTING -first pong-> LOADING -model loaded-> READY
 *                                                   -it cannot be-> NO_MODEL   (info works, readings do not)
 *   any -the process ends-> STOPPED (back-off) -> STARTING
 *   STOPPED -two starts in a row came to nothing-> FAILING (back-off) -> STARTING */
typedef enum EngineStateName
{
    ENGINE_STOPPED,
    ENGINE_STARTING,
    ENGINE_LOADING,
    ENGINE_READY,
    ENGINE_NO_MODEL,
    ENGINE_FAILING,
} EngineStateName;

#define REFUSED_BLOBS   16
#define REFUSED_SECONDS 3600

/* A document that ended the engine twice, the second time alone in it. */
typedef struct RefusedBlob
{
    uint8 sha256[32];
    uint64 bytes;
    TimestampTz until; /* 0: free */
} RefusedBlob;

typedef struct EngineState
{
    /* written by the supervisor only, read by anyone */
    pg_atomic_uint32 state; /* EngineStateName */
    pg_atomic_uint32 pid;   /* 0: none */
    pg_atomic_uint32 supervisor;
    pg_atomic_uint64 generation; /* counts engines; 1 is the first */
    pg_atomic_uint64 replaced;   /* the newest generation that was ended on purpose */
    pg_atomic_uint64 restarts;   /* after an end that was not on purpose */
    pg_atomic_uint64 ready_since;
    pg_atomic_uint64 pages, rss_bytes, weight_bytes, inflight_bytes;
    pg_atomic_uint32 active, waiting, slots, slots_used;

    /* written by the supervisor only, under the lock */
    char model[64];
    char device[64];
    char weights_sha256[65];
    char error[1024]; /* the newest, with its time */

    /* written by anyone, under the lock; whether there ever was one may be read without */
    pg_atomic_uint32 any_refused;
    RefusedBlob refused[REFUSED_BLOBS];
} EngineState;

extern EngineState *engine_state; /* NULL: the library was not preloaded */
extern LWLock *engine_lock;
extern void loaded_model(char model[sizeof engine_state->model]); /* "": none */

/* Relative to the data directory, which is the working directory of every server process: so its length never
 * meets the 108 bytes of a socket address. pg_stat_tmp is left out of base backups. */
#define ENGINE_SOCKET "pg_stat_tmp/dsocr.sock"
#define ENGINE_LOCK   "pg_stat_tmp/dsocr.lock"

extern void blob_refuse(const uint8 sha256[32], uint64 bytes);
extern bool blob_is_refused(const uint8 sha256[32], uint64 bytes);
extern int blobs_refused(void);                /* how many are, now */
extern bool blob_may_be_refused(uint64 bytes); /* some refused document has this length */

#endif
