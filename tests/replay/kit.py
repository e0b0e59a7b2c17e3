"""Sends one request, turns the answer into a vector's `response`, and compares two of those.

A vector is a dict: name, note?, before?, request, after?, compare?, response; README.md here explains them.
"""

import base64
import copy
import datetime
import difflib
import gzip
import hashlib
import json
import re
import struct
import time
from pathlib import Path

import httpx

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "models"
HEADERS = (
    "allow",
    "location",
    "vary",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "cache-control",
    "content-type",
)


# -- talking to a server --------------------------------------------------------------------------


class Server:
    def __init__(self, base_url, models):
        self.base = base_url.rstrip("/")
        self.http = httpx.Client(timeout=300, trust_env=False)
        self.models = models
        self.digests = {}  # hex digest of a weights layer -> placeholder
        self.files = {f: file_path(f) for m in models for f in m["files"]}

    def send(self, request):
        if "unload_all" in request:
            return self.unload_all()
        if "sleep" in request:
            return time.sleep(request["sleep"])
        headers = dict(request.get("headers", {}))
        content = None
        if "json" in request:
            content = json.dumps(request["json"], ensure_ascii=False).encode()
            headers.setdefault("Content-Type", "application/json")
        elif "body" in request:
            content = request["body"].encode()
        elif "file" in request:
            content = file_path(request["file"]).read_bytes()
        host = self.base.split("://")[1]
        headers = {k: val.replace("<host>", host) for k, val in headers.items()}
        path = request["path"]
        url = httpx.URL(self.base)
        raw = path.encode()
        url = url.copy_with(raw_path=raw)
        r = self.http.build_request(request["method"], url, content=content, headers=headers)
        return self.http.send(r)

    def unload_all(self):
        for _ in range(100):
            loaded = self.http.get(self.base + "/api/ps").json()["models"]
            if not loaded:
                return
            for name in {m["name"] for m in loaded} | {m["create"]["model"] for m in self.models}:
                self.unload(name)
            time.sleep(0.1)
        raise RuntimeError("models stay loaded")

    def unload(self, name):
        self.http.post(self.base + "/api/generate", json={"model": name, "keep_alive": 0})

    def setup(self):
        """Uploads the blobs, creates the models of models.json and learns the weights' digests."""
        for m in self.models:
            for name, digest in m["files"].items():
                if self.http.head(f"{self.base}/api/blobs/{digest}").status_code != 200:
                    r = self.http.post(f"{self.base}/api/blobs/{digest}", content=self.files[name].read_bytes())
                    assert r.status_code in (200, 201), (name, r.status_code, r.text)
            r = self.http.post(self.base + "/api/create", json={**m["create"], "stream": False})
            assert r.status_code == 200, (m["create"]["model"], r.status_code, r.text)
        self.learn()

    def learn(self):
        for m in self.models:
            name = m["create"]["model"]
            text = self.http.post(self.base + "/api/show", json={"model": name}).json().get("modelfile", "")
            found = re.findall(r"^(FROM|ADAPTER) \S*sha256[-:]([0-9a-f]{64})$", text, re.M)
            for i, (_kind, digest) in enumerate(found):
                self.digests.setdefault(digest, f"<{'weights' if i == 0 else 'layer'}:{name}{i or ''}>")


def file_path(name):
    return MODELS / name


def load(area):
    """The vectors of an area (or the list of models)."""
    found = json.loads(gzip.decompress((HERE / "areas" / f"{area}.json.gz").read_bytes()))
    return found["vectors"] if isinstance(found, dict) else found


def check(vector, server):
    """Readable differences between what was recorded and what the server answers now."""
    got = run(vector, server)
    want = canonical(vector["response"], vector, server)
    got = canonical(got, vector, server)
    flags = vector.get("compare", {})
    if got["status"] in flags.get("status_any", []):
        got["status"] = want["status"]
    if flags.get("status_only"):
        return [] if want["status"] == got["status"] else [f"~ .status: {want['status']} -> {got['status']}"]
    return differences(want, got)


# -- answer -> vector response --------------------------------------------------------------------


