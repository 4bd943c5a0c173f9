#!/usr/bin/env bash
# All tests of the workspace, those that need Kafka included.
#
#   test.sh [ARGUMENT…]     arguments are those of `cargo test`; `--help` before all others is this
#
# Uses the broker of RISKFLOW_TEST_KAFKA, or else starts one of its own (deploy/kafka) in a temporary folder and stops it
# again. Where that cannot be, the other tests still run, and it says loudly which did not; RISKFLOW_REQUIRE_KAFKA=1
# makes that a failure. Installs nothing by itself, but for the broker's jars (Maven): `make test` does.
#
# Exit status: 0 all passed; 101, that of cargo, where a build or a test failed; another where an example did, or the broker did not start;
# 1 where something is required and is not there.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
cd "$root"

loudly() {
    local line
    printf '\n%s\n' '*******************************************************************************' >&2
    for line in "$@"; do printf '***  %s\n' "$line" >&2; done
    printf '%s\n\n' '*******************************************************************************' >&2
}

without_kafka() {
    loudly "THE KAFKA TESTS DO NOT RUN: $1" "deploy/setup.sh test installs what is missing"
    if [[ ${RISKFLOW_REQUIRE_KAFKA:-0} == 1 ]]; then
        loudly "RISKFLOW_REQUIRE_KAFKA is 1: that is a failure"
        exit 1
    fi
    export RISKFLOW_TEST_KAFKA=
    skipped=$1
}

# An S3-compatible bucket for the tests of checkpoints: that of RISKFLOW_TEST_S3 (its URL, with AWS's variables set), or
# one of our own (deploy/s3.sh install).
start_bucket() {
    [[ -z ${RISKFLOW_TEST_S3:-} ]] || return 0
    local status=0
    AWS_ENDPOINT=$(deploy/s3.sh start "$folder") || status=$?
    if ((status != 0)); then
        loudly "THE TEST OF CHECKPOINTS IN A BUCKET DOES NOT RUN: deploy/s3.sh install"
        [[ ${RISKFLOW_REQUIRE_S3:-0} != 1 ]] || { loudly "RISKFLOW_REQUIRE_S3 is 1: that is a failure"; exit 1; }
        return 0
    fi
    export RISKFLOW_TEST_S3=s3://riskflow AWS_ENDPOINT AWS_ALLOW_HTTP=true AWS_REGION=us-east-1
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
}

# shellcheck disable=SC2317 # the trap below comes here
stop_broker() {
    local status=$?
    trap - EXIT
    deploy/s3.sh stop "$folder"
    stop_kafka "$folder"
    # The broker's log tells more than a test that timed out can.
    if ((status != 0)); then
        echo "--- what the broker complained of ---" >&2
        grep -E ' (WARN|ERROR|FATAL) ' "$folder/kafka.log" | tail -n 20 >&2 || echo "(nothing)" >&2
    fi
    rm -rf "$folder"
    exit "$status"
}

start_broker() {
    folder=$(mktemp -d "${TMPDIR:-/tmp}/riskflow-test.XXXXXX")
    trap stop_broker EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    local brokers status=0
    brokers=$(start_kafka "$folder") || status=$?
    if ((status == 3)); then
        trap - EXIT
        rm -rf "$folder"
        without_kafka "no Java or no Maven for a broker of our own, and RISKFLOW_TEST_KAFKA names none"
        return
    fi
    ((status == 0)) || { loudly "THE BROKER DID NOT START (status $status)"; exit "$status"; }
    export RISKFLOW_TEST_KAFKA=$brokers
    echo "Kafka for the tests: $RISKFLOW_TEST_KAFKA" >&2
    start_bucket
}

# In one go, since each of the two largest crates takes minutes on one core: the program, the example that reads its topics and the one with
# failpoints, which tests run, and the tests. Benches have no tests, and linking them takes minutes: clippy checks that they compile, and
# `make lint` that they have none.
tests=(--workspace --exclude riskflow-benches)
cargo build "${tests[@]}" --bins --examples --tests

skipped=
if ! command -v kcat >/dev/null; then
    without_kafka "kcat is missing"
elif [[ -n ${RISKFLOW_TEST_KAFKA:-} ]]; then
    echo "Kafka for the tests: $RISKFLOW_TEST_KAFKA (as given)" >&2
else
    start_broker
fi

# Many tests wait for Kafka and for processes that they start: two for each core keep the cores busy.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}

status=0
cargo test "${tests[@]}" "$@" || status=$?
# The examples say themselves whether they are right.
if (($# == 0)); then
    for example in fold view; do
        "${CARGO_TARGET_DIR:-target}/debug/examples/$example" || status=$?
    done
fi
[[ -z $skipped ]] || loudly "THE KAFKA TESTS DID NOT RUN: $skipped"
exit "$status"
