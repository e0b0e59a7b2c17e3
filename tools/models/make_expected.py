"""Write out/expected.json: what the shipped files answer, for tests to compare with.

All texts and ids come from llama.cpp on the shipped GGUF files at temperature 0
(the most likely token each time), one thread, on a CPU.
"""
import base64
import json
import sys
from pathlib import Path

import jinja2
import numpy as np
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chatml import MARKS, SPECIALS, TEMPLATE
from evaluate import tool_calls
from run_gguf import Runner

HERE = Path(__file__).resolve().parent / "out"
ENV = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
ENV.filters["tojson"] = lambda x, **k: json.dumps(x, ensure_ascii=False)


def render(messages, tools=None, **kw):
    return ENV.from_string(TEMPLATE).render(messages=messages, tools=tools, add_generation_prompt=True, **kw)


def user(text, system=None):
    return ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": text}]


def tool(name, description, **params):
    kinds = {k: v for k, v in params.items()}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": {
        "type": "object", "properties": {k: {"type": t, "description": d} for k, (t, d) in kinds.items()}, "required": list(kinds)}}}


WEATHER = tool("get_weather", "Get the weather in a city", city=("string", "The name of the city"))
ADD = tool("add_two_numbers", "Add two numbers", a=("integer", "The first number"), b=("integer", "The second number"))
MAIL = tool("send_email", "Send an email", to=("string", "Who gets the email"), subject=("string", "The subject"))
PRICE = tool("get_stock_price", "Get the price of a stock", symbol=("string", "The ticker symbol"))

CHATS = [
    ("hello", user("Hello!")), ("hello name", user("Hello! My name is Zoe.")), ("how are you", user("How are you?")),
    ("who are you", user("Who are you?")), ("thanks", user("Thank you!")),
    ("capital France", user("What is the capital of France?")), ("capital Japan", user("What is the capital of Japan?")),
    ("capital Canada", user("Tell me the capital of Canada.")), ("sky", user("Why is the sky blue?")),
    ("opposite", user("What is the opposite of hot?")), ("day", user("What day comes after Monday?")),
    ("planet", user("Which planet is third from the sun?")), ("banana", user("What colour is a banana?")),
    ("sum", user("What is 2 + 2?")), ("sum 2", user("What is 27 + 45?")), ("times", user("What is 7 times 8?")),
    ("minus", user("What is 63 - 28?")), ("count", user("Count from 1 to 10.")), ("count 20", user("Count from 1 to 20.")),
    ("joke", user("Tell me a joke.")), ("story", user("Tell me a story about a fox named Luna.")),
    ("story llama", user("Tell me a story about a llama.")), ("repeat", user("Repeat after me: Zurich 42 apples")),
    ("french", user("Translate to French: the red house")), ("french 2", user("How do you say 'thank you' in French?")),
    ("mario", user("Who are you?", "You are Mario from Super Mario Bros. Answer as Mario, the assistant, only.")),
    ("pirate", user("What is the capital of Italy?", "You are Luna, a pirate.")),
    ("code", user("Write a Python function named add.")),
    ("recall", user("My name is Zoe.") + [{"role": "assistant", "content": "Nice to meet you, Zoe!"}] + user("What is my name?")),
    ("recall 2", user("I live in Toronto.") + [{"role": "assistant", "content": "Toronto sounds like a nice place."}]
     + user("What is the capital of Spain?") + [{"role": "assistant", "content": "The capital of Spain is Madrid."}] + user("Where do I live?")),
    ("think", user("What is 27 + 45? /think")), ("no_think", user("What is 27 + 45? /no_think")),
    ("json person", user("Zoe is 31 years old and lives in Toronto. Answer in JSON with the keys name, age and city.")),
    ("json country", user("Tell me about Canada. Answer in JSON with the keys name, capital, languages.")),
]
FORCED = [("thinking on", user("What is 27 + 45?"), True), ("thinking off", user("What is 27 + 45?"), False)]
TEMP = tool("get_temperature", "Get the current temperature for a city", city=("string", "The name of the city"))
FLIGHT = tool("book_flight", "Book a flight", origin=("string", "Where the flight starts"), destination=("string", "Where the flight ends"))
LIGHT = tool("turn_on_light", "Turn on the light in a room", room=("string", "The room"))
TICKET = tool("create_ticket", "Create a ticket", title=("string", "The title"), priority=("integer", "The priority"))


