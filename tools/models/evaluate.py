"""Accuracy of a GGUF model per skill, on names, cities, sums and wordings kept out of training.

python evaluate.py out/tinychat-f16.gguf --n 40 --out report.json
"""
import argparse
import ast
import json
import random
import re

import skills as S
from chatml import prompt
from run_gguf import Runner
from tools import tool_chat

ALL_OF = {"story", "persona"}


def held_conv(skill, r):
    if skill in S.TURN_SKILLS:
        return S.single(skill)(r, True)
    if skill in ("think", "no_think"):
        return until(lambda: S.thinking(r, True), skill)
    if skill in ("tool_call", "tool_call_two", "tool_answer"):
        return until(lambda: tool_chat(r, True), skill)
    if skill == "tool_none":
        while True:                              # training wording: nothing is copied here
            c = tool_chat(r, False)
            if c.skill == skill:
                return c
    return {"persona": S.persona, "recall": S.recall, "long_chat": S.long_chat, "code": S.code_chat}[skill](r, True)


def until(make, skill):
    while True:
        c = make()
        if c.skill == skill and (c.key is not None):
            return c


def tool_calls(text):
    out = []
    for m in re.finditer(r"<tool_call>\n(.*?)\n</tool_call>", text, re.S):
        try:
            out.append(json.loads(m[1]))
        except ValueError:
            return None
    return out


def right(skill, conv, text):
    gold = conv.messages[-1]["content"]
    if skill.startswith("tool_call"):
        return tool_calls(text) == conv.key["calls"]
    if skill == "json":
        try:
            return json.loads(text) == conv.key
        except ValueError:
            return False
    if skill == "code":
        try:
            ast.parse(text.split("```python\n")[1].split("```")[0])
        except (SyntaxError, IndexError):
            return False
        return conv.key[0] in text
    if skill == "think" and not re.match(r"<think>\n.+\n</think>\n\n", text, re.S):
        return False
    if skill == "no_think" and not text.startswith("<think>\n\n</think>\n\n"):
        return False
    if skill == "tool_none" and "<tool_call>" in text:
        return False
    if conv.key is None:
        return len(text) > 5
    if skill in ("repeat", "french", "counting", "why"):
        return text.strip() == gold.strip()
    if skill in ALL_OF:
        return all(k in text for k in conv.key)
    return any(re.search(re.escape(k) + r"(?!\w)", text) for k in conv.key)


SKILLS = ["greeting", "smalltalk", "capital", "fact", "why", "joke", "counting", "small_sums", "arithmetic", "think", "no_think",
          "repeat", "french", "story", "unknown", "json", "persona", "recall", "long_chat", "tool_call", "tool_call_two",
          "tool_answer", "tool_none", "code"]


def fim_accuracy(run, stop, n, seed):
    """Exact fill-ins, and fill-ins that at least make the function valid Python."""
    r, exact, valid = random.Random(seed), 0, 0
    for _ in range(n):
        while True:
            a, b, c = S.fim(r)
            if c.strip():
                break
        out = run.text([i for i in run.greedy(run.tokens(f"<|fim_prefix|>{a}<|fim_suffix|>{b}<|fim_middle|>"), stop, 80) if i not in stop])
        exact += out.rstrip() == c.rstrip()
        try:
            ast.parse(a + out + b)
            valid += 1
        except SyntaxError:
            pass
    return exact / n, valid / n


def evaluate(run, n=40, seed=99, skills=SKILLS, verbose=False):
    stop = {run.tokens("<|im_end|>")[0], run.tokens("<|endoftext|>")[0]}
    report, misses = {}, {}
    for skill in skills:
        r, good = random.Random(seed), 0
        for _ in range(n):
            c = held_conv(skill, r)
            p = prompt(c)
            out = run.text([i for i in run.greedy(run.tokens(p), stop, 220) if i not in stop])
            ok = right(skill, c, out)
            good += ok
            if not ok:
                misses.setdefault(skill, []).append((p[-160:], out, c.messages[-1]["content"] or c.key))
        report[skill] = round(good / n, 3)
        if verbose:
            print(skill, report[skill], flush=True)
            for x in misses.get(skill, [])[:2]:
                print("    ", *map(repr, x), sep="\n      ", flush=True)
    report["fim_exact"], report["fim_valid_python"] = (round(x, 3) for x in fim_accuracy(run, stop, n, seed))
    if verbose:
        print("fim", report["fim_exact"], report["fim_valid_python"])
    return report


if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("model")
    a.add_argument("--n", type=int, default=40)
    a.add_argument("--out")
    a.add_argument("--quiet", action="store_true")
    a.add_argument("--skills", nargs="*", default=SKILLS)
    a = a.parse_args()
    rep = evaluate(Runner(a.model), a.n, skills=a.skills, verbose=not a.quiet)
    print(json.dumps(rep))
    if a.out:
        open(a.out, "w").write(json.dumps(rep, indent=1) + "\n")
