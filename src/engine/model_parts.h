/* model_parts.h - every weight as a field; for the files that compute with them: patches, flow, decoder.
 *
 * Bound once, by name, with shape checked (model.c). Matrices are Weights, small vectors are floats in the
 * model's arena. Shapes stand beside the fields; spec 2 has the published numbers. */
#ifndef DS_MODEL_PARTS_H
#define DS_MODEL_PARTS_H

#include "arena.h"
#include "model.h"
#include "safetensors.h"

#define MODEL_GRIDS  32
#define MODEL_TABLES 8

/* ---- SAM: a view to a grid of features (spec 4) ---- */

/* What a block needs for one grid of tokens: relative positions of that size, reversed and in panels. */
typedef struct SamBlock
{
    const float *norm1_w, *norm1_b, *norm2_w, *norm2_b; /* [width] */
    Weight qkv, proj, lin1, lin2; /* [3 width, width] [width, width] [mlp, width] [width, mlp] */
    const float *qkv_b, *proj_b, *lin1_b, *lin2_b;
    bool global;
    int rel_rows_h, rel_rows_w;
    const float *rel_h, *rel_w; /* [rel_rows, width / heads], as stored */
    Grid grids[MODEL_GRIDS];    /* windowed blocks: the window in [0] */
} SamBlock;

/* The learned queries of a view of so many rows. */
typedef struct QueryTable
{
    int rows;
    int first;      /* position of the first query: behind the features of the whole view */
    const float *w; /* [rows, dim] */
} QueryTable;

/* A grid of tokens that views of one size have; worked out at load. */
typedef struct SamGrid
{
    int h, w;         /* tokens */
    int out_h, out_w; /* after the two halvings, rounded up */
    const float *pos; /* [h * w, width]: pos_embed, resized or cut short if need be */
    QueryTable queries;
} SamGrid;

typedef struct Sam
{
    int width, layers, heads, mlp, neck, net2, out;
    int patch_h, patch_w, window_h, window_w, pos_h, pos_w;
    float eps;
    Weight patch; /* [width, 3 * patch_h * patch_w] */
    const float *patch_b;
    const float *pos; /* [pos_h, pos_w, width] */
    SamBlock *blocks;
    Weight neck0, neck2; /* [neck, width] [neck, 3, 3, neck] */
    const float *neck1_w, *neck1_b, *neck3_w, *neck3_b;
    Weight net_2, net_3; /* [net2, 3, 3, neck] [out, 3, 3, net2] */
    SamGrid grids[MODEL_GRIDS];
    int ngrids;
    float pixels[3 * 256]; /* byte -> value, per channel (spec 3.6) */
} Sam;

/* ---- the encoder: grid and queries to tokens (spec 5), and the projector (6) ---- */

typedef struct FlowLayer
{
    const float *norm1, *norm2; /* [dim] */
    Weight q, k, v, o;          /* [dim, dim] [kv, dim] [kv, dim] [dim, dim] */
    const float *q_b, *k_b, *v_b;
    Mlp mlp;
} FlowLayer;

typedef struct Flow
{
    int dim, layers, heads, kv_heads, inner;
    float eps;
    FlowLayer *layer;
    const float *norm;
    QueryTable tables[MODEL_TABLES];
    int ntables, most_rows;
    const float *rope; /* [2 * most_rows, dim / heads] */
    Weight projector;  /* [hidden, dim] */
    const float *projector_b;
    int draft_slots; /* ids that the draft head guesses for each token; 0: there is no head */
    Weight draft;    /* [draft_slots * vocab, dim] */
    const float *draft_b;
} Flow;

/* ---- the decoder (spec 7) ---- */

typedef struct DecoderLayer
{
    const float *norm1, *norm2; /* [hidden] */
    Weight q, k, v, o;          /* [hidden, hidden] */
    bool moe;
    Mlp mlp;       /* dense, or the shared experts */
    Weight router; /* [experts, hidden] */
    Mlp *experts;  /* [experts] */
} DecoderLayer;

typedef struct DecoderModel
{
    int hidden, layers, heads, inner, moe_inner, experts, shared, top, first_dense, vocab,
        max_positions;
    int moe_every;
    bool normalise;
    float eps, theta, scale; /* scale: routed_scaling_factor */
    Weight embed, head;      /* [vocab, hidden] */
    const float *norm;
    DecoderLayer *layer;
} DecoderModel;

struct Model
{
    ModelFacts facts;
    Device *device;
    SafeTensors *files;
    Adapter *adapter; /* while the model is being bound, or NULL */
    Arena arena;
    Sam sam;
    Flow flow;
    DecoderModel decoder;
    const float *separator; /* [hidden] */
    Weight **packed;        /* all that the backend laid out, to be given back */
    int npacked;
};

/* model_config.c: sizes from config.json; DS_NOT_READY with the key at fault. */
typedef struct ModelConfig
{
    int base_h, base_w, tile_h, tile_w; /* views */
    float flow_theta;
    int global[256], nglobal;
} ModelConfig;
DsStatus model_config_read(const char *dir, Model *m, ModelConfig *c, DsError *err);

/* resize_tables.c: pos_embed and rel_pos for another grid (spec 4.1, 4.3). */
void pos_resize(const float *from, int h, int w, float *to, int out_h, int out_w, int width,
                float *scratch);
void rel_resize(const float *from, int rows, float *to, int out_rows, int dim);
/* cosines and sines of `positions` positions: [positions, dim]; spec 5.1. */
void rope_table(float *to, int positions, int dim, float theta);

/* The grid of a view of this size, or -1. */
int model_grid(const Model *m, int width, int height);

#endif
