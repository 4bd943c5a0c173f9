#!/usr/bin/env bash
# What CI leaves out, since it takes too long, needs root, or more from registries than CI should: every test.sh below deploy/, and crashes
# without end. Run before a release; what it prints is kept in target/acceptance.log.
#
#   acceptance.sh [--program FILE] [--only NAME]… [--list]
#
# NAME is a folder of deploy/ with a test.sh, `chaos` (RISKFLOW_CRASHES of the job and of the broker, 200), `slow`: tests of the suite
# that take a minute or more each (a Kafka with TLS, passwords and ACLs; a hostile client of HTTP; packs over the demo's whole storm; 100,000 datastreams
# and a process that is killed), or
# `contracts`: documents of topics and HTTP read by others' programs, with Node, and the example consumers in all languages beside a job.
# `cluster` measures how long two processes are away when one is killed. Without --program a release build comes first.
# Installs what it lacks: Debian packages (deploy/setup.sh acceptance), and validators into target/tools.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

all=()
for test in "$root"/deploy/*/test.sh; do
    folder=${test%/test.sh}
    all+=("${folder##*/}")
done
all+=(chaos slow contracts)

given='' only=()
while (($# > 0)); do
    case $1 in
        --program) given=$(value "$@"); shift 2 ;;
        --only) only+=("$(value "$@")"); shift 2 ;;
        --list) printf '%s\n' "${all[@]}"; exit 0 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
((${#only[@]} > 0)) || only=("${all[@]}")
for name in "${only[@]}"; do
    printf '%s\n' "${all[@]}" | grep -qx -- "$name" || fail "there is no test $name: --list" 2
done

log=$root/target/acceptance.log
mkdir -p "$root/target"
"$root/deploy/setup.sh" acceptance
program=$(program "$given")
"$root/deploy/tools.sh" install

{
    printf 'acceptance of %s, %s, %s\n' "$("$program" -V)" "$(git -C "$root" describe --always --dirty)" "$(date -u +%FT%TZ)"
    wrong=()
    for name in "${only[@]}"; do
        printf '\n== %s (%s s)\n' "$name" "$SECONDS"
        status=0
        if [[ $name == chaos ]]; then
            make --no-print-directory -C "$root" chaos || status=$?
        elif [[ $name == slow ]]; then
            RISKFLOW_REQUIRE_KAFKA=1 RISKFLOW_TEST_PROGRAM=$program "$root/deploy/test.sh" --test suite -- --ignored || status=$?
        elif [[ $name == contracts ]]; then
            { "$kafka" fetch && RISKFLOW_REQUIRE_KAFKA=1 RISKFLOW_REQUIRE_NODE=1 RISKFLOW_REQUIRE_CONSUMERS=1 \
                "$root/deploy/test.sh" --test suite -- contracts consumers; } || status=$?
        else
            "$root/deploy/$name/test.sh" --program "$program" || status=$?
        fi
        ((status == 0)) || wrong+=("$name (status $status)")
    done
    printf '\n== done in %s s\n' "$SECONDS"
    ((${#wrong[@]} == 0)) || { printf 'failed: %s\n' "${wrong[@]}"; exit 1; }
} 2>&1 | tee "$log"
