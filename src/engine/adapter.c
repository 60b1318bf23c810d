/* adapter.c - PEFT's two files to pairs of matrices, and a linear with its pair to a new linear.
 *
 * Nothing outside this file knows of PEFT. Sharp edge: options are refused when they are set to something that
 * would change the arithmetic; those that only tell how it was trained (dropout, task_type ...) are not looked at. */
#include "adapter.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "safetensors.h"
#include "sha256.h"

#define PREFIX       "base_model.model."
#define RANK_MOST    4096
#define MOST_CONFIG  (1L << 20)
#define MOST_WEIGHTS (4L << 30)

typedef struct Pair
{
    const SafeTensor *a, *b; /* [r, in] [out, r] */
    bool used;
} Pair;

struct Adapter
{
    AdapterFacts facts;
    float scale;
    char *bytes;         /* of the weight file, when it is ours */
    SafeTensor *tensors; /* ascending by name: a linear's A and B are neighbours */
    int ntensors;
    Pair *pairs;
};

/* ---- the configuration ---- */

static DsStatus
refuse(DsError *err, const char *what, const char *why)
{
    ds_fail(err, DS_NOT_READY, "the adapter's %s %s", what, why);
    return ds_hint(err, "Use a LoRA adapter in PEFT's layout, made for this model; leave "
                        "dsocr.adapter empty to read without one.");
}

/* null, false, "", [] and {}: as if it had not been written. */
static bool
is_nothing(const json_t *v)
{
    return v == NULL || json_is_null(v) || json_is_false(v) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

static DsStatus
check_options(const json_t *c, DsError *err)
{
    static const char *const unsupported[] = {"use_dora",
                                              "modules_to_save",
                                              "rank_pattern",
                                              "alpha_pattern",
                                              "fan_in_fan_out",
                                              "layer_replication",
                                              "lora_bias",
                                              "target_parameters",
                                              "trainable_token_indices",
                                              "use_qalora",
                                              "alora_invocation_tokens",
                                              "megatron_config",
                                              "use_bdlora",
                                              "loftq_config",
                                              "corda_config"};
    static const char *const plain[] = {"gaussian", "orthogonal", "eva"};
    const char *type = json_string_value(json_object_get(c, "peft_type"));
    const char *bias = json_string_value(json_object_get(c, "bias"));
    const char *start = json_string_value(json_object_get(c, "init_lora_weights"));
    bool fine = start == NULL;

    if (type == NULL || strcmp(type, "LORA") != 0)
        return refuse(err, "peft_type", "is not LORA");
    if (bias && strcmp(bias, "none") != 0)
        return refuse(err, "option bias", "is not \"none\": biases are not supported");
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (!is_nothing(json_object_get(c, unsupported[i])))
        {
            char option[64];

            snprintf(option, sizeof option, "option %s", unsupported[i]);
            return refuse(err, option, "is set, and not supported");
        }
    for (size_t i = 0; start && i < sizeof plain / sizeof *plain; i++)
        fine = fine || strcmp(start, plain[i]) == 0;
    return fine ? DS_OK
                : refuse(err, "option init_lora_weights",
                         "is one that changes the base's weights too, which is not supported");
}

/* The last part of a path or of a name like deepseek-ai/DeepSeek-OCR-2. */
static void
last_part(const char *path, char *to, size_t room)
{
    size_t n = strlen(path), begin;

    while (n > 0 && path[n - 1] == '/')
        n--;
    for (begin = n; begin > 0 && path[begin - 1] != '/'; begin--)
        ;
    snprintf(to, room, "%.*s", (int)(n - begin < room ? n - begin : room - 1), path + begin);
}

static DsStatus
read_numbers(Adapter *a, const json_t *c, DsError *err)
{
    const json_t *r = json_object_get(c, "r"), *alpha = json_object_get(c, "lora_alpha");
    const json_t *rooted = json_object_get(c, "use_rslora");
    double value = json_number_value(alpha);

    if (!json_is_integer(r) || json_integer_value(r) < 1 || json_integer_value(r) > RANK_MOST)
        return refuse(err, "option r", "is not a sound rank");
    if (!json_is_number(alpha) || !(value >= 0 && value < 1e6))
        return refuse(err, "option lora_alpha", "is not a sound number");
    if (!is_nothing(rooted) && !json_is_true(rooted))
        return refuse(err, "option use_rslora", "is neither true nor false");
    a->facts.rank = (int)json_integer_value(r);
    a->scale = (float)(value / (json_is_true(rooted) ? sqrt(a->facts.rank) : a->facts.rank));
    return DS_OK;
}

static DsStatus
read_base(Adapter *a, const json_t *c, DsError *err)
{
    const char *base = json_string_value(json_object_get(c, "base_model_name_or_path"));
    const json_t *sum = json_object_get(json_object_get(c, "dsocr"), "base_sha256");

    last_part(base ? base : "", a->facts.base, sizeof a->facts.base);
    if (a->facts.base[0] == '\0')
        return refuse(err, "base_model_name_or_path", "does not say which model it is for");
    if (!is_nothing(sum) && (!json_is_string(sum) || json_string_length(sum) != 64))
        return refuse(err, "dsocr.base_sha256", "is not a SHA-256");
    snprintf(a->facts.base_sha256, sizeof a->facts.base_sha256, "%s",
             is_nothing(sum) ? "" : json_string_value(sum));
    return DS_OK;
}

static DsStatus
read_config(Adapter *a, const void *bytes, size_t n, DsError *err)
{
    json_error_t fault;
    json_t *c = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &fault);
    DsStatus st;

    if (!json_is_object(c))
    {
        st = refuse(err, "adapter_config.json", "cannot be used");
        ds_detail(err, "Line %d: %s.", c ? 1 : fault.line, c ? "not an object" : fault.text);
    }
    else if ((st = check_options(c, err)) == DS_OK && (st = read_numbers(a, c, err)) == DS_OK)
        st = read_base(a, c, err);
    json_decref(c);
    return st;
}

