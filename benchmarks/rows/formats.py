"""What a JSON schema costs: the same daemon and prompts, with a format and without.

The schema is an array of more objects than an answer has room for: names that the model writes freely until the schema
ends them, numbers, choices, lists. Random weights do not know when to stop; the schema's limits make them go on.
"""

import statistics
from typing import Any, Final

from benchmarks import streaming, vocabulary
from benchmarks.ledger import FREE, OURS, Limit, Row
from benchmarks.rows.stand import Group, Stand, Subject, subjects_of
from benchmarks.sides import Asking

SCHEMA: Final[dict[str, Any]] = {
    "type": "array",
    "minItems": 200,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 8, "maxLength": 40},
            "kind": {"enum": ["animal", "plant", "mineral"]},
            "amount": {"type": "integer"},
            "parts": {"type": "array", "items": {"type": "string", "maxLength": 24}, "minItems": 2, "maxItems": 4},
        },
        "required": ["name", "kind", "amount", "parts"],
        "additionalProperties": False,
    },
}
_PROMPT_WORDS: Final = 64
_ANSWERS: Final = 5
_LIMIT: Final = (Limit(0.95, FREE),)


async def _measure(stand: Stand) -> None:
    for subject in stand.subjects:
        await stand.ours.load(stand.model(subject.shape), proposals=False)
        row = Row(f"{subject.shape.name} decode, JSON schema", "tok/s", more_is_better=True, limits=_LIMIT)
        rates: dict[bool, list[float]] = {False: [], True: []}
        for answer in range(1 + stand.times(_ANSWERS)):
            for bound in (False, True) if answer % 2 else (True, False):
                rates[bound].append(await _rate(stand, subject, answer, bound=bound))
        stand.ledger.note(row, OURS, statistics.median(rates[True][1:]))
        stand.ledger.note(row, FREE, statistics.median(rates[False][1:]))
        await stand.ours.unload()


async def _rate(stand: Stand, subject: Subject, seed: int, *, bound: bool) -> float:
    """Tokens a second between the first and the last one."""
    prompt = vocabulary.prompt(_PROMPT_WORDS, seed)
    asking = Asking(prompt, stand.tokens(subject.answer_tokens), format=SCHEMA if bound else None)
    answer = await streaming.ask_once(stand.ours, asking)
    return (asking.tokens - 1) / (answer.last - answer.first_text)


FORMATS: Final = Group("formats", _measure, shapes=subjects_of)
