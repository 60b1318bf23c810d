/* decoder_test.c - sequences in slots: what a row gives does not depend on how rows are cut into passes, on the
 * company, or on what the slot held before (P8); and what does not fit is refused. */
#include "../../src/engine/decoder.h"

#include <math.h>

#include "check.h"
#include "toy.h"

#define SLOTS     16
#define POSITIONS 64
#define ROWS      256
#define VOCAB     320
#define HIDDEN    80

static char toy[256];

typedef struct Machine
{
    Device *d;
    Model *m;
    Decoder *dec;
} Machine;

static bool
open_machine(Machine *k, const char *backend, int threads)
{
    DsError err;

    return device_open(backend, threads, NULL, NULL, &k->d, &err) == DS_OK &&
           model_open(toy, k->d, &k->m, &err) == DS_OK &&
           decoder_open(k->m, k->d, SLOTS, POSITIONS, ROWS, &k->dec, &err) == DS_OK;
}

static void
close_machine(Machine *k)
{
    decoder_close(k->dec);
    model_close(k->m);
    device_close(k->d);
}

/* Sequence number s has a length of its own, ids of its own, and three image rows after its first id. */
typedef struct Sequence
{
    int n;
    int32_t ids[POSITIONS];
    float image[3 * HIDDEN];
    float logits[POSITIONS][VOCAB]; /* after each row */
} Sequence;

static Sequence *
sequence(int s)
{
    Sequence *q = calloc(1, sizeof *q);

    q->n = 5 + s * 7 % 40;
    for (int i = 0; i < q->n; i++)
        q->ids[i] = i >= 1 && i <= 3 ? -1 : (s * 31 + i * i * 7) % VOCAB;
    for (int i = 0; i < 3 * HIDDEN; i++)
        q->image[i] = (float)((s + i) % 17) / 8 - 1;
    return q;
}

static DecoderInput
input(const Sequence *q, int slot, int start, int n)
{
    int rows = 0; /* image rows before start */

    for (int i = 0; i < start; i++)
        rows += q->ids[i] < 0;
    return (DecoderInput){slot, start, n, q->ids + start, q->image + rows * HIDDEN};
}

/* Row by row in slot 0: the definition. */
static void
read_slowly(Machine *k, Sequence *q)
{
    DsError err;

    for (int i = 0; i < q->n; i++)
    {
        DecoderInput in = input(q, 0, i, 1);

        if (decoder_run(k->dec, &in, 1, q->logits[i], &err))
            promise(err.message, false);
    }
}

static bool
same(const float *logits, const Sequence *q, int row)
{
    return memcmp(logits, q->logits[row], sizeof q->logits[row]) == 0;
}

static void
test_passes(Machine *k, const char *backend, Sequence **q)
{
    float logits[VOCAB], many[(POSITIONS + 2) * VOCAB];
    bool whole = true, cut = true, rows = true;
    char what[128];
    DsError err;

    for (int s = 0; s < SLOTS; s++)
    {
        DecoderInput all = input(q[s], 3, 0, q[s]->n), part = input(q[s], 4, 0, 3),
                     rest = input(q[s], 4, 3, q[s]->n - 3), both[2];

        whole &=
            decoder_run(k->dec, &all, 1, logits, &err) == DS_OK && same(logits, q[s], q[s]->n - 1);
        cut &= decoder_run(k->dec, &part, 1, logits, &err) == DS_OK && same(logits, q[s], 2);
        cut &=
            decoder_run(k->dec, &rest, 1, logits, &err) == DS_OK && same(logits, q[s], q[s]->n - 1);
        both[0] = part;
        both[0].earlier = 1;
        both[1] = all;
        both[1].earlier = all.n - 1;
        rows &= decoder_run(k->dec, both, 2, many, &err) == DS_OK && same(many, q[s], 1) &&
                same(many + VOCAB, q[s], 2);
        for (int i = 0; i < all.n; i++)
            rows &= same(many + (size_t)(2 + i) * VOCAB, q[s], i);
    }
    snprintf(what, sizeof what, "%s: one pass gives the bits of row by row, in a slot used before",
             backend);
    promise(what, whole);
    snprintf(what, sizeof what, "%s: so do two passes", backend);
    promise(what, cut);
    snprintf(what, sizeof what, "%s: and so does every row of a pass that is asked for", backend);
    promise(what, rows);
}

