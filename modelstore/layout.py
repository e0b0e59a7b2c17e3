"""Where things lie under the models directory. Nothing else joins these paths.

<root>/
  manifests/<host>/<namespace>/<model>/<tag>      one JSON file a model
  blobs/sha256-<64 hex>                           complete blobs
  blobs/sha256-<64 hex>-partial…                  unfinished downloads of other programs; left alone
  blobs/llamad-<32 hex>.tmp                       a blob being written here
  .llamad/                                        ours alone
    partials/sha256-<64 hex>                      data of an unfinished download
    partials/sha256-<64 hex>.journal              which of its ranges are complete
    work/<random>/                                a directory of one conversion, removed with it
"""

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelstore.digest import Digest
from modelstore.errors import InvalidName
from modelstore.names import Name

_TEMPORARY: Final = re.compile(r"llamad-[0-9a-f]{32}\.tmp")


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one store."""

    root: Path

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def manifests(self) -> Path:
        return self.root / "manifests"

    @property
    def private(self) -> Path:
        """The directory that no other program knows."""
        return self.root / ".llamad"

    @property
    def partials(self) -> Path:
        return self.private / "partials"

    @property
    def work(self) -> Path:
        """Parent of the directories that conversions make for themselves."""
        return self.private / "work"

    def blob(self, digest: Digest) -> Path:
        return self.blobs / digest.file_name

    def manifest(self, name: Name) -> Path:
        return self.manifests.joinpath(*name.parts)

    def partial(self, digest: Digest) -> Path:
        return self.partials / digest.file_name

    def journal(self, digest: Digest) -> Path:
        return self.partials / f"{digest.file_name}.journal"

    def temporary(self, directory: Path) -> Path:
        """A new name in `directory` for a file that is renamed once it is complete."""
        return directory / f"llamad-{secrets.token_hex(16)}.tmp"

    def is_temporary(self, path: Path) -> bool:
        """Whether `temporary` made the name."""
        return _TEMPORARY.fullmatch(path.name) is not None

    def name(self, manifest: Path) -> Name:
        """The model whose manifest this is. Raises `InvalidName` for a path of another depth or with bad parts."""
        parts = manifest.relative_to(self.manifests).parts
        if len(parts) != 4:
            raise InvalidName("/".join(parts))
        return Name(*parts)