def response_of(r, server, flags):
    kind = r.headers.get("content-type", "")
    out = {"status": r.status_code, "headers": {}}
    for h in HEADERS:
        values = r.headers.get_list(h)
        if values:
            out["headers"][h] = values[0] if len(values) == 1 else values
    text = r.text
    if r.request.method == "HEAD":
        if "content-length" in r.headers and "/api/tags" not in str(r.url):
            out["headers"]["content-length"] = r.headers["content-length"]
    elif "ndjson" in kind:
        out["events"] = [json.loads(line) for line in text.splitlines() if line.strip()]
    elif "event-stream" in kind:
        out["events"] = sse(text)
    else:
        try:
            out["json"] = json.loads(text) if "json" in kind else None
        except ValueError:
            pass
        if out.get("json") is None:
            out.pop("json", None)
            if text.strip() == "null" and "json" in kind:
                out["json"] = None
            elif text:
                out["text"] = text
    return normalise(out, server, flags)


def sse(text):
    events = []
    for block in re.split(r"\r?\n\r?\n", text):
        if not block.strip():
            continue
        event = {}
        for line in block.splitlines():
            field, _, value = line.partition(":")
            event[field] = value.removeprefix(" ")
        data = event.get("data")
        try:
            data = json.loads(data)
        except (TypeError, ValueError):
            pass
        events.append({"event": event["event"], "data": data} if "event" in event else {"data": data})
    return events


# -- normalisation --------------------------------------------------------------------------------

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$")
IDS = [
    (re.compile(p), n)
    for p, n in (
        (r"^(call_[A-Za-z0-9]{6,}|[A-Za-z0-9]{32})$", "<id:call>"),
        (r"^chatcmpl-[A-Za-z0-9_-]+$", "<id:chatcmpl>"),
        (r"^cmpl-[A-Za-z0-9_-]+$", "<id:cmpl>"),
        (r"^resp_[A-Za-z0-9_-]+$", "<id:resp>"),
        (r"^msg_[A-Za-z0-9_-]+$", "<id:msg>"),
        (r"^rs_[A-Za-z0-9_-]+$", "<id:rs>"),
        (r"^fc_[A-Za-z0-9_-]+$", "<id:fc>"),
        (r"^req_[A-Za-z0-9_-]+$", "<id:req>"),
    )
]
ID_KEYS = {"id", "call_id", "item_id", "request_id", "tool_use_id"}
TIME_KEYS = {"created_at", "modified_at", "expires_at"}
UNIX_KEYS = {"created", "created_at", "completed_at"}