/* n sequences, each at a place of its own: some begin, some are in the middle, some take one row. */
static void
test_company(Machine *k, const char *backend, int threads, Sequence **q, int n)
{
    DecoderInput in[SLOTS];
    float *logits = calloc(SLOTS * VOCAB, sizeof *logits);
    int at[SLOTS] = {0};
    bool ok = true, more = true;
    char what[128];
    DsError err;

    for (int pass = 0; more; pass++)
    {
        int live = 0, who[SLOTS];

        for (int s = 0; s < n; s++)
        {
            int take = (s + pass) % 3 == 0 ? 1 : 4 + s % 5;

            take = take > q[s]->n - at[s] ? q[s]->n - at[s] : take;
            if (take == 0 || (pass + s) % 4 == 3)
                continue;
            in[live] = input(q[s], SLOTS - 1 - s, at[s], take);
            who[live++] = s;
            at[s] += take;
        }
        ok &= decoder_run(k->dec, in, live, logits, &err) == DS_OK;
        for (int i = 0; i < live; i++)
            ok &= same(logits + (size_t)i * VOCAB, q[who[i]], at[who[i]] - 1);
        more = false;
        for (int s = 0; s < n; s++)
            more |= at[s] < q[s]->n;
    }
    snprintf(what, sizeof what,
             "P8, %s, %d threads: %d sequences at mixed places give the bits they give alone",
             backend, threads, n);
    promise(what, ok);
    free(logits);
}

static void
test_limits(Machine *k)
{
    int32_t ids[ROWS] = {0};
    float logits[2 * VOCAB];
    DecoderInput in[2] = {{0, POSITIONS - 2, 3, ids, NULL}, {0, 0, 1, ids, NULL}};
    DsError err;

    promise("slots and positions are as asked for",
            decoder_slots(k->dec) == SLOTS && decoder_positions(k->dec) == POSITIONS);
    promise("a position beyond the last is a limit",
            decoder_run(k->dec, in, 1, logits, &err) == DS_LIMIT);
    in[0] = (DecoderInput){0, 0, 1, ids, NULL};
    promise("a slot twice is refused", decoder_run(k->dec, in, 2, logits, &err) == DS_BROKEN);
    in[0].slot = SLOTS;
    promise("a slot that is not there is refused",
            decoder_run(k->dec, in, 1, logits, &err) == DS_BROKEN);
    ids[0] = VOCAB;
    promise("an id beyond the vocabulary is refused",
            decoder_run(k->dec, in + 1, 1, logits, &err) == DS_BAD_REQUEST);
    ids[0] = -1;
    promise("an image id without image rows is refused",
            decoder_run(k->dec, in + 1, 1, logits, &err) == DS_BAD_REQUEST);
    ids[0] = 0;
    in[1].earlier = 1;
    promise("logits of more rows than there are are refused",
            decoder_run(k->dec, in + 1, 1, logits, &err) == DS_BROKEN);
    promise("no input is no work", decoder_run(k->dec, in, 0, logits, &err) == DS_OK);
}

static void
test_rows(Machine *k)
{
    int32_t ids[POSITIONS] = {0};
    float *logits = calloc(SLOTS * VOCAB, sizeof *logits);
    DecoderInput in[5];
    DsError err;

    for (int i = 0; i < 5; i++)
        in[i] = (DecoderInput){i, 0, POSITIONS, ids, NULL};
    promise("as many rows as asked for at open go at once",
            decoder_run(k->dec, in, 4, logits, &err) == DS_OK);
    promise("more are a limit", decoder_run(k->dec, in, 5, logits, &err) == DS_LIMIT);
    free(logits);
}

