/* model.h - the fixed shape of the model; every weight as a field. Spec 1, 2, 12.
 *
 * A model directory is config.json, tokenizer.json and *.safetensors as published. The family and every size
 * come from config.json and the tensors; nothing about one model's sizes is hard-coded. Loading is strict:
 * every expected tensor present with its dtype and shape, inside its file; errors name the tensor. After
 * loading, the code says m->projector_w; strings never reach the arithmetic. */
#ifndef DS_MODEL_H
#define DS_MODEL_H

#include "adapter.h"
#include "backend.h"
#include "lines.h"
#include "views.h"

typedef struct Model Model;

/* What the rest of the engine may know of a model without knowing its weights. */
typedef struct ModelFacts
{
    /* dsocr.name of the config, else told from the architecture: "deepseek-ocr-2"; with an adapter
     * "dsocr-mini+mine@1a2b3c4d", the digits being the first of the adapter's SHA-256 */
    char name[64];
    char dtype[8]; /* of the weights: "bf16", "f32", "f16" */
    char sha256
        [65]; /* of the weight files' bytes in name order; filled by model_hash, "" before. With an
                      * adapter: of that name (64 hex digits) and of the adapter's after it */
    AdapterFacts adapter; /* name "": none */
    bool reads_lines;     /* config: "reader": "lines" */
    bool drafts;          /* has a draft head (draft.h) */
    LineShape line;       /* when reads_lines */
    int view_step;        /* columns: a view is seen to its ink's end, in whole steps; 0: whole */
    float second_look;    /* what is read less surely is read twice (reading.h); 0: nothing is */
    int look_shift;       /* columns: half a patch */
    ViewSizes views;      /* otherwise */
    char prompt[256];     /* of the config (line readers) */
    unsigned modes;       /* bits 1 << DsMode: what it has prompts for */
    int hidden, vocab;
    int32_t bos, eos, image; /* token ids */
    int max_positions;
    int max_new_tokens;           /* of the config, or 8192 */
    int ngram_size, ngram_window; /* of the config, or 20 and 90 */
    uint64_t weight_bytes, parameters;
} ModelFacts;

/* Opens, checks and binds. The backend may repack weights (Device); the files stay mapped. */
DsStatus model_open(const char *dir, Device *d, Model **out, DsError *err);
/* The same with an adapter's directory merged into the linears (adapter.h); NULL or "": none. */
DsStatus model_open_adapted(const char *dir, const char *adapter, Device *d, Model **out,
                            DsError *err);
void model_close(Model *m);
const ModelFacts *model_facts(const Model *m);

/* SHA-256 over the weight files; seconds for gigabytes, so asked for separately. */
DsStatus model_hash(Model *m, DsError *err);

#endif
