/* wire.h - how a database session and the engine speak: headers, their limits, reading and writing them.
 *
 * The only file of the engine's side that src/pg shares; needs nothing but libc. Little-endian, fixed sizes,
 * and every length is checked against its limit on both sides before anything is allocated.
 *
 *   asker                                engine
 *   REQUEST {kind, lengths} options  ->
 *                                    <-  GO             a slot and body_length bytes of room are yours
 *   body_length raw bytes            ->                 (not sent when body_length is 0; GO comes all the same)
 *                                    <-  PROGRESS ...   WireProgress, at most one a second
 *                                    <-  PAGE ...       asked for by WIRE_PAGEWISE: a page as soon as it is read
 *                                    <-  RESULT         body: JSON text (or PNG bytes for RENDER)
 *                                     |  ERROR          body: json_error, at any time, also instead of GO
 *   (the next REQUEST may follow)
 *
 * Closing the socket is the cancel. BUSY is an ERROR with status "busy". A request waits for GO as long as
 * max_inflight_bytes is taken; more than max_waiting such requests are refused. After an ERROR that comes before the
 * body is whole, the engine closes the connection.
 *
 * The supervisor holds one more connection, a socketpair that the engine inherits (--control FD):
 *   CONFIG  options: JSON of the settings below  ->      (at start and at each reload)
 *   PING                                         ->  <-  PONG  body: WirePong
 * End of file there means that the server is gone: the engine exits. */
#ifndef DS_WIRE_H
#define DS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC   0x524f5344u /* "DSOR" */
#define WIRE_VERSION 1

#define WIRE_MAX_OPTIONS (64u << 10)
#define WIRE_MAX_BODY    (1u << 30)   /* of a request: above any setting of max_image_bytes */
#define WIRE_MAX_REPLY   (256u << 20) /* of an answer: jsonb's own limit is near */
#define WIRE_LINES       64           /* of a RENDER: so that what is held of them is bounded */
#define WIRE_SLICE                                                                                 \
    (1u << 20) /* a body goes out in slices of this, with a look for interrupts between */

typedef enum WireType
{
    WIRE_REQUEST = 1,
    WIRE_GO,
    WIRE_PROGRESS,
    WIRE_RESULT,
    WIRE_ERROR,
    WIRE_CONFIG,
    WIRE_PING,
    WIRE_PONG,
    WIRE_PAGE, /* of READ: as RESULT, with one page; RESULT then has only what no PAGE had */
} WireType;

typedef enum WireKind
{
    WIRE_READ = 1, /* options: {"mode", "pages", "question", "options"} -> the result document */
    WIRE_INFO,     /* -> dsocr_info's object; works without a model */
    WIRE_STATUS,   /* no body -> the engine's part of dsocr_status */
    /* options: {"page", "dpi", "rotate", "region": [x0,y0,x1,y1], "marks": [[x0,y0,x1,y1],...]} -> PNG; all may be left
     * out; works without a model. With "lines": [[x0,y0,x1,y1],...], at most WIRE_LINES: a PNG for each, in a row */
    WIRE_RENDER,
} WireKind;

enum
{
    WIRE_INTERACTIVE = 0,
    WIRE_BULK = 1,
};

/* Magic, version and length stay where they are in every version, so that strangers can tell each other so. */
typedef struct WireHeader
{
    uint32_t magic;
    uint16_t version;
    uint16_t type; /* WireType */
    uint64_t id;   /* chosen by the asker, echoed in every answer */
    uint64_t body_length;
    uint32_t options_length; /* of the JSON that follows the header at once; 0 in answers */
    uint16_t kind;           /* WireKind, in REQUEST */
    uint16_t class_;         /* WIRE_INTERACTIVE or WIRE_BULK */
    uint32_t role, database; /* oids of who asks, for the log and for fairness */
    uint32_t timeout_ms;     /* 0: none; counted from the header's arrival */
    uint32_t flags;          /* WIRE_ALONE, WIRE_PAGEWISE, WIRE_MANY */
} WireHeader;

enum
{
    WIRE_ALONE = 1,    /* nothing else may be in the engine while this is read (suspects) */
    WIRE_PAGEWISE = 2, /* the asker keeps pages as they come, in whatever order they are done */
    WIRE_MANY = 4,     /* one of many that the asker has: room is left to those who ask for one */
};

typedef struct WireProgress
{
    uint32_t pages_done, pages;
    uint32_t part_done, part; /* of the page at hand: views or tokens */
} WireProgress;

typedef enum WireState
{
    WIRE_STARTING = 1, /* the model is being loaded */
    WIRE_READY,
    WIRE_FAILED, /* no model: info works, readings give "not_ready" with `error` */
} WireState;

typedef struct WirePong
{
    uint64_t progress; /* moves with every piece of work of at most 100 ms, and while idle */
    uint64_t pages;    /* read since the start */
    uint64_t rss_bytes, weight_bytes, inflight_bytes;
    uint32_t state; /* WireState */
    uint32_t active, waiting, slots, slots_used;
    char model[64];
    char device[64];
    char weights_sha256[65];
    char error[512]; /* why FAILED: message, detail and hint, a line each */
} WirePong;

/* Checks magic, version, type and lengths of a header that came in. NULL when it is fine, else why not (a static
 * text; the version case is told apart by *other_version). max_body: the reader's own limit. */
const char *wire_check(const WireHeader *h, uint64_t max_body, bool *other_version);

void wire_header(WireHeader *h, WireType type, uint64_t id); /* zeroed, magic and version set */

/* Moves n bytes over a blocking socket. False: the other side is gone, or a timeout set on the socket passed. For
 * tools and tests: the engine and the server never block on a stranger. */
bool wire_read_all(int fd, void *to, size_t n);
bool wire_write_all(int fd, const void *from, size_t n);

/* Exit statuses of `dsocr serve`, for the supervisor's log. */
enum
{
    SERVE_EXIT_OK = 0, /* told to stop, or the server is gone */
    SERVE_EXIT_USAGE = 2,
    SERVE_EXIT_BROKEN = 10, /* device or weights unusable */
    SERVE_EXIT_ZYGOTE = 11, /* the decoder zygote died */
    SERVE_EXIT_LOCKED = 12, /* another engine of this data directory holds the device */
};

/* Keys of CONFIG's JSON, all optional, numbers unless said: max_image_bytes, max_pixels, max_side, min_side,
 * max_pages, max_tokens, page_timeout (ms, 0: from the measured speed), max_waiting, max_inflight_bytes,
 * cache_bytes, retries.
 *
 * Command line: dsocr serve --socket PATH [--model DIR] [--adapter DIR] [--control FD] [--lock FILE] [--threads N]
 * [--max-batch N] [--extension VERSION]. */
#endif
