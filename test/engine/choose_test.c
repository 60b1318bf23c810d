/* choose_test.c - the next id: both n-gram rules of spec 9, ties, probability and gap, and the loop detector. */
#include "../../src/engine/choose.h"

#include <math.h>

#include "check.h"

#define VOCAB 6

static uint32_t seed = 7;

static int
random_below(int n)
{
    seed = seed * 1664525 + 1013904223;
    return (int)((seed >> 16) % (uint32_t)n);
}

/* ---- the rules once more, as spec 9 words them ---- */

static void
ban_published(const int32_t *ids, int L, int n, bool *ban)
{
    if (L + 1 < n)
        return;
    for (int t = 0; t < VOCAB; t++)
        for (int i = 0; i + n <= L; i++)
            if (memcmp(ids + i, ids + L - n + 1, sizeof *ids * (size_t)(n - 1)) == 0 &&
                ids[i + n - 1] == t)
                ban[t] = true;
}

static void
ban_windowed(const int32_t *out, int L, int n, int window, const NgramRule *rule, bool *ban)
{
    if (L < n)
        return;
    for (int i = L - window > 0 ? L - window : 0; i <= L - n; i++)
        if (memcmp(out + i, out + L - n + 1, sizeof *out * (size_t)(n - 1)) == 0)
            ban[out[i + n - 1]] = true;
    for (int i = 0; i < rule->nwhitelist; i++)
        ban[rule->whitelist[i]] = false;
}

static int32_t
best_unbanned(const float *logits, const bool *ban)
{
    int32_t best = -1;

    for (int32_t t = 0; t < VOCAB; t++)
        if (!ban[t] && (best < 0 || logits[t] > logits[best]))
            best = t;
    return best;
}

static void
test_rules(void)
{
    static const int32_t white[] = {4};
    int wrong[2] = {0, 0}, banned = 0;

    for (int trial = 0; trial < 20000; trial++)
    {
        int n = random_below(24), prompt = n ? random_below(n) : 0, size = 1 + random_below(4);
        NgramRule rules[2] = {{size, 0, NULL, 0}, {size, 1 + random_below(12), white, 1}};
        int32_t ids[24];
        float logits[VOCAB];

        for (int i = 0; i < n; i++)
            ids[i] = random_below(VOCAB);
        for (int i = 0; i < VOCAB; i++)
            logits[i] = (float)random_below(5);
        for (int r = 0; r < 2; r++)
        {
            bool ban[VOCAB] = {false};
            int32_t want;

            if (r == 0)
                ban_published(ids, n, size, ban);
            else
                ban_windowed(ids + prompt, n - prompt, size, rules[1].window, &rules[1], ban);
            want = best_unbanned(logits, ban);
            banned += want != best_unbanned(logits, (bool[VOCAB]){false});
            wrong[r] +=
                choose_next(logits, VOCAB, ids, n, prompt, &rules[r]).id != (want < 0 ? 0 : want);
        }
    }
    promise("the published rule, over prompt and output, as spec 9 words it, 20000 times",
            wrong[0] == 0);
    promise("the windowed rule, with its whitelist, as spec 9 words it, 20000 times",
            wrong[1] == 0);
    promise("and the rules did ban", banned > 1000);
}

static void
test_choice(void)
{
    static const float logits[] = {1, 3, 3, 2};
    static const int32_t ids[] = {1, 2, 1};
    NgramRule pairs = {2, 0, NULL, 0};
    double all = exp(1) + 2 * exp(3) + exp(2);
    Choice c = choose_next(logits, 4, NULL, 0, 0, NULL);

    promise("ties go to the lowest id", c.id == 1 && c.gap == 0);
    promise("probability is the softmax at the choice",
            close_to(c.probability, exp(3) / all, 1e-6));
    c = choose_next(logits, 4, ids, 3, 0, &pairs);
    promise("a banned id takes no part: not chosen", c.id == 1);
    promise("nor in the probability", close_to(c.probability, exp(3) / (all - exp(3)), 1e-6));
    promise("nor in the gap", close_to(c.gap, 1, 1e-6));
    c = choose_next(logits, 1, (const int32_t[]){0, 0}, 2, 0, &(NgramRule){1, 0, NULL, 0});
    promise("when all are banned the answer is id 0 with probability 0",
            c.id == 0 && c.probability == 0);
}

