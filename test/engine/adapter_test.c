/* adapter_test.c - a LoRA adapter is merged as a plain loop would, and a wrong one is refused by name. */
#include "../../src/engine/adapter.h"

#include "../../src/engine/model_parts.h"
#include "../../src/engine/sha256.h"
#include "check.h"
#include "image_files.h"
#include "toy.h"

#include <sys/stat.h>
#include <unistd.h>

#define RANK 3

static char toy[256], floats[256], folder[300];
static Device *device;

/* ---- an adapter made by a formula ---- */

typedef struct Half
{
    const char *name; /* after base_model.model. */
    int rows, columns;
} Half;

/* The toy: hidden 80, encoder 64, SAM 48. */
static const Half whole[] = {
    {"model.layers.0.self_attn.q_proj.lora_A.weight", RANK, 80},
    {"model.layers.0.self_attn.q_proj.lora_B.weight", 80, RANK},
    {"model.layers.1.mlp.experts.5.down_proj.lora_A.weight", RANK, 32},
    {"model.layers.1.mlp.experts.5.down_proj.lora_B.weight", 80, RANK},
    {"model.layers.1.mlp.shared_experts.up_proj.lora_A.weight", RANK, 80},
    {"model.layers.1.mlp.shared_experts.up_proj.lora_B.weight", 64, RANK},
    {"model.projector.layers.lora_A.weight", RANK, 64},
    {"model.projector.layers.lora_B.weight", 80, RANK},
    {"model.qwen2_model.model.model.layers.1.self_attn.k_proj.lora_A.weight", RANK, 64},
    {"model.qwen2_model.model.model.layers.1.self_attn.k_proj.lora_B.weight", 32, RANK},
    {"model.sam_model.blocks.2.mlp.lin1.lora_A.weight", RANK, 48},
    {"model.sam_model.blocks.2.mlp.lin1.lora_B.weight", 192, RANK},
};
#define WHOLE ((int)(sizeof whole / sizeof *whole))

static float
value(int tensor, int i)
{
    return (float)((i * 37 + tensor * 101) % 61 - 30) / 173;
}

static char *
safetensors_of(const Half *h, int n, size_t *length)
{
    char *bytes;
    FILE *f = open_memstream(&bytes, length);
    uint64_t at = 0, header = 0;

    for (int pass = 0; pass < 2; pass++) /* the header is measured, then written */
    {
        rewind(f);
        fwrite(&header, 8, 1, f);
        at = 0;
        for (int i = 0; i < n; i++)
        {
            uint64_t end = at + 4 * (uint64_t)h[i].rows * (uint64_t)h[i].columns;

            fprintf(f, "%s\"%s%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]}",
                    i ? "," : "{", strncmp(h[i].name, "odd", 3) ? "base_model.model." : "",
                    h[i].name, h[i].rows, h[i].columns, (int)at, (int)end);
            at = end;
        }
        fputc('}', f);
        header = (uint64_t)ftell(f) - 8;
    }
    for (int i = 0; i < n; i++)
        for (int e = 0; e < h[i].rows * h[i].columns; e++)
        {
            float v = value(i, e);

            fwrite(&v, 4, 1, f);
        }
    fclose(f);
    return bytes;
}

/* more: further members of the configuration, each with a comma before it; cut: bytes to leave out at the end. */
static void
write_adapter(const char *base, const char *more, const Half *h, int n, size_t cut)
{
    char config[1024];
    size_t length;
    char *bytes = safetensors_of(h, n, &length);

    snprintf(config, sizeof config,
             "{\"peft_type\":\"LORA\",\"base_model_name_or_path\":\"%s\",\"r\":%d,\"lora_alpha\":6,"
             "\"bias\":\"none\",\"modules_to_save\":null,\"rank_pattern\":{}%s}",
             base, RANK, more);
    put_file(folder, "adapter_config.json", config, strlen(config));
    put_file(folder, "adapter_model.safetensors", bytes, length - cut);
    free(bytes);
}

/* ---- merging ---- */

/* W + scale B A, element by element. */
static float
expected(const SafeTensors *base, const char *weight, int pair, float scale, int o, int i, int in)
{
    const Tensor *w = &safetensors_find(base, weight)->tensor;
    float sum = 0;

    for (int r = 0; r < RANK; r++)
        sum += value(2 * pair + 1, o * RANK + r) * value(2 * pair, r * in + i);
    sum = dtype_load(w->dtype, w->data, (uint64_t)(o * in + i)) + scale * sum;
    return w->dtype == DTYPE_BF16 ? bf16_to_f32(f32_to_bf16(sum)) : sum;
}

