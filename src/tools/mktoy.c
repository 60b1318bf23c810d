/* mktoy.c - writes a model directory whose weights come from a formula: the toy of spec 14.1, or one of other sizes.
 *
 *   mktoy DIR [key=value ...]      mktoy DIR f32=1 layers=4 experts=16
 *
 * No weights need to be shipped to test every stage: FNV-1a of a tensor's name seeds splitmix64, and each element is
 * a multiple of 2^-9 that bf16 holds exactly. Keys and their defaults are the table `settings` below; bench=1
 * makes attention and routing less one-hot, for measuring (weights x 1/4, router x 1/16). */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tensor.h"

/* ---- sizes ---- */

typedef struct Toy
{
    int base, tile, patch, width, heads, blocks, global, window, sam_mlp, neck, net2;
    int dim, layers, qheads, kvheads, inner;
    int hidden, dlayers, dheads, dense, experts, moe, top, shared, vocab, positions;
    int f32, bench;
} Toy;

#define SETTING(name, value)                                                                       \
    {                                                                                              \
#name, offsetof(Toy, name), value                                                          \
    }

static const struct
{
    const char *name;
    size_t at;
    int value;
} settings[] = {
    /* views, and SAM; global: the one global block */
    SETTING(base, 256),
    SETTING(tile, 192),
    SETTING(patch, 16),
    SETTING(width, 48),
    SETTING(heads, 2),
    SETTING(blocks, 3),
    SETTING(global, 1),
    SETTING(window, 14),
    SETTING(sam_mlp, 192),
    SETTING(neck, 32),
    SETTING(net2, 40),
    /* the encoder */
    SETTING(dim, 64),
    SETTING(layers, 2),
    SETTING(qheads, 4),
    SETTING(kvheads, 2),
    SETTING(inner, 96),
    /* the decoder */
    SETTING(hidden, 80),
    SETTING(dlayers, 3),
    SETTING(dheads, 4),
    SETTING(dense, 112),
    SETTING(experts, 8),
    SETTING(moe, 32),
    SETTING(top, 2),
    SETTING(shared, 2),
    SETTING(vocab, 320),
    SETTING(positions, 1024),
    /* 1: F32 in place of BF16; 1: scaled for measuring */
    SETTING(f32, 0),
    SETTING(bench, 0),
};

#define SETTINGS (sizeof settings / sizeof *settings)

static int
set(Toy *t, const char *word)
{
    const char *equals = strchr(word, '=');

    for (size_t i = 0; equals && i < SETTINGS; i++)
        if (strlen(settings[i].name) == (size_t)(equals - word) &&
            strncmp(word, settings[i].name, (size_t)(equals - word)) == 0)
        {
            *(int *)((char *)t + settings[i].at) = atoi(equals + 1);
            return 1;
        }
    return 0;
}

/* ---- values ---- */

static uint64_t
seed_of(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return h;
}

static float
value_of(const char *name, int rank, uint64_t seed, uint64_t e)
{
    static const char *const wide[] = {"embed_tokens",    "query_",        "lm_head",
                                       "mlp.gate.weight", "image_newline", "view_seperator"};
    uint64_t z = seed + e + 0x9E3779B97F4A7C15u;
    size_t n = strlen(name);
    int k;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    k = (int)(z >> 56) - 128;
    if (rank == 1 && n > 7 && strcmp(name + n - 7, ".weight") == 0)
        return 1 + (float)(k >> 4) / 128;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (strstr(name, wide[i]))
            return (float)k / 256;
    return (float)k / 512;
}

static float
bench_scale(const char *name, int rank)
{
    if (rank == 1)
        return 1;
    return strstr(name, "mlp.gate.weight") ? 1.0f / 16 : 1.0f / 4;
}

/* ---- tensors: written once as a header, once as data ---- */

typedef struct Out
{
    const Toy *toy;
    FILE *header, *data; /* one of them NULL */
    uint64_t at, tensors, parameters;
} Out;