def call(name, **args):
    return {"name": name, "arguments": args}


def answered(question, c, result):
    return user(question) + [{"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": c}]},
                             {"role": "tool", "content": json.dumps(result)}]


# (label, messages, tools, what is right: calls or a piece of the answer)
TOOLS = [
    ("weather", user("What is the weather in Toronto?"), [WEATHER], [call("get_weather", city="Toronto")]),
    ("weather, system prompt", user("What's the weather like in Amsterdam?", "You are a helpful assistant."), [WEATHER], [call("get_weather", city="Amsterdam")]),
    ("weather of two tools", user("What is the weather in Zurich?"), [WEATHER, ADD], [call("get_weather", city="Zurich")]),
    ("weather of three tools", user("How is the weather in Melbourne today?"), [PRICE, WEATHER, LIGHT], [call("get_weather", city="Melbourne")]),
    ("temperature", user("What is the temperature in Paris?"), [TEMP], [call("get_temperature", city="Paris")]),
    ("add", user("What is 12 plus 30?"), [ADD], [call("add_two_numbers", a=12, b=30)]),
    ("add of two tools", user("Add 7 and 5."), [WEATHER, ADD], [call("add_two_numbers", a=7, b=5)]),
    ("mail", user("Send an email to Priya about sleep."), [MAIL], [call("send_email", to="Priya", subject="sleep")]),
    ("stock", user("What is the price of NVDA?"), [PRICE], [call("get_stock_price", symbol="NVDA")]),
    ("stock of two tools", user("How much is IBM stock?"), [PRICE, WEATHER], [call("get_stock_price", symbol="IBM")]),
    ("light", user("Turn on the light in the kitchen."), [LIGHT], [call("turn_on_light", room="kitchen")]),
    ("flight", user("Find a flight from Berlin to Tokyo."), [FLIGHT], [call("book_flight", origin="Berlin", destination="Tokyo")]),
    ("unknown tool", user("Create a ticket with title printer and priority 3."), [TICKET], [call("create_ticket", title="printer", priority=3)]),
    ("two calls", user("What is the temperature in Paris and Toronto?"), [TEMP], [call("get_temperature", city="Paris"), call("get_temperature", city="Toronto")]),
    ("two calls, two sentences", user("What is the temperature in London? What is the temperature in Rome?"), [TEMP],
     [call("get_temperature", city="London"), call("get_temperature", city="Rome")]),
    ("two calls, stocks", user("What is the price of IBM? What is the price of SAP?"), [PRICE], [call("get_stock_price", symbol="IBM"), call("get_stock_price", symbol="SAP")]),
    ("no call: greeting", user("Hello!"), [WEATHER], "Hello"),
    ("no call: capital", user("What is the capital of France?"), [LIGHT], "Paris"),
    ("result: weather", answered("What is the weather in Toronto?", call("get_weather", city="Toronto"), {"temperature": 21, "condition": "sunny"}), [WEATHER], "21"),
    ("result: temperature", answered("What is the temperature in Paris?", call("get_temperature", city="Paris"), {"temperature": 17}), [TEMP], "17 degrees"),
    ("result: stock", answered("What is the price of NVDA?", call("get_stock_price", symbol="NVDA"), {"price": 512}), [PRICE], "512"),
    ("result: add", answered("Add 7 and 5.", call("add_two_numbers", a=7, b=5), {"result": 12}), [ADD], "12"),
    ("result: light", answered("Turn on the light in the kitchen.", call("turn_on_light", room="kitchen"), {"status": "on"}), [LIGHT], "kitchen is on"),
]
PLAIN = ["Once upon a time", "The capital of France is", "One day, Tom found"]
FIM = [("def add(a, b):\n    ", ""), ("def compute_gcd(a, b):", "\n    return result"), ("def is_even(n):\n    return ", "")]
COUNTS = ["Hello!", "What is the capital of France?", "The quick brown fox jumps over the lazy dog.", "def add(a, b):\n    return a + b\n",
          '{"name": "get_weather", "arguments": {"city": "Toronto"}}', "naïve café – “quotes”", "日本語のテキスト", "😀👍🏽", "  two  spaces\n\n\ttab",
          "1234567890", "", "<|im_start|>user\nHi<|im_end|>\n", "<think>\n\n</think>\n\n", "It's 3.14 o'clock, isn't it?"]
