"""Where the benchmark keeps what it makes.

$XDG_CACHE_HOME/llamad/bench/        (~/.cache/llamad/bench; takes minutes to make, so it outlives a clone)
├── peers/<key>/                     llama-server, llama-bench and their libraries
├── peers.log                        output of the last build
├── models/<name>-<digest>.gguf      the digest is that of the recipe
└── runs/<name>/                     logs and the daemon's store of the run under way

benchmarks/out/                      a JSON file a run; not in version control
"""

from pathlib import Path
from typing import Final

from tools.install.wheels import cache_folder

ROOT: Final = Path(__file__).resolve().parents[1]
OUT: Final = Path(__file__).resolve().parent / "out"


class Folders:
    """The cache's paths."""

    def __init__(self, base: Path | None = None) -> None:
        self.base = base or cache_folder() / "bench"

    def peers(self, key: str) -> Path:
        """Programs of one build."""
        return self.base / "peers" / key

    @property
    def peers_log(self) -> Path:
        """Output of the last build."""
        return self.base / "peers.log"

    def model(self, name: str, digest: str) -> Path:
        """One model file."""
        return self.base / "models" / f"{name}-{digest}.gguf"

    @property
    def runs(self) -> Path:
        """Logs and stores of runs."""
        return self.base / "runs"
