"""Files of an embedded collection, broken as they were found in practice: the next flush fails."""

from __future__ import annotations

import os
from pathlib import Path


def break_files(folder: Path) -> None:
    """Cut off the journals in a collection's folder, as an engine does that opens it a second time."""
    journals = [path for path in folder.rglob("tracker_journal.dat") if path.stat().st_size]
    assert journals, "nothing has been flushed yet"
    for journal in journals:
        os.truncate(journal, 0)
