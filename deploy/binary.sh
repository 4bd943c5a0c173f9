#!/usr/bin/env bash
# The program as people get it: without debug information, and that in a file beside it.
#
#   binary.sh [--program FILE] [--out FOLDER]
#
# Builds it, unless --program names one that is finished. Writes `riskflow` and `riskflow.debug` into FOLDER (target/dist). A debugger
# and a backtrace find the second where it lies beside the first, or as the package riskflow-dbgsym installs it.
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

given='' out=$dist
while (($# > 0)); do
    case $1 in
        --program) given=$(value "$@"); shift 2 ;;
        --out) out=$(value "$@"); shift 2 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

needs objcopy "Debian: apt-get install binutils"
if [[ -z $given ]]; then
    needs cargo "https://rustup.rs"
    (cd "$root" && cargo build --release --locked --bin riskflow)
    given=${CARGO_TARGET_DIR:-$root/target}/release/riskflow
fi
[[ -x $given ]] || fail "$given is no program" 2

mkdir -p "$out"
objcopy --only-keep-debug --compress-debug-sections "$given" "$out/riskflow.debug"
chmod 0644 "$out/riskflow.debug"
given=$(realpath "$given")
(cd "$out" && objcopy --strip-all --add-gnu-debuglink=riskflow.debug "$given" riskflow)
chmod 0755 "$out/riskflow"
ls -l "$out/riskflow" "$out/riskflow.debug"
