#!/usr/bin/env bash
# Side by side with other brokers, by a benchmark kit that is not part of this project.
#
#   tests/perf/bench.sh KIT [compare.py options]    default: rabbitmq and mqd, medians of three
#
# The kit is copied, since it builds its load generator in place; mqd is the one of the active
# Python environment. The report is printed and kept in the folder named at the end.
set -euo pipefail
kit=${1:?the folder of the kit}; shift || true
[ -x "$kit/compare.py" ] || { echo "no benchmark kit in $kit: nothing was measured" >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/mqd-bench.XXXXXX")
cp -r "$kit/." "$work" && chmod -R u+w "$work" && make -s -C "$work"
[ $# -gt 0 ] || set -- --targets rabbitmq,mqd
cd "$work" && ./compare.py --json out.json --markdown out.md "$@"
cat out.md && echo "kept in $work"
