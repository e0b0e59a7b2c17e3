"""Everything that the model store refuses, and why.

    StoreError
    ├── InvalidName            a text that names no model
    │   └── MissingName        no text at all
    ├── SourceConflict         both :local and :cloud
    ├── InvalidDigest
    ├── ModelNotFound
    ├── BlobNotFound
    ├── DigestMismatch         content is not what its digest says
    ├── DiskFull
    ├── NotAFile               a descriptor of something that has no content to read
    ├── ReadOnlyModel          lies in a store that is only read
    ├── DamagedManifests       nothing can be pruned while some cannot be read
    ├── StoreBusy              another process keeps the lock of the store
    ├── InvalidManifest        a manifest, or a small JSON blob that it names
    ├── InvalidGGUF
    ├── OptionError            an option of the wrong type, or unknown in a Modelfile
    ├── ModelfileError
    └── CreateError

The texts are those that clients of the native API see. None holds a path of the server. What the operating system
reports (`OSError`) passes through, except for a full disk.
"""

from modelstore.quoting import quote


class StoreError(Exception):
    """Base of all errors of this package."""


class InvalidName(StoreError):
    """`name` is the text as given."""

    def __init__(self, name: str, text: str = "invalid model name") -> None:
        super().__init__(text)
        self.name = name


class MissingName(InvalidName):
    """An empty or blank text where a name has to stand."""

    def __init__(self) -> None:
        super().__init__("", "model is required")


class SourceConflict(StoreError):
    """A name with two source suffixes."""

    def __init__(self, name: str) -> None:
        super().__init__(f"use either :local or :cloud, not both: {quote(name)}")
        self.name = name


class InvalidDigest(StoreError):
    """`digest` is the text as given."""

    def __init__(self, digest: str) -> None:
        super().__init__("invalid digest format")
        self.digest = digest


class ModelNotFound(StoreError):
    """`name` in the form in which it is to be shown."""

    def __init__(self, name: str) -> None:
        super().__init__(f"model '{name}' not found")
        self.name = name


class BlobNotFound(StoreError):
    """No regular file with that digest is in the store."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"blob {quote(digest)} not found")
        self.digest = digest


class DigestMismatch(StoreError):
    """Both digests as text, `expected` as the client wrote it."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"digest mismatch, expected {quote(expected)}, got {quote(got)}")
        self.expected = expected
        self.got = got


class DiskFull(StoreError):
    """`needed` and `available` in bytes, where they are known."""

    def __init__(self, needed: int | None = None, available: int | None = None) -> None:
        numbers = "" if needed is None or available is None else f": need {needed} bytes, have {available}"
        super().__init__("insufficient disk space" + numbers)
        self.needed = needed
        self.available = available


class NotAFile(StoreError):
    """A descriptor of a directory, a pipe, a device, or one that is not open for reading."""

    def __init__(self) -> None:
        super().__init__("not a regular file that can be read")


class StoreBusy(StoreError):
    """Another process is in the middle of a change, and does not finish it."""

    def __init__(self) -> None:
        super().__init__("the models directory is locked by another process")


class ReadOnlyModel(StoreError):
    """`name` in the form in which it is to be shown."""

    def __init__(self, name: str) -> None:
        super().__init__(f"model '{name}' cannot be deleted: it lies in a read-only store (OLLAMA_MODELS_EXTRA)")
        self.name = name


class DamagedManifests(StoreError):
    """Manifests that cannot be read may need any blob; `reason` is what is wrong with the first."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"corrupt manifests detected, skipping prune operation.  Re-pull or delete to clear: {reason}")
        self.reason = reason


class InvalidManifest(StoreError):
    """A manifest, config, params or messages blob that cannot be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid manifest: {reason}")
        self.reason = reason


class InvalidGGUF(StoreError):
    """A file that is no GGUF, or a damaged or hostile one."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OptionError(StoreError):
    """`option` is the name of the offending option."""

    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        self.option = option


class ModelfileError(StoreError):
    """`line` counts from 1; None where the reference names no line."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"(line {line}): {reason}")
        self.reason = reason
        self.line = line


class CreateError(StoreError):
    """A create request that cannot be carried out; `status` is the HTTP status that fits."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
