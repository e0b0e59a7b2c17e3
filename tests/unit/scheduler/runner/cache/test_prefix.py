"""The radix tree over what is stored."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scheduler.runner.cache.prefix import PrefixTree, common_prefix

tokens = st.lists(st.integers(0, 2), max_size=12)


def shared(left: list[int], right: list[int]) -> int:
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


class Trees(RuleBasedStateMachine):
    """Whatever is put in and taken out, the tree answers as a list of all sequences would."""

    def __init__(self) -> None:
        super().__init__()
        self.tree: PrefixTree[int] = PrefixTree()
        self.held: dict[int, list[int]] = {}

    @rule(holder=st.integers(0, 5), sequence=tokens)
    def insert(self, holder: int, sequence: list[int]) -> None:
        self.tree.insert(holder, sequence)
        self.held[holder] = sequence

    @rule(holder=st.integers(0, 5))
    def remove(self, holder: int) -> None:
        self.tree.remove(holder)
        self.held.pop(holder, None)

    @rule(prompt=tokens)
    def ask(self, prompt: list[int]) -> None:
        counted = {holder: shared(sequence, prompt) for holder, sequence in self.held.items()}
        found = self.tree.shared(prompt)
        assert found == {holder: count for holder, count in counted.items() if count}
        assert list(found.values()) == sorted(found.values(), reverse=True)

    @rule(prompt=tokens, most=st.integers(0, 4))
    def ask_for_the_best(self, prompt: list[int], most: int) -> None:
        assert list(self.tree.shared(prompt, most).items()) == list(self.tree.shared(prompt).items())[:most]

    @rule(prompt=tokens)
    def ask_for_beginnings(self, prompt: list[int]) -> None:
        beginnings = {holder for holder, held in self.held.items() if held and held == prompt[: len(held)]}
        assert set(self.tree.within(prompt)) == beginnings

    @invariant()
    def holds_what_was_put_in(self) -> None:
        assert len(self.tree) == sum(bool(sequence) for sequence in self.held.values())


TestTrees = Trees.TestCase


def test_a_tree_that_is_emptied_keeps_nothing() -> None:
    tree: PrefixTree[str] = PrefixTree()
    tree.insert("a", [1, 2, 3])
    tree.insert("b", [1, 2, 4])
    tree.remove("a")
    tree.remove("b")
    assert (len(tree), tree.shared([1, 2, 3])) == (0, {})


def test_many_holders_of_one_beginning_are_found_in_one_walk() -> None:
    tree: PrefixTree[int] = PrefixTree()
    trunk = list(range(1000))
    for holder in range(50):
        tree.insert(holder, [*trunk, 5000 + holder, holder])
    found = tree.shared([*trunk, 5007, 7, 1])
    assert found.pop(7) == 1002
    assert set(found.values()) == {1000}


@given(tokens, tokens, st.integers(0, 3))
def test_common_prefix_is_what_counting_gives(left: list[int], right: list[int], offset: int) -> None:
    assert common_prefix(left, right, min(offset, len(right))) == shared(left, right[offset:])
