/* choose.c - logits -> next id: greedy, with repeats banned, and the end of loops. Spec 9.
 *
 * Host arithmetic only. Sharp edges: the two n-gram rules differ in what they look at (all of prompt and output;
 * or starts inside the last `window` generated tokens) and in the whitelist; ties go to the lowest id. */
#include "choose.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* ---- repeats ---- */

/* What the rule looks at: ids [n], starts from .. n - size. */
typedef struct History
{
    const int32_t *ids;
    int n, from;
} History;

static bool
whitelisted(const NgramRule *rule, int32_t id)
{
    for (int i = 0; i < rule->nwhitelist; i++)
        if (rule->whitelist[i] == id)
            return true;
    return false;
}

/* The published rule (window 0) sees prompt and output; the windowed one the output, and bans nothing until that
 * is as long as one n-gram. */
static History
history(const int32_t *ids, int n, int prompt, const NgramRule *rule)
{
    History h = {ids, n, 0};

    if (rule->window > 0)
    {
        h.ids = ids + prompt;
        h.n = n - prompt;
        h.from = h.n > rule->window ? h.n - rule->window : 0;
    }
    return h;
}

/* True when `id` next would complete an n-gram that is there already. */
static bool
banned(const History *h, const NgramRule *rule, int32_t id)
{
    int size = rule->size;
    const int32_t *prefix;

    if (h->n < size || whitelisted(rule, id))
        return false;
    prefix = h->ids + h->n - (size - 1);
    for (int i = h->from; i <= h->n - size; i++)
        if (h->ids[i + size - 1] == id &&
            memcmp(h->ids + i, prefix, sizeof *prefix * (size_t)(size - 1)) == 0)
            return true;
    return false;
}

/* ---- the choice ---- */

typedef struct Ranking
{
    int32_t id; /* -1: every id is banned */
    float first, second;
} Ranking;

/* True when `a` comes after `b` in rank: a smaller logit, or the same with a higher id. NaN has no rank. */
static bool
ranks_after(const float *logits, int32_t a, int32_t b)
{
    return logits[a] < logits[b] || (logits[a] == logits[b] && a > b);
}

/* The best id that ranks after `last` (any, if that is -1), so that banned ones can be passed over one by one. */
static int32_t
best_below(const float *logits, int vocab, int32_t last)
{
    int32_t best = -1;

    for (int32_t i = 0; i < vocab; i++)
        if ((last < 0 ? logits[i] == logits[i] : ranks_after(logits, i, last)) &&
            (best < 0 || logits[i] > logits[best]))
            best = i;
    return best;
}

/* The first two in rank when none is banned, in one go. */
static void
best_two(const float *logits, int vocab, int32_t *first, int32_t *second)
{
    for (int32_t i = 0; i < vocab; i++)
        if (*first >= 0 ? logits[i] > logits[*first] : logits[i] == logits[i])
        {
            *second = *first;
            *first = i;
        }
        else if (*first >= 0 &&
                 (*second >= 0 ? logits[i] > logits[*second] : logits[i] == logits[i]))
            *second = i;
}

Choice
choose_next(const float *logits, int vocab, const int32_t *ids, int n, int prompt,
            const NgramRule *rule)
{
    bool rules = rule && rule->size > 0;
    History h = rules ? history(ids, n, prompt, rule) : (History){ids, n, 0};
    Choice c = {0, 0, INFINITY};
    int32_t last = -1, first = -1, second = -1;
    double sum = 0;

    if (!rules)
        best_two(logits, vocab, &first, &second);
    while (rules && second < 0 && (last = best_below(logits, vocab, last)) >= 0)
        if (!banned(&h, rule, last))
        {
            if (first < 0)
                first = last;
            else
                second = last;
        }
    if (first < 0)
        return c;
    for (int32_t i = 0; i < vocab; i++) /* below e^-30 even 10^5 ids do not show in a float */
        if (logits[i] - logits[first] > -30 && (!rules || !banned(&h, rule, i)))
            sum += exp((double)logits[i] - logits[first]);
    c.id = first;
    c.probability = (float)(1 / sum);
    if (second >= 0)
        c.gap = logits[first] - logits[second];
    return c;
}

/* ---- two views of one line ---- */

/* log(sum(exp(logits))) */
static double
log_sum(const float *logits, int vocab)
{
    double most = -INFINITY, sum = 0;

    for (int i = 0; i < vocab; i++)
        if (logits[i] > most)
            most = logits[i];
    for (int i = 0; i < vocab; i++)
        sum += exp(logits[i] - most);
    return most + log(sum);
}

void
choose_mix(float *logits, const float *others, int vocab)
{
    double a = log_sum(logits, vocab), b = log_sum(others, vocab);

    for (int i = 0; i < vocab; i++)
        logits[i] = (float)log((exp(logits[i] - a) + exp(others[i] - b)) / 2);
}

/* ---- loops ---- */

bool
choose_looping(const int32_t *out, int n, int repeats, int least, int *keep)
{
    for (int period = 1; period <= n / repeats; period++)
    {
        int same = 0, run;

        while (same < n - period && out[n - 1 - same] == out[n - 1 - same - period])
            same++;
        run = same + period; /* tokens of the stretch that repeats with this period */
        if (run >= repeats * period && run >= least)
        {
            *keep = n - run + period;
            return true;
        }
    }
    return false;
}
