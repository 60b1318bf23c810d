/* model.c - weights bound to fields, once, by name, with shape stated. Spec 2.
 *
 * In: a model directory. Out: a Model whose every field can be computed with, without further checks.
 * Sharp edges: shapes of net_2 and net_3 win over the config (the published one is stale); 3 x 3 kernels are
 * turned round to [out, y, x, in]; a tensor that nothing asks for is a fault too, but for old rope buffers. */
#include "model_parts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "draft.h"
#include "plant.h"
#include "sha256.h"

/* ---- the binder: the first fault stays, later calls do nothing ---- */

typedef struct Binder
{
    Model *m;
    bool *used; /* [tensors] */
    DsError *err;
    DsStatus st;
    char name[256];
} Binder;

static void
describe_shape(char *to, size_t n, int rank, const int64_t *shape)
{
    size_t at = 0;

    to[0] = '\0';
    for (int i = 0; i < rank && at < n; i++)
        at += (size_t)snprintf(to + at, n - at, "%s%lld", i ? ", " : "", (long long)shape[i]);
}

static void
wrong_tensor(Binder *b, const char *what)
{
    b->st = ds_fail(b->err, DS_NOT_READY, "weight \"%s\" %s", b->name, what);
    ds_hint(b->err, "config.json and the weight files must be of the same model.");
}

