"""The cpu target of the Dockerfile, built and run without Docker.

Its RUN lines are executed in a scratch root: an overlay over this machine's own root, where changes vanish with the
test. As far as they go: without the right to mount there is only the shell's word that the lines can be read, which the
unit test has. One thing is left out even then: a library for each processor. A single one takes the same way.
"""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dockerfile import Stage, read

ROOT = Path(__file__).parents[2]
STAGES = read()
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ONE_VARIANT = "-DGGML_CPU_ALL_VARIANTS=OFF"
_PASSED_ON = re.compile(r"(?i)^(https?_proxy|no_proxy|pip_.*|ssl_cert_.*)$")

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


class ScratchRoot:
    """A root directory over this machine's, made in a mount namespace of its own by each script that runs in it."""

    def __init__(self, folder: Path) -> None:
        self.top = folder / "top"
        self.log = folder / "log"
        for name in ("top/upper", "top/work", "root"):
            (folder / name).mkdir(parents=True)
        self.mount = folder / "root"

    @staticmethod
    def possible() -> bool:
        """Whether this process may mount overlays."""
        probe = ["unshare", "--mount", "--pid", "--fork", "true"]
        return os.geteuid() == 0 and subprocess.run(probe, check=False, capture_output=True).returncode == 0

    def script(self, body: str) -> list[str]:
        """The command that runs lines of shell with the root mounted."""
        options = f"lowerdir=/,upperdir={self.top}/upper,workdir={self.top}/work"
        head = f"set -e\nmount -t overlay overlay -o {options} {self.mount}\n"
        head += f"mount -t proc proc {self.mount}/proc\nmount --rbind /dev {self.mount}/dev\n"
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", head + body]

    def enter(self, environment: dict[str, str], line: str) -> str:
        """A line of shell that runs another inside."""
        passed = {name: value for name, value in os.environ.items() if _PASSED_ON.match(name)}
        variables = {"HOME": "/root", "PATH": PATH, **passed, **environment}
        words = [f"{name}={value}" for name, value in variables.items()]
        return shlex.join(["chroot", str(self.mount), "env", "-i", *words, "sh", "-c", line])


def steps(scratch: ScratchRoot, stage: Stage, **overrides: str) -> Iterator[str]:
    """A stage as lines of shell. Copies between stages need nothing: they share the root."""
    folder = "/"
    for instruction in stage.instructions:
        text = instruction.text
        if instruction.name == "WORKDIR":
            folder = text
            yield f"mkdir -p {scratch.mount}{folder}"
        elif instruction.name == "COPY" and not text.startswith("--from"):
            *sources, target = text.split()
            places = " ".join(shlex.quote(str(ROOT / source)) for source in sources)
            yield f"cp -r {places} {scratch.mount}{Path(folder, target if len(sources) > 1 else '.')}"
        elif instruction.name == "RUN":
            yield scratch.enter({**stage.environment, **overrides}, f"cd {folder} && {text}")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> ScratchRoot | None:
    """The root after both stages of the cpu target; None on machines where none can be mounted."""
    if not ScratchRoot.possible():
        return None
    scratch = ScratchRoot(tmp_path_factory.mktemp("docker"))
    lines = [*steps(scratch, STAGES["build-cpu"], CMAKE_ARGS=ONE_VARIANT), *steps(scratch, STAGES["cpu"])]
    with scratch.log.open("wb") as log:
        done = subprocess.run(scratch.script("\n".join(lines)), stdout=log, stderr=log, check=False)
    assert done.returncode == 0, scratch.log.read_text(errors="replace")[-4000:]
    return scratch


def run(image: ScratchRoot, line: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        image.script(image.enter(environment, line)), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_image_has_what_it_needs_and_no_more(image: ScratchRoot | None) -> None:
    if image is None:
        return
    listing = run(image, "ls -R /opt/llamad; ls -l /usr/bin/ollama; cat /opt/llamad/llamad-build.json", {})
    assert "libggml-cpu" in listing
    assert "sapphirerapids" not in listing
    assert "tinychat.gguf" in listing
    assert '"isa": "portable"' in listing
    assert "/usr/bin/ollama -> /opt/llamad/bin/llamad" in listing
    for unneeded in ("pyright", "pytest", "cmake", "hypothesis"):
        assert f"/site-packages/{unneeded}:" not in listing


def test_the_image_serves_a_model_and_ends_on_sigterm_as_process_1(image: ScratchRoot | None) -> None:
    if image is None:
        return
    stage = STAGES["cpu"]
    command = " ".join([*stage.exec_form("ENTRYPOINT"), *stage.exec_form("CMD")])
    environment = {**stage.environment, "OLLAMA_HOST": "127.0.0.1:0"}
    # Both shells give way to what they start, so that the daemon is process 1 of its namespace, as in a container.
    inside = "exec " + image.enter(environment, f"exec {command}")
    serving = subprocess.Popen(image.script(inside), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert serving.stderr is not None
    said: list[str] = []
    try:
        address = ""
        for line in serving.stderr:
            said.append(line)
            if found := re.search(r"Listening on (127\.0\.0\.1:\d+)", line):
                address = found[1]
                break
        assert address, "".join(said)
        answer = run(image, 'ollama run tinychat "hello"', {"OLLAMA_HOST": address})
        assert answer.strip()
        children = Path(f"/proc/{serving.pid}/task/{serving.pid}/children").read_text().split()
        assert len(children) == 1
        os.kill(int(children[0]), signal.SIGTERM)
        said += serving.stderr
        assert serving.wait(30) == 0, "".join(said)
    finally:
        serving.kill()
        serving.wait()
        serving.stderr.close()
