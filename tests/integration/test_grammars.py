"""Matchers over a real vocabulary: tokens of many letters, pieces of characters, control tokens."""

import json
import random
from typing import Any

import numpy as np
import pytest

from scheduler.frames import Constraint
from scheduler.runner.constrain.constraints import ConstraintError, Constraints
from scheduler.runner.engine import EngineLog, Model, ModelParams, Vocabulary
from tests.integration.daemon import MODELS
from tests.unit.scheduler.runner.constrain.schemas import CASES
from tests.unit.scheduler.runner.constrain.test_outline import JSON
from tests.unit.scheduler.runner.constrain.test_schemas import validate

CLOSERS = frozenset([b'"', b"}", b"]", b'"}', b'"]', b"}}", b"]}", b'"]}'])
WORDS = 0.8
"""How often plain words are preferred."""


class Chat:
    """The vocabulary of tinychat, with everything made of it."""

    def __init__(self) -> None:
        self.log = EngineLog()
        model = self.model = Model(ModelParams([str(MODELS / "tinychat-f16.gguf")]), self.log, lambda done: None)
        self.vocabulary: Vocabulary = model.vocabulary
        self.constraints = Constraints(model.vocabulary)
        self.written = model.vocabulary.texts()
        self.closers = {token for token, text in enumerate(self.written) if text.strip() in CLOSERS}
        self.words = {token for token, text in enumerate(self.written) if text.isalnum()}

    def say(self, constraint: Constraint, random: random.Random, most: int = 1500) -> bytes | None:
        """A random text that is let pass, biased towards its end; None when it does not end."""
        matcher = self.constraints.compile(constraint)
        said = b""
        for _ in range(most):
            allowed = self.allowed(matcher.mask())
            assert allowed
            preferred = [(self.vocabulary.end_tokens, 0.9), (self.closers, 0.5), (self.words, WORDS)]
            token = random.choice(allowed)
            for some, chance in preferred:
                if random.random() < chance and (few := [one for one in allowed if one in some]):
                    token = random.choice(few)
                    break
            if token in self.vocabulary.end_tokens:
                return said
            said += self.vocabulary.piece(token)
            if matcher.consume(token):
                assert not matcher.error, said
                return said
        return None

    def allowed(self, mask: Any) -> list[int]:
        return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()

    def passes(self, constraint: Constraint, text: str) -> bool:
        """Whether the text, as the tokenizer cuts it, is let pass to its end."""
        matcher = self.constraints.compile(constraint)
        for token in self.vocabulary.tokenize(text):
            if matcher.active and not matcher.admits(token):
                return False
            if matcher.consume(token):
                return not matcher.error
        return matcher.admits(self.vocabulary.eos_id)


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat()


@pytest.mark.parametrize("name", CASES)
def test_random_texts_validate(chat: Chat, name: str) -> None:
    constraint = Constraint("json_schema", json.dumps(CASES[name].schema))
    texts = [chat.say(constraint, random.Random(f"{name} {seed}")) for seed in range(3)]
    for text in texts:
        if text is not None:
            validate(CASES[name], text.decode())


def test_a_mask_says_the_same_as_single_questions(chat: Chat) -> None:
    for constraint in (Constraint("json_schema", "{}"), Constraint("gbnf", JSON)):
        matcher = chat.constraints.compile(constraint)
        for text in ("{", '"na', 'me"', ":", " [", "1"):
            allowed = set(chat.allowed(matcher.mask()))
            assert allowed == {token for token in range(chat.vocabulary.size) if matcher.admits(token)}
            for token in chat.vocabulary.tokenize(text):
                assert not matcher.consume(token)


def test_control_tokens_are_no_text(chat: Chat) -> None:
    """Though a string may hold the letters of their names."""
    for constraint in (
        Constraint("json_schema", '{"type":"string"}'),
        Constraint("gbnf", 'root ::= "\\"" [^"]* "\\""'),
    ):
        matcher = chat.constraints.compile(constraint)
        (quote,) = chat.vocabulary.tokenize('"')
        matcher.consume(quote)
        allowed = chat.allowed(matcher.mask())
        assert not [token for token in allowed if chat.vocabulary.hides(token)]


class TestGbnf:
    """llama.cpp's own grammars."""

    @pytest.mark.parametrize(
        ("source", "text", "fits"),
        [
            ('root ::= "a" "b"+', "abbb", True),
            ('root ::= "a" "b"+', "abc", False),
            ('root ::= "a" "b"+', "a", False),
            ("root ::= [α-ω]{3}", "αβγ", True),
            ("root ::= [α-ω]{3}", "αβg", False),
            ('root ::= "" | "x" root', "xxxx", True),
            (JSON, '{"a": [1, 2.5e3, "ü\\n", null], "b": {}}', True),
            (JSON, '{"a": [1, 2.5e3, "ü\n"]}', False),
            ('root ::= <|im_start|> "a"', "<|im_start|>a", True),
            ('root ::= "<|im_start|>a"', "<|im_start|>a", False),
        ],
    )
    def test_what_fits(self, chat: Chat, source: str, text: str, fits: bool) -> None:
        assert chat.passes(Constraint("gbnf", source), text) is fits

    def test_random_texts_are_json(self, chat: Chat) -> None:
        texts = [chat.say(Constraint("gbnf", JSON), random.Random(seed), most=60) for seed in range(3)]
        for text in texts:
            if text is not None:
                json.loads(text)

    def test_a_forbidden_token_ends_the_text_not_the_process(self, chat: Chat) -> None:
        matcher = chat.constraints.compile(Constraint("gbnf", 'root ::= "a"'))
        assert matcher.consume(chat.vocabulary.tokenize("b")[0])
        assert matcher.error

    def test_a_grammar_without_a_way_on_lets_the_text_end(self, chat: Chat) -> None:
        matcher = chat.constraints.compile(Constraint("gbnf", "root ::= <[999999]>"))
        assert set(chat.allowed(matcher.mask())) == set(chat.vocabulary.end_tokens)
        assert matcher.error

    @pytest.mark.parametrize(
        "source", ['root ::= root "a"', "root ::= x", "root ::= (((", 'root ::= ("a"{0,45} "b"){45}']
    )
    def test_what_the_engine_cannot_take_is_refused(self, chat: Chat, source: str) -> None:
        with pytest.raises(ConstraintError, match="grammar"):
            chat.constraints.compile(Constraint("gbnf", source))

    def test_it_can_start_late(self, chat: Chat) -> None:
        constraint = Constraint("gbnf", 'root ::= "\\n"* "a" "b"', ["</think>"])
        assert chat.passes(constraint, "what?</think>\n\nab")
        assert not chat.passes(constraint, "what?</think>\n\nac")


def test_a_control_token_can_be_the_mark(chat: Chat) -> None:
    constraint = Constraint("json_schema", '{"type":"object"}', ["<|im_end|>"])
    assert chat.passes(constraint, 'free<|im_end|>{"a": 1}')
    assert not chat.passes(constraint, "free<|im_end|>free")
