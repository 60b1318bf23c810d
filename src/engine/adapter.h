/* adapter.h - a LoRA adapter: thin matrices that a model's linears are changed by at load.
 *
 * A directory in PEFT's layout: adapter_config.json, and adapter_model.safetensors with, for a linear of the model,
 * base_model.model.NAME.lora_A.weight [r, in] and .lora_B.weight [out, r] in F32, BF16 or F16. Reading is as strict
 * as the model's: every tensor has its place, every pair is whole, and what PEFT can and this cannot (DoRA, biases,
 * whole modules, ranks that differ ...) is refused by its name, never ignored. */
#ifndef DS_ADAPTER_H
#define DS_ADAPTER_H

#include "arena.h"
#include "status.h"
#include "tensor.h"

#include <stdint.h>

typedef struct Adapter Adapter;

typedef struct AdapterFacts
{
    char name[64];        /* of the directory */
    char base[256];       /* base_model_name_or_path, its last part: the model it is for */
    char base_sha256[65]; /* of that model's weight files, or "" when the adapter does not say */
    char sha256[65];      /* of the adapter: its configuration and its weights */
    int rank, linears;
    uint64_t parameters;
} AdapterFacts;

/* DS_NOT_READY with the file, the option or the tensor at fault. */
DsStatus adapter_open(const char *dir, Adapter **out, DsError *err);
/* The same from the two files' bytes (tests, and the fuzz target's way in); weights must live as long as *out. */
DsStatus adapter_parse(const char *name, const void *config, size_t nconfig, const void *weights,
                       size_t nweights, Adapter **out, DsError *err);
void adapter_close(Adapter *a);
const AdapterFacts *adapter_facts(const Adapter *a);

/* Whether it is for this model: its own name or its directory's last part must be the adapter's base, whatever the
 * case of their letters, and the weights' SHA-256 the one that the adapter was made with, if it says. sha256 is
 * looked at only then. DS_NOT_READY with both names. */
DsStatus adapter_fits(const Adapter *a, const char *model, const char *model_dir,
                      const char *sha256, DsError *err);

/* W + scale B A for the linear `weight` ("model.layers.0.mlp.up_proj.weight"), in *t [out, in]; left alone when the
 * adapter has nothing for it. scale is lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora. The sum over r is
 * made in float, in ascending order, on every machine the same; then it is rounded to bf16 (nearest even) when the
 * base is bf16, and stays float otherwise. The new matrix lies in the arena. DS_NOT_READY: another shape. */
DsStatus adapter_merge(Adapter *a, const char *weight, Tensor *t, Arena *arena, DsError *err);

/* After all the model's linears were merged: a pair that none of them took is a fault. */
DsStatus adapter_all_used(const Adapter *a, DsError *err);

#endif
