"""A radix tree over token sequences: who holds how much of a prompt's beginning?

    ── [system prompt …] ─┬─ [question A, answer A …]   slot 0
                          ├─ [question B …] ─┬─ […]     slot 1
                          │                  └─ […]     kept in host memory
                          └─ [question C …]             slot 2

An edge carries a run of tokens, a node the holders whose sequences end there. One walk along a prompt finds what every
holder shares with it, whatever their number and length.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

HolderT = TypeVar("HolderT")


class _Node(Generic[HolderT]):
    __slots__ = ("children", "holders", "label", "parent")

    def __init__(self, label: list[int], parent: "_Node[HolderT] | None") -> None:
        self.label = label
        self.parent = parent
        self.children: dict[int, _Node[HolderT]] = {}
        self.holders: set[HolderT] = set()

    def beneath(self) -> Iterator[HolderT]:
        """Holders here and further down."""
        waiting: list[_Node[HolderT]] = [self]
        while waiting:
            node = waiting.pop()
            yield from node.holders
            waiting.extend(node.children.values())


class PrefixTree(Generic[HolderT]):
    """Each holder stands for one sequence of tokens."""

    def __init__(self) -> None:
        self._root: _Node[HolderT] = _Node([], None)
        self._places: dict[HolderT, _Node[HolderT]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def insert(self, holder: HolderT, tokens: Sequence[int]) -> None:
        """`holder` now stands for `tokens`, and for nothing else; for none at all it is left out."""
        self.remove(holder)
        if not tokens:
            return
        node: _Node[HolderT] = self._root
        depth = 0
        while depth < len(tokens):
            child = node.children.get(tokens[depth])
            if child is None:
                child = _Node[HolderT](list(tokens[depth:]), node)
                node.children[tokens[depth]] = child
                node, depth = child, len(tokens)
                continue
            shared = common_prefix(child.label, tokens, depth)
            if shared < len(child.label):
                child = _split(child, shared)
            node, depth = child, depth + shared
        node.holders.add(holder)
        self._places[holder] = node

    def remove(self, holder: HolderT) -> None:
        """Forget a holder; one that is not here is none."""
        node = self._places.pop(holder, None)
        if node is None:
            return
        node.holders.discard(holder)
        while node.parent is not None and not node.holders and not node.children:
            del node.parent.children[node.label[0]]
            node = node.parent
        if node.parent is not None and not node.holders and len(node.children) == 1:
            _join(node)

    def shared(self, tokens: Sequence[int]) -> dict[HolderT, int]:
        """How many leading tokens each holder has in common with `tokens`; those with none are left out."""
        found: dict[HolderT, int] = {}
        node, depth = self._root, 0
        while True:
            following = node.children.get(tokens[depth]) if depth < len(tokens) else None
            if depth:
                found.update(dict.fromkeys(node.holders, depth))
                for child in node.children.values():
                    if child is not following:
                        found.update(dict.fromkeys(child.beneath(), depth))
            if following is None:
                return found
            common = common_prefix(following.label, tokens, depth)
            depth += common
            if common < len(following.label):
                found.update(dict.fromkeys(following.beneath(), depth))
                return found
            node = following


def _split(node: _Node[HolderT], at: int) -> _Node[HolderT]:
    """Put a node in the middle of the edge that leads to `node`, after `at` tokens."""
    parent = node.parent
    assert parent is not None, "the root has no edge"
    upper: _Node[HolderT] = _Node(node.label[:at], parent)
    parent.children[upper.label[0]] = upper
    node.label, node.parent = node.label[at:], upper
    upper.children[node.label[0]] = node
    return upper


def _join(node: _Node[HolderT]) -> None:
    """Make one edge of the one that leads to `node` and the only one that leaves it."""
    parent = node.parent
    assert parent is not None, "the root has no edge"
    (child,) = node.children.values()
    child.label, child.parent = node.label + child.label, parent
    parent.children[child.label[0]] = child


def common_prefix(stored: Sequence[int], prompt: Sequence[int], offset: int = 0) -> int:
    """Length of what `stored` and `prompt[offset:]` begin with together, by bisection over slices (which compare at C
    speed)."""
    low, high = 0, min(len(stored), len(prompt) - offset)
    if stored[:high] == prompt[offset : offset + high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if stored[low:middle] == prompt[offset + low : offset + middle]:
            low = middle
        else:
            high = middle
    return low