/* ---- the pairs ---- */

static DsStatus
bad_tensor(DsError *err, const char *name, const char *why)
{
    ds_fail(err, DS_NOT_READY, "adapter tensor \"%.150s\" %s", name, why);
    return ds_hint(err, "Adapter and model must be of one family and size: train it again, or take "
                        "the model it was made for.");
}

static int
by_name(const void *x, const void *y)
{
    return strcmp(((const SafeTensor *)x)->name, ((const SafeTensor *)y)->name);
}

/* The length of NAME in base_model.model.NAME.lora_A.weight, for half 'A' or 'B'; 0 for anything else. */
static size_t
stem_length(const char *name, char half)
{
    char end[] = ".lora_?.weight";
    size_t n = strlen(name), first = sizeof PREFIX - 1, last = sizeof end - 1;

    end[6] = half;
    if (n <= first + last || strncmp(name, PREFIX, first) != 0 || strcmp(name + n - last, end) != 0)
        return 0;
    return n - first - last;
}

static DsStatus
check_half(const Adapter *a, const SafeTensor *t, int rank_at, DsError *err)
{
    const Tensor *m = &t->tensor;

    if (m->dtype == DTYPE_OTHER)
        return bad_tensor(err, t->name, "has a dtype that is not F32, BF16 or F16");
    if (m->rank == 2 && m->shape[rank_at] == a->facts.rank)
        return DS_OK;
    bad_tensor(err, t->name, "has the wrong shape");
    return m->rank == 2 ? ds_detail(err, "It is [%lld, %lld], and its rank must be %d.",
                                    (long long)m->shape[0], (long long)m->shape[1], a->facts.rank)
                        : ds_detail(err, "It has %d dimensions, and must have 2.", m->rank);
}

/* Neighbours in the order of names: NAME.lora_A.weight, NAME.lora_B.weight. */
static DsStatus
take_pair(Adapter *a, int i, DsError *err)
{
    const SafeTensor *x = &a->tensors[i], *y = i + 1 < a->ntensors ? x + 1 : NULL;
    size_t n = stem_length(x->name, 'A');
    DsStatus st;

    if (n == 0 && stem_length(x->name, 'B') == 0)
        return bad_tensor(err, x->name, "is not base_model.model.NAME.lora_A.weight or lora_B");
    if (n == 0 || y == NULL || stem_length(y->name, 'B') != n ||
        strncmp(x->name, y->name, sizeof PREFIX - 1 + n) != 0)
        return bad_tensor(err, x->name, "is half a pair: the other half is missing");
    if ((st = check_half(a, x, 0, err)) || (st = check_half(a, y, 1, err)))
        return st;
    a->pairs[a->facts.linears++] = (Pair){x, y, false};
    a->facts.parameters += x->tensor.count + y->tensor.count;
    return DS_OK;
}

