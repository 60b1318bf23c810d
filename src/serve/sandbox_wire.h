/* sandbox_wire.h - what the engine, the zygote and a child say to each other. Both ends are one binary. */
#ifndef DS_SANDBOX_WIRE_H
#define DS_SANDBOX_WIRE_H

#include "sandbox.h"

#define SANDBOX_MOST_CHILDREN 64

typedef enum OrderKind
{
    ORDER_INFO = 1, /* out: ImagePage[limits.max_pages] */
    ORDER_DECODE,   /* out: pixels */
    ORDER_KILL
} OrderKind;

/* Engine to zygote. INFO and DECODE bring three descriptors: the child's end of a socket, the blob, out. */
typedef struct Order
{
    OrderKind kind;
    uint64_t id; /* names a child to KILL */
    int page;
    int seconds; /* of processor time */
    int nice;    /* as the thread that asks */
    uint64_t blob_bytes;
    uint64_t out_bytes;
    ImageLimits limits;
} Order;

typedef enum AnswerKind
{
    ANSWER_RESULT = 1, /* from the child */
    ANSWER_ENDED,      /* from the zygote, always the last: wait_status */
    ANSWER_BUSY        /* from the zygote: no child was made */
} AnswerKind;

typedef struct Answer
{
    AnswerKind kind;
    int wait_status;
    ImageFormat format;
    int page_count;
    int width, height, channels, dpi;
    DsError error; /* status DS_OK: none */
} Answer;

/* The zygote's life; never returns. control: its end of the engine's socket. */
void sandbox_zygote(int control) __attribute__((noreturn));

/* Called in a confined child before it decodes, where a test defines it. */
void sandbox_test_hook(const uint8_t *blob, size_t n) __attribute__((weak, visibility("default")));

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED                                                                          \
    0 /* 1: a sanitizer needs more system calls and address space than a child gets */
#endif

#endif
