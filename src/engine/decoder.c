/* decoder.c - stage 5 of 7: the decoder's input -> logits; the layers, prefill and step. Spec 7.
 *
 * Rows of several sequences go through the layers together; each meets only the keys of its own slot. In the last
 * layer only the rows whose logits are wanted are needed beyond their keys. Sharp edges: no biases; the weights of the chosen
 * experts do not sum to one; theta is 1e4 here. */
#include "decoder.h"

#include <math.h>
#include <stdlib.h>

#include "model_parts.h"
#include "plant.h"

struct Decoder
{
    const Model *m;
    Device *d;
    KvCache cache;
    Arena arena;
    int max_rows;
    float *x, *a, *q, *k, *v; /* [max_rows, hidden] */
    float *h;                 /* [max_rows, widest inner] */
    float *logits;            /* [max_rows, experts] */
    float *weights, *scratch;
    int32_t *chosen;    /* [max_rows, top] */
    int32_t *positions; /* [max_rows] */
    float *rope;        /* [positions, dim] */
    KeepJob *keep;      /* [slots] */
    AttendJob *attend;
};

/* ---- life ---- */

static int
widest(const DecoderModel *m)
{
    int shared = m->shared * m->moe_inner;

    return m->inner > shared ? m->inner : shared;
}

static bool
take_memory(Decoder *dec, int slots, int positions)
{
    const DecoderModel *m = &dec->m->decoder;
    size_t rows = (size_t)dec->max_rows, hidden = rows * (size_t)m->hidden;

    dec->x = arena_array(&dec->arena, hidden, sizeof(float));
    dec->a = arena_array(&dec->arena, hidden, sizeof(float));
    dec->q = arena_array(&dec->arena, hidden, sizeof(float));
    dec->k = arena_array(&dec->arena, hidden, sizeof(float));
    dec->v = arena_array(&dec->arena, hidden, sizeof(float));
    dec->h = arena_array(&dec->arena, rows * (size_t)widest(m), sizeof(float));
    dec->logits = arena_array(&dec->arena, rows * (size_t)m->experts + 1, sizeof(float));
    dec->weights = arena_array(&dec->arena, rows * (size_t)m->top + 1, sizeof(float));
    dec->chosen = arena_array(&dec->arena, rows * (size_t)m->top + 1, sizeof(int32_t));
    dec->scratch =
        arena_array(&dec->arena, experts_scratch(dec->max_rows, m->top, m->hidden, m->moe_inner),
                    sizeof(float));
    dec->positions = arena_array(&dec->arena, rows, sizeof(int32_t));
    dec->rope =
        arena_array(&dec->arena, (size_t)positions * (size_t)(m->hidden / m->heads), sizeof(float));
    dec->keep = arena_array(&dec->arena, (size_t)slots, sizeof *dec->keep);
    dec->attend = arena_array(&dec->arena, (size_t)slots, sizeof *dec->attend);
    return dec->x && dec->a && dec->q && dec->k && dec->v && dec->h && dec->logits &&
           dec->weights && dec->chosen && dec->scratch && dec->positions && dec->rope &&
           dec->keep && dec->attend;
}

uint64_t
decoder_slot_bytes(const Model *m, int positions)
{
    const DecoderModel *dm = &m->decoder;

    return kvcache_bytes(1, dm->layers, dm->heads, dm->hidden / dm->heads, positions);
}

DsStatus
decoder_open(const Model *m, Device *d, int slots, int positions, int max_rows, Decoder **out,
             DsError *err)
{
    const DecoderModel *dm = &m->decoder;
    Decoder *dec = calloc(1, sizeof *dec);
    DsStatus st;

    *out = NULL;
    if (dec == NULL || slots < 1 || positions < 1 || max_rows < 1)
    {
        free(dec);
        return ds_fail(err, DS_BROKEN, "no memory for a decoder, or one of no size was asked for");
    }
    dec->m = m;
    dec->d = d;
    dec->max_rows = max_rows;
    arena_init(&dec->arena, 0);
    st = kvcache_open(&dec->cache, slots, dm->layers, dm->heads, dm->hidden / dm->heads, positions,
                      err);
    if (st == DS_OK && !take_memory(dec, slots, positions))
        st = ds_fail(err, DS_LIMIT, "no memory for a decoder of %d rows at once", max_rows);
    if (st)
    {
        decoder_close(dec);
        return st;
    }
    rope_table(dec->rope, positions, dm->hidden / dm->heads,
               PLANTED(PLANT_DECODER_THETA) ? 1e6f : dm->theta);
    *out = dec;
    return DS_OK;
}

