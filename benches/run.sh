#!/usr/bin/env bash
# All benches; what they print is kept under benches/runs/ by date, a second run of a day as DATE-2.md.
#
#   run.sh [--quick]     --quick leaves the criterion benches out
#
# RISKFLOW_BEFORE=FILE names a `riskflow` of an earlier build: what a job without candidates costs is measured beside it.
# RISKFLOW_TEST_KAFKA=HOST:PORT names a broker for the benches on Kafka, which do not run without.
#
# Exit status: 0 all ran, and none missed its bounds; 1 one did, or failed: all others ran, and the end of the run names it; 2 wrong usage;
# 101, that of cargo, where a build or a criterion bench failed.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../deploy/lib.sh"

criterion=1
arguments --quick criterion -- "$@"
cd "$root"

failed=()
# A heading, and a bench with its arguments.
bench() {
    printf '\n## %s\n\n' "$1"
    shift
    "target/release/$1" "${@:2}" || failed+=("$1")
}

all() {
    printf '# Run of %s\n\nCommit %s; command: make bench.\n' "$(date -u +%Y-%m-%dT%H:%MZ)" "$(git rev-parse --short HEAD)"
    bench "Throughput and memory" throughput
    bench "What a storm costs" storm
    bench "Replay" replay
    bench "Rule sets" sets
    if [[ -n ${RISKFLOW_BEFORE:-} ]]; then
        bench "Without candidates" sets --before "$RISKFLOW_BEFORE" --repeat 9
    else
        printf '\nRISKFLOW_BEFORE names no earlier build: what a job without candidates costs beside it was not measured.\n'
    fi
    bench "One sensor, one rule" curves
    bench "Gauges" gauges
    bench "Latency" latency
    bench "Cases" cases
    bench "Checkpoints and recovery" recovery
    if [[ -n ${RISKFLOW_TEST_KAFKA:-} ]]; then
        bench "Exactly once on Kafka" guarantee --kafka "$RISKFLOW_TEST_KAFKA"
        bench "A cluster loses a process" cluster --kafka "$RISKFLOW_TEST_KAFKA"
        for guarantee in at_least_once exactly_once; do
            bench "Latency on Kafka, $guarantee" latency --kafka "$RISKFLOW_TEST_KAFKA" --guarantee "$guarantee" \
                --rate 10000 --datastreams 20000
        done
    else
        printf '\nRISKFLOW_TEST_KAFKA names no broker: the benches on Kafka did not run.\n'
    fi
    ((${#failed[@]} == 0)) || { printf '\n**Failed, or beyond their bounds: %s**\n' "${failed[*]}"; return 1; }
}

cargo build --release -p riskflow -p riskflow-benches
day="benches/runs/$(date -u +%Y-%m-%d)"
run="$day.md"
for ((number = 2; ; number++)); do
    [[ -e $run ]] || break
    run="$day-$number.md"
done
status=0
all | tee "$run" || status=$?
((!criterion)) || cargo bench -p riskflow-benches
echo "kept in $run" >&2
exit "$status"
