"""The moments between two lasting steps, at which a process may be killed or a disk may fail.

Each is an audit event, `sys.audit("llamad.…")`, raised where it happens: nobody listens but the tests, which kill a
process or look at the disk at that very moment, and without a listener an event costs nothing.
"""

from collections.abc import Mapping
from typing import Final

POINTS: Final[Mapping[str, str]] = {
    "llamad.lock.taken": "The store's lock is held; nobody has looked yet who needs what.",
    "llamad.directory.made": "A directory that was missing has been made.",
    "llamad.blob.created": "There is an empty temporary file for a blob.",
    "llamad.blob.written": "A piece has been added to it.",
    "llamad.blob.synced": "The content has reached the disk, under the temporary name.",
    "llamad.blob.renamed": "The blob has its own name, which has not reached the disk.",
    "llamad.blob.placed": "The blob is there for good.",
    "llamad.blob.touched": "A blob that was there already has been marked as in use.",
    "llamad.blob.removed": "A blob that no model needs is gone.",
    "llamad.quantize.started": "The process that quantizes has been started, in a directory of its own.",
    "llamad.quantize.finished": "It has written its result, which nobody has looked at.",
    "llamad.quantize.hashed": "The result is sound and has a digest.",
    "llamad.quantize.synced": "It has reached the disk, where it was made.",
    "llamad.quantize.placed": "It is a blob; the directory where it was made is still there.",
    "llamad.manifest.checked": "All blobs that a manifest names are there; it has not been written.",
    "llamad.file.created": "There is an empty temporary file for a manifest.",
    "llamad.file.written": "The manifest has been handed to the operating system.",
    "llamad.file.synced": "It has reached the disk, under the temporary name.",
    "llamad.file.renamed": "It has taken its place, and that of a former one; the name has not reached the disk.",
    "llamad.file.placed": "It is there for good.",
    "llamad.file.removed": "A manifest is gone from its directory; its blobs are all there.",
    "llamad.directories.removed": "So are the directories that it left empty.",
}
"""Every point and what is true at it."""