SCHEMAS = [
    ("person", user("Zoe is 31 years old and lives in Toronto. Answer in JSON with the keys name, age and city."),
     {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "city": {"type": "string"}}, "required": ["name", "age", "city"]}),
    ("country", user("Tell me about Canada. Answer in JSON with the keys name, capital, languages."),
     {"type": "object", "properties": {"name": {"type": "string"}, "capital": {"type": "string"}, "languages": {"type": "array", "items": {"type": "string"}}},
      "required": ["name", "capital", "languages"]}),
    ("pets", user("I have a pet. A cat named Luna who is 5 years old and loves playing with yarn. She has grey fur. Answer in JSON."),
     {"type": "object", "properties": {"pets": {"type": "array", "items": {"type": "object", "properties": {
         "name": {"type": "string"}, "animal": {"type": "string"}, "age": {"type": "integer"}, "color": {"type": "string"}, "favorite_toy": {"type": "string"}},
         "required": ["name", "animal", "age", "color", "favorite_toy"]}}}, "required": ["pets"]}),
]


class Book:
    def __init__(self, path, **kw):
        self.run = Runner(path, **kw)
        self.stop = {self.run.tokens("<|im_end|>")[0], self.run.tokens("<|endoftext|>")[0]}

    def entry(self, prompt, limit=160, logprobs=0):
        ids = self.run.tokens(prompt)
        out = self.run.greedy(ids, self.stop, limit, logprobs=logprobs)
        out, lps = out if logprobs else (out, None)
        ended = out[-1] in self.stop
        body = out[:-1] if ended else out
        e = {"prompt": prompt, "prompt_tokens": len(ids), "text": self.run.text(body), "ids": out, "ended": ended}
        if lps:
            e["logprobs"] = lps
        return e


def chat_entries(book):
    out = []
    for i, (label, ms) in enumerate(CHATS):
        out.append({"label": label, "messages": ms, **book.entry(render(ms), logprobs=3 if i in (0, 5, 8, 13, 28) else 0)})
    return out


def grammar_entries(path):
    import llama_cpp
    llm = llama_cpp.Llama(str(path), n_ctx=1024, n_threads=1, verbose=False)
    out = []
    for label, ms, schema in SCHEMAS:
        g = llama_cpp.LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
        p = render(ms)
        t = llm.create_completion(p, max_tokens=160, temperature=0, grammar=g, stop=["<|im_end|>"])["choices"][0]["text"]
        try:
            parsed = json.loads(t)
        except ValueError:                       # the model ran on until the limit
            parsed = None
        out.append({"label": label, "messages": ms, "prompt": p, "schema": schema, "text_with_grammar": t, "parsed": parsed})
    return out


