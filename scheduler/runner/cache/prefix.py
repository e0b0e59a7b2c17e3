"""A radix tree over token sequences: who holds how much of a prompt's beginning?

    ── [system prompt …] ─┬─ [question A, answer A …]   slot 0
                          ├─ [question B …] ─┬─ […]     slot 1
                          │                  └─ […]     kept in host memory
                          └─ [question C …]             slot 2

An edge carries a run of tokens, a node the holders whose sequences end there. One walk along a prompt finds who shares
most with it, whatever their number and length.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
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

    def apart_from(self, child: "_Node[HolderT] | None") -> Iterator[HolderT]:
        """Holders here and further down, except beneath `child`."""
        yield from self.holders
        for other in self.children.values():
            if other is not child:
                yield from other.beneath()


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

    def shared(self, tokens: Sequence[int], most: int = sys.maxsize) -> dict[HolderT, int]:
        """How many leading tokens holders have in common with `tokens`: of the `most` that have the most, in falling
        order; those with none are left out."""
        found: dict[HolderT, int] = {}
        for depth, holders in reversed(self._partings(tokens)):
            found.update(dict.fromkeys(islice(holders, most - len(found)), depth))
        return found

    def within(self, tokens: Sequence[int]) -> list[HolderT]:
        """Holders whose whole sequence `tokens` begin with."""
        return [holder for node, depth in self._path(tokens) if depth for holder in node.holders]

    def _partings(self, tokens: Sequence[int]) -> list[tuple[int, Iterator[HolderT]]]:
        """Where sequences part from `tokens`, or end, in ascending order: the depth, and whose."""
        found: list[tuple[int, Iterator[HolderT]]] = []
        for node, depth in self._path(tokens):
            following = node.children.get(tokens[depth]) if depth < len(tokens) else None
            if depth:
                found.append((depth, node.apart_from(following)))
            common = common_prefix(following.label, tokens, depth) if following is not None else 0
            if following is not None and common < len(following.label):
                found.append((depth + common, following.beneath()))
        return found

    def _path(self, tokens: Sequence[int]) -> Iterator[tuple[_Node[HolderT], int]]:
        """The nodes that `tokens` lead through, from the root, with their depth."""
        node: _Node[HolderT] | None = self._root
        depth = 0
        while node is not None:
            yield node, depth
            node = node.children.get(tokens[depth]) if depth < len(tokens) else None
            if node is not None:
                common = common_prefix(node.label, tokens, depth)
                depth += common
                if common < len(node.label):
                    return


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
