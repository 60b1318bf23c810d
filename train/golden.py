"""What a model directory answers for some views, for the engine's golden test.

    python golden.py ../model/mini ../test/golden/mini.json

Reads the views NAME/*.png beside NAME.json. float32 arithmetic, weights as stored (bf16), pixels through
the table of 256 bf16 values; stage values of the first four views, text and ids of all.
"""

import argparse
import glob
import json
import os

import numpy as np
import torch
from PIL import Image

import lines
from model import BOS, load
from vocab import Vocab

STAGES = 4  # views whose stage values are written too
TABLE = ((torch.arange(256).float() / 255 - .5) / .5).to(torch.bfloat16).float()


def summary(t):
    f = t.flatten().double()
    return {"shape": list(t.shape), "first": [round(x, 6) for x in f[:4].tolist()],
            "last": [round(x, 6) for x in f[-2:].tolist()], "sum": round(f.sum().item(), 4),
            "sumsq": round((f * f).sum().item(), 4)}


def stages(m, x):
    body = m.model
    sam = body.sam_model.compress(body.sam_model.features(x))
    encoder = body.qwen2_model(sam)
    rows = m.see(x)[2]
    logits = m.decode(rows, torch.tensor([[BOS]]))
    return {"global_sam": summary(sam[0]), "global_encoder": summary(encoder[0]), "image_rows": summary(rows[0]),
            "logits": summary(logits[0, 0])}


@torch.no_grad()
def answer(m, vocab, path, limit, with_stages):
    grey = np.asarray(Image.open(path).convert("L"))
    view = lines.narrowed(grey[None], m.sizes.step)[0]
    x = TABLE[torch.from_numpy(view.astype(np.int64))][None, None].expand(1, 3, -1, -1)
    out = stages(m, x) if with_stages else {}
    ids = m.read(x, limit)[0]
    logits = m.decode(m.see(x)[2], torch.tensor([[BOS] + ids]))[0]
    best = logits.topk(2, -1).values
    sure = logits.softmax(-1).max(-1).values
    return out | {"tokens": ids, "text": vocab.decode(ids), "min_gap": round((best[:, 0] - best[:, 1]).min().item(), 4),
                  "confidence": round(sure.log().mean().exp().item(), 4)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("golden", help="NAME.json; its views are NAME/*.png")
    a = p.parse_args()
    m, config = load(a.model)
    vocab, folder = Vocab(a.model), os.path.splitext(a.golden)[0]
    limit = config["dsocr"]["max_new_tokens"]
    paths = sorted(glob.glob(os.path.join(folder, "*.png")))
    if not paths:
        raise SystemExit(f"no views: {folder}/*.png")
    name = os.path.basename(folder)
    segments = [{"file": f"{name}/{os.path.basename(q)}"} | answer(m, vocab, q, limit, i < STAGES) for i, q in enumerate(paths)]
    about = ("float32 arithmetic, weights as stored (bf16), pixels through the 256-entry bf16 table; "
             f"{name}/N.png (relative to this file) are 32 x W grey, the three channels equal")
    with open(a.golden, "w", encoding="utf-8") as f:
        json.dump({"about": about, "segments": segments}, f, ensure_ascii=False, indent=1)
    print(f"{a.golden}: {len(segments)} views")


if __name__ == "__main__":
    main()
