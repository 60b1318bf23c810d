/* golden.h - a stage's values held against those of a golden file. */
#ifndef DS_GOLDEN_H
#define DS_GOLDEN_H

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

/* golden_json(NULL) is NaN, so what is missing is wrong. */
static inline double
golden_number(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static inline bool
golden_near(const char *stage, const char *part, double got, double want, double tolerance)
{
    if (fabs(got - want) <= tolerance)
        return true;
    printf("     %s %s: %.6g, and should be %.6g +- %.2g\n", stage, part, got, want, tolerance);
    return false;
}

/* values [n] against stages[name]: first 4, last 2, sum and sum of squares, within `share` of the stage's
 * deviation (of its square, for the squares; of the root of n, for the sum), and the digits printed; single values within
 * `each` of it. slope: by which part
 * of itself each value may be off in the same direction, which only the sums show; shift: by which part of the deviation
 * all may be off together, which only the sum shows. */
static inline bool
golden_stage(const json_t *stages, const char *name, const float *values, int n, double each,
             double share, double slope, double shift)
{
    const json_t *want = json_object_get(stages, name), *first = json_object_get(want, "first");
    const json_t *last = json_object_get(want, "last");
    double sum = 0, squares = 0, all = 0, deviation;
    bool ok = want != NULL;

    for (int i = 0; i < n; i++)
    {
        sum += values[i];
        squares += (double)values[i] * values[i];
        all += fabs(values[i]);
    }
    deviation = sqrt(golden_number(json_object_get(want, "sumsq")) / n);
    for (size_t i = 0; i < json_array_size(first); i++)
        ok &= golden_near(name, "first", values[i], golden_number(json_array_get(first, i)),
                          each * deviation + 1e-5);
    for (size_t i = 0; i < json_array_size(last); i++)
        ok &= golden_near(name, "last", values[n - (int)json_array_size(last) + (int)i],
                          golden_number(json_array_get(last, i)), each * deviation + 1e-5);
    ok &= golden_near(name, "sum", sum, golden_number(json_object_get(want, "sum")),
                      (share * sqrt(n) + shift * n) * deviation + slope * all + 1e-3);
    ok &= golden_near(name, "sumsq", squares, golden_number(json_object_get(want, "sumsq")),
                      share * deviation * deviation * sqrt(n) + 2 * slope * squares + 1e-3);
    return ok;
}

#endif