void
decoder_close(Decoder *dec)
{
    if (dec == NULL)
        return;
    kvcache_close(&dec->cache);
    arena_free(&dec->arena);
    free(dec);
}

int
decoder_slots(const Decoder *dec)
{
    return dec->cache.slots;
}

int
decoder_positions(const Decoder *dec)
{
    return dec->cache.positions;
}

/* ---- a pass ---- */

static DsStatus
check_ids(const Decoder *dec, const DecoderInput *in, DsError *err)
{
    for (int i = 0; i < in->n; i++)
        if (in->ids[i] < -1 || in->ids[i] >= dec->m->decoder.vocab ||
            (in->ids[i] == -1 && in->image == NULL))
            return ds_fail(err, DS_BAD_REQUEST, "token id %d cannot be given to the decoder",
                           in->ids[i]);
    return DS_OK;
}

static DsStatus
check_inputs(const Decoder *dec, const DecoderInput *inputs, int n, int *rows, DsError *err)
{
    DsStatus st;

    *rows = 0;
    for (int i = 0; i < n; i++)
    {
        const DecoderInput *in = &inputs[i];

        if (in->slot < 0 || in->slot >= dec->cache.slots || in->n < 1 || in->start < 0 ||
            in->earlier < 0 || in->earlier >= in->n || in->gap < 0)
            return ds_fail(err, DS_BROKEN, "slot %d of %d was asked for", in->slot,
                           dec->cache.slots);
        for (int j = 0; j < i; j++)
            if (inputs[j].slot == in->slot)
                return ds_fail(err, DS_BROKEN, "slot %d was asked for twice", in->slot);
        if (in->n > dec->cache.positions - in->start - in->gap)
            return ds_fail(err, DS_LIMIT, "a sequence of %lld positions is too long: there are %d",
                           (long long)in->start + in->n + in->gap, dec->cache.positions);
        if (in->n > dec->max_rows - *rows)
            return ds_fail(err, DS_LIMIT, "more than %d rows at once", dec->max_rows);
        if ((st = check_ids(dec, in, err)))
            return st;
        *rows += in->n;
    }
    return DS_OK;
}

static void
embed(Decoder *dec, const DecoderInput *inputs, int n)
{
    size_t hidden = (size_t)dec->m->decoder.hidden;
    int row = 0;

    for (int i = 0; i < n; i++)
    {
        const float *image = inputs[i].image;

        dec->d->ops->rows_of(dec->d, dec->x + (size_t)row * hidden, (int)hidden,
                             &dec->m->decoder.embed, inputs[i].ids, inputs[i].n);
        for (int j = 0; j < inputs[i].n; j++, row++)
        {
            int at = inputs[i].start + j;

            dec->positions[row] = at < inputs[i].behind ? at : at + inputs[i].gap;
            if (inputs[i].ids[j] >= 0)
                continue;
            memcpy(dec->x + (size_t)row * hidden, image, hidden * sizeof(float));
            image += hidden;
        }
    }
}

static void
keep_keys(Decoder *dec, const DecoderLayer *l, int layer, const DecoderInput *inputs, int n,
          int rows)
{
    const DecoderModel *m = &dec->m->decoder;
    const Backend *ops = dec->d->ops;
    size_t at = 0;

    ops->linear(dec->d, dec->k, m->hidden, dec->a, m->hidden, rows, &l->k, NULL, FINISH_SET);
    ops->linear(dec->d, dec->v, m->hidden, dec->a, m->hidden, rows, &l->v, NULL, FINISH_SET);
    ops->rope(dec->d, dec->k, m->hidden, rows, m->heads, m->hidden / m->heads, dec->positions,
              dec->rope);
    for (int i = 0; i < n; i++)
    {
        dec->keep[i] = (KeepJob){.to = kvcache_at(&dec->cache, inputs[i].slot, layer),
                                 .start = inputs[i].start,
                                 .n = inputs[i].n,
                                 .k = dec->k + at,
                                 .v = dec->v + at,
                                 .ld = m->hidden};
        at += (size_t)inputs[i].n * (size_t)m->hidden;
    }
    ops->keep(dec->d, dec->keep, n);
}

