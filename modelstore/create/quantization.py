"""Names of quantization types, and what may be asked of a source."""

from typing import Final

from modelstore.errors import CreateError

UNQUANTIZED: Final = ("F32", "F16", "BF16")

_SUPPORTED: Final = (
    *UNQUANTIZED,
    "Q8_0", "Q6_K", "Q5_0", "Q5_1", "Q5_K_S", "Q5_K_M", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M",
    "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q2_K", "IQ4_NL", "IQ4_XS", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M",
)  # fmt: skip
_ALIASES: Final = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
_NEED_IMATRIX: Final = frozenset(("Q2_K_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ1_S", "IQ1_M"))


def target_type(asked: str) -> str:
    """The type that a request names, in any case. Raises CreateError for one that cannot be made here."""
    name = asked.upper()
    if name in _NEED_IMATRIX:
        raise CreateError(f"quantization type {name} needs an importance matrix and is not supported", status=500)
    name = _ALIASES.get(name, name)
    if name not in _SUPPORTED:
        listed = ", ".join(_SUPPORTED)
        raise CreateError(f"unsupported quantization type {name} - supported types are {listed}", status=500)
    return name


def require(asked: str, source: str) -> None:
    """Accept a request that changes nothing; raise CreateError for every other one.

    `source` is the type of the weights at hand. Weights that are already quantised cannot be a source. Converting the
    others is refused too: this version has no quantizer.
    """
    target = target_type(asked)
    if source not in UNQUANTIZED:
        raise CreateError("quantization is only supported for F16, BF16 and F32 models", status=500)
    if target != source:
        raise CreateError(f"quantization of {source} models to {target} is not available in this version", status=501)


def require_draft(asked: str, source: str) -> None:
    """The same for a draft model."""
    target = target_type(asked)
    if source not in UNQUANTIZED:
        raise CreateError(f"draft quantization requires an unquantized draft model, got {source}")
    if target != source:
        raise CreateError(f"quantization of {source} models to {target} is not available in this version", status=501)
