"""What goes wrong when weights are quantised.

    modelstore.errors.CreateError
    ├── UnsupportedType    no type of that name, or one that cannot be made here
    └── QuantizeFailed     the engine refused the weights, or its process ended

Both have the status 500, as in the reference. A disk without room is `modelstore.errors.DiskFull`.
"""

from modelstore.errors import CreateError


class UnsupportedType(CreateError):
    """`name` in upper case, as it was asked for."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message, status=500)
        self.name = name


class QuantizeFailed(CreateError):
    """`reason` is in the engine's words, without paths."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"quantization failed: {reason}", status=500)
        self.reason = reason
