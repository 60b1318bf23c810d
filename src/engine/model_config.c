/* model_config.c - config.json to sizes: what the published model leaves unsaid gets its defaults. Spec 1, 12.
 *
 * In: the model directory. Out: the size fields of Model and its facts. Every size is checked again when the
 * tensors are bound, so a lying config ends in a message. Sharp edges: language settings stand in
 * language_config and at the top, the former wins; use_mla absent means true; sizes of images may be a number or
 * [height, width]. */
#include <jansson.h>
#include <stdio.h>

#include "model_parts.h"
#include "options.h"

#define SIZE_MOST (1 << 20)
#define SIDE_MOST 1024 /* of a window, a patch, a grid: their squares must be numbers */

typedef struct Reader
{
    json_t *config, *processor; /* processor_config.json, may be NULL */
    DsError *err;
    DsStatus st; /* the first fault; from then on nothing is read */
} Reader;

/* ---- finding and reading keys ---- */

static json_t *
find(json_t *at, const char *path)
{
    char key[64];

    while (at && *path)
    {
        size_t n = strcspn(path, ".");

        snprintf(key, sizeof key, "%.*s", (int)n, path);
        at = json_object_get(at, key);
        path += path[n] ? n + 1 : n;
    }
    return json_is_null(at) ? NULL : at;
}

/* A language setting: language_config first, then the top level. */
static json_t *
find_language(const Reader *r, const char *key)
{
    json_t *value = find(find(r->config, "language_config"), key);

    return value ? value : find(r->config, key);
}

static void
refuse(Reader *r, const char *key, const char *what)
{
    if (r->st)
        return;
    r->st = ds_fail(r->err, DS_NOT_READY, "config.json cannot be used: %s %s", key, what);
    ds_hint(r->err, "Use the config.json that the model was published with.");
}

/* An integer from `least` to SIZE_MOST; `fallback` when the key is absent, which is a fault if it is below least. */
static int
integer(Reader *r, json_t *value, const char *key, int fallback, int least)
{
    if (value == NULL && fallback < least)
        refuse(r, key, "is missing");
    else if (value == NULL)
        return fallback;
    else if (!json_is_integer(value) || json_integer_value(value) < least ||
             json_integer_value(value) > SIZE_MOST)
        refuse(r, key, "is not a sound number");
    else
        return (int)json_integer_value(value);
    return least;
}

static int
vision(Reader *r, const char *path, int fallback)
{
    return integer(r, find(r->config, path), path, fallback, 1);
}

static int
language(Reader *r, const char *key, int fallback, int least)
{
    return integer(r, find_language(r, key), key, fallback, least);
}

static float
real(Reader *r, json_t *value, const char *key, double fallback)
{
    if (value == NULL)
        return (float)fallback;
    if (!json_is_number(value) ||
        !(json_number_value(value) > 0 && json_number_value(value) < 1e12))
        refuse(r, key, "is not a positive number");
    return (float)json_number_value(value);
}

static bool
boolean(Reader *r, const char *key, bool fallback)
{
    json_t *value = find_language(r, key);

    if (value && !json_is_boolean(value))
        refuse(r, key, "is neither true nor false");
    return value ? json_is_true(value) : fallback;
}

/* A language setting that only one value of is understood. */
static void
only(Reader *r, const char *key, const char *understood)
{
    json_t *value = find_language(r, key);

    if (value && (!json_is_string(value) || strcmp(json_string_value(value), understood) != 0))
        refuse(r, key, "has a value that is not supported");
}

/* A size: n, or [height, width]. */
static void
pair(Reader *r, const char *path, int fallback, int *h, int *w)
{
    json_t *value = find(r->config, path);

    if (json_is_array(value) && json_array_size(value) == 2)
    {
        *h = integer(r, json_array_get(value, 0), path, 0, 1);
        *w = integer(r, json_array_get(value, 1), path, 0, 1);
    }
    else
        *h = *w = integer(r, value, path, fallback, 1);
}

static void
text(Reader *r, const char *path, const char *fallback, char *to, size_t n)
{
    json_t *value = find(r->config, path);

    if (value && (!json_is_string(value) || json_string_length(value) >= n))
        refuse(r, path, "is no string, or too long");
    else
        snprintf(to, n, "%s", value ? json_string_value(value) : fallback);
}

/* ---- the parts ---- */

