#!/usr/bin/env python3
"""Write every generated file of the repository.

scripts/generate.py           write them
scripts/generate.py --check   name those that are out of date, and fail if there are any
"""

from __future__ import annotations

import argparse
import sys

from generate import chart_files, chart_readme, dashboards, kustomize, openapi, settings
from generate.files import ROOT, stale, write

# The order matters: the chart copies the dashboards, and the manifests are made from the chart.
GENERATORS = (settings, openapi, dashboards, chart_files, chart_readme, kustomize)


def main() -> None:
    """Write or check."""
    arguments = argparse.ArgumentParser(description="Write every generated file of the repository.")
    arguments.add_argument("--check", action="store_true", help="name those that are out of date, and write nothing")
    check = arguments.parse_args().check
    outdated = [
        path for generator in GENERATORS for path in (stale if check else write)(generator.files(), generator.there())
    ]
    for path in outdated:
        print(f"{'Out of date' if check else 'Wrote'}: {path.relative_to(ROOT)}")
    if check and outdated:
        sys.exit("Run scripts/generate.py")


if __name__ == "__main__":
    main()