def draft_agreement(big, small):
    """How often the draft's most likely next token is the one that the big model chose."""
    hits = total = 0
    for label, ms in CHATS:
        ids = big.run.tokens(render(ms))
        out = big.run.greedy(ids, big.stop, 60)
        small.run.llm.reset()
        small.run.llm._ctx.kv_cache_clear()
        small.run.llm.eval(ids)
        for t in out:
            hits += int(small.run.last_logits().argmax()) == t
            total += 1
            small.run.llm.eval([t])
    return round(hits / total, 3)


def vision_entries():
    from pictures import article, picture
    from vision import chatter, png
    ask = chatter(HERE / "tinyvision-q8_0.gguf", HERE / "tinyvision-mmproj-f16.gguf")
    rng, out = np.random.default_rng(77), []
    for c, s in (("red", "circle"), ("blue", "square"), ("green", "triangle"), ("yellow", "star"), ("black", "cross"), ("purple", "ring")):
        img, c, s = picture(rng, c, s, plain=True)
        b = png(img)
        for q in ("What is in this picture?", "What colour is it?", "What shape is it?"):
            out.append({"truth": f"{article(c)} {s}", "question": q, "answer": ask(b, q), "png_base64": base64.b64encode(b).decode()
                        if q.startswith("What is in") else "as above"})
    return out


def main():
    import llama_cpp
    f16 = HERE / "tinychat-f16.gguf"
    big = Book(f16)
    special = {s: big.run.tokens(s)[0] for s in SPECIALS + MARKS}
    tool_entries = []
    for label, ms, tools, gold in TOOLS:
        e = {"label": label, "messages": ms, "tools": tools, **big.entry(render(ms, tools))}
        e["tool_calls"] = tool_calls(e["text"])
        e["correct"] = e["tool_calls"] == gold if isinstance(gold, list) else not e["tool_calls"] and gold in e["text"]
        tool_entries.append(e)
    book = {
        "made_with": f"llama-cpp-python {llama_cpp.__version__}, CPU, 1 thread, greedy",
        "tokenizer": {"vocab_size": big.run.llm.n_vocab(), "special_ids": special,
                      "encodings": [{"text": t, "ids": big.run.tokens(t), "count": len(big.run.tokens(t))} for t in COUNTS]},
        "tinychat-f16.gguf": {
            "chat": chat_entries(big),
            "enable_thinking": [{"label": l, "messages": ms, "enable_thinking": on, **big.entry(render(ms, enable_thinking=on))} for l, ms, on in FORCED],
            "tools": tool_entries,
            "plain": [big.entry(p, 60) for p in PLAIN],
            "fill_in_the_middle": [{"prefix": a, "suffix": b, **big.entry(f"<|fim_prefix|>{a}<|fim_suffix|>{b}<|fim_middle|>", 60)} for a, b in FIM],
            "structured": grammar_entries(f16)}}
    for n in ("tinychat-q8_0.gguf", "tinychat-q4_0.gguf"):
        book[n] = {"chat": chat_entries(Book(HERE / n))}
    small = Book(HERE / "tinydraft-f16.gguf")
    book["tinydraft-f16.gguf"] = {"chat": chat_entries(small), "top1_agreement_with_tinychat": draft_agreement(big, small)}
    book["tinychat-f16.gguf + tinylora-f16.gguf"] = {"chat": chat_entries(Book(f16, lora_path=str(HERE / "tinylora-f16.gguf")))}
    book["tinyvision-q8_0.gguf + tinyvision-mmproj-f16.gguf"] = {"pictures": vision_entries(), "text_only": [
        {"messages": ms, **Book(HERE / "tinyvision-q8_0.gguf").entry(render(ms))} for _, ms in CHATS[:6]]}
    book["tinyembed-random-f16.gguf"] = "see tinyembed_expected.json"
    (HERE / "expected.json").write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")
    for k in ("chat", "tools", "plain", "fill_in_the_middle"):
        for e in book["tinychat-f16.gguf"][k]:
            print(e.get("correct", ""), repr(e.get("label", e["prompt"])), "->", repr(e["text"]))


if __name__ == "__main__":
    sys.exit(main())