/* Moves each sequence's wanted rows to the front; returns how many these are. */
static int
only_wanted_rows(Decoder *dec, const DecoderInput *inputs, int n)
{
    size_t hidden = (size_t)dec->m->decoder.hidden;
    int end = 0, to = 0;

    for (int i = 0; i < n; i++)
    {
        int many = 1 + inputs[i].earlier, from = (end += inputs[i].n) - many;
        size_t bytes = (size_t)many * hidden * sizeof(float);

        memmove(dec->x + (size_t)to * hidden, dec->x + (size_t)from * hidden, bytes);
        memmove(dec->a + (size_t)to * hidden, dec->a + (size_t)from * hidden, bytes);
        memmove(dec->positions + to, dec->positions + from, (size_t)many * sizeof(int32_t));
        to += many;
    }
    return to;
}

/* last: only the wanted rows are left. */
static void
ask(Decoder *dec, const DecoderLayer *l, const DecoderInput *inputs, int n, int rows, bool last)
{
    const DecoderModel *m = &dec->m->decoder;
    const Backend *ops = dec->d->ops;
    int dim = m->hidden / m->heads;
    size_t at = 0;

    ops->linear(dec->d, dec->q, m->hidden, dec->a, m->hidden, rows, &l->q, NULL, FINISH_SET);
    ops->rope(dec->d, dec->q, m->hidden, rows, m->heads, dim, dec->positions, dec->rope);
    for (int i = 0; i < n; i++)
    {
        int per = last ? 1 + inputs[i].earlier : inputs[i].n, end = inputs[i].start + inputs[i].n;

        dec->attend[i] = (AttendJob){.from = dec->keep[i].to,
                                     .keys = end,
                                     .q = dec->q + at,
                                     .out = dec->a + at,
                                     .ldq = m->hidden,
                                     .ldo = m->hidden,
                                     .rows = per,
                                     .heads = m->heads,
                                     .causal = true,
                                     .first = end - per,
                                     .scale = 1 / sqrtf((float)dim)};
        at += (size_t)per * (size_t)m->hidden;
    }
    ops->attend(dec->d, dec->attend, n);
    ops->linear(dec->d, dec->x, m->hidden, dec->a, m->hidden, rows, &l->o, NULL, FINISH_ADD);
}

static void
feed_forward(Decoder *dec, const DecoderLayer *l, int rows)
{
    const DecoderModel *m = &dec->m->decoder;
    const Backend *ops = dec->d->ops;

    ops->rms_norm(dec->d, dec->a, dec->x, rows, m->hidden, l->norm2, m->eps);
    if (l->moe)
    {
        ops->route(dec->d, dec->chosen, dec->weights, dec->logits, dec->a, rows, m->top, &l->router,
                   PLANTED(PLANT_RENORMALISED) || m->normalise, m->scale);
        ops->experts(dec->d, dec->x, dec->a, rows, m->top, dec->chosen, dec->weights, l->experts,
                     m->experts, dec->scratch);
    }
    if (!l->moe || (m->shared && !PLANTED(PLANT_NO_SHARED)))
        ops->mlp(dec->d, dec->x, dec->h, dec->a, rows, &l->mlp);
}

static int
run_layer(Decoder *dec, int layer, const DecoderInput *inputs, int n, int rows)
{
    const DecoderModel *m = &dec->m->decoder;
    const DecoderLayer *l = &m->layer[layer];
    bool last = layer == m->layers - 1;

    dec->d->ops->rms_norm(dec->d, dec->a, dec->x, rows, m->hidden, l->norm1, m->eps);
    keep_keys(dec, l, layer, inputs, n, rows);
    if (last)
        rows = only_wanted_rows(dec, inputs, n);
    ask(dec, l, inputs, n, rows, last);
    feed_forward(dec, l, rows);
    return rows;
}

DsStatus
decoder_run(Decoder *dec, const DecoderInput *inputs, int n, float *logits, DsError *err)
{
    const DecoderModel *m = &dec->m->decoder;
    const Backend *ops = dec->d->ops;
    int rows;
    DsStatus st;

    device_begin(dec->d);
    if ((st = check_inputs(dec, inputs, n, &rows, err)) || n == 0)
        return st;
    embed(dec, inputs, n);
    for (int i = 0; i < m->layers && dec->d->stopped == DS_OK; i++)
        rows = run_layer(dec, i, inputs, n, rows);
    ops->rms_norm(dec->d, dec->a, dec->x, rows, m->hidden, m->norm, m->eps);
    ops->linear(dec->d, logits, m->vocab, dec->a, m->hidden, rows, &m->head, NULL, FINISH_SET);
    return device_status(dec->d, err);
}
