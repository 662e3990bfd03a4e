"""Suppress Pillow's warnings about odd metadata: hostile files could flood the log."""

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
    """Makes every warning category count as a subclass, but only in a thread inside `warnings_ignored`."""

    def __subclasscheck__(cls, _subclass: type) -> bool:
        return _is_quiet()


class _AnyWarning(Warning, metaclass=_OnlyInQuietThreads):
    """The category of our one filter; never raised."""


@contextmanager
def warnings_ignored() -> Iterator[None]:
    """Ignore all warnings of the calling thread, whatever the process-wide filters are; not re-entrant.

    `warnings.catch_warnings` replaces the filters of the whole process: two threads that leave it in the wrong order
    leave wrong filters for good. A permanent filter for Pillow would silence other users of Pillow in this process.
    The filter here stays installed but matches only inside this block, in this thread: Python calls
    `issubclass(category, filter_category)`, and the metaclass answers it.
    """
    _install_filter()
    _thread.quiet = True
    try:
        yield
    finally:
        _thread.quiet = False


def _install_filter() -> None:
    """Put our filter first; a no-op unless this is the first call or other code changed the filters."""
    if warnings.filters and warnings.filters[0][2] is _AnyWarning:
        return
    with _installing:
        warnings.simplefilter("ignore", category=_AnyWarning)


def silence_tiff() -> None:
    """Keep libtiff from writing to standard error, and Pillow's TIFF reader from logging in quiet threads.

    One hostile file makes libtiff write up to a hundred lines, although it also reports each error to Pillow as a
    failed call. Its error handler is process-wide, and Pillow offers no way to set it; but only Pillow uses the copy
    of libtiff in its wheel. If it cannot be reached like this (Windows), it keeps writing.
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
