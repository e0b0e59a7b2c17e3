"""Which variables a template may name at a place, while it is parsed."""


class Scope:
    """The variables that are known at one place. `len()` is a mark to come back to."""

    def __init__(self) -> None:
        self._names = ["$"]
        self._known = {"$"}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        if name not in self._known:
            self._known.add(name)
            self._names.append(name)

    def leave(self, mark: int) -> None:
        """Forgets what was added since the mark."""
        self._known.difference_update(self._names[mark:])
        del self._names[mark:]
