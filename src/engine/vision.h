/* vision.h - stage 3 of 7: views -> vision tokens, in decoder order.
 *
 * patches.c takes a view to a grid of features (SAM), flow.c takes the grid and the learned queries to
 * tokens (causal-flow encoder), and the projector widens them. Spec 4 to 6. */
#ifndef DS_VISION_H
#define DS_VISION_H

#include "draft.h"
#include "model.h"
#include "views.h"

/* Where the intermediate values of a view go when somebody asks for them (dsocr dump, golden tests). */
typedef struct VisionTrace
{
    float
        *sam; /* [C, h, w] of the last convolution, channel-major as the spec prints it; malloc'd */
    int sam_shape[3];
    float *encoder; /* [n, dim] kept rows after the final norm; malloc'd */
    int encoder_shape[2];
} VisionTrace;

/* Rows that a view of this size becomes (144 for 768 x 768, 256 for 1024 x 1024, 16 for the mini's); no pixels are read. */
int vision_whole_rows(const Model *m, const View *v);

/* Rows that this view becomes: fewer than those where a line reader's model has a view_step and the view ends in white. */
int vision_rows(const Model *m, const View *v);

/* Rows of these views together, and the separator. *gap: how many more they would be if all were whole. */
int vision_all_rows(const Model *m, const View *views, int n, int *gap);

/* Encodes `n` views of any sizes that the model has query tables for; neighbours with as many rows are worked on
 * together. rows: [sum of vision_rows, hidden], in the order of the views, without the separator. The result
 * of a view does not depend on its neighbours (P8). drafts: NULL or [n], empty ones where the model has no head for
 * them. trace: NULL or [n]. The device's tick is called at least
 * every 100 ms; DS_CANCELLED when it says stop. */
DsStatus vision_encode(const Model *m, Device *d, const View *views, int n, float *rows,
                       Draft *drafts, VisionTrace *trace, DsError *err);

/* Puts a view's rows [n, hidden] behind the `filled` rows that stand in `to`, and the separator behind those of the
 * last view. Returns how many stand there now. */
int vision_append(const Model *m, float *to, int filled, const float *rows, int n, bool last);

#endif
