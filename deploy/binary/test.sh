#!/usr/bin/env bash
# Tests of the program as people get it, and of the debug information beside it (deploy/binary.sh): that one belongs to the other, and that
# addresses get their names from it.
#
#   test.sh [--program FILE]
#
# FILE has its debug information in itself, or beside it in FILE.debug.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

given=''
arguments --program= given -- "$@"
for tool in objcopy readelf addr2line nm; do needs "$tool" "Debian: apt-get install binutils"; done
program=$(program "$given")
at_work
# Beside each other, under the names that they have in target/dist.
stripped=$work/riskflow debug=$work/riskflow.debug
beside() {
    if [[ -f $program.debug ]]; then
        cp "$program" "$stripped"
        cp "$program.debug" "$debug"
    else
        objcopy --only-keep-debug --compress-debug-sections "$program" "$debug"
        (cd "$work" && objcopy --strip-all --add-gnu-debuglink=riskflow.debug "$program" riskflow)
    fi
}
it "the program, and its debug information beside it" beside
it "it runs without: --version" "$stripped" --version

bare() {
    readelf --sections --wide "$stripped" >"$work/sections"
    none -E ' \.(symtab|debug_[a-z]+) ' "$work/sections"
    readelf --sections --wide "$debug" | grep ' \.debug_info '
}
it "the program has no names in it, the file beside it has them" bare

id() { readelf --notes "$1" 2>/dev/null | sed -n 's/.*Build ID: //p'; }
belongs() {
    [[ $(id "$stripped") =~ ^[0-9a-f]{40}$ ]]
    [[ $(id "$stripped") == "$(id "$debug")" ]]
    # What a debugger looks for, and by which sum it knows it: the CRC at the section's end is that of the file.
    objcopy --dump-section ".gnu_debuglink=$work/link" "$stripped" "$work/copy"
    python3 - "$work/link" "$debug" <<'PYTHON'
import struct, sys, zlib
link, debug = (open(path, "rb").read() for path in sys.argv[1:])
assert link.split(b"\0")[0] == b"riskflow.debug", link
assert struct.unpack("<I", link[-4:])[0] == zlib.crc32(debug), "it is another file's"
PYTHON
}
it "both have the same build id, and the program names the file by its sum" belongs

# The address of a function of ours, from the symbols; asked for as a backtrace of the stripped program would be.
resolves() {
    local address name
    read -r address name < <(nm --defined-only "$debug" | awk '$2 ~ /[tT]/ && /riskflow/ && !/drop_in_place/ { print $1, $3 }' | sed -n 1p)
    echo "$name at $address"
    addr2line --exe="$stripped" --functions "0x$address" | tee "$work/resolved"
    sed -n 1p "$work/resolved" | grep -xF -- "$name"
    sed -n 2p "$work/resolved" | grep -E '\.rs:[0-9]+'
    rm "$debug"
    addr2line --exe="$stripped" --functions "0x$address" 2>&1 | none -F -- "$name"
}
it "an address of the stripped program gets its name and line, and none without the file" resolves
done_testing
