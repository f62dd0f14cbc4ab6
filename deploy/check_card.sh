#!/bin/sh
# All checks of a graphics card in less than eight minutes, on a machine that has Python and maybe nothing else and no network.
#   here:   pip download --dest wheels -r requirements.txt pytest hypothesis       (once, for the other machine's Python)
#   there:  sh deploy/check_card.sh [wheels]                                       (figures in $OUT/card.json, or ./card.json)
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
if [ -n "${1:-}" ]; then
    "$PYTHON" -m venv --system-site-packages "${TMPDIR:-/tmp}/check_card"  # a torch that is there already is used
    PYTHON="${TMPDIR:-/tmp}/check_card/bin/python"
    "$PYTHON" -m pip install --quiet --no-index --find-links "$1" -r requirements.txt
fi
exec "$PYTHON" -m hypersd_app bench card --seconds 420 --json "${OUT:-.}/card.json" ${CARD_ARGUMENTS:-}
