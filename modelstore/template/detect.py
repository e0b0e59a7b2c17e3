"""Which built-in template fits the chat template of a GGUF.

Known published chat templates are recognised by the SHA-256 of their text. A text that is not among them still counts
as one if it has the marks of its format, none of another, and about the same length. Taking a text for known that is
not would change its model's prompts, while one that is missed is simply rendered itself, so the bounds are narrow.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from modelstore.template.named import NAMED, NamedTemplate

TOLERANCE: Final = 60
"""Characters by which a text may be longer or shorter than the published one."""
FOREIGN: Final = ("<|im_sep|>", "<|end|>", "<think>", "[SYSTEM_PROMPT]", "tool")
"""Marks of other formats: they stand in a text only if they are among the marks of its own."""


@dataclass(frozen=True, slots=True)
class _Published:
    """A chat template as models are published with it."""

    name: str
    length: int
    """In characters."""
    sha256: str
    """The first 32 hex digits, of the UTF-8 text."""
    marks: tuple[str, ...]
    """Stand in every text of this format."""


_CHATML: Final = ("<|im_start|>", "<|im_end|>")
_TAGGED: Final = ("<|user|>", "eos_token")
_INST: Final = ("[INST]", "[/INST]")
_LLAMA2: Final = (*_INST, "<<SYS>>")
_PHI3: Final = ("<|user|>", "<|end|>")
_FALCON: Final = ("Falcon:",)

_INDEX: Final = (
    _Published("chatml", 441, "91aa728ae59c8e30443382f44f48d594", _CHATML),
    _Published("chatml", 291, "58c1a1f04baa7adaeaba1f90267c3d57", _CHATML),
    _Published("zephyr", 410, "66291cf0045c2425a3a667cf3cbb7af2", _TAGGED),
    _Published("chatml", 358, "3ce2fe9753f9a77a601f55dfcab7cd46", _CHATML),
    _Published("openchat", 222, "901b10d47195fadb5692137ecd4b2733", ("GPT4 Correct ",)),
    _Published("chatml", 209, "a805e50fed68938a076b07e2e6026396", _CHATML),
    _Published("chatml", 196, "153280e3ff55d19da1398bdb3914ee2a", _CHATML),
    _Published("chatml", 328, "793202280c0910ab26bc6eb57c8212c2", _CHATML),
    _Published("chatml", 327, "af9c0233881b083b52ff773580215222", _CHATML),
    _Published("zephyr", 306, "bf61473d7119388a9093c4e55e4d8365", _TAGGED),
    _Published("mistral-instruct", 470, "26a59556925c987317ce5291811ba3b7", _INST),
    _Published("starcoder2-instruct", 574, "6de66c5b4eb23df882a50a73aa775946", ("exceptionally intelligent coding",)),
    _Published("llama2-chat", 813, "ea2472f29dbd93c3eb696795f6403228", _LLAMA2),
    _Published("codellama-70b-instruct", 531, "75678d463085865163b4c6dbc28f7178", ("Source: ", "<step>")),
    _Published("mistral-instruct", 477, "7e995b379ec01747807246483647cd99", _INST),
    _Published("chatml", 450, "e6f6e5c192657d1631c2cdf89cd84025", _CHATML),
    _Published("chatml", 306, "f42d04ffb2e487fa9c501ab886afe8fc", _CHATML),
    _Published("chatml", 629, "f02c534193010c4bd1e40fe3dd501147", _CHATML),
    _Published("chatml", 1842, "faf1f8b675beeabd4ddbb89b93bb03f9", _CHATML),
    _Published("alpaca", 1041, "993c0af704bad76aeba4263a5318f787", ("### Instruction:", "<|EOT|>")),
    _Published("chatqa", 459, "8aeba567270fa9a8d5372caf4b04affe", ("User: ", "Assistant: ", "eos_token")),
    _Published("gemma-instruct", 591, "ecd6ae513fe103f0eb62e8ab5bfa8d0f", ("<start_of_turn>", "not supported")),
    _Published("gemma3-instruct", 1532, "7de1c58e208eda46e9c7f86397df37ec", ("<start_of_image>", "first_user_prefix")),
    _Published("llama3-instruct", 389, "ba03a121d097859c7b5b9cd03af99aaf", ("<|start_header_id|>",)),
    _Published(
        "llama3-instruct", 4614, "e10ca381b1ccc5cf9db52e371f3b6651", ("<|start_header_id|>", "tool", "Knowledge Date")
    ),
    _Published("granite-instruct", 376, "e84ee90c8a81a15d98c58d6b541fc5a5", ("Question:\n", "Answer:\n")),
    _Published("magicoder", 571, "230527c8a608cf3a28953748af587809", ("@@ Instruction",)),
    _Published("alfred", 533, "071cfb2d4c797ad44dffad0ced15636e", ("<start_user>", "<end_message>")),
    _Published("llama2-chat", 815, "e8d5b5a546d3f19df16a5320c614fab0", _LLAMA2),
    _Published("phi-3", 254, "605841622bcb6572225608f09ec2afcd", _PHI3),
    _Published("phi-3", 269, "268b6082ceb7176dc6ed80557a2f7837", _PHI3),
    _Published("phi-3", 218, "b0e53f5e7bae6fdb93013abeceef343e", _PHI3),
    _Published("chatqa", 690, "cd3636885332999fc1931dc2a0070f76", ("User: ", "Assistant: ", "System: ")),
    _Published("falcon-instruct", 356, "2c575663fbb6c03a6af2cb20f5e8b3b7", _FALCON),
    _Published("falcon-instruct", 340, "f6084d6ec1cb3238db36169ad4bb1ece", _FALCON),
    _Published("solar-instruct", 409, "b8e5e922a7a4ab5df61a904ef54639a2", ("### System:",)),
    _Published("command-r", 1204, "9db2cf47ce03bfd0aab6ec5994250371", ("<|START_OF_TURN_TOKEN|>",)),
)
_BY_HASH: Final = {published.sha256: published for published in _INDEX}


def detect(chat_template: str) -> NamedTemplate | None:
    """The built-in template for a Jinja chat template, or None for one that is not known."""
    known = _BY_HASH.get(hashlib.sha256(chat_template.encode(errors="replace")).hexdigest()[:32])
    known = known or _closest(chat_template)
    return NAMED[known.name] if known else None


def _closest(text: str) -> _Published | None:
    foreign = {mark for mark in FOREIGN if mark in text}
    alike = [
        published
        for published in _INDEX
        if abs(published.length - len(text)) <= TOLERANCE
        and foreign.issubset(published.marks)
        and all(mark in text for mark in published.marks)
    ]
    # The more marks agree, the surer; among equals the nearest in length.
    return min(alike, key=lambda published: (-len(published.marks), abs(published.length - len(text))), default=None)