static bool
is_merged(const Model *m, const Weight *w, const char *weight, int pair, float scale)
{
    bool same = true;

    for (int o = 0; o < w->n; o++)
        for (int i = 0; i < w->k; i++)
            same = same && dtype_load(w->dtype, w->data, (uint64_t)(o * w->k + i)) ==
                               expected(m->files, weight, pair, scale, o, i, w->k);
    return same;
}

static void
merges(const char *dir, const char *kind, const char *more, float scale)
{
    Model *m = NULL;
    DsError err = {0};
    char what[128];

    write_adapter("somebody/TOY/", more, whole, WHOLE, 0);
    snprintf(what, sizeof what, "%s: the adapter is taken", kind);
    if (!promise(what, model_open_adapted(dir, folder, device, &m, &err) == DS_OK))
    {
        printf("     %s (%s)\n", err.message, err.detail);
        return;
    }
    snprintf(what, sizeof what, "%s: attention, experts, projector and encoders are W + s B A",
             kind);
    promise(
        what,
        is_merged(m, &m->decoder.layer[0].q, "model.layers.0.self_attn.q_proj.weight", 0, scale) &&
            is_merged(m, &m->decoder.layer[1].experts[5].down,
                      "model.layers.1.mlp.experts.5.down_proj.weight", 1, scale) &&
            is_merged(m, &m->decoder.layer[1].mlp.up,
                      "model.layers.1.mlp.shared_experts.up_proj.weight", 2, scale) &&
            is_merged(m, &m->flow.projector, "model.projector.layers.weight", 3, scale) &&
            is_merged(m, &m->flow.layer[1].k,
                      "model.qwen2_model.model.model.layers.1.self_attn.k_proj.weight", 4, scale) &&
            is_merged(m, &m->sam.blocks[2].lin1, "model.sam_model.blocks.2.mlp.lin1.weight", 5,
                      scale));
    snprintf(what, sizeof what, "%s: the other linears are the base's own bytes", kind);
    promise(what,
            m->decoder.layer[0].k.data ==
                safetensors_find(m->files, "model.layers.0.self_attn.k_proj.weight")->tensor.data);
    model_close(m);
}

static void
names_itself(void)
{
    Model *plain = NULL, *m = NULL;
    DsError err;
    char start[64], sum[64 + 65];

    write_adapter("toy", "", whole, WHOLE, 0);
    if (!promise("a model opens with and without",
                 model_open(toy, device, &plain, &err) == DS_OK &&
                     model_open_adapted(toy, folder, device, &m, &err) == DS_OK))
        return;
    snprintf(start, sizeof start, "toy+adapter@%.8s", model_facts(m)->adapter.sha256);
    promise("the model's name says which adapter it has", strcmp(model_facts(m)->name, start) == 0);
    promise("without one it is as before", strcmp(model_facts(plain)->name, "toy") == 0 &&
                                               model_facts(plain)->adapter.name[0] == '\0');
    model_hash(plain, &err);
    model_hash(m, &err);
    promise("the weights' sum sees the adapter",
            strcmp(model_facts(m)->sha256, model_facts(plain)->sha256) != 0);
    snprintf(sum, sizeof sum, ",\"dsocr\":{\"base_sha256\":\"%s\"}", model_facts(plain)->sha256);
    model_close(plain);
    model_close(m);
    write_adapter("toy", sum, whole, WHOLE, 0);
    promise("an adapter made for these weights is taken",
            model_open_adapted(toy, folder, device, &m, &err) == DS_OK);
    model_close(m);
}

/* ---- refusals ---- */

static void
refused(const char *what, const char *says, const char *detail)
{
    model_refused(device, toy, folder, what, says, detail);
}

