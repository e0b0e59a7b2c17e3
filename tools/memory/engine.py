"""What the engine takes for a model, in a process of its own: `python -m tools.memory.engine FILE OPTIONS`.

A file without weights is opened without memory for weights and cache (`no_alloc`): the engine plans everything and says
how large it would be. States of recurrent layers and the output buffer it allocates nevertheless. A real one is loaded
as the runner loads it, and the sizes are those of the buffers that the engine reports.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

_SIZES: Final = re.compile(r"^\w+:\s+(\S+)\s+(model|RS|compute|output) buffer size\s*=\s*([\d.]+) MiB")
_CACHE: Final = re.compile(r"^(?!llama_memory_recurrent)\w+: size =\s+([\d.]+) MiB .*cells,")
_TYPES: Final = {"f16": 1, "q4_0": 2, "q8_0": 8, "f32": 0, "bf16": 30}
_FLASH: Final = {None: -1, False: 0, True: 1}


@dataclass(frozen=True, slots=True)
class Options:
    """A context as the runner opens it."""

    cells: int
    sequences: int
    batch: int
    physical_batch: int
    flash_attention: bool | None = None
    kv_type: str = "f16"
    embedding: bool = False
    allocate: bool = False
    """Load it, weights and all."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes, by kind."""

    weights: int
    """Each tensor once. Weights that the processor's kernels want in another order are copied from the mapped file; the
    runner gives the pages of the originals back (scheduler/runner/engine/mapping.py)."""
    kv: int
    """States included."""
    compute: int
    output: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.compute + self.output


def ask(path: Path, options: Options) -> Sizes:
    """Let a process find out. Raises `RuntimeError` with the engine's log where it refuses."""
    command = [sys.executable, "-m", "tools.memory.engine", str(path), json.dumps(asdict(options))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    if done.returncode:
        raise RuntimeError("\n".join(done.stderr.splitlines()[-12:]))
    return Sizes(**json.loads(done.stdout))


def plan(path: str, options: Options) -> Sizes:
    """Open model and context in this process, which is good for nothing else afterwards."""
    from scheduler.runner.engine.library import ready

    lib, lines = ready(), list[str]()

    @lib.llama_log_callback
    def receive(_level: int, text: bytes, _user: object) -> None:
        lines.append(text.decode("utf-8", "replace"))

    lib.llama_log_set(receive, None)
    params = lib.llama_model_default_params()
    params.n_gpu_layers = 0
    if not options.allocate:
        params.load_mode, params.no_alloc = 0, True
    model = lib.llama_model_load_from_file(path.encode(), params)
    context = lib.llama_init_from_model(model, _context(lib, options)) if model else None
    if not context:
        sys.exit("".join(lines))
    kinds = _read("".join(lines).splitlines())
    weights = kinds["model"] if options.allocate else lib.llama_model_size(model)
    return Sizes(weights, kinds["KV"] + kinds["RS"], kinds["compute"], kinds["output"])


def _context(lib: Any, options: Options) -> Any:
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_seq_max = options.cells, options.sequences
    params.n_batch, params.n_ubatch = options.batch, options.physical_batch
    params.flash_attn_type = _FLASH[options.flash_attention]
    params.type_k = params.type_v = _TYPES[options.kv_type]
    params.swa_full = False
    params.kv_unified = params.embeddings = options.embedding
    params.pooling_type = -1 if options.embedding else 0
    return params


def _read(lines: Sequence[str]) -> dict[str, int]:
    sizes: defaultdict[str, int] = defaultdict(int)
    for line in lines:
        if (found := _SIZES.match(line)) and found[1] != "CPU_REPACK":
            sizes[found[2]] += round(float(found[3]) * (1 << 20))
        elif found := _CACHE.match(line):
            sizes["KV"] += round(float(found[1]) * (1 << 20))
    return sizes


if __name__ == "__main__":
    print(json.dumps(asdict(plan(sys.argv[1], Options(**json.loads(sys.argv[2]))))))
