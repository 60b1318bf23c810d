/* vision_parts.h - the two halves of stage 3: what vision.c asks of patches.c and flow.c. */
#ifndef DS_VISION_PARTS_H
#define DS_VISION_PARTS_H

#include "model_parts.h"
#include "vision.h"

/* Floats of workspace that `views` views of a grid need. */
size_t sam_floats(const Sam *s, int grid, int views);
size_t flow_floats(const Flow *f, int rows, int views);

/* The pixels of views to their grids of features (spec 4). views: [n], of the grid's size or wider: what is right of the
 * grid is not looked at. out: [n, out_h * out_w, out], token-major: place y * out_w + x. */
DsStatus sam_run(const Sam *s, Device *d, int grid, const View *views, int n, float *out,
                 float *workspace, DsError *err);

/* Features [n, rows, dim] and the query table of as many rows to what the queries saw, after the final norm:
 * out [n * rows, dim] (spec 5). */
DsStatus flow_run(const Flow *f, Device *d, const QueryTable *table, const float *features, int n,
                  float *out, float *workspace, DsError *err);

#endif
