"""Which request comes next, by lot."""

import random
from collections.abc import Sequence
from typing import Any, Final

from tests.load.visits import Call, Leave
from tests.load.wishes import LOADED, Wish

_KEEP: Final = (None, None, None, 0, "50ms", "1s", "5m", -1)


class Mix:
    """Wishes and their variations. Clients stay with a model for a while: else most of the time would go into loads."""

    def __init__(self, wishes: Sequence[Wish], models: Sequence[str] = LOADED, *, keep: bool = False) -> None:
        """`keep`: nothing is asked that makes a model go or come back otherwise, and nobody else's place is taken."""
        self._models = models
        self._keep = keep
        self.of_model = {model: [one for one in wishes if one.model == model and one.may_vary] for model in models}
        self._others = [one for one in wishes if not one.may_vary and not (keep and one.moves_models)]

    def favourite(self, dice: random.Random, now: str) -> str:
        """The model that a client asks next; `now`: the one it has asked so far, or nothing."""
        return dice.choice(self._models) if now not in self._models or dice.random() < 0.3 else now

    def draw(self, dice: random.Random, favourite: str) -> Call:
        if dice.random() < 0.15:
            return Call(dice.choice(self._others))
        wish = dice.choice(self.of_model[favourite])
        streams = wish.may_stream and dice.random() < 0.6
        more: dict[str, Any] = {"stream": False} if wish.may_stream and not streams else {}
        if (keep := -1 if self._keep else dice.choice(_KEEP)) is not None:
            more["keep_alive"] = keep
        if dice.random() < 0.04 and not self._keep:
            more["options"] = {"num_ctx": dice.choice((1024, 1536))}
        if dice.random() < 0.12:
            leave = dice.choice(list(Leave) if streams else (Leave.ASKING, Leave.WAITING))
            after = dice.randint(1, 30) if leave is Leave.LINES else dice.random() ** 3
            return Call(wish, more, leave, after, rudely=dice.random() < 0.5)
        return Call(wish, more, dawdles=streams and dice.random() < 0.05)