static void
refuses_options(void)
{
    static const struct
    {
        const char *more, *says;
    } bad[] = {
        {",\"use_dora\":true", "use_dora"},
        {",\"fan_in_fan_out\":true", "fan_in_fan_out"},
        {",\"alpha_pattern\":{\"q_proj\":3}", "alpha_pattern"},
        {",\"lora_bias\":true", "lora_bias"},
        {",\"layer_replication\":[[0,2]]", "layer_replication"},
        {",\"init_lora_weights\":\"pissa\"", "init_lora_weights"},
        {",\"use_rslora\":1", "use_rslora"},
        {",\"dsocr\":{\"base_sha256\":\"12\"}", "base_sha256"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    {
        char what[128];

        snprintf(what, sizeof what, "refused by name: %s", bad[i].says);
        write_adapter("toy", bad[i].more, whole, WHOLE, 0);
        refused(what, bad[i].says, "");
    }
    put_file(folder, "adapter_config.json", "{\"peft_type\":\"IA3\"}", 19);
    refused("another kind of adapter", "peft_type", "");
    put_file(folder, "adapter_config.json", "{\"peft_type\":", 13);
    refused("a configuration cut short", "adapter_config.json", "Line 1");
}

static void
refuses_tensors(void)
{
    Half h[WHOLE];

    memcpy(h, whole, sizeof h);
    write_adapter("toy", "", h, WHOLE - 1, 0);
    refused("half a pair", "sam_model.blocks.2.mlp.lin1.lora_A.weight\" is half a pair", "");
    write_adapter("toy", "", h, WHOLE, 5);
    refused("a file cut short", "adapter_model.safetensors", "cut short");
    h[1].rows = 81;
    write_adapter("toy", "", h, WHOLE, 0);
    refused("a B of another height", "q_proj.lora_B.weight\" has the wrong shape",
            "It is [81, 3], and must be [80, 3].");
    h[1].rows = 80;
    h[0].columns = 79;
    write_adapter("toy", "", h, WHOLE, 0);
    refused("an A of another width", "q_proj.lora_A.weight\" has the wrong shape",
            "It is [3, 79], and must be [3, 80].");
    h[0] = (Half){whole[0].name, RANK + 1, 80};
    write_adapter("toy", "", h, WHOLE, 0);
    refused("another rank than the configuration's", "q_proj.lora_A.weight\" has the wrong shape",
            "its rank must be 3");
    h[0] = (Half){"model.layers.9.mlp.up_proj.lora_A.weight", RANK, 80};
    h[1] = (Half){"model.layers.9.mlp.up_proj.lora_B.weight", 112, RANK};
    write_adapter("toy", "", h, WHOLE, 0);
    refused("a pair for a linear that is not there", "model.layers.9.mlp.up_proj", "");
    memcpy(h, whole, sizeof h);
    h[WHOLE - 1] = (Half){"odd.weight", RANK, 80}; /* after base_model... in the order of names */
    h[WHOLE - 2] = h[0];
    h[WHOLE - 2].name = "odder.weight";
    write_adapter("toy", "", h, WHOLE, 0);
    refused("a tensor that is none of an adapter's", "\"odd.weight\" is not", "");
}

static void
refuses_others(void)
{
    char sum[128], zeros[65];

    write_adapter("deepseek-ai/DeepSeek-OCR-2", "", whole, WHOLE, 0);
    refused("another base model, with both names",
            "is for model \"DeepSeek-OCR-2\", and this is \"toy\"", "");
    memset(zeros, '0', 64);
    zeros[64] = '\0';
    snprintf(sum, sizeof sum, ",\"dsocr\":{\"base_sha256\":\"%s\"}", zeros);
    write_adapter("toy", sum, whole, WHOLE, 0);
    refused("other weights of the same name", "other weights of model \"toy\"", zeros);
    write_adapter("", "", whole, WHOLE, 0);
    refused("an adapter that does not say its base", "base_model_name_or_path", "");
    snprintf(folder, sizeof folder, "%s/nowhere", toy);
    refused("a folder that is not there", "adapter_config.json cannot be read", "nowhere");
}

int
main(void)
{
    DsError err;

    if (!make_toy("toy_adapted", "", toy, sizeof toy) ||
        !make_toy("toy_adapted_f32", "f32=1", floats, sizeof floats) ||
        device_open("generic", 1, NULL, NULL, &device, &err) != DS_OK)
        return promise("the toy is made", false), report();
    snprintf(folder, sizeof folder, "%s/adapter", toy);
    mkdir(folder, 0777);
    merges(toy, "bf16", "", 2);
    merges(floats, "f32", "", 2);
    merges(toy, "rank-stabilised", ",\"use_rslora\":true", (float)(6 / sqrt(3)));
    names_itself();
    refuses_options();
    refuses_tensors();
    refuses_others();
    device_close(device);
    return report();
}
