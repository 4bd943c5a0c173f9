# shellcheck shell=bash
# What the scripts of deploy/ share: sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dist=${RISKFLOW_DIST:-$root/target/dist}

# The comment at the head of the script that sources this is its usage.
usage() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; }
fail() { printf '%s: %s\n' "${0##*/}" "$1" >&2; exit "${2:-1}"; }

# value OPTION VALUE…: the value of an option, or wrong usage.
value() { [[ -n ${2:-} ]] || fail "$1 needs a value" 2; printf '%s\n' "$2"; }

# arguments [FLAG VARIABLE]… -- ARGUMENT…: those of a test. `--program FILE` sets `given`; a flag that the test has, such as `--no-run`, sets
# its variable to 0.
arguments() {
    local -A flags=()
    while [[ $1 != -- ]]; do flags[$1]=$2; shift 2; done
    shift
    given=''
    while (($# > 0)); do
        case $1 in
            --program) given=$(value "$@"); shift 2 ;;
            -h | --help) usage; exit 0 ;;
            *)
                [[ -n ${flags[$1]:-} ]] || { usage >&2; exit 2; }
                printf -v "${flags[$1]}" 0
                shift
                ;;
        esac
    done
}

# needs TOOL, HOW TO INSTALL IT
needs() { command -v "$1" >/dev/null || fail "$1 is missing: $2" 3; }

# The time that artefacts carry: that of the commit, so that the same sources give the same bytes.
epoch() { printf '%s\n' "${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}"; }

# The program that goes into artefacts: the one that is given, or that of deploy/binary.sh, made if it is not there.
program() {
    local given=${1:-${RISKFLOW_PROGRAM:-}}
    if [[ -n $given ]]; then
        [[ -x $given ]] || fail "$given is no program" 2
        realpath "$given"
    else
        [[ -x $dist/riskflow ]] || "$root/deploy/binary.sh" >&2
        printf '%s\n' "$dist/riskflow"
    fi
}

version_of() { "$1" -V | awk '{ print $2 }'; }

# Tests say what they did, one line a thing; `done_testing` ends with 1 if one was not as it should be.
passed=0 failed=0 left_out=0
# it NAME COMMAND…: runs it; what it prints is shown only where it fails. A function ends at its first command that fails.
it() {
    local name=$1 log status
    shift
    log=$(mktemp)
    # Behind `||` the shell would go on after a failure in there.
    set +e
    (set -e; "$@") >"$log" 2>&1
    status=$?
    set -e
    if ((status == 0)); then
        printf 'ok        %s\n' "$name"
        passed=$((passed + 1))
    else
        printf 'FAILED    %s (status %s)\n' "$name" "$status"
        sed 's/^/          | /' "$log" | tail -n 40
        failed=$((failed + 1))
    fi
    rm -f "$log"
}
# Fails where grep finds something.
none() { ! grep "$@"; }
not_run() {
    printf 'NOT RUN   %s: %s\n' "$1" "$2"
    left_out=$((left_out + 1))
}
done_testing() {
    printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$left_out"
    ((failed == 0))
}
