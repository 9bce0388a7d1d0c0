#!/usr/bin/env bash
# The demo: a Kafka-protocol broker, a master, two workers, a load of log records, and the crash monitor on them.
# Ctrl-C stops all that it started; it ends by itself after DEMO_SECONDS (600). Needs bin/ (`make build`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PYRITE_HOME="${PYRITE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/pyrite}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PYRITE_HOME/target}"

cargo build --locked --manifest-path deploy/demo-broker/Cargo.toml
exec "$PYRITE_HOME/venv/bin/python" scripts/demo.py "$@"
