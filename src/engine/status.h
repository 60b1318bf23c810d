/* status.h - whose problem it is, and the message that travels up.
 *
 * The engine returns; it never prints, exits, aborts or jumps. Every function that can fail gives a
 * DsStatus and, through DsError, a message (lower case, no full stop), a detail (the facts) and a
 * hint (a sentence to act on). Only src/pg/answer.c turns a status into a SQLSTATE. */
#ifndef DS_STATUS_H
#define DS_STATUS_H

#include <stdbool.h>

typedef enum DsStatus
{
    DS_OK = 0,
    DS_BAD_INPUT,   /* 22P03 this image cannot be read: tell the user, go on */
    DS_BAD_REQUEST, /* 22023 an option, mode or page range that does not exist */
    DS_LIMIT,       /* 54000 too big or too long: the hint names the setting */
    DS_BUSY,        /* 53000 the queue is full: try again later */
    DS_NOT_READY,   /* 55000 the engine is starting, failed, or has no model */
    DS_UNSUPPORTED, /* 0A000 the model, or this version, cannot do that */
    DS_CANCELLED,   /* 57014 asked to stop, or out of time, between pieces of work */
    DS_BROKEN,      /* 58000 device, weights or memory unusable: the process must be remade */
    DS_STATUS_COUNT
} DsStatus;

typedef struct DsError
{
    DsStatus status;
    char message[256];
    char detail[512];
    char hint[256];
} DsError;

/* Fills status and message, clears detail and hint, and returns st, so that `return ds_fail(...)` reads well.
 * err may be NULL. */
DsStatus ds_fail(DsError *err, DsStatus st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds the facts, and what to do. Both return err->status; with err NULL, the newest ds_fail's status. */
DsStatus ds_detail(DsError *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
DsStatus ds_hint(DsError *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* DS_BUSY: "out of memory for ...", and that it goes better later. */
DsStatus ds_no_room(DsError *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A stable lower-case word for a status ("bad_input"), used on the wire and in error_status. */
const char *ds_status_name(DsStatus st);
DsStatus ds_status_from_name(const char *name); /* unknown names give DS_BROKEN */

#endif
