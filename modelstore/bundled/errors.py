"""What a pull refuses.

StoreError
└── PullError
"""

from modelstore.errors import StoreError


class PullError(StoreError):
    """A model that cannot be fetched; the text is what the native API's clients see, `name` the model's short name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason
