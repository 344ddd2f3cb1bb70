#!/usr/bin/env bash
# Write constraints.txt: the versions of everything in a fresh environment that holds the kit and its tests.
# PYTHON should be the oldest at hand that settings.ini allows, to the patch level: some packages refuse 3.11.2 but
# take 3.11.7, and a pin that cannot be met sends pip through every version of everything. Run .ci/run afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
env=$(mktemp -d) && trap 'rm -rf "$env"' EXIT

"${PYTHON:-python3.11}" -m venv "$env"
# torch is named here because, left to itself, pip takes the newest one, which on Linux is a CUDA build of several GB
"$env/bin/pip" install --quiet "torch==${TORCH:-2.13.0}" -e '.[dev]'

{ echo "# The tested set, of $("$env/bin/python" --version): pip install -c constraints.txt -e '.[dev]'"
  echo "# Made by tools/pin.sh; don't edit."
  "$env/bin/pip" freeze --exclude-editable | sed 's/^\(torch==[^+]*\)+.*/\1/'
} > constraints.txt
