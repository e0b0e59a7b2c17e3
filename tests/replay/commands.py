"""Runs the command-line program behind the proxy and checks the areas `modelfile` and `cli`."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.replay import kit
from tests.replay.proxy import Proxy

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SHOWN = ("modelfile", "parameters", "template", "system", "license", "messages")
AGO = r"(Less than a second|About a minute|About an hour|\d+ (?:second|minute|hour|day)s?)"


def run(cli, command, proxy, server, files=None, stdin="", down=False):
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (files or {}).items():
            if isinstance(content, dict):
                shutil.copy(kit.file_path(content["file"]), Path(folder, name))
            else:
                Path(folder, name).write_bytes(content.encode("utf-8", "surrogateescape"))
        env = {
            "HOME": folder,
            "PATH": os.environ["PATH"],
            "OLLAMA_HOST": "127.0.0.1:1" if down else proxy.address,
            "TERM": "dumb",
        }
        for k in ("PYTHONPATH", "VIRTUAL_ENV"):
            if k in os.environ:
                env[k] = os.environ[k]
        done = subprocess.run(
            [*shlex.split(cli), *command], input=stdin.encode(), capture_output=True, cwd=folder, env=env, timeout=120
        )

        def hide(text):
            return text.replace(folder, "<cwd>").replace(proxy.address, "<host>")

        return {
            "exit_code": done.returncode,
            "stdout": output(hide(done.stdout.decode()), server),
            "stderr": progress(hide(done.stderr.decode()), server),
            "requests": proxy.take(),
        }


def output(text, server):
    text = re.sub(r"(version is) \S+", r"\1 <version>", kit.plain(text, server))
    if re.match(r"NAME +ID ", text):
        text = "\n".join(re.sub(r" {2,}", "  ", line.rstrip()) for line in text.split("\n"))
        text = re.sub(AGO + " ago", "<ago>", text)
        text = re.sub(AGO + " from now", "<until>", text)
        if "PROCESSOR" in text:
            text = re.sub(r"\d+(\.\d)? [KMGT]?B", "<size>", text)
    return re.sub(r"\b[0-9a-f]{12}\b", "<12 hex id>", text)


def progress(text, server):
    """Distinct lines of a redrawn display in order of appearance, without escapes, spinners and blanks."""
    text = re.sub(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", "", ESCAPES.sub("\n", kit.plain(text, server)))
    text = re.sub(r"(duration:? +)[\d.]+(ns|µs|ms|s|m[\d.]+s)", r"\1<duration>", text)
    text = re.sub(r"(rate:? +)[\d.]+ tokens/s", r"\1<rate> tokens/s", text)
    text = re.sub(r" \d+%( .*)?$", " <progress>", text, flags=re.M)
    out = []
    for line in re.split(r"[\r\n]+", text):
        line = line.rstrip()
        if line and line not in out:
            out.append(line)
    return out


def shown(server, name):
    r = server.http.post(server.base + "/api/show", json={"model": name})
    body = r.json()
    body = {k: body[k] for k in SHOWN if k in body}
    return kit.canonical({"json": kit.normalise(body, server, ())}, {"compare": {"sort_parameters": True}}, server)[
        "json"
    ]


# -- area modelfile -------------------------------------------------------------------------------


def modelfile(text, cli, proxy, server):
    """CLI: Modelfile -> create request, messages."""
    files = {"Modelfile": text, "bare.gguf": {"file": "bare.gguf"}, "lora.gguf": {"file": "tinylora-f16.gguf"}}
    got = run(cli, ["create", "tmp-mf", "-f", "Modelfile"], proxy, server, files)
    out = {k: got[k] for k in ("exit_code", "stdout", "stderr")}
    for r in got["requests"]:
        if r["path"] == "/api/create":
            out["create"] = r["json"]
    out["stderr"] = [x for x in out["stderr"] if x.startswith("Error")]
    return out


def show_of(create, server):
    """Server: create request -> what show prints back."""
    for name, digest in create.get("files", {}).items() | create.get("adapters", {}).items():
        file = "tinylora-f16.gguf" if "lora" in name else "bare.gguf"
        server.http.post(f"{server.base}/api/blobs/{digest}", content=kit.file_path(file).read_bytes())
    r = server.http.post(server.base + "/api/create", json={**create, "stream": False})
    out = shown(server, create["model"]) if r.status_code == 200 else {"status": r.status_code, **r.json()}
    server.http.request("DELETE", server.base + "/api/delete", json={"model": create["model"]})
    return out


# -- area cli -------------------------------------------------------------------------------------


def command(case, cli, proxy, server):
    for step in case.get("before", []):
        server.send(step)
    try:
        proxy.take()
        return run(
            cli, case["command"], proxy, server, case.get("files"), case.get("stdin", ""), case.get("down", False)
        )
    finally:
        for step in case.get("after", []):
            server.send(step)


def essential(requests):
    """Bodies without empty fields; the old key `name` read as `model`."""
    out = []
    for r in requests:
        body = {k: x for k, x in r.get("json", {}).items() if x not in ("", None, False, {}, [])}
        if "name" in body:
            body["model"] = body.pop("name")
        out.append({**r, "json": body})
    return out


def sorted_rows(text, case):
    if not case.get("any_order"):
        return text
    first, *rest = text.split("\n")
    return "\n".join([first, *sorted(rest)])


def checks(area, vectors, server, cli):
    """(vector, test) pairs; tests that need the command-line program are left out without one."""
    proxy = Proxy(server.base.split("://")[1]) if cli else None
    try:
        for x in vectors:
            if area == "modelfile":
                yield x, lambda x=x: modelfile_test(x, server, cli, proxy)
            elif cli:
                yield x, lambda x=x: command_test(x, server, cli, proxy)
    finally:
        if proxy:
            proxy.close()


def modelfile_test(x, server, cli, proxy):
    out = kit.differences(x["show"], show_of(x["create"], server), ".show") if "create" in x else []
    if cli:
        keys = ("exit_code", "stdout", "stderr", "create")
        got = modelfile(x["modelfile"], cli, proxy, server)
        server.http.request("DELETE", server.base + "/api/delete", json={"model": "tmp-mf"})
        want, got = ({k: y[k] for k in keys if k in y} for y in (x, got))
        for side in (want, got):
            side["create"] = essential([{"json": side.get("create", {})}])
        out += kit.differences(want, got)
    return out


def command_test(x, server, cli, proxy):
    keys = ("exit_code", "stdout", "stderr", "requests")
    got = command(x, cli, proxy, server)
    want = {k: x[k] for k in keys}
    got = {k: got[k] for k in keys}
    for side in (want, got):
        side["stdout"] = sorted_rows(side["stdout"], x)
        side["stderr"] = [line for line in side["stderr"] if not x.get("progress") or line.startswith("Error")]
        side["requests"] = essential(side["requests"])
        side["requests"] = sorted(side["requests"], key=lambda r: r["path"]) if x.get("progress") else side["requests"]
    return kit.differences(want, got)
