"""Thumbnails with their own digest: 40 bytes behind the WebP file, where its readers look no more.

So a thumbnail is one object still, an earlier version serves it as it is, and one of an earlier version is known by
ending where its header says that it ends.
"""

from __future__ import annotations

import hashlib

_MARK = b"\nsha256:"
_SEAL = len(_MARK) + hashlib.sha256().digest_size


def seal(thumbnail: bytes) -> bytes:
    """Return a thumbnail as it is to be stored."""
    return thumbnail + _MARK + hashlib.sha256(thumbnail).digest()


def unseal(stored: bytes) -> bytes | None:
    """Return the thumbnail, or None if it is not as it was made; of one without a seal only its length can tell."""
    thumbnail = stored[:-_SEAL]
    if stored[-_SEAL:].startswith(_MARK):
        return thumbnail if stored == seal(thumbnail) else None
    is_webp = stored[:4] == b"RIFF" and stored[8:12] == b"WEBP"
    return stored if is_webp and int.from_bytes(stored[4:8], "little") + 8 == len(stored) else None
