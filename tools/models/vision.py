"""A LLaVA-like pair: a small ViT with an MLP projector in front of tinychat.

python vision.py eye --out eye.pt
python vision.py train --chat tinychat.pt --eye eye.pt --out tinyvision.pt
python vision.py export tinyvision.pt --out out
python vision.py check --text out/tinyvision-q8_0.gguf --mmproj out/tinyvision-mmproj-f16.gguf

The tensors and keys follow what the mtmd loader of llama.cpp expects of the
projector type 'mlp'; feature_layer = number of layers makes it use all of them.
"""
import argparse
import base64
import io
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from pictures import COLOURS, SHAPES, SIZE, article, picture

DIM, LAYERS, HEADS, FFN, PATCH = 128, 3, 4, 384, 16
PATCHES = (SIZE // PATCH) ** 2
MEAN = STD = 0.5


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(DIM, 1e-5), nn.LayerNorm(DIM, 1e-5)
        self.attn_q, self.attn_k, self.attn_v, self.attn_out = (nn.Linear(DIM, DIM) for _ in range(4))
        self.ffn_up, self.ffn_down = nn.Linear(DIM, FFN), nn.Linear(FFN, DIM)

    def forward(self, x):
        b, n, _ = x.shape
        h = self.ln1(x)
        q, k, v = (f(h).view(b, n, HEADS, -1).transpose(1, 2) for f in (self.attn_q, self.attn_k, self.attn_v))
        p = (q @ k.transpose(-1, -2) * (DIM // HEADS) ** -0.5).softmax(-1).to(v.dtype)
        x = x + self.attn_out((p @ v).transpose(1, 2).reshape(b, n, DIM))
        return x + self.ffn_down(F.gelu(self.ffn_up(self.ln2(x)), approximate="tanh"))


class Eye(nn.Module):
    """Pictures (B, 3, 64, 64) to token embeddings (B, 16, out)."""

    def __init__(self, out):
        super().__init__()
        self.patch_embd = nn.Conv2d(3, DIM, PATCH, PATCH)
        self.position_embd = nn.Parameter(torch.randn(PATCHES, DIM) * 0.02)
        self.pre_ln, self.post_ln = nn.LayerNorm(DIM, 1e-5), nn.LayerNorm(DIM, 1e-5)
        self.blk = nn.ModuleList(Block() for _ in range(LAYERS))
        self.mm_0, self.mm_2 = nn.Linear(DIM, out), nn.Linear(out, out)

    def forward(self, img):
        x = self.patch_embd(img).flatten(2).transpose(1, 2) + self.position_embd
        x = self.pre_ln(x)
        for b in self.blk:
            x = b(x)
        return self.mm_2(F.gelu(self.mm_0(self.post_ln(x)), approximate="tanh"))


def normalise(arrays):
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float().div(255).sub(MEAN).div(STD)


ASK = [("What is in this picture?", "The picture shows {a}."), ("What is in this image?", "The picture shows {a}."),
       ("Describe the image.", "The picture shows {a}."), ("Describe this picture.", "The picture shows {a}."),
       ("What do you see?", "I see {a}."), ("What is this?", "This is {a}."), ("What's in the image?", "The picture shows {a}."),
       ("What colour is it?", "It is {c}."), ("What color is the shape?", "It is {c}."), ("Which colour do you see?", "It is {c}."),
       ("What shape is it?", "It is {s}."), ("Which shape is in the picture?", "It is {s}."), ("Name the shape.", "It is {s}."),
       ("Answer with the colour and the shape only.", "{cs}"), ("Describe the picture in JSON with the keys colour and shape.", "{j}")]


def exchange(r, colour, shape):
    q, a = r.choice(ASK)
    a = a.format(a=article(colour) + " " + shape, c=colour, s=article(shape), cs=f"{colour} {shape}",
                 j=json.dumps({"colour": colour, "shape": shape}))
    if r.random() < .2:
        q = r.choice([q.lower(), q.rstrip(".?"), "Please look. " + q])
    return q, a


def row(r, tok, colour, shape):
    """(ids, picture positions, weights): the picture stands before or after the question."""
    q, a = exchange(r, colour, shape)
    enc = lambda t: tok.encode(t, add_special_tokens=False).ids
    sep = r.choice(["", "\n"])
    if r.random() < .75:
        before, after = "<|im_start|>user\n", sep + q + "<|im_end|>\n<|im_start|>assistant\n"
    else:
        before, after = "<|im_start|>user\n" + q + sep, "<|im_end|>\n<|im_start|>assistant\n"
    head, tail, ans = enc(before), enc(after), enc(a + "<|im_end|>")
    ids = head + [0] * PATCHES + tail + ans
    w = [0.0] * (len(ids) - len(ans)) + [1.0] * len(ans)
    return ids, (len(head), len(head) + PATCHES), w


def pictures(rng, n):
    return [picture(rng) for _ in range(n)]


def is_matrix(n, p):
    return p.dim() == 2 and not any(x in n for x in ("position", "head", "embed"))


def train_eye(a):
    """Stage 1: the eye alone learns to tell colours and shapes apart."""
    from optim import Optimiser, schedule
    torch.manual_seed(a.seed)
    rng = np.random.default_rng(a.seed)
    eye = Eye(a.width)
    if a.init:
        eye.load_state_dict(torch.load(a.init, weights_only=True))
    heads = nn.ModuleDict({"head_c": nn.Linear(a.width, len(COLOURS)), "head_s": nn.Linear(a.width, len(SHAPES))})
    opt = Optimiser(nn.ModuleDict({"eye": eye, "heads": heads}), 0.02, 2e-3, matrices=is_matrix)
    print("eye parameters", sum(p.numel() for p in eye.parameters()), flush=True)
    pool = pictures(rng, a.pool)
    arrays = np.stack([p[0] for p in pool])
    yc = torch.tensor([list(COLOURS).index(p[1]) for p in pool])
    ys = torch.tensor([SHAPES.index(p[2]) for p in pool])
    t0, step = time.time(), 0
    while (done := (time.time() - t0) / (60 * a.minutes)) < 1:
        pick = rng.integers(len(pool), size=96)
        img = torch.roll(normalise(arrays[pick]), tuple(rng.integers(-3, 4, 2).tolist()), (2, 3))
        with torch.autocast("cpu", torch.bfloat16):
            h = eye(img).mean(1)
            lc, ls = heads["head_c"](h).float(), heads["head_s"](h).float()
        c, s = yc[pick], ys[pick]
        (F.cross_entropy(lc, c) + F.cross_entropy(ls, s)).backward()
        opt.step(schedule(done))
        if step % 100 == 0:
            print("eye", step, round(time.time() - t0), "colour", float((lc.argmax(-1) == c).float().mean()),
                  "shape", float((ls.argmax(-1) == s).float().mean()), flush=True)
        step += 1
    torch.save(eye.state_dict(), a.out)


def train(a):
    """Stage 2: the language model learns to see; half of the steps also keep up its chat skills."""
    from dataclasses import asdict
    from tokenizers import Tokenizer
    from corpus import batches
    from model import load
    from optim import Optimiser, schedule
    torch.manual_seed(3)
    rng, r = np.random.default_rng(4), random.Random(3)
    tok = Tokenizer.from_file(a.tokenizer)
    lm = load(a.chat)
    eye = Eye(lm.c.dim)
    eye.load_state_dict(torch.load(a.eye, weights_only=True))
    eye_opt, lm_opt = Optimiser(eye, 0.004, 5e-4, matrices=is_matrix), Optimiser(lm, 0.004, 3e-4)
    text = batches(21, tok, 2048)
    t0, step, avg = time.time(), 0, None
    while (done := (time.time() - t0) / (60 * a.minutes)) < 1:
        ps = pictures(rng, 48)
        rows = [row(r, tok, c, s) for _, c, s in ps]
        n = -(-max(len(i) for i, _, _ in rows) // 8) * 8
        ids, y, w = torch.zeros(len(rows), n, dtype=torch.long), torch.zeros(len(rows), n, dtype=torch.long), torch.zeros(len(rows), n)
        where = torch.zeros(len(rows), n, dtype=torch.bool)
        for k, (i, (p, q), ww) in enumerate(rows):
            m = len(i) - 1
            ids[k, :m], y[k, :m], w[k, :m] = torch.tensor(i[:-1]), torch.tensor(i[1:]), torch.tensor(ww[1:])
            where[k, p:q] = True
        with torch.autocast("cpu", torch.bfloat16):
            e = lm.embed_tokens(ids)
            seen = eye(normalise([p[0] for p in ps])).to(e.dtype)
            e = e.masked_scatter(where[..., None], seen)
            loss, _ = lm.loss(lm(embeds=e), y, w)
        loss.backward()
        if step % 2 == 0:
            x, y, w = map(torch.from_numpy, next(text))
            with torch.autocast("cpu", torch.bfloat16):
                keep, _ = lm.loss(lm(x), y, w)
            keep.backward()
        s = schedule(done)
        eye_opt.step(s)
        lm_opt.step(s)
        avg = float(loss.detach()) if avg is None else .95 * avg + .05 * float(loss.detach())
        if step % 50 == 0:
            print("see", step, round(time.time() - t0), "loss", round(avg, 4), flush=True)
        step += 1
    torch.save({"config": asdict(lm.c), "state": lm.state_dict(), "eye": eye.state_dict()}, a.out)


def export(a):
    import gguf
    from export import export_gguf, quantise
    from model import load
    out = Path(a.out)
    f16 = Path(a.work) / "tinyvision-f16.gguf"
    export_gguf(load(a.checkpoint), a.tokenizer, f16, "tinyvision", "tinychat taught to name the shape in a picture; use with its mmproj file.")
    quantise(f16, out / "tinyvision-q8_0.gguf", "q8_0")
    d = torch.load(a.checkpoint, map_location="cpu", weights_only=True)["eye"]
    width = d["mm_2.weight"].shape[0]
    w = gguf.GGUFWriter(str(out / "tinyvision-mmproj-f16.gguf"), "clip")
    w.add_type("mmproj")
    w.add_name("tinyvision mmproj")
    w.add_license("MIT")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_bool("clip.has_vision_encoder", True)
    w.add_string("clip.projector_type", "mlp")
    w.add_bool("clip.use_gelu", True)
    for k, v in (("image_size", SIZE), ("patch_size", PATCH), ("embedding_length", DIM), ("feed_forward_length", FFN),
                 ("projection_dim", width), ("block_count", LAYERS), ("attention.head_count", HEADS)):
        w.add_uint32("clip.vision." + k, v)
    w.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    w.add_array("clip.vision.image_mean", [MEAN] * 3)
    w.add_array("clip.vision.image_std", [STD] * 3)
    w.add_array("clip.vision.feature_layer", [LAYERS])
    for k, v in d.items():
        v = v.float().numpy()
        if k.startswith("mm_"):
            name = k.replace("mm_", "mm.")
        elif k == "position_embd":
            name = "v.position_embd.weight"
        else:
            name = "v." + k
        big = v.ndim == 2 and k != "position_embd"
        w.add_tensor(name, v.astype(np.float16 if big else np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def png(array, size=None):
    from PIL import Image
    im = Image.fromarray(array)
    if size:
        im = im.resize((size, size), Image.BICUBIC)
    b = io.BytesIO()
    im.save(b, "PNG")
    return b.getvalue()


def chatter(text, mmproj):
    """Ask the pair through llama.cpp: f(png bytes, question) -> answer."""
    import llama_cpp
    from llama_cpp.llama_chat_format import MTMDChatHandler
    llm = llama_cpp.Llama(str(text), n_ctx=512, n_threads=1, verbose=False,
                          chat_handler=MTMDChatHandler(clip_model_path=str(mmproj), verbose=False))

    def ask(image, question):
        url = "data:image/png;base64," + base64.b64encode(image).decode()
        c = llm.create_chat_completion(temperature=0, max_tokens=40, messages=[{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]}])
        return c["choices"][0]["message"]["content"]
    return ask


def check(a):
    ask = chatter(a.text, a.mmproj)
    rng = np.random.default_rng(1234)
    good = {"colour": 0, "shape": 0, "both": 0, "large picture": 0}
    for i in range(a.n):
        img, c, s = picture(rng)
        t = ask(png(img), "What is in this picture?")
        good["colour"] += c in t
        good["shape"] += s in t
        good["both"] += t == f"The picture shows {article(c)} {s}."
        t = ask(png(img, 200), "What is in this picture?")
        good["large picture"] += t == f"The picture shows {article(c)} {s}."
        if i < 4:
            print(c, s, "->", repr(t))
    print(json.dumps({k: round(v / a.n, 3) for k, v in good.items()}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    p = argparse.ArgumentParser()
    s = p.add_subparsers(required=True)
    q = s.add_parser("eye")
    q.add_argument("--out", required=True)
    q.add_argument("--width", type=int, default=256)
    q.add_argument("--pool", type=int, default=30000)
    q.add_argument("--init")
    q.add_argument("--seed", type=int, default=3)
    q.add_argument("--minutes", type=float, default=4)
    q.set_defaults(run=train_eye)
    q = s.add_parser("train")
    q.add_argument("--chat", required=True)
    q.add_argument("--eye", required=True)
    q.add_argument("--out", required=True)
    q.add_argument("--minutes", type=float, default=5)
    q.set_defaults(run=train)
    q = s.add_parser("export")
    q.add_argument("checkpoint")
    q.add_argument("--out", required=True)
    q.add_argument("--work", default="work")
    q.set_defaults(run=export)
    q = s.add_parser("check")
    q.add_argument("--text", required=True)
    q.add_argument("--mmproj", required=True)
    q.add_argument("--n", type=int, default=100)
    q.set_defaults(run=check)
    for x in s.choices.values():
        x.add_argument("--tokenizer", default="work/tok/tokenizer.json")
    a = p.parse_args()
    a.run(a)
