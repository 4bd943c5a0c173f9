#!/usr/bin/env bash
# Measures how long a cluster of two processes, with 100,000 datastreams in its checkpoints and a steady load from a real Kafka, is away
# when one of them is killed: at most 10 s from kill -9 until both, started again by their supervisors, are live (benches/src/bin/cluster.rs).
#
#   test.sh [--program FILE] [-- OPTION…]     options are those of target/release/cluster
#
# Needs kcat, and Java and Maven for the broker (deploy/kafka). RISKFLOW_TEST_KAFKA=HOST:PORT names one that runs.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

given='' options=()
while (($# > 0)); do
    case $1 in
        --program) given=$(value "$@"); shift 2 ;;
        --) shift; options=("$@"); break ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
needs kcat "Debian: apt-get install kcat"
program=$(program "$given")
cargo build --manifest-path "$root/Cargo.toml" --locked --release -p riskflow-benches --bin cluster
# shellcheck disable=SC2317 # when it ends
stop_broker() { [[ -n ${RISKFLOW_TEST_KAFKA:-} ]] || stop_kafka "$work/kafka"; }
at_work
stops+=(stop_broker)
brokers=${RISKFLOW_TEST_KAFKA:-}
[[ -n $brokers ]] || brokers=$(start_kafka "$work/kafka")
# What it prints is the measurement: shown, whether it is well or not.
status=0
"$root/target/release/cluster" --kafka "$brokers" --program "$program" --folder "$work/bench" "${options[@]}" || status=$?
it "from kill -9 of one of two processes to both live again: at most 10 s with 100,000 datastreams" test "$status" = 0
done_testing
