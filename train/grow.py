"""A model with more SAM blocks, which answers what it answered before: a start for a training of what has become too small.

    python grow.py MODEL OUT --layers 0 window 1 2 window 3

--layers: what the encoder is to consist of, the model's own blocks by their numbers, all of them in their order, and between them new
ones that look at windows (`window`) or at everything (`global`). Of a new block both products that add to the image are zero; the rest
of it is as in a model that nobody has trained, so that it learns from the first step on.
"""

import argparse
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file

import export
from model import Family, config_of

BLOCKS = "model.sam_model.blocks."


def grown(config, weights, layers, seed=1):
    """-> config and weights with these blocks; layers: numbers of the old ones, "window" or "global" for a new one"""
    config = json.loads(json.dumps(config))
    sam = config["vision_config"]["width"]["sam_vit_b"]
    old, everything = range(sam["layers"]), sam["global_attn_indexes"]
    if [l for l in layers if type(l) is int] != [*old]:
        raise ValueError(f"--layers needs the model's own blocks, {' '.join(map(str, old))}, each once and in this order")
    sam |= {"layers": len(layers), "global_attn_indexes": [i for i, l in enumerate(layers) if l == "global" or l in everything]}
    torch.manual_seed(seed)
    fresh = Family(config).state_dict()
    out = {n: t for n, t in weights.items() if not n.startswith(BLOCKS)}
    for name in (n for n in fresh if n.startswith(BLOCKS)):
        number, part = name[len(BLOCKS):].split(".", 1)
        kept = layers[int(number)]
        if type(kept) is int:
            out[name] = weights[f"{BLOCKS}{kept}.{part}"]
        else:
            new = torch.zeros_like(fresh[name]) if part.startswith(("attn.proj", "mlp.lin2")) else fresh[name]
            out[name] = new.to(torch.bfloat16)
    return config, out


def layer(word):
    return word if word in ("window", "global") else int(word)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("out")
    p.add_argument("--layers", nargs="+", required=True, type=layer, metavar="BLOCK")
    a = p.parse_args()
    try:
        config, weights = grown(config_of(a.model), load_file(os.path.join(a.model, "model.safetensors")), a.layers)
        os.makedirs(a.out)  # a model that is there stays
    except (OSError, ValueError) as e:
        raise SystemExit(f"{a.out} not written: {e}")
    shutil.copyfile(os.path.join(a.model, "tokenizer.json"), os.path.join(a.out, "tokenizer.json"))
    with open(os.path.join(a.out, "config.json"), "w", encoding="utf-8") as f:
        f.write(json.dumps(config, indent=1) + "\n")
    path = os.path.join(a.out, "model.safetensors")
    save_file(weights, path, metadata={"format": "pt", "model": "dsocr-mini", "training": export.note_of(a.model) + ", then grown"})
    os.chmod(path, 0o644)
    print(f"{a.out}: {len(a.layers)} blocks, {sum(t.numel() for t in weights.values())} parameters")


if __name__ == "__main__":
    main()
