#!/usr/bin/env bash
# Take screenshots of every page of the web page, light and dark, phone and desktop, for a person to look at.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help)
    cat <<'TEXT'
Usage: ./scripts/screenshots.sh [FOLDER]     # default: build/screenshots

Needs Chromium, Node and what ./scripts/test.sh installs. The pictures in the pages are those that scikit-image and
scikit-learn ship, so they may be shown in the documentation.
TEXT
    exit 0
    ;;
esac

# shellcheck source=scripts/environment.sh
. scripts/environment.sh
make_venv
install_torch
install_package test --editable '.[offline]' --group dev
build_page || die "The web page cannot be built"
exec .venv/bin/python scripts/screenshots.py "${1:-build/screenshots}"