static void
test_nan(void)
{
    Choice c = choose_next((const float[]){NAN, 1, NAN, 2}, 4, NULL, 0, 0, NULL);

    promise("NaN is never chosen and takes no part",
            c.id == 3 && c.gap == 1 && close_to(c.probability, exp(1) / (1 + exp(1)), 1e-6));
    c = choose_next((const float[]){NAN, NAN}, 2, NULL, 0, 0, NULL);
    promise("nothing but NaN is id 0 with probability 0", c.id == 0 && c.probability == 0);
}

/* Without rules the two best are found in one go: as a rule that bans nothing finds them. */
static void
test_best_two(void)
{
    static const float values[] = {-1, 0, 0.5f, 3, NAN, -INFINITY};
    NgramRule idle = {.size = 9};
    int same = 0;

    for (int k = 0; k < 5000; k++)
    {
        float logits[VOCAB];
        Choice a, b;

        for (int i = 0; i < VOCAB; i++)
            logits[i] = values[random_below(k % 6 + 1)];
        a = choose_next(logits, VOCAB, NULL, 0, 0, NULL);
        b = choose_next(logits, VOCAB, NULL, 0, 0, &idle);
        same += a.id == b.id && memcmp(&a.probability, &b.probability, sizeof a.probability) == 0 &&
                memcmp(&a.gap, &b.gap, sizeof a.gap) == 0;
    }
    promise("the best two, and their gap, are the same found in one go", same == 5000);
}

/* The mean of two chances: of 1/2, 1/4, 1/4 and of 1/8, 6/8, 1/8, whatever was added to their logarithms. */
static void
test_mix(void)
{
    static const double mean[] = {5. / 16, 8. / 16, 3. / 16};
    float one[3] = {logf(2) + 90, 90, 90}, other[3] = {-100, logf(6) - 100, -100};
    float none[3] = {NAN, 1, 2}, impossible[3] = {-INFINITY, 0, -INFINITY};
    bool right = true;

    choose_mix(one, other, 3);
    for (int i = 0; i < 3; i++)
        right = right && close_to(exp(one[i]), mean[i], 1e-5);
    promise("two readings' chances are put in the middle", right);
    promise("and the choice is made from these",
            close_to(choose_next(one, 3, NULL, 0, 0, NULL).probability, .5, 1e-5) &&
                choose_next(one, 3, NULL, 0, 0, NULL).id == 1);
    choose_mix(impossible, one, 3);
    promise("what one holds for impossible has half of what the other says",
            close_to(exp(impossible[0]), 5. / 32, 1e-5));
    choose_mix(none, one, 3);
    promise("with what is no number nothing is chosen",
            choose_next(none, 3, NULL, 0, 0, NULL).probability == 0);
}

static void
test_loops(void)
{
    int32_t out[60];
    int keep = -1;

    for (int i = 0; i < 60; i++)
        out[i] = i < 12 ? 100 + i : i % 8;
    promise("three copies of eight are a loop", choose_looping(out, 12 + 24, 3, 24, &keep));
    promise("what stays ends with the first copy", keep == 12 + 8);
    promise("two copies are none", !choose_looping(out, 12 + 23, 3, 24, &keep));
    for (int i = 12; i < 60; i++)
        out[i] = 5;
    promise("one token 23 times is none", !choose_looping(out, 12 + 23, 3, 24, &keep));
    promise("24 times it is", choose_looping(out, 12 + 24, 3, 24, &keep) && keep == 13);
    promise("no output is no loop", !choose_looping(out, 0, 3, 24, &keep));
}

int
main(void)
{
    test_rules();
    test_choice();
    test_nan();
    test_best_two();
    test_mix();
    test_loops();
    return report();
}
