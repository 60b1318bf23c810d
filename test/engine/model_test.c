/* model_test.c - a model directory opens when all is well, and otherwise says which key or tensor is at fault. */
#include "../../src/engine/model.h"

#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/engine/options.h"
#include "../../src/engine/sha256.h"
#include "check.h"
#include "image_files.h"
#include "toy.h"

static char toy[256], broken[300];
static Device *device;

/* ---- a broken copy of the toy ---- */

static File
original(const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", toy, name);
    return read_file(path);
}

static void
restore(void)
{
    File config = original("config.json"), weights = original("model.safetensors");
    char path[512];

    put_file(broken, "config.json", config.data, config.n);
    put_file(broken, "model.safetensors", weights.data, weights.n);
    snprintf(path, sizeof path, "%s/more.safetensors", broken);
    unlink(path);
    free(config.data);
    free(weights.data);
}

/* Sets (or, with NULL, drops) section.key of the copy's config; section may be "a.b". */
static void
edit_config(const char *section, const char *key, json_t *value)
{
    char path[512], part[64];
    json_t *config, *at;

    snprintf(path, sizeof path, "%s/config.json", toy);
    at = config = json_load_file(path, 0, NULL);
    while (*section)
    {
        size_t n = strcspn(section, ".");

        snprintf(part, sizeof part, "%.*s", (int)n, section);
        at = json_object_get(at, part);
        section += section[n] ? n + 1 : n;
    }
    if (value)
        json_object_set_new(at, key, value);
    else
        json_object_del(at, key);
    snprintf(path, sizeof path, "%s/config.json", broken);
    json_dump_file(config, path, 0);
    json_decref(config);
}

/* Replaces text in the header by text of the same length. */
static void
edit_header(const char *from, const char *to)
{
    File f = original("model.safetensors");
    char *at = memmem(f.data, f.n, from, strlen(from));

    memcpy(at, to, strlen(from));
    put_file(broken, "model.safetensors", f.data, f.n);
    free(f.data);
}

static void
refused(const char *what, const char *says, const char *detail)
{
    model_refused(device, broken, NULL, what, says, detail);
    restore();
}

static bool
opens(void)
{
    Model *m;
    DsError err;
    bool ok = model_open(broken, device, &m, &err) == DS_OK;

    if (ok)
        model_close(m);
    else
        printf("     %s (%s)\n", err.message, err.detail);
    restore();
    return ok;
}

/* ---- the promises ---- */

static void
test_facts(void)
{
    Model *m;
    DsError err;
    const ModelFacts *f;

    if (!promise("the mini opens", model_open("model/mini", device, &m, &err) == DS_OK))
        return;
    f = model_facts(m);
    promise("its facts: a line reader of 32 x 256",
            strcmp(f->name, "dsocr-mini") == 0 && f->reads_lines && f->line.view_w == 256 &&
                f->line.view_h == 32 && f->line.x_height == 11 && f->line.baseline == 23);
    promise("its ids and limits", f->bos == 1 && f->eos == 2 && f->image == 0 && f->vocab == 306 &&
                                      f->hidden == 192 && f->max_new_tokens == 40 &&
                                      f->ngram_size == 0 && f->max_positions == 128);
    promise("it reads, and can nothing else",
            f->modes == (1u << DS_MODE_LAYOUT | 1u << DS_MODE_TEXT));
    promise("its size", f->parameters - (f->drafts ? 3 * 306 * 193 : 0) == 4536960 &&
                            f->weight_bytes == 2 * f->parameters && strcmp(f->dtype, "bf16") == 0);
    promise("no hash before it is asked for", f->sha256[0] == '\0');
    model_close(m);
    if (!promise("the toy opens", model_open(toy, device, &m, &err) == DS_OK))
        return;
    f = model_facts(m);
    promise("its facts: a page reader with crops of 192",
            !f->reads_lines && f->views.base_w == 256 && f->views.tile_h == 192 &&
                f->views.max_crops == 6 && f->views.pad == 127);
    promise("defaults of what its config leaves unsaid",
            f->max_new_tokens == 8192 && f->ngram_size == 20 && f->ngram_window == 90 &&
                f->bos == 0 && f->eos == 1);
    promise("it can what the family has documented, and answers no questions",
            f->modes == (1u << DS_MODE_ASK) - 1);
    model_close(m);
}

/* The modes of the copy; 0: it does not open. */
static unsigned
modes(void)
{
    Model *m;
    unsigned bits;

    if (model_open(broken, device, &m, NULL) != DS_OK)
        return 0;
    bits = model_facts(m)->modes;
    model_close(m);
    restore();
    return bits;
}

static void
test_modes(void)
{
    edit_config("", "dsocr", json_pack("{s:[ss]}", "prompts", "ask", "describe"));
    promise("a config says what its model can",
            modes() == (3 | 1u << DS_MODE_ASK | 1u << DS_MODE_DESCRIBE));
    edit_config("", "dsocr", json_pack("{s:[]}", "prompts"));
    promise("also that it only reads", modes() == 3);
    edit_config("", "dsocr", json_pack("{s:[s]}", "prompts", "sing"));
    refused("a word that is no mode", "dsocr.prompts has something that is no mode", "");
    edit_config("", "dsocr", json_pack("{s:s}", "prompts", "ask"));
    refused("what is no list", "dsocr.prompts is not a list", "");
}

static void
test_hash(void)
{
    File f = original("model.safetensors");
    uint8_t digest[32];
    char hex[65];
    Sha256 s;
    Model *m;
    DsError err;

    sha256_init(&s);
    sha256_add(&s, f.data, f.n);
    sha256_end(&s, digest);
    sha256_hex(digest, hex);
    free(f.data);
    if (!promise("the toy opens for its hash", model_open(toy, device, &m, &err) == DS_OK))
        return;
    promise("the weights' hash is that of the file",
            model_hash(m, &err) == DS_OK && strcmp(model_facts(m)->sha256, hex) == 0);
    model_close(m);
}

