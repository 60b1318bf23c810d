"""Makes toy.json and vectors.jsonl: a tokenizer of 256 byte symbols, 126 merges and 19 added tokens
with the published model's patterns, and strings with the ids that the `tokenizers` library
(0.23.3) gives them.  Run here: python3 make.py"""
import json
import random

from tokenizers import Tokenizer, models, trainers, pre_tokenizers, decoders, AddedToken, Regex

random.seed(7)
WORDS = ["the", "page", "reads", "Rechnung", "Straße", "élève", "año", "don't", "12345", "2024",
         "你好", "世界", "日本語", "テキスト", "한국어", "привет", "😀", "x²", "##", "**", "\\(", "\\)", "—", "«", "»"]
SPLITS = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
          "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
          "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
# the last ones overlap, and two are looked for in the second pass only ("normalized")
ADDED = ["<bos>", "<eos>", "<pad>", "<image>", "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>",
         "<td>", "</td>", "<tr>", "</tr>", "<td><td>", "<t", "of<im"]
NORMALIZED = ["<|EOT|>", "ref|>x", "age"]

t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(Regex(s), "isolated") for s in SPLITS]
    + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
t.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
text = [" ".join(random.choices(WORDS, k=30)) + "\n\n" for _ in range(200)]
t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=410, initial_alphabet=alphabet, show_progress=False,
                                                special_tokens=["<bos>", "<eos>", "<pad>"]))
t.add_tokens([AddedToken(a, normalized=False, special=True) for a in ADDED[3:]])
t.add_tokens([AddedToken(a, normalized=True, special=False) for a in NORMALIZED])
t.save("toy.json", pretty=False)

PARTS = WORDS + ADDED + NORMALIZED + list(" \t\r\n,.;:<>|()[]{}") + [
    "  ", "\n\n", " \n", "\r\n", "\u00a0", "\u3000", "\u2028", "\u0085", "\u0301", "\u200b", "\x07", "\ufffd", "\U000e0001",
    "½", "٣", "Ⅻ", "ǅ", "ﬁ", "a", "B", "_", "'s", "ref", "age", "td", "ĳ", "\x7f", "Ġ", "Ċ"]
with open("vectors.jsonl", "w") as f:
    for i in range(400):
        s = "".join(random.choices(PARTS, k=random.randrange(0, 14)))
        ids = t.encode(s, add_special_tokens=False).ids
        f.write(json.dumps({"text": s, "ids": ids}) + "\n")
