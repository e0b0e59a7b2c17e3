"""Compare the PyTorch / Hugging Face side with llama.cpp on the shipped files.

python verify.py --checkpoint tinychat.pt --hf out/tinychat-hf --gguf out/tinychat-f16.gguf

1. token ids of 200 varied strings (emoji, CJK, code, spaces, special tokens);
2. greedy continuations of 40 prompts, from the training code's model and from transformers;
3. the chat template: transformers' rendering against the Python rendering used in training.
"""
import argparse
import random

import numpy as np
import torch
from tokenizers import Tokenizer

import skills as S
from chatml import json_style, pieces, prompt
from corpus import MIX
from evaluate import SKILLS, held_conv
from model import load
from run_gguf import Runner


def strings(n=200):
    r = random.Random(2024)
    odd = ["", " ", "\n", "\t\t", "  leading", "trailing  ", "a  b   c    d", "\r\n windows \r\n", "naïve café crème brûlée", "Ünïcödé",
           "日本語のテキスト", "你好，世界！", "한국어 문장", "Привет, мир", "مرحبا بالعالم", "שלום", "हिन्दी", "ไทย", "😀", "👨‍👩‍👧‍👦 family", "👍🏽 ok", "🇫🇷🇩🇪",
           "x = {'a': [1, 2.5, -3e10]}", "for (int i = 0; i < n; ++i) { s += a[i]; }", "def f(x):\n\treturn x**2\n\n\n", "SELECT * FROM t WHERE a='b';",
           "https://example.com/a?b=c&d=e#f", "user@example.com", "1,234,567.89", "0xDEADBEEF", "I'm you're he's we'll they'd I've DON'T it'S",
           "\u00a0nbsp\u2003em", "zero\u200bwidth", "e\u0301 combining", "ﬁ ligature", "½ ² ³ Ⅷ", "<|im_start|>user\nHi<|im_end|>\n", "<think>\n\n</think>\n\nok",
           "<tool_call>\n{\"name\": \"x\"}\n</tool_call>", "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", "< |im_end| >", "...!!!???---", "\"'`´“”‘’",
           "snake_case camelCase PascalCase kebab-case", "a\u0000b", "\ud7ff\ue000", "𝒳𝓎𝓏 math", "🧑‍💻 codes 🐍 at 3:00"]
    pool = [x for s in odd for x in s if x.strip()] + list("abcdefg xyz ") * 6
    while len(odd) < n:
        k = r.random()
        if k < .5:
            odd.append("".join(p for p, _ in pieces(r.choice([m for _, m in MIX])(r), json_style(r))))
        elif k < .7:
            odd.append("".join(r.choice(pool) for _ in range(r.randint(1, 60))))
        elif k < .85:
            h, body = S.function(r)
            odd.append(h + "\n" + "\n".join(body))
        else:
            odd.append(" ".join(S.invent(r) for _ in range(6)) + r.choice(["\n\n", "  ", "!?", " — "]))
    return odd[:n]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--checkpoint", required=True)
    a.add_argument("--hf", required=True)
    a.add_argument("--gguf", required=True)
    a = a.parse_args()
    from transformers import AutoModelForCausalLM, AutoTokenizer
    run, tok = Runner(a.gguf), Tokenizer.from_file(a.hf + "/tokenizer.json")
    auto = AutoTokenizer.from_pretrained(a.hf)
    same = back = fast = 0
    for s in strings():
        ids = tok.encode(s, add_special_tokens=False).ids
        got = run.tokens(s) if s else []
        same += ids == got
        fast += auto.encode(s, add_special_tokens=False) == ids
        back += run.text(got) == s if s else 1
        if ids != got:
            print("ids differ:", repr(s), ids[:12], got[:12])
    print(f"tokenisation: {same} of 200 equal to tokenizers, {fast} of 200 equal in transformers, {back} of 200 texts come back unchanged")
    m, hf = load(a.checkpoint).eval(), AutoModelForCausalLM.from_pretrained(a.hf, dtype=torch.float32).eval()
    stop = {tok.token_to_id("<|im_end|>"), tok.token_to_id("<|endoftext|>")}
    r, eq, eq_hf, n, worst, render = random.Random(5), 0, 0, 0, 0.0, 0
    for skill in SKILLS + SKILLS[:17]:
        c = held_conv(skill, r)
        p = prompt(c)
        last = max(i for i, x in enumerate(c.messages) if x["role"] == "assistant")
        render += auto.apply_chat_template(c.messages[:last], tools=c.tools, add_generation_prompt=True, tokenize=False) == p
        ids = tok.encode(p, add_special_tokens=False).ids
        want, got = m.greedy(ids, stop, 60), run.greedy(ids, stop, 60)
        with torch.no_grad():
            g = hf.generate(torch.tensor([ids]), max_new_tokens=60, do_sample=False)[0, len(ids):].tolist()
            z = m.logits(m(torch.tensor([ids]))[0, -1]).numpy()
        run.llm.reset()
        run.llm._ctx.kv_cache_clear()
        run.llm.eval(ids)
        worst = max(worst, float(np.abs(z - run.last_logits()).max()))
        n, eq, eq_hf = n + 1, eq + (want == got), eq_hf + (g == got)
    print(f"greedy: {eq} of {n} prompts equal between the training code and llama.cpp, {eq_hf} of {n} between transformers and llama.cpp; "
          f"largest logit difference {worst:.4f}; template equal on {render} of {n}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