static bool
same_shape(const Tensor *t, int rank, const int64_t *shape)
{
    if (t->rank != rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (t->shape[i] != shape[i])
            return false;
    return true;
}

/* The tensor b->name; NULL when a fault stands. rank 0: any shape. */
static const Tensor *
take(Binder *b, int rank, const int64_t *shape)
{
    const SafeTensor *t;
    char is[128], wanted[128];

    if (b->st)
        return NULL;
    if ((t = safetensors_find(b->m->files, b->name)) == NULL)
    {
        wrong_tensor(b, "is missing");
        ds_detail(b->err, "None of the model's weight files has it.");
        return NULL;
    }
    describe_shape(is, sizeof is, t->tensor.rank, t->tensor.shape);
    describe_shape(wanted, sizeof wanted, rank, shape);
    if (t->tensor.dtype == DTYPE_OTHER)
    {
        wrong_tensor(b, "has a dtype that weights cannot have");
        ds_detail(b->err, "Supported: BF16, F16, F32.");
        return NULL;
    }
    if (rank && !same_shape(&t->tensor, rank, shape))
    {
        wrong_tensor(b, "has the wrong shape");
        ds_detail(b->err, "It is [%s], and must be [%s].", is, wanted);
        return NULL;
    }
    b->used[t - safetensors_at(b->m->files, 0)] = true;
    b->m->facts.parameters += t->tensor.count;
    b->m->facts.weight_bytes += t->end - t->begin;
    return &t->tensor;
}

static void *
need(Binder *b, size_t n, size_t each)
{
    void *p = b->st ? NULL : arena_array(&b->m->arena, n, each);

    if (p == NULL && b->st == DS_OK)
        b->st = ds_fail(b->err, DS_BROKEN, "out of memory for the model");
    return p;
}

static void
set_name(Binder *b, const char *fmt, va_list args)
{
    vsnprintf(b->name, sizeof b->name, fmt, args);
}

static const float *
floats_of(Binder *b, const Tensor *t)
{
    float *to = t ? need(b, t->count, sizeof *to) : NULL;

    for (uint64_t i = 0; to && i < t->count; i++)
        to[i] = dtype_load(t->dtype, t->data, i);
    return to;
}

/* Floats of shape [n], or [n, k] when k > 0. */
__attribute__((format(printf, 4, 5))) static const float *
floats(Binder *b, int n, int k, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    set_name(b, fmt, args);
    va_end(args);
    return floats_of(b, take(b, k ? 2 : 1, (int64_t[]){n, k}));
}

/* A matrix that will be multiplied with: the backend may lay it out. */
static void
ready(Binder *b, Weight *w)
{
    Weight **more;

    if (b->st)
        return;
    more = realloc(b->m->packed, ((size_t)b->m->npacked + 1) * sizeof *more);
    if (more == NULL)
    {
        b->st = ds_fail(b->err, DS_BROKEN, "out of memory for the model");
        return;
    }
    b->m->packed = more;
    b->m->packed[b->m->npacked++] = w;
    b->m->device->ops->pack(b->m->device, w);
    b->st = device_status(b->m->device, b->err);
}

/* A linear: what the adapter has for it is merged in. */
__attribute__((format(printf, 5, 6))) static void
weight(Binder *b, Weight *w, int n, int k, const char *fmt, ...)
{
    const Tensor *t;
    Tensor merged;
    va_list args;

    va_start(args, fmt);
    set_name(b, fmt, args);
    va_end(args);
    if ((t = take(b, 2, (int64_t[]){n, k})) == NULL)
        return;
    merged = *t;
    if (b->m->adapter)
        b->st = adapter_merge(b->m->adapter, b->name, &merged, &b->m->arena, b->err);
    *w = (Weight){merged.dtype, n, k, merged.data, NULL};
    ready(b, w);
}

/* A kernel [n, c, h, w] used as a matrix in the stored order: patches, and 1 x 1. */
static void
kernel(Binder *b, Weight *w, int n, int c, int kh, int kw, const char *name)
{
    const Tensor *t;

    snprintf(b->name, sizeof b->name, "%s", name);
    if ((t = take(b, 4, (int64_t[]){n, c, kh, kw})) == NULL)
        return;
    *w = (Weight){t->dtype, n, c * kh * kw, t->data, NULL};
    ready(b, w);
}

/* A 3 x 3 kernel, turned from [n, c, 3, 3] to [n, 3, 3, c]. */
static void
kernel3(Binder *b, Weight *w, int n, int c, const char *name)
{
    const Tensor *t;
    size_t each;
    char *to;

    snprintf(b->name, sizeof b->name, "%s", name);
    if ((t = take(b, 4, (int64_t[]){n, c, 3, 3})) == NULL)
        return;
    each = dtype_size(t->dtype);
    if ((to = need(b, t->count, each)) == NULL)
        return;
    *w = (Weight){t->dtype, n, 9 * c, to, NULL};
    for (size_t o = 0; o < (size_t)n; o++)
        for (size_t at = 0; at < 9; at++)
            for (size_t i = 0; i < (size_t)c; i++, to += each)
                memcpy(to, (const char *)t->data + ((o * (size_t)c + i) * 9 + at) * each, each);
    ready(b, w);
}

/* ---- the parts ---- */

#define SAM  "model.sam_model."
#define FLOW "model.qwen2_model.model.model."

static void
bind_block(Binder *b, int i)
{
    Sam *s = &b->m->sam;
    SamBlock *k = &s->blocks[i];
    int dim = s->width / s->heads;

    k->norm1_w = floats(b, s->width, 0, SAM "blocks.%d.norm1.weight", i);
    k->norm1_b = floats(b, s->width, 0, SAM "blocks.%d.norm1.bias", i);
    k->norm2_w = floats(b, s->width, 0, SAM "blocks.%d.norm2.weight", i);
    k->norm2_b = floats(b, s->width, 0, SAM "blocks.%d.norm2.bias", i);
    weight(b, &k->qkv, 3 * s->width, s->width, SAM "blocks.%d.attn.qkv.weight", i);
    k->qkv_b = floats(b, 3 * s->width, 0, SAM "blocks.%d.attn.qkv.bias", i);
    weight(b, &k->proj, s->width, s->width, SAM "blocks.%d.attn.proj.weight", i);
    k->proj_b = floats(b, s->width, 0, SAM "blocks.%d.attn.proj.bias", i);
    weight(b, &k->lin1, s->mlp, s->width, SAM "blocks.%d.mlp.lin1.weight", i);
    k->lin1_b = floats(b, s->mlp, 0, SAM "blocks.%d.mlp.lin1.bias", i);
    weight(b, &k->lin2, s->width, s->mlp, SAM "blocks.%d.mlp.lin2.weight", i);
    k->lin2_b = floats(b, s->width, 0, SAM "blocks.%d.mlp.lin2.bias", i);
    k->rel_rows_h = 2 * (k->global ? s->pos_h : s->window_h) - 1;
    k->rel_rows_w = 2 * (k->global ? s->pos_w : s->window_w) - 1;
    k->rel_h = floats(b, k->rel_rows_h, dim, SAM "blocks.%d.attn.rel_pos_h", i);
    k->rel_w = floats(b, k->rel_rows_w, dim, SAM "blocks.%d.attn.rel_pos_w", i);
}

/* Rows of a kernel whose count only the file knows. */
static int
rows_of_kernel(Binder *b, const char *name)
{
    const SafeTensor *t = b->st ? NULL : safetensors_find(b->m->files, name);

    return t && t->tensor.rank == 4 && t->tensor.shape[0] > 0 && t->tensor.shape[0] < 1 << 20
               ? (int)t->tensor.shape[0]
               : 1;
}

static void
bind_sam(Binder *b, const ModelConfig *c)
{
    Sam *s = &b->m->sam;

    kernel(b, &s->patch, s->width, 3, s->patch_h, s->patch_w, SAM "patch_embed.proj.weight");
    s->patch_b = floats(b, s->width, 0, SAM "patch_embed.proj.bias");
    snprintf(b->name, sizeof b->name, SAM "pos_embed");
    s->pos = floats_of(b, take(b, 4, (int64_t[]){1, s->pos_h, s->pos_w, s->width}));
    if ((s->blocks = need(b, (size_t)s->layers, sizeof *s->blocks)) == NULL)
        return;
    for (int i = 0; i < c->nglobal; i++)
        if (c->global[i] < s->layers)
            s->blocks[c->global[i]].global = true;
    for (int i = 0; i < s->layers; i++)
        bind_block(b, i);
    s->net2 = rows_of_kernel(b, SAM "net_2.weight");
    s->out = b->m->flow.dim;
    kernel(b, &s->neck0, s->neck, s->width, 1, 1, SAM "neck.0.weight");
    s->neck1_w = floats(b, s->neck, 0, SAM "neck.1.weight");
    s->neck1_b = floats(b, s->neck, 0, SAM "neck.1.bias");
    kernel3(b, &s->neck2, s->neck, s->neck, SAM "neck.2.weight");
    s->neck3_w = floats(b, s->neck, 0, SAM "neck.3.weight");
    s->neck3_b = floats(b, s->neck, 0, SAM "neck.3.bias");
    kernel3(b, &s->net_2, s->net2, s->neck, SAM "net_2.weight");
    kernel3(b, &s->net_3, s->out, s->net2, SAM "net_3.weight");
}

static void
bind_mlp(Binder *b, Mlp *m, int inner, int hidden, const char *prefix)
{
    weight(b, &m->gate, inner, hidden, "%s.gate_proj.weight", prefix);
    weight(b, &m->up, inner, hidden, "%s.up_proj.weight", prefix);
    weight(b, &m->down, hidden, inner, "%s.down_proj.weight", prefix);
}

static void
bind_flow_layer(Binder *b, int i)
{
    Flow *f = &b->m->flow;
    FlowLayer *l = &f->layer[i];
    int kv = f->dim / f->heads * f->kv_heads;
    char prefix[128];

    l->norm1 = floats(b, f->dim, 0, FLOW "layers.%d.input_layernorm.weight", i);
    l->norm2 = floats(b, f->dim, 0, FLOW "layers.%d.post_attention_layernorm.weight", i);
    weight(b, &l->q, f->dim, f->dim, FLOW "layers.%d.self_attn.q_proj.weight", i);
    l->q_b = floats(b, f->dim, 0, FLOW "layers.%d.self_attn.q_proj.bias", i);
    weight(b, &l->k, kv, f->dim, FLOW "layers.%d.self_attn.k_proj.weight", i);
    l->k_b = floats(b, kv, 0, FLOW "layers.%d.self_attn.k_proj.bias", i);
    weight(b, &l->v, kv, f->dim, FLOW "layers.%d.self_attn.v_proj.weight", i);
    l->v_b = floats(b, kv, 0, FLOW "layers.%d.self_attn.v_proj.bias", i);
    weight(b, &l->o, f->dim, f->dim, FLOW "layers.%d.self_attn.o_proj.weight", i);
    snprintf(prefix, sizeof prefix, FLOW "layers.%d.mlp", i);
    bind_mlp(b, &l->mlp, f->inner, f->dim, prefix);
}

static const QueryTable *
queries_of(const Flow *f, int rows)
{
    for (int i = 0; i < f->ntables; i++)
        if (f->tables[i].rows == rows)
            return &f->tables[i];
    return NULL;
}

/* Every model.qwen2_model.query_N.weight; which one a view takes is told by its number of rows, not by N. */
static void
bind_tables(Binder *b)
{
    static const char prefix[] = "model.qwen2_model.query_";
    Flow *f = &b->m->flow;

    for (int i = 0; i < safetensors_count(b->m->files) && b->st == DS_OK; i++)
    {
        const SafeTensor *t = safetensors_at(b->m->files, i);
        int rows = t->tensor.rank == 2 && t->tensor.shape[0] > 0 && t->tensor.shape[0] < 1 << 16
                       ? (int)t->tensor.shape[0]
                       : 0;

        if (strncmp(t->name, prefix, sizeof prefix - 1) != 0)
            continue;
        snprintf(b->name, sizeof b->name, "%s", t->name);
        if (f->ntables == MODEL_TABLES || queries_of(f, rows))
        {
            wrong_tensor(b, "is a query table too many, or of a length there is already");
            return;
        }
        f->tables[f->ntables++] = (QueryTable){rows, rows, floats(b, rows, f->dim, "%s", t->name)};
        f->most_rows = rows > f->most_rows ? rows : f->most_rows;
    }
    if (b->st == DS_OK && f->ntables == 0)
    {
        snprintf(b->name, sizeof b->name, "%s*.weight", prefix);
        wrong_tensor(b, "is missing");
        ds_detail(b->err, "None of the model's weight files has it.");
    }
}

static void
bind_flow(Binder *b, const ModelConfig *c)
{
    Flow *f = &b->m->flow;
    float *rope;

    if ((f->layer = need(b, (size_t)f->layers, sizeof *f->layer)) == NULL)
        return;
    for (int i = 0; i < f->layers; i++)
        bind_flow_layer(b, i);
    f->norm = floats(b, f->dim, 0, FLOW "norm.weight");
    bind_tables(b);
    rope = need(b, 2 * (size_t)f->most_rows * (size_t)(f->dim / f->heads), sizeof *rope);
    if (rope)
        rope_table(rope, 2 * f->most_rows, f->dim / f->heads,
                   PLANTED(PLANT_ENCODER_THETA) ? 1e4f : c->flow_theta);
    f->rope = rope;
    weight(b, &f->projector, b->m->decoder.hidden, f->dim, "model.projector.layers.weight");
    f->projector_b = floats(b, b->m->decoder.hidden, 0, "model.projector.layers.bias");
    b->m->separator = floats(b, b->m->decoder.hidden, 0, "model.view_seperator");
    if (b->st == DS_OK && f->draft_slots > DRAFT_MOST / f->most_rows)
    {
        b->st =
            ds_fail(b->err, DS_NOT_READY, "dsocr.draft_slots of config.json is %d", f->draft_slots);
        ds_detail(b->err, "A view has %d tokens; together they may draft %d ids.", f->most_rows,
                  DRAFT_MOST);
        ds_hint(b->err, "config.json and the weight files must be of the same model.");
    }
    if (b->st == DS_OK && f->draft_slots)
    {
        weight(b, &f->draft, f->draft_slots * b->m->decoder.vocab, f->dim, "draft.weight");
        f->draft_b = floats(b, f->draft_slots * b->m->decoder.vocab, 0, "draft.bias");
    }
}

static void
bind_moe(Binder *b, int i)
{
    DecoderModel *d = &b->m->decoder;
    DecoderLayer *l = &d->layer[i];
    char prefix[128];

    weight(b, &l->router, d->experts, d->hidden, "model.layers.%d.mlp.gate.weight", i);
    if ((l->experts = need(b, (size_t)d->experts, sizeof *l->experts)) == NULL)
        return;
    for (int e = 0; e < d->experts; e++)
    {
        snprintf(prefix, sizeof prefix, "model.layers.%d.mlp.experts.%d", i, e);
        bind_mlp(b, &l->experts[e], d->moe_inner, d->hidden, prefix);
    }
    snprintf(prefix, sizeof prefix, "model.layers.%d.mlp.shared_experts", i);
    if (d->shared)
        bind_mlp(b, &l->mlp, d->shared * d->moe_inner, d->hidden, prefix);
}

static void
bind_decoder_layer(Binder *b, int i)
{
    DecoderModel *d = &b->m->decoder;
    DecoderLayer *l = &d->layer[i];
    char prefix[128];

    l->norm1 = floats(b, d->hidden, 0, "model.layers.%d.input_layernorm.weight", i);
    l->norm2 = floats(b, d->hidden, 0, "model.layers.%d.post_attention_layernorm.weight", i);
    weight(b, &l->q, d->hidden, d->hidden, "model.layers.%d.self_attn.q_proj.weight", i);
    weight(b, &l->k, d->hidden, d->hidden, "model.layers.%d.self_attn.k_proj.weight", i);
    weight(b, &l->v, d->hidden, d->hidden, "model.layers.%d.self_attn.v_proj.weight", i);
    weight(b, &l->o, d->hidden, d->hidden, "model.layers.%d.self_attn.o_proj.weight", i);
    l->moe = d->experts > 0 && i >= d->first_dense && i % d->moe_every == 0;
    snprintf(prefix, sizeof prefix, "model.layers.%d.mlp", i);
    if (l->moe)
        bind_moe(b, i);
    else
        bind_mlp(b, &l->mlp, d->inner, d->hidden, prefix);
}

static void
bind_decoder(Binder *b)
{
    DecoderModel *d = &b->m->decoder;
    const Tensor *t;

    snprintf(b->name, sizeof b->name, "model.embed_tokens.weight");
    if ((t = take(b, 2, (int64_t[]){d->vocab, d->hidden}))) /* looked up, never multiplied with */
        d->embed = (Weight){t->dtype, d->vocab, d->hidden, t->data, NULL};
    if ((d->layer = need(b, (size_t)d->layers, sizeof *d->layer)) == NULL)
        return;
    for (int i = 0; i < d->layers; i++)
        bind_decoder_layer(b, i);
    d->norm = floats(b, d->hidden, 0, "model.norm.weight");
    weight(b, &d->head, d->vocab, d->hidden, "lm_head.weight");
    snprintf(b->m->facts.dtype, sizeof b->m->facts.dtype, "%s",
             d->head.dtype == DTYPE_BF16  ? "bf16"
             : d->head.dtype == DTYPE_F16 ? "f16"
                                          : "f32");
}

/* No surprise: what is in the files and nobody asked for is a fault, but for rope's old buffers. */
static void
check_all_used(Binder *b)
{
    for (int i = 0; b->st == DS_OK && i < safetensors_count(b->m->files); i++)
    {
        const char *name = safetensors_at(b->m->files, i)->name;

        if (b->used[i] || strstr(name, "rotary_emb.inv_freq"))
            continue;
        snprintf(b->name, sizeof b->name, "%s", name);
        wrong_tensor(b, "has no place in this model");
    }
}

/* ---- grids ---- */

/* Relative positions for a grid of `size`: resized or, of a view that ends early, the near ones; reversed, in panels
 * (backend.h). */
static const float *
rel_panels(Binder *b, const float *stored, int rows, int size, int dim, bool early)
{
    int wanted = 2 * size - 1;
    float *to = need(b, (size_t)keys_room(wanted) * (size_t)dim, sizeof *to);
    float *resized = need(b, (size_t)wanted * (size_t)dim, sizeof *resized);

    if (to == NULL || resized == NULL)
        return NULL;
    if (wanted == rows || early)
        memcpy(resized, stored + (size_t)((rows - wanted) / 2) * (size_t)dim,
               sizeof(float) * (size_t)wanted * (size_t)dim);
    else
        rel_resize(stored, rows, resized, wanted, dim);
    for (int r = 0; r < wanted; r++)
        for (int d = 0; d < dim; d++)
            to[key_at(dim, PLANTED(PLANT_REL_SIGN) ? r : wanted - 1 - r, d)] =
                resized[(size_t)r * dim + d] *
                (PLANTED(PLANT_Q_SCALED) ? 1 / sqrtf((float)dim) : 1);
    return to;
}

static Grid
rel_grid(Binder *b, const SamBlock *k, int h, int w, bool early)
{
    int dim = b->m->sam.width / b->m->sam.heads;

    if (PLANTED(PLANT_REL_SWAPPED))
        return (Grid){h, w, rel_panels(b, k->rel_w, k->rel_rows_w, h, dim, early),
                      rel_panels(b, k->rel_h, k->rel_rows_h, w, dim, early)};
    return (Grid){h, w, rel_panels(b, k->rel_h, k->rel_rows_h, h, dim, early),
                  rel_panels(b, k->rel_w, k->rel_rows_w, w, dim, early)};
}

static const float *
grid_positions(Binder *b, int h, int w, bool early)
{
    Sam *s = &b->m->sam;
    size_t row = (size_t)w * (size_t)s->width;
    float *to, *scratch;

    if (h == s->pos_h && w == s->pos_w)
        return s->pos;
    to = need(b, (size_t)h * row, sizeof *to);
    scratch = need(b, (size_t)s->pos_h * row, sizeof *scratch);
    for (int y = 0; early && to && y < h; y++)
        memcpy(to + y * row, s->pos + (size_t)y * s->pos_w * s->width, row * sizeof *to);
    if (to && scratch && !early)
        pos_resize(s->pos, s->pos_h, s->pos_w, to, h, w, s->width, scratch);
    return to;
}

static void
wrong_views(Binder *b, int height, int width, const char *what)
{
    b->st = ds_fail(b->err, DS_NOT_READY, "views of %d x %d %s", width, height, what);
    ds_hint(b->err, "Look at base_size, tile_size and patch_size in config.json.");
}

/* Prepares views of height x width with the first of `table`'s queries; early: of a whole view, they end before it. */
static void
add_grid(Binder *b, int height, int width, const QueryTable *table, bool early)
{
    Sam *s = &b->m->sam;
    SamGrid *g = &s->grids[s->ngrids];

    *g = (SamGrid){.h = height / s->patch_h, .w = width / s->patch_w};
    g->out_h = ((g->h + 1) / 2 + 1) / 2;
    g->out_w = ((g->w + 1) / 2 + 1) / 2;
    g->queries = *table;
    g->queries.rows = g->out_h * g->out_w;
    g->pos = grid_positions(b, g->h, g->w, early);
    for (int i = 0; i < s->layers; i++)
        if (s->blocks[i].global)
            s->blocks[i].grids[s->ngrids] = rel_grid(b, &s->blocks[i], g->h, g->w, early);
    s->ngrids++;
}

/* Whether the first columns of a view are the first of everything: one row of tokens, and tables of the grid's own size. */
static bool
can_end_early(const Sam *s, int h, int w)
{
    for (int i = 0; i < s->layers; i++)
        if (s->blocks[i].global &&
            (s->blocks[i].rel_rows_h != 2 * h - 1 || s->blocks[i].rel_rows_w != 2 * w - 1))
            return false;
    return h <= 4 && h == s->pos_h && w == s->pos_w;
}

/* Prepares whole views of height x width; a query table of their number of rows must be there. */
static void
add_whole(Binder *b, int height, int width)
{
    const Sam *s = &b->m->sam;
    int h = height / s->patch_h, w = width / s->patch_w, step = b->m->facts.view_step;
    const QueryTable *table =
        queries_of(&b->m->flow, (((h + 1) / 2 + 1) / 2) * (((w + 1) / 2 + 1) / 2));

    if (b->st || model_grid(b->m, width, height) >= 0)
        return;
    if (height % s->patch_h || width % s->patch_w)
        wrong_views(b, height, width, "are not whole patches");
    else if (table == NULL)
        wrong_views(b, height, width, "make a number of rows that no query table has");
    else if (step && !can_end_early(s, h, w))
        wrong_views(b, height, width, "cannot end early: dsocr.view_step has no place here");
    else
        add_grid(b, height, width, table, false);
    for (int early = step; early && early < width && b->st == DS_OK; early += step)
        add_grid(b, height, early, table, true);
}

static void
prepare_grids(Binder *b, const ModelConfig *c)
{
    Sam *s = &b->m->sam;

    for (int i = 0; i < s->layers && b->st == DS_OK; i++)
        if (!s->blocks[i].global)
            s->blocks[i].grids[0] = rel_grid(b, &s->blocks[i], s->window_h, s->window_w, false);
    add_whole(b, c->base_h, c->base_w);
    add_whole(b, c->tile_h, c->tile_w);
}

int
model_grid(const Model *m, int width, int height)
{
    const Sam *s = &m->sam;

    for (int i = 0; i < s->ngrids; i++)
        if (s->grids[i].h * s->patch_h == height && s->grids[i].w * s->patch_w == width)
            return i;
    return -1;
}

/* ---- life ---- */

static DsStatus
bind_all(Model *m, const ModelConfig *c, DsError *err)
{
    Binder b = {
        .m = m, .err = err, .used = calloc((size_t)safetensors_count(m->files), sizeof(bool))};

    if (b.used == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory for the model");
    bind_sam(&b, c);
    bind_flow(&b, c);
    bind_decoder(&b);
    check_all_used(&b);
    if (b.st == DS_OK && m->adapter)
        b.st = adapter_all_used(m->adapter, err);
    if (b.st == DS_OK)
        prepare_grids(&b, c);
    free(b.used);
    return b.st;
}

static void
hash_files(const Model *m, char hex[65])
{
    uint8_t digest[32];
    const char *name;
    const void *bytes;
    size_t n;
    Sha256 s;

    sha256_init(&s);
    for (int i = 0; (bytes = safetensors_file(m->files, i, &name, &n)) != NULL; i++)
        sha256_add(&s, bytes, n);
    sha256_end(&s, digest);
    sha256_hex(digest, hex);
}

/* The adapter is read, told to be for this model, and gives the model its name. */
static DsStatus
take_adapter(Model *m, const char *dir, const char *adapter, DsError *err)
{
    ModelFacts *f = &m->facts;
    char base[65] = "", name[sizeof f->name];
    DsStatus st;

    if (adapter == NULL || adapter[0] == '\0')
        return DS_OK;
    if ((st = adapter_open(adapter, &m->adapter, err)))
        return st;
    f->adapter = *adapter_facts(m->adapter);
    if (f->adapter.base_sha256[0]) /* seconds for gigabytes, so only when it is asked for */
        hash_files(m, base);
    if ((st = adapter_fits(m->adapter, f->name, dir, base, err)))
        return st;
    snprintf(name, sizeof name, "%.30s+%.23s@%.8s", f->name, f->adapter.name, f->adapter.sha256);
    memcpy(f->name, name, sizeof name);
    return DS_OK;
}

DsStatus
model_open(const char *dir, Device *d, Model **out, DsError *err)
{
    return model_open_adapted(dir, NULL, d, out, err);
}

DsStatus
model_open_adapted(const char *dir, const char *adapter, Device *d, Model **out, DsError *err)
{
    Model *m = calloc(1, sizeof *m);
    ModelConfig c = {0};
    DsStatus st;

    *out = NULL;
    if (m == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory for the model");
    m->device = d;
    arena_init(&m->arena, 0);
    device_begin(d);
    if ((st = model_config_read(dir, m, &c, err)) == DS_OK)
        device_allow_int8(d, m->facts.reads_lines);
    if (st || (st = safetensors_open(dir, &m->files, err)) ||
        (st = take_adapter(m, dir, adapter, err)) || (st = bind_all(m, &c, err)))
    {
        model_close(m);
        return st;
    }
    adapter_close(m->adapter); /* what it had to give is in the arena */
    m->adapter = NULL;
    *out = m;
    return DS_OK;
}

void
model_close(Model *m)
{
    if (m == NULL)
        return;
    for (int i = 0; i < m->npacked; i++)
        m->device->ops->unpack(m->device, m->packed[i]);
    free(m->packed);
    safetensors_close(m->files);
    adapter_close(m->adapter);
    arena_free(&m->arena);
    free(m);
}

const ModelFacts *
model_facts(const Model *m)
{
    return &m->facts;
}

DsStatus
model_hash(Model *m, DsError *err)
{
    const char *adapter = m->facts.adapter.sha256;
    char both[129];

    (void)err;
    hash_files(m, m->facts.sha256);
    if (adapter[0] == '\0')
        return DS_OK;
    snprintf(both, sizeof both, "%s%s", m->facts.sha256, adapter);
    sha256_name(both, strlen(both), m->facts.sha256);
    return DS_OK;
}
