/* status.c - statuses and the message that travels up. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[DS_STATUS_COUNT] = {
    [DS_OK] = "ok",
    [DS_BAD_INPUT] = "bad_input",
    [DS_BAD_REQUEST] = "bad_request",
    [DS_LIMIT] = "limit",
    [DS_BUSY] = "busy",
    [DS_NOT_READY] = "not_ready",
    [DS_UNSUPPORTED] = "unsupported",
    [DS_CANCELLED] = "cancelled",
    [DS_BROKEN] = "broken",
};

/* What the newest ds_fail of this thread said, for callers that want no words: `return ds_hint(err, ...)`
 * must stay a failure when err is NULL. */
static _Thread_local DsStatus newest;

DsStatus
ds_fail(DsError *err, DsStatus st, const char *fmt, ...)
{
    va_list args;

    newest = st;
    if (err == NULL)
        return st;
    err->status = st;
    err->detail[0] = err->hint[0] = '\0';
    va_start(args, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    return st;
}

DsStatus
ds_detail(DsError *err, const char *fmt, ...)
{
    va_list args;

    if (err == NULL)
        return newest;
    va_start(args, fmt);
    vsnprintf(err->detail, sizeof err->detail, fmt, args);
    va_end(args);
    return err->status;
}

DsStatus
ds_hint(DsError *err, const char *fmt, ...)
{
    va_list args;

    if (err == NULL)
        return newest;
    va_start(args, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, args);
    va_end(args);
    return err->status;
}

DsStatus
ds_no_room(DsError *err, const char *fmt, ...)
{
    char what[128];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    ds_fail(err, DS_BUSY, "out of memory for %s", what);
    return ds_hint(err, "Try again when fewer pages are being read.");
}

const char *
ds_status_name(DsStatus st)
{
    return (unsigned)st < DS_STATUS_COUNT ? names[st] : "broken";
}

DsStatus
ds_status_from_name(const char *name)
{
    for (int st = 0; st < DS_STATUS_COUNT; st++)
        if (strcmp(name, names[st]) == 0)
            return (DsStatus)st;
    return DS_BROKEN;
}
