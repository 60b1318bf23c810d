/* backend.c - what every backend's device has in common: its sticky status. */
#include "backend.h"

#include <stdlib.h>

#include "plant.h"

#ifdef DS_PLANT
int ds_planted;
#endif

void
device_begin(Device *d)
{
    d->stopped = DS_OK;
}

DsStatus
device_status(Device *d, DsError *err)
{
    switch (d->stopped)
    {
        case DS_OK:
            return DS_OK;
        case DS_CANCELLED:
            return ds_fail(err, DS_CANCELLED, "asked to stop");
        default:
            return ds_fail(err, DS_BROKEN, "out of memory while computing");
    }
}

float *
device_workspace(Device *d, size_t floats)
{
    if (floats > d->workspace_floats)
    {
        free(d->workspace);
        d->workspace_floats = 0;
        d->workspace = floats > SIZE_MAX / 8
                           ? NULL
                           : aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64);
        if (d->workspace == NULL)
            d->stopped = DS_BROKEN;
        else
            d->workspace_floats = floats;
    }
    return d->workspace;
}
