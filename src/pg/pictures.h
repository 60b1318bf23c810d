/* pictures.h - images of pages, made by the engine. */
#ifndef DS_PICTURES_H
#define DS_PICTURES_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* PNG bytes. options: of a WIRE_RENDER. Errors of the engine are raised. */
extern bytea *picture_of(struct varlena *doc, const char *options);

#endif