static void
read_architecture(Reader *r)
{
    const char *name = json_string_value(json_array_get(find(r->config, "architectures"), 0));
    const char *eyes = json_string_value(find(r->config, "vision_config.model_name"));

    if (name && strcmp(name, "DeepseekOCR2ForCausalLM") == 0 && eyes &&
        strcmp(eyes, "deepencoderv2") == 0)
        return;
    r->st = ds_fail(r->err, DS_NOT_READY, "model architecture \"%.60s\" is not supported",
                    name ? name : "(none)");
    ds_detail(
        r->err,
        "Its vision part is \"%.60s\". Supported: DeepseekOCR2ForCausalLM with deepencoderv2.",
        eyes ? eyes : "(none)");
    ds_hint(r->err, "Use a DeepSeek-OCR-2 model, or dsocr-mini.");
}

#define SAM  "vision_config.width.sam_vit_b."
#define FLOW "vision_config.width.qwen2-0-5b."

static void
read_global_blocks(Reader *r, ModelConfig *c)
{
    static const int published[] = {2, 5, 8, 11};
    json_t *list = find(r->config, SAM "global_attn_indexes"), *value;
    size_t i;

    if (list == NULL)
        for (c->nglobal = 0; c->nglobal < 4; c->nglobal++)
            c->global[c->nglobal] = published[c->nglobal];
    if (list && (!json_is_array(list) || json_array_size(list) > 256))
        refuse(r, SAM "global_attn_indexes", "is not a list of block numbers");
    else
        json_array_foreach(list, i, value) c->global[c->nglobal++] =
            integer(r, value, SAM "global_attn_indexes", -1, 0);
}

static void
read_sam(Reader *r, Sam *s, ModelConfig *c)
{
    int h, w;

    s->width = vision(r, SAM "width", 768);
    s->layers = vision(r, SAM "layers", 12);
    s->heads = vision(r, SAM "heads", 12);
    pair(r, SAM "patch_size", 16, &s->patch_h, &s->patch_w);
    pair(r, SAM "window_size", 14, &s->window_h, &s->window_w);
    pair(r, "vision_config.image_size", 1024, &h, &w);
    s->mlp = (int)((float)s->width * real(r, find(r->config, SAM "mlp_ratio"), SAM "mlp_ratio", 4));
    s->neck = vision(r, SAM "neck_channels", 256);
    s->eps = real(r, find(r->config, SAM "layer_norm_eps"), SAM "layer_norm_eps", 1e-6);
    if (r->st == DS_OK &&
        (s->layers > 256 || s->width % s->heads || h % s->patch_h || w % s->patch_w))
        refuse(r, SAM "*", "has sizes that do not divide");
    if (r->st == DS_OK &&
        (s->window_h > SIDE_MOST || s->window_w > SIDE_MOST || s->patch_h > SIDE_MOST ||
         s->patch_w > SIDE_MOST || h / s->patch_h > SIDE_MOST || w / s->patch_w > SIDE_MOST))
        refuse(r, SAM "*", "has windows, patches or grids too large");
    if (r->st)
        return;
    s->pos_h = h / s->patch_h;
    s->pos_w = w / s->patch_w;
    read_global_blocks(r, c);
}

static void
read_pixels(Reader *r, Sam *s, ViewSizes *views)
{
    for (int ch = 0; ch < 3; ch++)
    {
        json_t *mean = find(r->config, "vision_config.image_mean"),
               *std = find(r->config, "vision_config.image_std");
        float m, d;

        mean = mean ? mean : find(r->processor, "image_mean");
        std = std ? std : find(r->processor, "image_std");
        m = real(r, json_array_get(mean, (size_t)ch), "image_mean", 0.5);
        d = real(r, json_array_get(std, (size_t)ch), "image_std", 0.5);
        for (int v = 0; v < 256; v++)
            s->pixels[ch * 256 + v] = bf16_to_f32(f32_to_bf16(((float)v / 255 - m) / d));
        views->pad = (int)(m * 255);
    }
}

static void
read_flow(Reader *r, Flow *f, ModelConfig *c)
{
    f->dim = vision(r, FLOW "dim", 896);
    f->layers = vision(r, FLOW "layers", 24);
    f->heads = vision(r, FLOW "heads", 14);
    f->kv_heads = vision(r, FLOW "kv_heads", 2);
    f->inner = vision(r, FLOW "intermediate_size", 4864);
    f->eps = real(r, find(r->config, FLOW "rms_norm_eps"), FLOW "rms_norm_eps", 1e-6);
    c->flow_theta = real(r, find(r->config, FLOW "rope_theta"), FLOW "rope_theta", 1e6);
    if (r->st == DS_OK &&
        (f->layers > 1024 || f->dim % f->heads || f->heads % f->kv_heads || f->dim / f->heads % 2))
        refuse(r, FLOW "*", "has sizes that do not divide");
}

