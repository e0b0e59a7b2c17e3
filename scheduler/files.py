"""The files that a `Load` frame names."""

import os

from scheduler.frames import Load


def files_of(load: Load) -> list[str]:
    return [*load.weights, *load.projectors, *load.draft, *(path for path, _ in load.adapters)]


def missing_file(load: Load) -> str | None:
    """The first of them that does not exist."""
    return next((path for path in files_of(load) if not os.path.exists(path)), None)
