"""Thumbnails with a digest: 40 bytes after the end of the WebP file, which WebP readers ignore.

So a thumbnail stays one object, and earlier versions serve it unchanged. A thumbnail from an earlier version has no
digest; it counts as whole if its length is the one in its header.
"""

from __future__ import annotations

import hashlib

_MARK = b"\nsha256:"
_SEAL = len(_MARK) + hashlib.sha256().digest_size


def seal(thumbnail: bytes) -> bytes:
    """Return a thumbnail with its digest, as it is stored."""
    return thumbnail + _MARK + hashlib.sha256(thumbnail).digest()


def unseal(stored: bytes) -> bytes | None:
    """Return the thumbnail, or None if it is damaged; without a digest only its length is checked."""
    thumbnail = stored[:-_SEAL]
    if stored[-_SEAL:].startswith(_MARK):
        return thumbnail if stored == seal(thumbnail) else None
    is_webp = stored[:4] == b"RIFF" and stored[8:12] == b"WEBP"
    return stored if is_webp and int.from_bytes(stored[4:8], "little") + 8 == len(stored) else None
