"""The mini's characters: ids 0 to 2 are padding, begin and end, 3 the space, then one id a character."""

import json
import os

PAD, BOS, EOS = 0, 1, 2  # of the mini's vocabulary; the config says its own


class Vocab:
    def __init__(self, folder):
        """Reads tokenizer.json of a model directory: byte-level BPE in which every character is one token."""
        with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as f:
            t = json.load(f)
        back = bytes_of_letters()
        self.by_id, self.ids = {}, {}
        for word, i in t["model"]["vocab"].items():
            if i <= EOS:
                continue
            raw = bytes(back[c] for c in word)
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError:
                continue  # half of a character: only there to make the file a valid BPE
            if len(text) == 1 and (text not in self.ids or i < self.ids[text]):
                self.by_id[i], self.ids[text] = text, i
        self.chars = frozenset(c for c, i in self.ids.items() if i < 306)

    def encode(self, text):
        return [self.ids[c] for c in text]

    def decode(self, ids):
        return "".join(self.by_id.get(i, "") for i in ids)


def bytes_of_letters():
    """The 256 letters by which byte-level BPE writes bytes."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    out, n = {chr(b): b for b in plain}, 0
    for b in range(256):
        if b not in plain:
            out[chr(256 + n)] = b
            n += 1
    return out
