/* rope.c - rotary positions, half-rotation: pairs are (j, j + dim/2), not neighbours. Spec 5.1. */
#include "cpu.h"
#include "plant.h"

typedef struct RopeJob
{
    float *x;
    const int32_t *positions;
    const float *table;
    int ldx, rows, heads, dim, step;
} RopeJob;

static void
turn_head(float *x, const float *cosines, int half)
{
    const float *sines = cosines + half;

    for (int j = 0; j < half; j++)
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
