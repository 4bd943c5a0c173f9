# shellcheck shell=bash
# What the scripts of deploy/ share: sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dist=${RISKFLOW_DIST:-$root/target/dist}
# Where deploy/tools.sh puts what it installs; Python with the validators is a part of it.
tools=${RISKFLOW_TOOLS:-$root/target/tools}
# shellcheck disable=SC2034 # for those who source this
python=$tools/python/bin/python
kafka=$root/deploy/kafka/kafka.sh

# The comment at the head of the script that sources this is its usage.
usage() {
    local line
    while IFS= read -r line && [[ $line == '#'* ]]; do
        line=${line#'#'}
        [[ $line == '!'* ]] || printf '%s\n' "${line# }"
    done <"$0"
}
fail() { printf '%s: %s\n' "${0##*/}" "$1" >&2; exit "${2:-1}"; }

# value OPTION VALUE…: the value of an option, or wrong usage.
value() { [[ -n ${2:-} ]] || fail "$1 needs a value" 2; printf '%s\n' "$2"; }

# arguments [OPTION VARIABLE]… -- ARGUMENT…: the options of a script, which stand in variables that it has set before. An option that is
# written with a `=` here, such as `--out=`, takes the argument behind it; any other, such as `--no-run`, sets its variable to 0.
arguments() {
    local -A taken=()
    local argument
    while [[ $1 != -- ]]; do taken[$1]=$2; shift 2; done
    shift
    while (($# > 0)); do
        [[ $1 != -h && $1 != --help ]] || { usage; exit 0; }
        if [[ -n ${taken["$1="]:-} ]]; then
            argument=$(value "$@")
            printf -v "${taken["$1="]}" '%s' "$argument"
            shift 2
        else
            [[ -n $1 && -n ${taken["$1"]:-} ]] || { usage >&2; exit 2; }
            printf -v "${taken["$1"]}" 0
            shift
        fi
    done
}

# operands NUMBER ARGUMENT…: that there are so many, where a script takes nothing else.
operands() {
    local number=$1 argument
    shift
    for argument; do
        case $argument in
            -h | --help) usage; exit 0 ;;
            -*) usage >&2; exit 2 ;;
        esac
    done
    (($# == number)) || { usage >&2; exit 2; }
}

# needs TOOL, HOW TO INSTALL IT
needs() { command -v "$1" >/dev/null || fail "$1 is missing: $2" 3; }

# The time that artefacts carry: that of the commit, so that the same sources give the same bytes.
epoch() { printf '%s\n' "${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}"; }

version_of() { "$1" -V | awk '{ print $2 }'; }
commit_of() { "$1" --version | awk '$1 == "commit" { print $2 }'; }

# The commit that pipeline/build.rs builds into the program, by the same rules: `unknown` where these sources are of no repository, though
# another one may lie around them.
commit_here() {
    local here=${RISKFLOW_COMMIT:-}
    if [[ -z $here ]] && git -C "$root/pipeline" ls-files --error-unmatch build.rs >/dev/null 2>&1; then
        here=$(git -C "$root" rev-parse --short=12 HEAD)
    fi
    printf '%s\n' "${here:-unknown}"
}

# The program that goes into artefacts: the one that is given, or that of deploy/binary.sh, made if it is not there or is of another commit.
program() {
    local given=${1:-${RISKFLOW_PROGRAM:-}}
    if [[ -n $given ]]; then
        [[ -x $given ]] || fail "$given is no program" 2
        realpath "$given"
    else
        [[ -x $dist/riskflow && $(commit_of "$dist/riskflow") == "$(commit_here)" ]] || "$root/deploy/binary.sh" >&2
        printf '%s\n' "$dist/riskflow"
    fi
}

# Makes a folder, `work`, that goes when the script ends, and with it all processes whose ids it put into `started`. Commands in `stops` end
# what else there is.
at_work() {
    work=$(mktemp -d)
    started=() stops=()
    trap leave EXIT
}
# shellcheck disable=SC2317 # the trap above comes here
leave() {
    local status=$? stop
    trap - EXIT
    ((${#started[@]} == 0)) || kill -KILL "${started[@]}" 2>/dev/null || true
    for stop in "${stops[@]}"; do "$stop" || true; done
    wait 2>/dev/null
    rm -rf --one-file-system "$work"
    exit "$status"
}

# start_kafka FOLDER [OPTION…]: starts a broker of our own (deploy/kafka) on this folder, and prints its HOST:PORT.
start_kafka() {
    local brokers
    brokers=$("$kafka" start --data "$@") || return
    printf '%s\n' "${brokers#brokers=}"
}
stop_kafka() { "$kafka" stop --data "$1" || true; }

# start_server FOLDER NAME COMMAND…: starts a server in the background, with its process id in FOLDER/NAME.pid and what it says in
# FOLDER/NAME.log.
start_server() {
    local at=$1/$2
    mkdir -p "$1"
    shift 2
    setsid "$@" </dev/null >"$at.log" 2>&1 &
    echo $! >"$at.pid"
}
# await_server FOLDER NAME SECONDS COMMAND…: until it answers COMMAND, for so long at most.
await_server() {
    local at=$1/$2 until=$((SECONDS + $3))
    shift 3
    until "$@"; do
        if ((SECONDS >= until)) || ! kill -0 "$(cat "$at.pid")" 2>/dev/null; then
            fail "${at##*/} does not answer; see $at.log"
        fi
        # Between two attempts, until it answers.
        sleep 0.1
    done
}
# stop_server FOLDER NAME
stop_server() {
    [[ -s $1/$2.pid ]] || return 0
    kill "$(cat "$1/$2.pid")" 2>/dev/null || true
    rm -f "$1/$2.pid"
}

# A port that nobody uses.
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
get() { curl --silent --fail --noproxy '*' "$@"; }
# wait_for PROCESS…: sets `statuses` to how they end, each with a blank behind it. In this shell: only a parent can wait.
wait_for() {
    local process status
    statuses=''
    for process; do
        status=0
        wait "$process" || status=$?
        statuses+="$status "
    done
}

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

# lists_crates PROGRAM FILE: a test that FILE, of an artefact, is the list of what the program is made of that lies beside it.
lists_crates() {
    local sbom=${1%/*}/riskflow.cdx.json
    if [[ -f $sbom ]]; then
        it "it has the list of what the program is made of" cmp "$sbom" "$2"
    else
        not_run "the list of what the program is made of" "$sbom is not there: deploy/binary.sh makes it"
    fi
}
