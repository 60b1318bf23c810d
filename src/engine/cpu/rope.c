/* rope.c - rotary positions, half-rotation: pairs are (j, j + dim/2), not neighbours. Spec 5.1. */
#include "cpu.h"

#include <string.h>

#include "plant.h"

#define TOGETHER 4 /* pairs */

typedef struct RopeJob
{
    float *x;
    const int32_t *positions;
    const float *table;
    int ldx, rows, heads, dim, step;
} RopeJob;

/* All are read before one is written, so that a compiler may turn them at once. */
static inline void
turn_pairs(float *one, float *two, const float *cosines, const float *sines)
{
    float a[TOGETHER], b[TOGETHER], c[TOGETHER], s[TOGETHER];

    memcpy(a, one, sizeof a);
    memcpy(b, two, sizeof b);
    memcpy(c, cosines, sizeof c);
    memcpy(s, sines, sizeof s);
    for (int i = 0; i < TOGETHER; i++)
        one[i] = a[i] * c[i] - b[i] * s[i];
    for (int i = 0; i < TOGETHER; i++)
        two[i] = b[i] * c[i] + a[i] * s[i];
}

static void
turn_head(float *x, const float *cosines, int half)
{
    const float *sines = cosines + half;
    int j = 0;

    for (; j + TOGETHER <= half && !PLANTED(PLANT_PAIRS); j += TOGETHER)
        turn_pairs(x + j, x + half + j, cosines + j, sines + j);
    for (; j < half; j++)
    {
        float *one = PLANTED(PLANT_PAIRS) ? x + 2 * j : x + j;
        float *two = PLANTED(PLANT_PAIRS) ? one + 1 : one + half;
        float a = *one, b = *two;

        *one = a * cosines[j] - b * sines[j];
        *two = b * cosines[j] + a * sines[j];
    }
}

static void
rope_piece(void *arg, int piece, int thread)
{
    const RopeJob *j = arg;
    int end = (piece + 1) * j->step < j->rows ? (piece + 1) * j->step : j->rows;

    (void)thread;
    for (int r = piece * j->step; r < end; r++)
        for (int h = 0; h < j->heads; h++)
            turn_head(j->x + (size_t)r * j->ldx + (size_t)h * j->dim,
                      j->table + (size_t)j->positions[r] * j->dim, j->dim / 2);
}

void
cpu_rope(Device *d, float *x, int ldx, int rows, int heads, int dim, const int32_t *positions,
         const float *table)
{
    RopeJob j = {x, positions, table, ldx, rows, heads, dim, 65536 / (heads * dim) + 1};

    device_for(d, (rows + j.step - 1) / j.step, 8.0 * rows * heads * dim, rope_piece, &j);
}