/* Positions left out before the fourth row, behind the image's: the rows one by one and together, and what it changes. */
static void
test_gap(Machine *k)
{
    Sequence *q = sequence(1);
    float *slowly = calloc(VOCAB, sizeof *slowly), *fast = calloc(VOCAB, sizeof *fast);
    float near = 0, far = 0;
    DecoderInput all = input(q, 1, 0, q->n);
    bool ok = true;
    DsError err;

    read_slowly(k, q);
    for (int i = 0; i < q->n; i++)
    {
        DecoderInput in = input(q, 0, i, 1);

        in.gap = 5;
        in.behind = 4;
        ok &= decoder_run(k->dec, &in, 1, slowly, &err) == DS_OK;
    }
    all.gap = 5;
    all.behind = 4;
    promise("a gap: the same bits row by row and in one pass",
            ok && decoder_run(k->dec, &all, 1, fast, &err) == DS_OK &&
                memcmp(slowly, fast, VOCAB * sizeof *fast) == 0);
    all.behind = 0;
    ok = decoder_run(k->dec, &all, 1, fast, &err) == DS_OK;
    for (int i = 0; i < VOCAB; i++)
    {
        near = fmaxf(near, fabsf(fast[i] - q->logits[q->n - 1][i]));
        far = fmaxf(far, fabsf(slowly[i] - q->logits[q->n - 1][i]));
    }
    promise("before all rows it moves all of them, which changes nothing; between them it does",
            ok && near < 1e-3f && far > 10 * near && far > 1e-3f);
    all.gap = POSITIONS - q->n + 1;
    promise("what a gap moves beyond the last position is a limit",
            decoder_run(k->dec, &all, 1, fast, &err) == DS_LIMIT);
    all.gap--;
    promise("up to it nothing is", decoder_run(k->dec, &all, 1, fast, &err) == DS_OK);
    all.gap = -1;
    promise("a gap cannot be negative", decoder_run(k->dec, &all, 1, fast, &err) == DS_BROKEN);
    free(slowly);
    free(fast);
    free(q);
}

static int
stop(void *arg)
{
    (void)arg;
    return 1;
}

static void
test_cancel(Machine *k, Sequence *q)
{
    float logits[VOCAB];
    DecoderInput in = input(q, 0, 0, q->n);
    DsError err;

    k->d->tick = stop;
    for (int i = 0; i < 1000 && decoder_run(k->dec, &in, 1, logits, &err) == DS_OK; i++)
        ; /* a tick comes every 10 ms */
    promise("a tick that says stop cancels", err.status == DS_CANCELLED);
    k->d->tick = NULL;
    promise("and the sequence can be begun anew",
            decoder_run(k->dec, &in, 1, logits, &err) == DS_OK && same(logits, q, q->n - 1));
}

static void
test_backend(const char *backend)
{
    Sequence *q[SLOTS];
    Machine k;

    for (int s = 0; s < SLOTS; s++)
        q[s] = sequence(s);
    for (int threads = 1; threads <= 3; threads++)
    {
        if (!promise("the toy opens", open_machine(&k, backend, threads)))
            continue;
        if (threads == 1)
        {
            for (int s = 0; s < SLOTS; s++)
                read_slowly(&k, q[s]);
            test_limits(&k);
            test_rows(&k);
            test_gap(&k);
        }
        test_passes(&k, backend, q);
        test_company(&k, backend, threads, q, 2);
        test_company(&k, backend, threads, q, 7);
        test_company(&k, backend, threads, q, SLOTS);
        test_cancel(&k, q[5]);
        close_machine(&k);
    }
    for (int s = 0; s < SLOTS; s++)
        free(q[s]);
}

int
main(void)
{
    static const char *const fast[] = {"avx2", "avx512"};
    Device *d;
    DsError err;

    if (!promise("mktoy writes the toy", make_toy("toy-decoder", "", toy, sizeof toy)))
        return report();
    test_backend("generic");
    for (int i = 0; i < 2; i++)
        if (device_open(fast[i], 1, NULL, NULL, &d, &err) == DS_OK)
        {
            device_close(d);
            test_backend(fast[i]);
        }
        else
            skipped(fast[i], err.detail);
    return report();
}