def normalise(value, server, flags, key=None):
    if isinstance(value, dict):
        return {k: normalise(x, server, flags, k) for k, x in value.items()}
    if isinstance(value, list):
        if (len(value) > 64 and key in ("tokens", "scores", "token_type", "merges")) or (
            len(value) > 64 and isinstance(key, str) and key.startswith("tokenizer.")
        ):
            packed = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
            return {"<array>": {"length": len(value), "sha256": hashlib.sha256(packed).hexdigest()}}
        return [normalise(x, server, flags, key) for x in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if key and key.endswith("_duration") and value > 0:
            return "<duration>"
        if key in ("size", "size_vram"):
            return "<size>"
        if key in UNIX_KEYS and value > 1_600_000_000:
            return "<unix-time>"
        return value
    if isinstance(value, str):
        if key in TIME_KEYS and TIME.match(value) and not value.startswith("0001"):
            return "<timestamp:forever>" if int(value[:4]) > 2200 else "<timestamp>"
        if key in ID_KEYS:
            for pattern, name in IDS:
                if pattern.match(value):
                    return name
        if key == "digest" and re.fullmatch(r"[0-9a-f]{64}", value):
            return "<digest>"
        if key == "version":
            return "<version>"
        if key == "embedding":
            raw = base64.b64decode(value)
            return {"<base64 float32>": [round(x, 6) for x in struct.unpack(f"<{len(raw) // 4}f", raw)]}
        return plain(value, server, flags)
    return value


def plain(text, server, flags=()):
    """Machine-dependent parts inside any string."""
    for digest, name in server.digests.items():
        text = text.replace(digest, name)
    text = re.sub(r"(?<=[ \"'(])/[^ \"'\n]*?/blobs/", "<blobs>/", text)
    text = re.sub(r"(?<=[ \"'(])/[^ \"'\n]*?/manifests/(?!latest)", "<manifests>/", text)
    text = re.sub(r"<__ollama_media_[0-9a-f]{32}__>", "<media marker>", text)
    text = text.replace(server.base.split("://")[1], "<host>")
    if "dates" in flags:
        today = datetime.date.today()
        text = text.replace(today.isoformat(), "<date>")
        text = text.replace((today - datetime.timedelta(days=1)).isoformat(), "<yesterday>")
    return text


# -- comparison -----------------------------------------------------------------------------------


def canonical(response, vector, server, strict=False):
    """What is compared: unordered lists sorted, foreign models dropped, streamed text joined."""
    out = copy.deepcopy(response)
    flags = vector.get("compare", {})
    body = out.get("json")
    if flags.get("only_known_models") and isinstance(body, dict):
        known = {full(m["create"]["model"]) for m in server.models}
        for k in ("models", "data"):
            if isinstance(body.get(k), list):
                body[k] = sorted(
                    (m for m in body[k] if full(m.get("name") or m.get("id")) in known),
                    key=lambda m: m.get("name") or m.get("id"),
                )
    if flags.get("sort_parameters") and isinstance(body, dict):
        if isinstance(body.get("parameters"), str):
            body["parameters"] = "\n".join(sorted(body["parameters"].split("\n")))
        if isinstance(body.get("modelfile"), str):
            lines = body["modelfile"].split("\n")
            rest = [x for x in lines if not x.startswith("PARAMETER ")]
            body["modelfile"] = "\n".join(rest + sorted(x for x in lines if x.startswith("PARAMETER ")))
    if strict:
        return out
    if out.get("status", 0) >= 400:
        out["headers"].pop("content-length", None)  # of a HEAD that failed
    if flags.get("engine_text"):
        hide_error_text(body)
        for e in out.get("events", []):
            hide_error_text(e)
    for e in out.get("events", []):
        if isinstance(e, dict) and "layer sha256:" in e.get("status", ""):
            e["status"] = "layer " + e["status"].split()[-1]  # new or existing: depends on the store
    if "events" in out:
        out["events"] = out["events"][-1:] if flags.get("only_last") else join(out["events"])
    if flags.get("text") == "free":
        blank(out)
    return out


FREE = ("response", "content", "context", "eval_count", "done_reason", "thinking")


def blank(value):
    """Replaces sampled or noisy text and what depends on it."""
    for k, x in list(value.items()) if isinstance(value, dict) else []:
        if k in FREE:
            value[k] = "<free>"
        blank(x)
    for x in value if isinstance(value, list) else []:
        blank(x)


def full(name):
    return name if ":" in (name or "").rsplit("/", 1)[-1] else f"{name}:latest"


def hide_error_text(body):
    if not isinstance(body, dict) or "error" not in body:
        return
    if isinstance(body["error"], dict):
        body["error"]["message"] = "<engine text>"
    else:
        body["error"] = "<engine text>"


def join(events):
    """Joins neighbouring stream events that differ only in their piece of text."""
    out = []
    for e in copy.deepcopy(events):
        if isinstance(e, dict) and isinstance(e.get("data"), dict):
            e["data"].pop("sequence_number", None)
        if out and (a := pieces(out[-1])) and (b := pieces(e)) and a[0] == b[0]:
            holder, k = a[1]
            holder[k] += b[1][0][b[1][1]]
            logprobs(out[-1], e)
            continue
        if pieces(e) is not None or not empty(e):
            out.append(e)
    return out


def empty(e):
    """A native chunk without text, thinking, calls or logprobs: whether it is sent is not significant."""
    if not isinstance(e, dict) or e.get("done") is not False or e.get("logprobs"):
        return False
    m = e.get("message", e)
    return not (m.get("content") or m.get("thinking") or m.get("response") or m.get("tool_calls"))


def pieces(e):
    """(kind, (holder, key)) of the one piece of text in a delta event, else None."""
    d = e.get("data") if "data" in e else e
    if not isinstance(d, dict):
        return None
    if d.get("done") is False:
        m = d.get("message", d)
        if m.get("tool_calls"):
            return None
        texts = [k for k in ("response", "content", "thinking") if m.get(k)]
        if len(texts) == 1:
            return ("native", texts[0]), (m, texts[0])
        return None
    choices = d.get("choices")
    if isinstance(choices, list) and len(choices) == 1 and choices[0].get("finish_reason") is None:
        delta = choices[0].get("delta", choices[0])
        if delta.get("tool_calls"):
            return None
        delta.pop("role", None) if delta.get("role") == "assistant" and "delta" in choices[0] else None
        if "reasoning" in delta and "content" not in delta:
            return ("choice", "reasoning"), (delta, "reasoning")
        for k in ("content", "text"):
            if isinstance(delta.get(k), str) and "reasoning" not in delta:
                return ("choice", k), (delta, k)
        return None
    kind = d.get("type", "")
    if kind.endswith(".delta") and isinstance(d.get("delta"), str):
        return (kind, d.get("output_index")), (d, "delta")
    if kind == "content_block_delta":
        for k in ("text", "thinking", "partial_json"):
            if k in d["delta"]:
                return (kind, d["index"], k), (d["delta"], k)
    return None


def logprobs(first, second):
    a, b = first.get("data", first), second.get("data", second)
    if "choices" in a:
        a, b = a["choices"][0], b["choices"][0]
        if isinstance(a.get("logprobs"), dict) and isinstance(b.get("logprobs"), dict):
            a["logprobs"]["content"] += b["logprobs"]["content"]
    elif a.get("logprobs") or b.get("logprobs"):
        a["logprobs"] = a.get("logprobs", []) + b.get("logprobs", [])


ADDED = {"truncated"}
"""Members that answers have here and the recorded ones do not: clients ignore what they do not know."""


def differences(want, got, path=""):
    """Readable lines, one for each difference; [] when equal."""
    if isinstance(want, dict) and isinstance(got, dict):
        out = []
        for k in dict.fromkeys([*want, *got]):
            where = f"{path}.{k}"
            if k not in got:
                out.append(f"- {where}: {brief(want[k])} (missing)")
            elif k in ADDED:
                continue
            elif k not in want:
                out.append(f"+ {where}: {brief(got[k])} (unexpected)")
            else:
                out += differences(want[k], got[k], where)
        return out
    if isinstance(want, list) and isinstance(got, list):
        if len(want) != len(got):
            return [
                f"~ {path}: {len(want)} items expected, {len(got)} found",
                f"    - {brief(want)}",
                f"    + {brief(got)}",
            ]
        return [
            line for i, (a, b) in enumerate(zip(want, got, strict=False)) for line in differences(a, b, f"{path}[{i}]")
        ]
    if isinstance(want, (int, float)) and isinstance(got, (int, float)) and not isinstance(want, bool):
        if isinstance(want, float) or isinstance(got, float):
            slack = 0.05 if path.endswith("logprob") else 2e-3
            if abs(want - got) <= slack * max(1.0, abs(want)):
                return []
        elif want == got:
            return []
    elif type(want) is type(got) and want == got:
        return []
    if isinstance(want, str) and isinstance(got, str) and ("\n" in want or len(want) > 80):
        lines = difflib.unified_diff(want.splitlines(), got.splitlines(), "expected", "found", lineterm="", n=1)
        return [f"~ {path}:"] + ["    " + line for line in lines]
    return [f"~ {path}: {brief(want)} -> {brief(got)}"]


def brief(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 300 else text[:300] + "…"


def run(vector, server):
    """Performs before, request, after; returns the normalised response of `request`."""
    for step in vector.get("before", []):
        server.send(step)
    try:
        return response_of(server.send(vector["request"]), server, set(vector.get("compare", {})))
    finally:
        for step in vector.get("after", []):
            if step.get("path") == "/api/delete":
                server.unload(step["json"]["model"])
            server.send(step)
