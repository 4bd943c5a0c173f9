#!/usr/bin/env bash
# Tests of the list of what the program is made of: the CycloneDX document, and the list in the program itself.
#
#   test.sh [--program FILE]
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/sbom

given=''
arguments --program= given -- "$@"
needs python3 "Debian: apt-get install python3"
needs objcopy "Debian: apt-get install binutils"
program=$(program "$given")
"$root/deploy/tools.sh" install cargo python
at_work
sbom=$work/riskflow.cdx.json

it "the document is made" "$here/build.sh" --out "$work"
[[ -f $sbom ]] || { done_testing; exit 1; }
same() {
    "$here/build.sh" --out "$work/again"
    cmp "$sbom" "$work/again/riskflow.cdx.json"
}
it "made again it is the same, byte by byte" same
it "it is CycloneDX 1.5, by its schema" "$python" "$here/compare.py" validate "$sbom"
it "each crate is that of Cargo.lock, and has a licence" "$python" "$here/compare.py" lock "$sbom" "$root/Cargo.lock"
nowhere() { none -F -e "$root/" -e "${TMPDIR:-/tmp}/" -e "$HOME/" "$sbom"; }
it "it names no folder of this machine" nowhere

listed() {
    # objcopy writes a copy, too.
    objcopy --dump-section ".dep-v0=$work/audit" "$program" "$work/copy" ||
        { echo "$program has no list of its crates: deploy/binary.sh builds one that has (cargo auditable build)"; return 1; }
    "$python" "$here/compare.py" program "$sbom" "$work/audit"
}
it "the program has a list of its crates, and the document has them" listed
stripped() {
    objcopy --strip-all "$program" "$work/stripped"
    objcopy --dump-section ".dep-v0=$work/left" "$work/stripped" "$work/copy"
    cmp "$work/audit" "$work/left"
}
it "stripped it has the same" stripped
done_testing
