#!/usr/bin/env bash
# The benchmark of scripts/bench.py, with the Python that scripts/setup.sh makes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
home="${PYRITE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/pyrite}"
exec "$home/venv/bin/python" scripts/bench.py "$@"