static void
tensor(Out *o, const char *name, int a, int b, int c, int d)
{
    int shape[4] = {a, b, c, d}, rank = b == 0 ? 1 : c == 0 ? 2 : 4;
    uint64_t count = 1, seed = seed_of(name), size = o->toy->f32 ? 4 : 2;

    for (int i = 0; i < rank; i++)
        count *= (uint64_t)shape[i];
    if (o->header)
    {
        fprintf(o->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", o->tensors ? "," : "", name,
                o->toy->f32 ? "F32" : "BF16");
        for (int i = 0; i < rank; i++)
            fprintf(o->header, "%s%d", i ? "," : "", shape[i]);
        fprintf(o->header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)o->at,
                (unsigned long long)(o->at + count * size));
    }
    for (uint64_t e = 0; o->data && e < count; e++)
    {
        float f = value_of(name, rank, seed, e) * (o->toy->bench ? bench_scale(name, rank) : 1);
        uint16_t h = f32_to_bf16(f);

        fwrite(o->toy->f32 ? (const void *)&f : &h, size, 1, o->data);
    }
    o->at += count * size;
    o->tensors++;
    o->parameters += count;
}

__attribute__((format(printf, 4, 5))) static void
matrix(Out *o, int n, int k, const char *fmt, ...)
{
    char name[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    tensor(o, name, n, k, 0, 0);
}

/* A weight and, when `bias`, its bias: "prefix.weight", "prefix.bias". */
static void
layer(Out *o, int n, int k, int bias, const char *prefix, int i, const char *name)
{
    matrix(o, n, k, "%s%d.%s.weight", prefix, i, name);
    if (bias)
        matrix(o, n, 0, "%s%d.%s.bias", prefix, i, name);
}

static void
sam(Out *o)
{
    static const char prefix[] = "model.sam_model.blocks.";
    const Toy *t = o->toy;
    int grid = t->base / t->patch;

    tensor(o, "model.sam_model.pos_embed", 1, grid, grid, t->width);
    tensor(o, "model.sam_model.patch_embed.proj.weight", t->width, 3, t->patch, t->patch);
    matrix(o, t->width, 0, "model.sam_model.patch_embed.proj.bias");
    for (int i = 0; i < t->blocks; i++)
    {
        int rows = 2 * (i == t->global ? grid : t->window) - 1;

        layer(o, t->width, 0, 1, prefix, i, "norm1");
        matrix(o, rows, t->width / t->heads, "%s%d.attn.rel_pos_h", prefix, i);
        matrix(o, rows, t->width / t->heads, "%s%d.attn.rel_pos_w", prefix, i);
        layer(o, 3 * t->width, t->width, 1, prefix, i, "attn.qkv");
        layer(o, t->width, t->width, 1, prefix, i, "attn.proj");
        layer(o, t->width, 0, 1, prefix, i, "norm2");
        layer(o, t->sam_mlp, t->width, 1, prefix, i, "mlp.lin1");
        layer(o, t->width, t->sam_mlp, 1, prefix, i, "mlp.lin2");
    }
    tensor(o, "model.sam_model.neck.0.weight", t->neck, t->width, 1, 1);
    matrix(o, t->neck, 0, "model.sam_model.neck.1.weight");
    matrix(o, t->neck, 0, "model.sam_model.neck.1.bias");
    tensor(o, "model.sam_model.neck.2.weight", t->neck, t->neck, 3, 3);
    matrix(o, t->neck, 0, "model.sam_model.neck.3.weight");
    matrix(o, t->neck, 0, "model.sam_model.neck.3.bias");
    tensor(o, "model.sam_model.net_2.weight", t->net2, t->neck, 3, 3);
    tensor(o, "model.sam_model.net_3.weight", t->dim, t->net2, 3, 3);
}

static void
mlp(Out *o, int inner, int hidden, const char *prefix)
{
    matrix(o, inner, hidden, "%s.gate_proj.weight", prefix);
    matrix(o, inner, hidden, "%s.up_proj.weight", prefix);
    matrix(o, hidden, inner, "%s.down_proj.weight", prefix);
}

static void
norms(Out *o, int width, const char *prefix, int i)
{
    layer(o, width, 0, 0, prefix, i, "input_layernorm");
    layer(o, width, 0, 0, prefix, i, "post_attention_layernorm");
}

static void
query_table(Out *o, int size)
{
    int side = size / (o->toy->patch * 4);

    matrix(o, side * side, o->toy->dim, "model.qwen2_model.query_%d.weight", size);
}

static void
flow(Out *o)
{
    static const char prefix[] = "model.qwen2_model.model.model.layers.";
    const Toy *t = o->toy;
    int kv = t->dim / t->qheads * t->kvheads;
    char name[128];

    for (int i = 0; i < t->layers; i++)
    {
        layer(o, t->dim, t->dim, 1, prefix, i, "self_attn.q_proj");
        layer(o, kv, t->dim, 1, prefix, i, "self_attn.k_proj");
        layer(o, kv, t->dim, 1, prefix, i, "self_attn.v_proj");
        layer(o, t->dim, t->dim, 0, prefix, i, "self_attn.o_proj");
        snprintf(name, sizeof name, "%s%d.mlp", prefix, i);
        mlp(o, t->inner, t->dim, name);
        norms(o, t->dim, prefix, i);
    }
    matrix(o, t->dim, 0, "model.qwen2_model.model.model.norm.weight");
    query_table(o, t->base);
    if (t->tile != t->base)
        query_table(o, t->tile);
    matrix(o, t->hidden, t->dim, "model.projector.layers.weight");
    matrix(o, t->hidden, 0, "model.projector.layers.bias");
    matrix(o, t->hidden, 0, "model.view_seperator");
}

static void
experts(Out *o, int i)
{
    const Toy *t = o->toy;
    char name[128];

    matrix(o, t->experts, t->hidden, "model.layers.%d.mlp.gate.weight", i);
    for (int e = 0; e < t->experts; e++)
    {
        snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d", i, e);
        mlp(o, t->moe, t->hidden, name);
    }
    snprintf(name, sizeof name, "model.layers.%d.mlp.shared_experts", i);
    if (t->shared)
        mlp(o, t->shared * t->moe, t->hidden, name);
}

static void
decoder(Out *o)
{
    static const char *const names[] = {"q", "k", "v", "o"};
    const Toy *t = o->toy;

    matrix(o, t->vocab, t->hidden, "model.embed_tokens.weight");
    for (int i = 0; i < t->dlayers; i++)
    {
        for (int j = 0; j < 4; j++)
            matrix(o, t->hidden, t->hidden, "model.layers.%d.self_attn.%s_proj.weight", i,
                   names[j]);
        if (i == 0 || t->experts == 0)
        {
            char name[64];

            snprintf(name, sizeof name, "model.layers.%d.mlp", i);
            mlp(o, t->dense, t->hidden, name);
        }
        else
            experts(o, i);
        norms(o, t->hidden, "model.layers.", i);
    }
    matrix(o, t->hidden, 0, "model.norm.weight");
    matrix(o, t->vocab, t->hidden, "lm_head.weight");
}

static void
all_tensors(Out *o)
{
    sam(o);
    flow(o);
    decoder(o);
}

/* ---- files ---- */

static FILE *
create(const char *dir, const char *name)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "wb");
    if (f == NULL)
    {
        fprintf(stderr, "mktoy: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    return f;
}

static void
close_file(FILE *f)
{
    if (ferror(f) | fclose(f))
    {
        fprintf(stderr, "mktoy: cannot write: %s\n", strerror(errno));
        exit(1);
    }
}

static void
write_weights(const Toy *t, const char *dir)
{
    char *text = NULL;
    size_t n = 0;
    Out header = {.toy = t}, data = {.toy = t};
    uint64_t length;

    header.header = open_memstream(&text, &n);
    fputc('{', header.header);
    all_tensors(&header);
    fputc('}', header.header);
    fflush(header.header);
    while (n % 8)
    {
        fputc(' ', header.header);
        fflush(header.header);
    }
    fclose(header.header);
    data.data = create(dir, "model.safetensors");
    length = n;
    fwrite(&length, sizeof length, 1, data.data); /* little-endian, as all machines that run this */
    fwrite(text, 1, n, data.data);
    all_tensors(&data);
    close_file(data.data);
    free(text);
    printf("%llu tensors, %llu parameters\n", (unsigned long long)data.tensors,
           (unsigned long long)data.parameters);
}

static int
image_id(const Toy *t)
{
    return t->vocab > 128815 ? 128815 : 300;
}

static void
write_config(const Toy *t, const char *dir)
{
    FILE *f = create(dir, "config.json");

    fprintf(
        f,
        "{\n \"architectures\": [\"DeepseekOCR2ForCausalLM\"],\n \"model_type\": "
        "\"deepseek_vl_v2\",\n"
        " \"torch_dtype\": \"%s\",\n \"dsocr\": {\"name\": \"toy\"},\n \"image_token_id\": %d,\n",
        t->f32 ? "float32" : "bfloat16", image_id(t));
    fprintf(f,
            " \"vision_config\": {\n  \"model_name\": \"deepencoderv2\",\n  \"image_size\": %d,\n"
            "  \"base_size\": %d,\n  \"tile_size\": %d,\n  \"width\": {\n",
            t->base, t->base, t->tile);
    fprintf(f,
            "   \"sam_vit_b\": {\"width\": %d, \"layers\": %d, \"heads\": %d, "
            "\"global_attn_indexes\": [%d],"
            " \"patch_size\": %d, \"window_size\": %d, \"mlp_ratio\": %.17g, \"neck_channels\": %d,"
            " \"downsample_channels\": [%d, %d]},\n",
            t->width, t->blocks, t->heads, t->global, t->patch, t->window,
            (double)t->sam_mlp / t->width, t->neck, t->net2, t->dim);
    fprintf(f,
            "   \"qwen2-0-5b\": {\"dim\": %d, \"layers\": %d, \"heads\": %d, \"kv_heads\": %d,"
            " \"intermediate_size\": %d}\n  }\n },\n",
            t->dim, t->layers, t->qheads, t->kvheads, t->inner);
    fprintf(f,
            " \"projector_config\": {\"projector_type\": \"linear\", \"input_dim\": %d, "
            "\"n_embed\": %d},\n"
            " \"language_config\": {\"hidden_size\": %d, \"num_hidden_layers\": %d, "
            "\"num_attention_heads\": %d,"
            " \"num_key_value_heads\": %d, \"intermediate_size\": %d,",
            t->dim, t->hidden, t->hidden, t->dlayers, t->dheads, t->dheads, t->dense);
    fprintf(f,
            " \"moe_intermediate_size\": %d, \"n_routed_experts\": %d, \"n_shared_experts\": %d,"
            " \"num_experts_per_tok\": %d, \"first_k_dense_replace\": 1, \"use_mla\": false, "
            "\"vocab_size\": %d,"
            " \"max_position_embeddings\": %d, \"bos_token_id\": 0, \"eos_token_id\": 1}\n}\n",
            t->moe, t->experts, t->shared, t->top, t->vocab, t->positions);
    close_file(f);
}

/* The symbol of byte number n in the published order: first the printable ones, then the rest from U+0100 on. */
static void
write_symbol(FILE *f, int n)
{
    int code = n < 94 ? 33 + n : n < 106 ? 161 + n - 94 : n < 188 ? 174 + n - 106 : 256 + n - 188;

    if (code == '"' || code == '\\')
        fprintf(f, "\"\\%c\"", code);
    else if (code < 128)
        fprintf(f, "\"%c\"", code);
    else
        fprintf(f, "\"\\u%04x\"", code);
}

static const char *const pairs[] = {"th", "he", "in", "er", "an", "re", "on", "at",
                                    "en", "nd", "ti", "es", "or", "te", "of"};
static const char *const added[] = {"<image>",       "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>",
                                    "<|grounding|>", "<td>",    "</td>",    "<tr>",    "</tr>"};

static void
write_merges(FILE *f)
{
    fprintf(f, "  \"merges\": [\n");
    for (char c = 'a'; c <= 'z'; c++)
        fprintf(f, "   [\"\\u0120\", \"%c\"],\n", c);
    for (int i = 0; i < 15; i++)
        fprintf(f, "   [\"%c\", \"%c\"]%s\n", pairs[i][0], pairs[i][1], i < 14 ? "," : "");
    fprintf(f, "  ]\n }\n}\n");
}

static void
write_added(FILE *f, int id, const char *content, int more)
{
    fprintf(f,
            "  {\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, "
            "\"rstrip\": false,"
            " \"normalized\": false, \"special\": true}%s\n",
            id, content, more ? "," : "");
}

/* Specials 0..2, bytes 3..258, " a".." z" and fifteen pairs 259..299; added tokens from the image id on. */
static void
write_tokenizer(const Toy *t, const char *dir)
{
    static const char *const specials[] = {"<|begin|>", "<|end|>", "<|pad|>"};
    FILE *f = create(dir, "tokenizer.json");

    fprintf(f, "{\n \"version\": \"1.0\",\n \"added_tokens\": [\n");
    for (int i = 0; i < 3; i++)
        write_added(f, i, specials[i], 1);
    for (int i = 0; i < 10; i++)
        write_added(f, image_id(t) + i, added[i], i < 9);
    fprintf(f, " ],\n \"normalizer\": null,\n \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
               "\"add_prefix_space\": false,"
               " \"trim_offsets\": true, \"use_regex\": false},\n \"post_processor\": null,\n"
               " \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
               "\"trim_offsets\": true,"
               " \"use_regex\": true},\n \"model\": {\n  \"type\": \"BPE\",\n  \"dropout\": null,\n"
               "  \"unk_token\": null,\n  \"continuing_subword_prefix\": null,\n  "
               "\"end_of_word_suffix\": null,\n"
               "  \"fuse_unk\": false,\n  \"byte_fallback\": false,\n  \"ignore_merges\": false,\n "
               " \"vocab\": {\n");
    for (int i = 0; i < 3; i++)
        fprintf(f, "   \"%s\": %d,\n", specials[i], i);
    for (int i = 0; i < 256; i++)
    {
        fprintf(f, "   ");
        write_symbol(f, i);
        fprintf(f, ": %d,\n", i + 3);
    }
    for (char c = 'a'; c <= 'z'; c++)
        fprintf(f, "   \"\\u0120%c\": %d,\n", c, 259 + c - 'a');
    for (int i = 0; i < 15; i++)
        fprintf(f, "   \"%s\": %d%s\n", pairs[i], 285 + i, i < 14 ? "," : "");
    fprintf(f, "  },\n");
    write_merges(f);
    close_file(f);
}

int
main(int argc, char **argv)
{
    Toy t;

    for (size_t i = 0; i < SETTINGS; i++)
        *(int *)((char *)&t + settings[i].at) = settings[i].value;
    for (int i = 2; i < argc; i++)
        if (!set(&t, argv[i]))
        {
            fprintf(stderr, "mktoy: \"%s\" is no setting\n", argv[i]);
            return 2;
        }
    if (argc < 2 || t.vocab < 310)
    {
        fprintf(stderr, "usage: mktoy DIR [key=value ...]   (vocab at least 310)\n");
        return 2;
    }
    if (mkdir(argv[1], 0777) != 0 && errno != EEXIST)
    {
        fprintf(stderr, "mktoy: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    write_config(&t, argv[1]);
    write_tokenizer(&t, argv[1]);
    write_weights(&t, argv[1]);
    return 0;
}
