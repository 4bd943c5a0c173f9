#!/usr/bin/env bash
# What the program is made of, as a CycloneDX document (SBOM): every crate with its version, licences and hash, and which needs which.
#
#   build.sh [--out FOLDER]
#
# Writes `riskflow.cdx.json` into FOLDER (target/dist), by Cargo.toml and Cargo.lock of here: it is that of a program which is built of these.
# cargo-cyclonedx makes it (deploy/tools.sh). The same commit gives the same document, byte by byte.
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

out=$dist
arguments --out= out -- "$@"

needs cargo "https://rustup.rs"
"$root/deploy/tools.sh" install cargo
SOURCE_DATE_EPOCH=$(epoch)
export SOURCE_DATE_EPOCH
PATH=$tools/bin:$PATH

# It writes one beside each Cargo.toml of the workspace: so in a copy.
at_work
tar -C "$root" --exclude=./target --exclude=./.git --exclude=./data --exclude=./deploy -cf - . | tar -C "$work" -xf -
(cd "$work" && cargo cyclonedx --quiet --format json --spec-version 1.5 --describe binaries)
made=$work/pipeline/riskflow_bin.cdx.json
[[ -s $made ]] || fail "cargo-cyclonedx made no ${made#"$work/"}"
mkdir -p "$out"
# References to the crates of riskflow itself are paths.
sed "s|$work|/riskflow|g" "$made" >"$out/riskflow.cdx.json"
ls -l "$out/riskflow.cdx.json"
