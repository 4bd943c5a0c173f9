#!/usr/bin/env bash
# All benches; what they print is kept under benches/runs/ by date. `--quick` leaves the criterion benches out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --release -p riskflow -p riskflow-benches
run="benches/runs/$(date -u +%Y-%m-%d).md"
{
    printf '# Run of %s\n\nCommit %s; command: make bench.\n\n## Throughput and memory\n\n' "$(date -u +%Y-%m-%dT%H:%MZ)" "$(git rev-parse --short HEAD)"
    target/release/throughput
    printf '\n## What a storm costs\n\n'
    target/release/storm
    printf '\n## Replay\n\n'
    target/release/replay
    printf '\n## Rule sets\n\n'
    target/release/sets
    printf '\n## One sensor, one rule\n\n'
    target/release/curves
    printf '\n## Latency\n\n'
    target/release/latency
    printf '\n## Cases\n\n'
    target/release/cases
    printf '\n## Checkpoints and recovery\n\n'
    target/release/recovery
    if [[ -n ${RISKFLOW_TEST_KAFKA:-} ]]; then
        printf '\n## Exactly once on Kafka\n\n'
        target/release/guarantee --kafka "$RISKFLOW_TEST_KAFKA"
        printf '\n## A cluster loses a process\n\n'
        # It says itself whether the target is met.
        target/release/cluster --kafka "$RISKFLOW_TEST_KAFKA" || true
        for guarantee in at_least_once exactly_once; do
            printf '\n'
            target/release/latency --kafka "$RISKFLOW_TEST_KAFKA" --guarantee "$guarantee" --rate 10000 --datastreams 20000
        done
    else
        printf '\nRISKFLOW_TEST_KAFKA names no broker: the benches on Kafka did not run.\n'
    fi
} | tee "$run"
[[ ${1:-} == --quick ]] || cargo bench -p riskflow-benches
echo "kept in $run" >&2
