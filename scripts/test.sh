#!/usr/bin/env bash
# Set everything up, then run every check and every test. With arguments, only run pytest with them.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/environment.sh
. scripts/environment.sh
make_venv
install_torch
install_package test --editable '.[offline,tracing]' --group dev
install_for_tests haproxy haproxy
install_for_tests redis-server redis-server
install_for_tests rabbitmq-server rabbitmq-server
install_for_tests promtool prometheus
install_for_tests nginx nginx-light
install_for_tests chromium chromium
install_for_tests node nodejs
install_for_tests npm npm
if has_node; then
  build_page || die "The web page cannot be built"
else
  say "Node 18.18 or newer and npm are not installed; the checks and tests of the web page are skipped"
fi

if [ $# -gt 0 ]; then
  exec .venv/bin/pytest "$@"
fi

say "Checking style and types"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy

if has_node; then
  say "Checking the web page: style, types, logic, size"
  (cd frontend && for check in lint typecheck test size; do npm run --silent "$check"; done)
fi

say "Running the tests"
# Two processes take half the time of one on two cores. Files in order, so that the tests with crowds begin early.
exec .venv/bin/pytest --numprocesses 2 --no-loadscope-reorder --cov --cov-report=term-missing:skip-covered --cov-fail-under=90
