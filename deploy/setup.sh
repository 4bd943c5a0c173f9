#!/usr/bin/env bash
# Installs what a fresh Debian with rustup lacks, and nothing that is there.
#
#   setup.sh demo     to build riskflow: make demo
#   setup.sh test     and for all tests, a Kafka of their own included: make test
#   setup.sh lint     and for everything that make lint checks: .ci/run
#   setup.sh acceptance   and for the artefacts and make acceptance; what comes from other registries: deploy/tools.sh
#   setup.sh --check … says what is missing, and installs nothing
#
# Without root it prints the line to run, and fails.
#
# Exit status: 0 nothing is missing any more; 1 something is; 2 wrong usage.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

only_check=0
[[ ${1:-} != --check ]] || { only_check=1; shift; }
operands 1 "$@"
case $1 in
    demo | test | lint | acceptance) what=$1 ;;
    *) usage >&2; exit 2 ;;
esac
cd "$root"

missing=()
# A package, by a command that it has or by its name.
needs() {
    local package=$1 command=${2:-}
    if [[ -n $command ]]; then
        command -v "$command" >/dev/null || missing+=("$package")
    elif ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
        missing+=("$package")
    fi
}

# librdkafka with TLS, and whatever else is C.
needs cmake cmake
needs g++ g++
needs make make
needs pkg-config pkg-config
needs libssl-dev
needs zlib1g-dev
if [[ $what != demo ]]; then
    # The tests' Kafka, unless one is named, what reads it (the example consumer, too), a wall clock that is wrong, and an
    # S3-compatible server.
    if [[ -z ${RISKFLOW_TEST_KAFKA:-} ]]; then
        needs default-jre-headless java
        needs maven mvn
    fi
    needs kcat kcat
    needs python3-confluent-kafka
    needs faketime faketime
    needs curl curl
    needs git git
    needs python3-venv
    # promtool, which rules are compared with.
    needs prometheus promtool
    # What the bridge posts to.
    needs prometheus-alertmanager amtool
    # The page of a back-test is looked at, and its Chinese.
    needs chromium chromium
    needs fonts-noto-cjk
fi
if [[ $what == lint || $what == acceptance ]]; then
    needs shellcheck shellcheck
fi
if [[ $what == acceptance ]]; then
    # To pack a Debian package and a container image, and to look at both in trees of their own.
    needs dpkg-dev dpkg-shlibdeps
    needs fakeroot fakeroot
    needs umoci umoci
    needs skopeo skopeo
    needs lintian lintian
    needs debootstrap debootstrap
    needs systemd-container systemd-nspawn
    needs iproute2 ip
    needs jq jq
    # What tools.sh installs from npm, which reads AsyncAPI and OpenAPI.
    needs nodejs node
    needs npm npm
    # The example consumer in Java is compiled.
    needs default-jdk-headless javac
fi

command -v cargo >/dev/null || [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]] ||
    fail "there is no Rust: install rustup (https://rustup.rs), which then fetches the toolchain that rust-toolchain.toml names"

# From PyPI, into target/. Where that cannot be reached its test is left out, and says so.
s3_server() {
    [[ $what == test || $what == acceptance ]] || return 0
    deploy/s3.sh install || echo "setup: the S3-compatible server for tests could not be installed: its test is left out" >&2
}

if ((${#missing[@]} == 0)); then
    ((only_check)) || s3_server
    echo "setup: nothing is missing"
    exit 0
fi
if ((only_check)); then
    echo "setup: missing: ${missing[*]}"
    exit 1
fi

install=(apt-get install -y --no-install-recommends "${missing[@]}")
by_hand="sudo sh -c 'apt-get update && ${install[*]}'"
command -v apt-get >/dev/null ||
    fail "missing are what Debian calls: ${missing[*]}; this is no Debian, so install them as it is done here"
as_root=()
if ((EUID != 0)); then
    # Only where nobody is asked for a password: a script that waits for one looks as if it hung.
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        printf 'setup.sh: %s packages are missing, and installing them needs root. Run this line, then the same again:\n\n    %s\n\n' \
            "${#missing[@]}" "$by_hand" >&2
        exit 1
    fi
fi
echo "setup: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt_get() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -q "$@"; }
if ! { apt_get update && apt_get "${install[@]:1}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "could not install: ${missing[*]}; the line by hand: $by_hand"
fi
s3_server
echo "setup: done"
