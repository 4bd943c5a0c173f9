#!/usr/bin/env bash
# The program as people get it: without debug information, and that in a file beside it, and what it is made of in a third.
#
#   binary.sh [--program FILE] [--out FOLDER]
#
# Builds it, unless --program names one that is finished; one that this script has made is taken with what lies beside it. Writes `riskflow`,
# `riskflow.debug` and `riskflow.cdx.json` into FOLDER (target/dist). A debugger and a backtrace find the second where it lies beside the first, or as the package riskflow-dbgsym installs it.
# The third is a CycloneDX document (deploy/sbom); the program has a list of its crates in itself, too (cargo-auditable), for whoever
# looks for known vulnerabilities: `cargo audit bin`, trivy, grype.
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

given='' out=$dist
arguments --program= given --out= out -- "$@"

needs objcopy "Debian: apt-get install binutils"
if [[ -z $given ]]; then
    needs cargo "https://rustup.rs"
    "$root/deploy/tools.sh" install cargo
    (cd "$root" && PATH=$tools/bin:$PATH cargo auditable build --release --locked --bin riskflow)
    given=${CARGO_TARGET_DIR:-$root/target}/release/riskflow
fi
[[ -x $given ]] || fail "$given is no program" 2

mkdir -p "$out"
given=$(realpath "$given")
if [[ -f $given.debug && -f ${given%/*}/riskflow.cdx.json ]]; then
    if [[ ${given%/*} != "$(realpath "$out")" ]]; then
        install -m 0755 "$given" "$out/riskflow"
        install -m 0644 "$given.debug" "$out/riskflow.debug"
        install -m 0644 -t "$out" "${given%/*}/riskflow.cdx.json"
    fi
    ls -l "$out/riskflow" "$out/riskflow.debug"
    exit 0
fi
objcopy --only-keep-debug --compress-debug-sections "$given" "$out/riskflow.debug"
chmod 0644 "$out/riskflow.debug"
(cd "$out" && objcopy --strip-all --add-gnu-debuglink=riskflow.debug "$given" riskflow)
chmod 0755 "$out/riskflow"
readelf --sections --wide "$out/riskflow" | grep -F ' .dep-v0 ' >/dev/null ||
    echo "${0##*/}: $given has no list of its crates: it was not built by cargo auditable" >&2
ls -l "$out/riskflow" "$out/riskflow.debug"
"$root/deploy/sbom/build.sh" --out "$out"