static void
read_experts(Reader *r, DecoderModel *d)
{
    d->experts = language(r, "n_routed_experts", 0, 0);
    d->shared = language(r, "n_shared_experts", 0, 0);
    d->top = language(r, "num_experts_per_tok", d->experts ? -1 : 0, 0);
    d->moe_inner = language(r, "moe_intermediate_size", d->experts ? -1 : 0, 0);
    d->first_dense = language(r, "first_k_dense_replace", 0, 0);
    d->moe_every = language(r, "moe_layer_freq", 1, 1);
    d->normalise = boolean(r, "norm_topk_prob", false);
    d->scale = real(r, find_language(r, "routed_scaling_factor"), "routed_scaling_factor", 1);
    only(r, "scoring_func", "softmax");
    only(r, "topk_method", "greedy");
    if (d->top > d->experts || d->experts > EXPERTS_MOST || d->shared > 64)
        refuse(r, "num_experts_per_tok", "does not fit the number of experts");
}

static void
read_decoder(Reader *r, DecoderModel *d)
{
    int kv;

    d->hidden = language(r, "hidden_size", 0, 1);
    d->layers = language(r, "num_hidden_layers", 0, 1);
    d->heads = language(r, "num_attention_heads", 0, 1);
    kv = language(r, "num_key_value_heads", d->heads, 1);
    d->inner = language(r, "intermediate_size", 0, 1);
    d->vocab = language(r, "vocab_size", 0, 1);
    d->max_positions = language(r, "max_position_embeddings", 8192, 1);
    d->eps = real(r, find_language(r, "rms_norm_eps"), "rms_norm_eps", 1e-6);
    d->theta = real(r, find_language(r, "rope_theta"), "rope_theta", 10000);
    only(r, "hidden_act", "silu");
    if (boolean(r, "use_mla", true))
        refuse(r, "use_mla", "is true: such decoders are not supported");
    if (find_language(r, "rope_scaling") || boolean(r, "attention_bias", false) ||
        boolean(r, "tie_word_embeddings", false))
        refuse(r, "rope_scaling, attention_bias or tie_word_embeddings",
               "asks for what is not supported");
    if (r->st == DS_OK &&
        (d->layers > 1024 || kv != d->heads || d->hidden % d->heads || d->hidden / d->heads % 2))
        refuse(r, "num_attention_heads", "does not fit num_key_value_heads or hidden_size");
    read_experts(r, d);
}

static void
read_ids(Reader *r, ModelFacts *f)
{
    f->bos = language(r, "bos_token_id", 0, 0);
    f->eos = language(r, "eos_token_id", 1, 0);
    f->image = integer(r, find(r->config, "image_token_id"), "image_token_id", 128815, 0);
    if (f->bos >= f->vocab || f->eos >= f->vocab || f->image >= f->vocab)
        refuse(r, "bos_token_id, eos_token_id or image_token_id", "is not below vocab_size");
}

/* A step is whole rows of the decoder's input. */
static void
read_view_step(Reader *r, Model *m)
{
    ModelFacts *f = &m->facts;
    int row = 4 * m->sam.patch_w;

    f->view_step = integer(r, find(r->config, "dsocr.view_step"), "dsocr.view_step", 0, 0);
    if (f->view_step % row)
        refuse(r, "dsocr.view_step", "is not a multiple of four patches");
    else if (f->view_step && f->line.view_w / f->view_step >= MODEL_GRIDS)
        refuse(r, "dsocr.view_step", "makes too many widths of views");
}

/* What a page reader can besides reading: dsocr.prompts, else what the family has documented prompts for. */
static void
read_modes(Reader *r, ModelFacts *f)
{
    json_t *list = find(r->config, "dsocr.prompts"), *value;
    size_t i;

    f->modes = 1u << DS_MODE_LAYOUT | 1u << DS_MODE_TEXT;
    if (f->reads_lines)
        return;
    if (list == NULL)
        f->modes |= 1u << DS_MODE_DESCRIBE | 1u << DS_MODE_FIGURE | 1u << DS_MODE_LOCATE;
    if (list && !json_is_array(list))
        refuse(r, "dsocr.prompts", "is not a list");
    json_array_foreach(list, i, value)
    {
        int mode = json_is_string(value) ? mode_of_word(json_string_value(value)) : -1;

        if (mode < 0)
            refuse(r, "dsocr.prompts", "has something that is no mode");
        else
            f->modes |= 1u << mode;
    }
}

