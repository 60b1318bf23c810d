"""A run's averaged weights -> a model directory: model.safetensors (bf16), config.json, tokenizer.json.

    python export.py RUN OUT [--like ../model/mini] [--raw] [--mean CHECKPOINT ...] [--mix .2 MODEL]

--mean takes the mean of the weights of all these checkpoints of one training, --mix so much of another model's weights (those that the
run began with, whose lm_head nobody has scaled since) and the rest of the run's. Config and tokenizer are copied from --like, whose tensors
must have the same names and shapes. With the weights goes the head that tells each vision token's letters, as the decoder's draft head
(draft.weight, draft.bias and dsocr.draft_slots of the config): the first DRAFT_SLOTS letters of a token; --no-draft leaves it out.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from model import config_of

DRAFT_SLOTS = 3  # of train.SLOTS: the fourth is never used on test/pages


def draft_of(state, vocab):
    """A state of Joint, float32 -> the draft head's tensors in bf16."""
    return {f"draft.{n}": state[f"slots.{n}"][:DRAFT_SLOTS * vocab].to(torch.bfloat16).contiguous() for n in ("weight", "bias")}


def averaged(path, raw=False, others=(), draft=False):
    """last.pt, and others of the same training -> the family's tensors in bf16, their mean, and the draft head's, if asked
    for; the head that only helps in training is dropped."""
    k = torch.load(path, weights_only=False, map_location="cpu")
    key = "joint" if raw else "average"
    states = [k[key]] + [torch.load(o, weights_only=False, map_location="cpu")[key] for o in others]
    means = {n: torch.stack([s[n] for s in states]).mean(0) for n in k[key] if n.startswith(("family.", "slots."))}
    tensors = {n[len("family."):]: v.to(torch.bfloat16).contiguous() for n, v in means.items() if n.startswith("family.")}
    return tensors | (draft_of(means, len(tensors["lm_head.weight"])) if draft else {}), k


def mixed(tensors, part, folder):
    """`part` of that model's weights and the rest of these. The draft head stays this run's: two that were learnt apart draft worse
    together than one (a ninth more passes of the decoder on test/pages)."""
    other = load_file(os.path.join(folder, "model.safetensors"))
    lacking = sorted(n for n, t in tensors.items() if not n.startswith("draft.") and (n not in other or other[n].shape != t.shape))
    if lacking:
        raise SystemExit(f"{folder} cannot be mixed in: it has no {lacking[0]} of this shape")
    return {n: t if n.startswith("draft.") else torch.lerp(t.float(), other[n].float(), part).to(torch.bfloat16)
            for n, t in tensors.items()}


def note_of(folder):
    """What the weights' file says of its training."""
    with safe_open(os.path.join(folder, "model.safetensors"), "pt") as f:
        return (f.metadata() or {}).get("training", "")


def fingerprint(folder, files=None):
    """SHA-256 of the weight files' bytes in name order, as `dsocr verify --hash` prints it."""
    h = hashlib.sha256()
    for name in files or sorted(n for n in os.listdir(folder) if n.endswith(".safetensors") and not n.startswith(".")):
        with open(os.path.join(folder, name), "rb") as f:
            while block := f.read(1 << 20):
                h.update(block)
    return h.hexdigest()


def config_for(tensors, like, name=None):
    """The text of like's config, which says how many letters a token drafts, or nothing of it; name: another one."""
    with open(os.path.join(like, "config.json"), encoding="utf-8") as f:
        text = f.read()
    config, vocab = json.loads(text), len(tensors["lm_head.weight"])
    slots = len(tensors["draft.bias"]) // vocab if "draft.bias" in tensors else 0
    if config.get("dsocr", {}).pop("draft_slots", 0) == slots and not name:
        return text  # to the byte
    if slots:
        config.setdefault("dsocr", {})["draft_slots"] = slots
    if name:
        config.setdefault("dsocr", {})["name"] = name
    return json.dumps(config, indent=1) + "\n"


def write(tensors, out, like, note="", rename=False):
    """All or nothing: the directory's files are replaced by renames, weights last. rename: the model is called for the
    directory and its weights, as an adapter is, so that what it reads is told from what its base has read. -> its new name"""
    with safe_open(os.path.join(like, "model.safetensors"), "pt") as f:
        shapes = {n: tuple(f.get_slice(n).get_shape()) for n in f.keys() if not n.startswith("draft.")}
    mine = {n: tuple(t.shape) for n, t in tensors.items() if not n.startswith("draft.")}
    if shapes != mine:
        odd = sorted(n for n in shapes.keys() | mine.keys() if shapes.get(n) != mine.get(n))
        raise SystemExit(f"not a model like {like}: {odd[0]} is {mine.get(odd[0])}, there {shapes.get(odd[0])} ({len(odd)} differ)")
    os.makedirs(out, exist_ok=True)
    if os.path.abspath(out) != os.path.abspath(like):
        shutil.copyfile(os.path.join(like, "tokenizer.json"), os.path.join(out, "tokenizer.json"))
    path, name = os.path.join(out, "model.safetensors"), None
    try:
        save_file(tensors, path + ".tmp", metadata={"format": "pt", "model": "dsocr-mini", "training": note})
        os.chmod(path + ".tmp", 0o644)
        if rename:
            name = f"{os.path.basename(os.path.abspath(out))[:30]}@{fingerprint(out, ['model.safetensors.tmp'])[:8]}"
        config = config_for(tensors, like, name)
        with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as f:
            f.write(config)
        os.replace(path + ".tmp", path)
        return name
    except Exception as e:
        if os.path.exists(path + ".tmp"):
            os.remove(path + ".tmp")
        raise SystemExit(f"{path} not written: {e}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run")
    p.add_argument("out")
    p.add_argument("--like", default="../model/mini")
    p.add_argument("--raw", action="store_true", help="the last weights instead of the averaged ones")
    p.add_argument("--mean", nargs="+", default=[], metavar="CHECKPOINT")
    p.add_argument("--mix", nargs=2, metavar=("PART", "MODEL"))
    p.add_argument("--no-draft", action="store_true", help="without the draft head: the text is the same, more slowly")
    a = p.parse_args()
    path = a.run if os.path.isfile(a.run) else os.path.join(a.run, "last.pt")
    tensors, k = averaged(path, a.raw, a.mean, not a.no_draft)
    learnt, said = (c.get("dsocr", {}).get("view_step") for c in (k["config"], config_of(a.like)))
    if learnt != said:
        raise SystemExit(f"{path} has learnt with view_step {learnt}, {a.like} has {said}: --like, the model that the run began with")
    if a.mix:
        tensors = mixed(tensors, float(a.mix[0]), a.mix[1])
    write(tensors, a.out, a.like, f"{k['step']} steps, {k['lines']} lines")
    print(f"{a.out}: {sum(t.numel() for t in tensors.values())} parameters after {k['step']} steps, {k['lines']} lines",
          f"{os.path.getsize(os.path.join(a.out, 'model.safetensors'))} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
