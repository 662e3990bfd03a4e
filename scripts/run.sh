#!/usr/bin/env bash
# Set everything up, then serve on http://localhost:8000. Arguments go to `image-similarity serve`.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help)
    cat <<'TEXT'
Usage: ./scripts/run.sh [--host ADDRESS] [--port PORT]

Creates .venv, installs the package, and starts the server. The model (CLIP ViT-B/32, 600 MB) is downloaded at
the first start; if it is not available, the server uses the small offline model "mini". If Node and npm are
installed, the web page is built too, and again only when its sources change.

Everything is in this folder: .venv (programs), data (images and vectors). Settings are environment variables,
or lines of a file .env; docs/SETTINGS.md lists them.
TEXT
    exit 0
    ;;
esac

# shellcheck source=scripts/environment.sh
. scripts/environment.sh
make_venv
install_torch
install_package run --editable '.[offline]'
if ! has_node; then
  say "The web page is left out: building it needs Node 18.18 or newer with npm (Debian: sudo apt-get install nodejs npm)"
elif ! build_page; then
  say "The web page could not be built; the API works without it"
fi

say "Starting the server, which says when it is ready"
export LOG_FORMAT="${LOG_FORMAT:-console}"
exec .venv/bin/image-similarity serve "$@"
