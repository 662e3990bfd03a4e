# shellcheck shell=bash
# Sourced by the other scripts: makes a virtual environment in .venv with the package and its dependencies.
# Idempotent; a second call has nothing to do and returns at once.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf '\033[1;31mError:\033[0m %s\n' "$*" >&2; exit 1; }

# The version whose CPU build is installed; pyproject.toml accepts any from 2.6 on.
TORCH_VERSION=2.13.0

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die "Python 3.11 or newer is needed. Install it (Debian: apt-get install python3 python3-venv), or set PYTHON=/path/to/python3."
}

make_venv() {
  [ -x .venv/bin/python ] && return
  local python
  python=$(find_python)
  say "Creating the virtual environment .venv with $("$python" --version)"
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    install_system_packages python3-venv
  fi
  "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
}

# Debian and Ubuntu only; with root it installs, without root it prints the command.
install_system_packages() {
  command -v apt-get >/dev/null || die "Install these with your system's package manager, then start again: $*"
  [ "$(id -u)" = 0 ] || die "These system packages are missing; install them, then start again: sudo apt-get install $*"
  say "Installing system packages: $*"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# install_for_tests COMMAND PACKAGE: install a server that tests start; without it those tests are skipped.
install_for_tests() {
  command -v "$1" >/dev/null && return
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    say "$1 is not installed; the tests that need it are skipped (Debian: sudo apt-get install $2)"
    return
  fi
  (
    # The package would also start a server on the standard port, unless this file forbids it (101).
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod +x "$policy"
    fi
    install_system_packages "$2"
  ) || say "$2 could not be installed; the tests that need it are skipped"
}

has_nvidia_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }

# On Linux the default wheel of torch installs gigabytes of CUDA libraries, on x86-64 and on arm64; on macOS it does not.
install_torch() {
  .venv/bin/python -c 'import torch' 2>/dev/null && return
  if has_nvidia_gpu || [ "$(uname -s)" != Linux ]; then
    say "Installing torch"
    .venv/bin/pip install --quiet torch
    return
  fi
  say "Installing torch, its CPU build, because no NVIDIA GPU was found"
  .venv/bin/pip install --quiet "torch==$TORCH_VERSION+cpu" 2>/dev/null && return
  # uv knows the index of the builds for each backend.
  if .venv/bin/pip install --quiet uv && .venv/bin/uv pip install --quiet --torch-backend=cpu "torch==$TORCH_VERSION" --python .venv/bin/python; then
    return
  fi
  say "No CPU build of torch could be had; installing the default one, with CUDA"
  .venv/bin/pip install --quiet torch
}

# install_package STAMP ARGS…: pip install ARGS unless pyproject.toml is unchanged since the last time.
install_package() {
  local stamp=".venv/.installed-$1" wanted
  shift
  wanted=$(cksum <pyproject.toml)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
  say "Installing the package and what it needs"
  .venv/bin/pip install --quiet "$@"
  printf '%s\n' "$wanted" >"$stamp"
}

# Tools that build the web page.
has_node() {
  command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 18 || (a === 18 && b >= 18) ? 0 : 1)' 2>/dev/null
}

# unless_done STAMP CHECKSUM COMMAND…: run in frontend/, unless it was done for this checksum.
unless_done() {
  local stamp="frontend/node_modules/.$1" wanted=$2
  shift 2
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
  (cd frontend && "$@") && printf '%s\n' "$wanted" >"$stamp"
}

page_sources() { find frontend -path '*/node_modules' -prune -o -type f ! -name schema.d.ts -print0 | sort -z | xargs -0 cksum | cksum; }

# Build the page that the server shows at / into the package. Fails if it cannot be built.
build_page() {
  has_node || return
  unless_done installed-from "$(cksum <frontend/package-lock.json)" npm_ci || return
  [ -f backend/image_similarity/web/index.html ] || rm -f frontend/node_modules/.built-from
  unless_done built-from "$(page_sources)" npm_build
}
npm_ci() { say "Installing what the web page is built with"; npm ci --no-audit --no-fund --loglevel=error >&2; }
npm_build() { say "Building the web page"; npm run --silent build >/dev/null; }