static DsStatus
read_pairs(Adapter *a, const void *bytes, size_t n, DsError *err)
{
    DsStatus st =
        safetensors_parse(bytes, n, "adapter_model.safetensors", 0, &a->tensors, &a->ntensors, err);

    if (st)
        return st;
    if (a->ntensors == 0)
        return refuse(err, "adapter_model.safetensors", "holds no tensor");
    qsort(a->tensors, (size_t)a->ntensors, sizeof *a->tensors, by_name);
    if ((a->pairs = calloc((size_t)a->ntensors, sizeof *a->pairs)) == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory for the adapter");
    for (int i = 0; i < a->ntensors; i += 2)
        if ((st = take_pair(a, i, err)))
            return st;
    return DS_OK;
}

/* ---- life ---- */

DsStatus
adapter_parse(const char *name, const void *config, size_t nconfig, const void *weights,
              size_t nweights, Adapter **out, DsError *err)
{
    Adapter *a = calloc(1, sizeof *a);
    uint8_t digest[32];
    DsStatus st;
    Sha256 s;

    *out = NULL;
    if (a == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory for the adapter");
    last_part(name, a->facts.name, sizeof a->facts.name);
    if ((st = read_config(a, config, nconfig, err)) || (st = read_pairs(a, weights, nweights, err)))
    {
        adapter_close(a);
        return st;
    }
    sha256_init(&s);
    sha256_add(&s, config, nconfig);
    sha256_add(&s, weights, nweights);
    sha256_end(&s, digest);
    sha256_hex(digest, a->facts.sha256);
    *out = a;
    return DS_OK;
}

/* The whole of a file, malloc'd, or NULL. */
static char *
read_whole(const char *dir, const char *name, long most, size_t *n, DsError *err)
{
    char path[4096], *bytes = NULL;
    long size = -1;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    errno = 0;
    f = fopen(path, "rb");
    if (f && fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    if (size >= 0 && size <= most && fseek(f, 0, SEEK_SET) == 0 &&
        (bytes = malloc((size_t)size + 1)) && fread(bytes, 1, (size_t)size, f) != (size_t)size)
    {
        free(bytes);
        bytes = NULL;
    }
    if (bytes == NULL)
    {
        refuse(err, name, "cannot be read");
        ds_detail(err, "%s: %s", path, errno ? strerror(errno) : "it is too long, or no file");
    }
    if (f)
        fclose(f);
    *n = bytes ? (size_t)size : 0;
    return bytes;
}

DsStatus
adapter_open(const char *dir, Adapter **out, DsError *err)
{
    size_t nconfig, nweights;
    char *config, *weights;
    DsStatus st;

    *out = NULL;
    if ((config = read_whole(dir, "adapter_config.json", MOST_CONFIG, &nconfig, err)) == NULL)
        return DS_NOT_READY;
    weights = read_whole(dir, "adapter_model.safetensors", MOST_WEIGHTS, &nweights, err);
    st = weights ? adapter_parse(dir, config, nconfig, weights, nweights, out, err) : DS_NOT_READY;
    free(config);
    if (st)
        free(weights);
    else
        (*out)->bytes = weights;
    return st;
}

void
adapter_close(Adapter *a)
{
    if (a == NULL)
        return;
    safetensors_parsed_free(a->tensors, a->ntensors);
    free(a->pairs);
    free(a->bytes);
    free(a);
}

const AdapterFacts *
adapter_facts(const Adapter *a)
{
    return &a->facts;
}

/* ---- with a model ---- */

DsStatus
adapter_fits(const Adapter *a, const char *model, const char *model_dir, const char *sha256,
             DsError *err)
{
    const AdapterFacts *f = &a->facts;
    char folder[256];

    last_part(model_dir, folder, sizeof folder);
    if (strcasecmp(f->base, model) != 0 && strcasecmp(f->base, folder) != 0)
    {
        ds_fail(err, DS_NOT_READY, "adapter \"%s\" is for model \"%.80s\", and this is \"%s\"",
                f->name, f->base, model);
        return ds_hint(err, "Change dsocr.model or dsocr.adapter so that they belong together.");
    }
    if (f->base_sha256[0] == '\0' || strcasecmp(f->base_sha256, sha256) == 0)
        return DS_OK;
    ds_fail(err, DS_NOT_READY,
            "adapter \"%s\" is for other weights of model \"%.80s\" than these of \"%s\"", f->name,
            f->base, model);
    ds_detail(err, "It was made for SHA-256 %s, and the weight files have %s.", f->base_sha256,
              sha256);
    return ds_hint(err, "Train the adapter again on these weights.");
}

static Pair *
find_pair(Adapter *a, const char *weight)
{
    static const char end[] = ".weight";
    size_t n = strlen(weight);

    if (n < sizeof end || strcmp(weight + n - (sizeof end - 1), end) != 0)
        return NULL;
    n -= sizeof end - 1;
    for (int i = 0; i < a->facts.linears; i++)
        if (stem_length(a->pairs[i].a->name, 'A') == n &&
            strncmp(a->pairs[i].a->name + sizeof PREFIX - 1, weight, n) == 0)
            return &a->pairs[i];
    return NULL;
}

static DsStatus
wrong_side(DsError *err, const SafeTensor *t, int rank, int64_t side, bool columns)
{
    bad_tensor(err, t->name, "has the wrong shape");
    return ds_detail(err, "It is [%lld, %lld], and must be [%lld, %lld].",
                     (long long)t->tensor.shape[0], (long long)t->tensor.shape[1],
                     columns ? (long long)rank : (long long)side,
                     columns ? (long long)side : (long long)rank);
}

/* row [in] = W's row o + scale * sum over r of B[o, r] A[r, :]; delta [in] is scratch. */
static void
merge_row(const Adapter *a, const Pair *p, const Tensor *w, int64_t o, const float *thin,
          float *row)
{
    int64_t in = w->shape[1];

    memset(row, 0, (size_t)in * sizeof *row);
    for (int r = 0; r < a->facts.rank; r++)
    {
        float b = dtype_load(p->b->tensor.dtype, p->b->tensor.data,
                             (uint64_t)o * (uint64_t)a->facts.rank + (uint64_t)r);

        for (int64_t i = 0; i < in; i++)
            row[i] += b * thin[(int64_t)r * in + i];
    }
    for (int64_t i = 0; i < in; i++)
        row[i] = dtype_load(w->dtype, w->data, (uint64_t)(o * in + i)) + a->scale * row[i];
}

static void
merge_all(const Adapter *a, const Pair *p, const Tensor *w, const float *thin, float *row, char *to)
{
    int64_t out = w->shape[0], in = w->shape[1];

    for (int64_t o = 0; o < out; o++)
    {
        merge_row(a, p, w, o, thin, row);
        if (w->dtype != DTYPE_BF16)
            memcpy(to + (size_t)(o * in) * sizeof *row, row, (size_t)in * sizeof *row);
        else
            for (int64_t i = 0; i < in; i++)
                ((uint16_t *)(void *)to)[o * in + i] = f32_to_bf16(row[i]);
    }
}

/* A as floats [r, in], and one row more for the work. */
static float *
thin_floats(const Tensor *a)
{
    float *f = malloc(((size_t)a->count + (size_t)a->shape[1] + 1) * sizeof *f);

    for (uint64_t i = 0; f && i < a->count; i++)
        f[i] = dtype_load(a->dtype, a->data, i);
    return f;
}

DsStatus
adapter_merge(Adapter *a, const char *weight, Tensor *t, Arena *arena, DsError *err)
{
    Pair *p = find_pair(a, weight);
    DType dtype = t->dtype == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    float *thin;
    char *to;

    if (p == NULL)
        return DS_OK;
    if (p->a->tensor.shape[1] != t->shape[1])
        return wrong_side(err, p->a, a->facts.rank, t->shape[1], true);
    if (p->b->tensor.shape[0] != t->shape[0])
        return wrong_side(err, p->b, a->facts.rank, t->shape[0], false);
    p->used = true;
    thin = thin_floats(&p->a->tensor);
    to = arena_array(arena, t->count, dtype_size(dtype));
    if (thin && to)
        merge_all(a, p, t, thin, thin + p->a->tensor.count, to);
    free(thin);
    if (thin == NULL || to == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory for the adapter");
    t->data = to;
    t->dtype = dtype;
    return DS_OK;
}

DsStatus
adapter_all_used(const Adapter *a, DsError *err)
{
    for (int i = 0; i < a->facts.linears; i++)
        if (!a->pairs[i].used)
            return bad_tensor(err, a->pairs[i].a->name, "has no place in this model");
    return DS_OK;
}