static void
read_facts(Reader *r, Model *m, ModelConfig *c)
{
    ModelFacts *f = &m->facts;
    char reader[16];

    text(r, "dsocr.name", "deepseek-ocr-2", f->name, sizeof f->name);
    text(r, "dsocr.reader", "pages", reader, sizeof reader);
    text(r, "dsocr.prompt", "", f->prompt, sizeof f->prompt);
    f->reads_lines = strcmp(reader, "lines") == 0;
    read_modes(r, f);
    f->hidden = m->decoder.hidden;
    f->vocab = m->decoder.vocab;
    f->max_positions = m->decoder.max_positions;
    f->max_new_tokens = vision(r, "dsocr.max_new_tokens", 8192);
    f->ngram_size = integer(r, find(r->config, "dsocr.ngram_size"), "dsocr.ngram_size", 20, 0);
    f->ngram_window =
        integer(r, find(r->config, "dsocr.ngram_window"), "dsocr.ngram_window", 90, 0);
    pair(r, "vision_config.base_size", 1024, &f->views.base_h, &f->views.base_w);
    pair(r, "vision_config.tile_size", 768, &f->views.tile_h, &f->views.tile_w);
    f->views.min_crops = vision(r, "vision_config.min_crops", 2);
    f->views.max_crops = vision(r, "vision_config.max_crops", 6);
    if (f->reads_lines)
    {
        m->flow.draft_slots =
            integer(r, find(r->config, "dsocr.draft_slots"), "dsocr.draft_slots", 0, 0);
        f->drafts = m->flow.draft_slots > 0;
        f->line.view_h = m->sam.pos_h * m->sam.patch_h;
        f->line.view_w = m->sam.pos_w * m->sam.patch_w;
        f->line.x_height = real(r, find(r->config, "dsocr.x_height"), "dsocr.x_height", 11);
        f->line.baseline = real(r, find(r->config, "dsocr.baseline"), "dsocr.baseline", 23);
        read_view_step(r, m);
        f->second_look = real(r, find(r->config, "dsocr.second_look"), "dsocr.second_look", 0);
        if (f->second_look > 1)
            refuse(r, "dsocr.second_look", "is more than certainty, 1");
        f->look_shift = m->sam.patch_w / 2;
    }
    read_ids(r, f);
    c->base_h = f->reads_lines ? f->line.view_h : f->views.base_h;
    c->base_w = f->reads_lines ? f->line.view_w : f->views.base_w;
    c->tile_h = f->reads_lines ? f->line.view_h : f->views.tile_h;
    c->tile_w = f->reads_lines ? f->line.view_w : f->views.tile_w;
}

static json_t *
load(const char *dir, const char *name, json_error_t *fault)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return json_load_file(path, JSON_REJECT_DUPLICATES, fault);
}

DsStatus
model_config_read(const char *dir, Model *m, ModelConfig *c, DsError *err)
{
    json_error_t fault, ignored;
    Reader r = {load(dir, "config.json", &fault), load(dir, "processor_config.json", &ignored), err,
                DS_OK};

    if (!json_is_object(r.config))
    {
        r.st = ds_fail(err, DS_NOT_READY, "the model's config.json cannot be read");
        if (r.config || fault.line > 0)
            ds_detail(err, "%s/config.json: line %d: %s", dir, r.config ? 1 : fault.line,
                      r.config ? "not an object" : fault.text);
        else
            ds_detail(err, "%s", fault.text); /* it names the file */
        ds_hint(err,
                "Give the path of a directory with config.json, tokenizer.json and *.safetensors.");
    }
    else
        read_architecture(&r);
    if (r.st == DS_OK)
    {
        read_sam(&r, &m->sam, c);
        read_flow(&r, &m->flow, c);
        read_decoder(&r, &m->decoder);
        read_facts(&r, m, c);
        read_pixels(&r, &m->sam, &m->facts.views);
    }
    json_decref(r.config);
    json_decref(r.processor);
    return r.st;
}
