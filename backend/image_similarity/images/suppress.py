"""Silence: what Pillow remarks about odd metadata helps nobody, and strangers must not write to our log."""

from __future__ import annotations

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import _imaging

_thread = threading.local()
_installing = threading.Lock()


def _is_quiet() -> bool:
    return getattr(_thread, "quiet", False)


class _OnlyInQuietThreads(type):
    """Makes every warning category count as a subclass, but only in a thread that asked for silence."""

    def __subclasscheck__(cls, _subclass: type) -> bool:
        return _is_quiet()


class _AnyWarning(Warning, metaclass=_OnlyInQuietThreads):
    """The category of our one filter; never raised."""


@contextmanager
def warnings_ignored() -> Iterator[None]:
    """Ignore all warnings of the calling thread, whatever the process-wide filters say; not re-entrant.

    `warnings.catch_warnings` swaps the filters of the whole process, so two threads that leave it in the
    wrong order leave them wrong for good, and a filter of our own for Pillow would silence everybody else's
    use of it. The filter used here stays installed but matches only inside this block, in this thread:
    the filters are asked with `issubclass(category, filter_category)`, which the metaclass answers.
    """
    _install_filter()
    _thread.quiet = True
    try:
        yield
    finally:
        _thread.quiet = False


def _install_filter() -> None:
    """Put our filter first; a no-op but for the first call and after someone else changed the filters."""
    if warnings.filters and warnings.filters[0][2] is _AnyWarning:
        return
    with _installing:
        warnings.simplefilter("ignore", category=_AnyWarning)


def silence_tiff() -> None:
    """Keep libtiff from writing to standard error, and Pillow's TIFF reader from logging in quiet threads.

    One hostile file makes libtiff write up to a hundred lines, although it reports each error to Pillow as
    well, as a failure of the call. Its handler is one for the process and Pillow offers no way to set it; but
    the copy inside Pillow's wheel is used by nobody but Pillow. Where it cannot be reached like this
    (Windows), it keeps writing.
    """
    logging.getLogger("PIL.TiffImagePlugin").addFilter(_is_loud)
    try:
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (AttributeError, OSError):
        return
    set_handler.argtypes = [ctypes.c_void_p]
    set_handler.restype = ctypes.c_void_p
    set_handler(None)


def _is_loud(_record: logging.LogRecord) -> bool:
    return not _is_quiet()