static void
test_config(void)
{
    edit_config("", "architectures", json_pack("[s]", "DeepseekOCRForCausalLM"));
    refused("v1 is refused as not supported",
            "architecture \"DeepseekOCRForCausalLM\" is not supported", "Supported:");
    edit_config("vision_config", "model_name", json_string("siglip_so400m_patch14_384"));
    refused("so are other eyes", "is not supported", "siglip");
    edit_config("", "architectures", NULL);
    refused("no architecture", "is not supported", "");
    edit_config("language_config", "use_mla", NULL);
    refused("use_mla that is not said is true", "use_mla", "");
    edit_config("language_config", "hidden_size", NULL);
    refused("a missing size is named", "hidden_size is missing", "");
    edit_config("language_config", "hidden_size", json_string("80"));
    refused("a size that is a string", "hidden_size is not a sound number", "");
    edit_config("language_config", "num_hidden_layers", json_integer(-1));
    refused("a negative size", "num_hidden_layers", "");
    edit_config("language_config", "vocab_size", json_integer(1LL << 40));
    refused("an absurd size", "vocab_size", "");
    edit_config("language_config", "scoring_func", json_string("sigmoid"));
    refused("another router", "scoring_func", "");
    edit_config("language_config", "rope_scaling", json_pack("{s:s}", "type", "yarn"));
    refused("another rope", "rope_scaling", "");
    edit_config("language_config", "num_experts_per_tok", json_integer(9));
    refused("more experts per token than there are", "num_experts_per_tok", "");
    edit_config("language_config", "num_attention_heads", json_integer(7));
    refused("heads that do not divide", "num_attention_heads", "");
    edit_config("", "image_token_id", json_integer(320));
    refused("an image id beyond the vocabulary", "image_token_id", "");
    edit_config("vision_config", "tile_size", json_integer(128));
    refused("views without a query table", "views of 128 x 128 make a number of rows", "");
    edit_config("vision_config", "tile_size", json_integer(100));
    refused("views that are not whole patches", "views of 100 x 100", "");
    edit_config("", "dsocr", json_pack("{s:s,s:i}", "reader", "lines", "view_step", 64));
    refused("views of several rows of tokens that end early", "cannot end early", "");
    edit_config("", "dsocr", json_pack("{s:s,s:i}", "reader", "lines", "view_step", 100));
    refused("a step that is no whole row", "dsocr.view_step", "");
    edit_config("vision_config.width.sam_vit_b", "window_size", json_integer(1 << 20));
    refused("an absurd window", "too large", "");
    put_file(broken, "config.json", "{\"a\":", 5);
    refused("a broken config says where", "config.json cannot be read", "line 1");
    edit_config("vision_config.width.sam_vit_b", "downsample_channels",
                json_pack("[i,i]", 40, 1024));
    promise("a stale net_3 size in the config is overruled by the tensor", opens());
    edit_config("", "hidden_size", json_integer(99));
    promise("language_config wins over the top level", opens());
}

static void
test_weights(void)
{
    static const char more[] =
        "{\"model.image_newline\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}";
    static const char buffers[] = "{\"model.layers.0.self_attn.rotary_emb.inv_freq\":{\"dtype\":"
                                  "\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}";
    char bytes[256] = {0};
    File f = original("model.safetensors");

    edit_header("\"model.norm.weight\"", "\"model.nork.weight\"");
    refused("a missing tensor is named", "\"model.norm.weight\" is missing", "");
    edit_config("language_config", "moe_intermediate_size", json_integer(31));
    refused("a wrong shape is told with both",
            "\"model.layers.1.mlp.experts.0.gate_proj.weight\" has the wrong shape",
            "It is [32, 80], and must be [31, 80].");
    edit_header("\"lm_head.weight\":{\"dtype\":\"BF16\"", "\"lm_head.weight\":{\"dtype\":\"I16\" ");
    refused("a wrong dtype is told", "\"lm_head.weight\" has a dtype", "BF16, F16, F32");
    put_file(broken, "model.safetensors", f.data, f.n - 10);
    refused("a file cut short", "cannot be used", "\"lm_head.weight\" ends after the end");
    edit_header("query_192", "query_19x");
    promise("query tables are told by their rows, not by their names", opens());
    bytes[0] = (char)(sizeof more - 1);
    memcpy(bytes + 8, more, sizeof more - 1);
    put_file(broken, "more.safetensors", bytes, 8 + sizeof more - 1 + 2);
    refused("a tensor without a place is named", "\"model.image_newline\" has no place", "");
    bytes[0] = (char)(sizeof buffers - 1);
    memcpy(bytes + 8, buffers, sizeof buffers - 1);
    put_file(broken, "more.safetensors", bytes, 8 + sizeof buffers - 1 + 2);
    promise("but for rope's old buffers", opens());
    free(f.data);
}

int
main(void)
{
    DsError err;

    if (!promise("mktoy writes a toy", make_toy("toy-model", "", toy, sizeof toy)) ||
        !promise("the device opens", device_open(NULL, 2, NULL, NULL, &device, &err) == DS_OK))
        return report();
    snprintf(broken, sizeof broken, "%s-broken", toy);
    mkdir(broken, 0777);
    restore();
    promise("a copy of the toy opens", opens());
    test_facts();
    test_hash();
    test_modes();
    test_config();
    test_weights();
    device_close(device);
    return report();
}
