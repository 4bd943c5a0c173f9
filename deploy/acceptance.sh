#!/usr/bin/env bash
# What CI leaves out, since it takes too long, needs root, or more from registries than CI should: every test.sh below deploy/, and crashes
# without end. Run before a release, of a commit: what it prints is kept in target/acceptance.log, and what of it is to be committed in
# benches/runs/DATE-acceptance.md: what was run, how long it took, what passed, failed, and was not run, with the reason.
#
#   acceptance.sh [--program FILE] [--before FILE] [--only NAME]… [--dirty] [--list]
#
# NAME is a folder of deploy/ with a test.sh, `chaos` (RISKFLOW_CRASHES of the job and of the broker, 200), `slow`: tests of the suite
# that take a minute or more each (a Kafka with TLS, passwords and ACLs; a hostile client of HTTP; packs over the demo's whole storm;
# 100,000 datastreams and a process that is killed), or `contracts`: documents of topics and HTTP read by others' programs, with Node, and
# the example consumers in all languages beside a job. `cluster` measures how long two processes are away when one is killed. Without
# --program a release build comes first. Installs what it lacks: Debian packages (deploy/setup.sh acceptance), and validators into
# target/tools. --before names a program of the release before, for the upgrade of the operating guide. --dirty takes a work tree with
# changes, or a program of another commit, too, and the head says so. With --only the short log goes to target/acceptance.md.
#
# Exit status: 0 all is well; 1 something is not, or was not run and is not on the list below; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

all=()
for test in "$root"/deploy/*/test.sh; do
    folder=${test%/test.sh}
    all+=("${folder##*/}")
done
all+=(chaos slow contracts)

# What no machine of ours can run: the only tests that may be left out, by how their names begin.
may_be_left_out=(
    'Grafana itself, and docker compose'
    'docker build'
    'helm install'
    'kubectl apply'
    'HTTPS: what the program says of it'
    # Blocks of the documents that say so above them.
    'install.md: Artefacts'
    'install.md: Debian: the files are yours'
    'install.md: Container'
    'install.md: Compose'
    'install.md: Kubernetes'
    'operate.md: Scale'
)

given='' before=() only=() dirty=0
while (($# > 0)); do
    case $1 in
        --program) given=$(value "$@"); shift 2 ;;
        --before) before=(--before "$(value "$@")"); shift 2 ;;
        --only) only+=("$(value "$@")"); shift 2 ;;
        --dirty) dirty=1; shift ;;
        --list) printf '%s\n' "${all[@]}"; exit 0 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
short=$root/target/acceptance.md
((${#only[@]} > 0)) || { only=("${all[@]}"); short=$root/benches/runs/$(date -u +%F)-acceptance.md; }
for name in "${only[@]}"; do
    printf '%s\n' "${all[@]}" | grep -qx -- "$name" || fail "there is no test $name: --list" 2
done

# The short log of a run before is none of what is tested.
commit=$(git -C "$root" describe --always --abbrev=12)
changes=$(git -C "$root" status --porcelain -- . ':!benches/runs/*-acceptance.md')
if [[ -n $changes ]]; then
    ((dirty)) || fail "the work tree differs from its commit: commit, or give --dirty
$changes" 2
    commit+=' (dirty: the work tree differs)'
fi

log=$root/target/acceptance.log
mkdir -p "$root/target"
"$root/deploy/setup.sh" acceptance
"$root/deploy/tools.sh" install
program=$(program "$given")
# What is tested is what people get: stripped, with its debug information and the list of what it is made of beside it.
if [[ ! -f ${program%/*}/riskflow.cdx.json ]]; then
    "$root/deploy/binary.sh" --program "$program"
    program=$dist/riskflow
fi
built=$(commit_of "$program")
if ((!dirty)) && [[ $built != "$(commit_here)" ]]; then
    fail "$program is of commit ${built:-unknown}, the work tree of $commit: build it anew, leave --program out, or give --dirty" 2
fi
at_work

# run NAME: one of them, as it prints.
run() {
    case $1 in
        chaos) make --no-print-directory -C "$root" chaos ;;
        slow) RISKFLOW_REQUIRE_KAFKA=1 RISKFLOW_TEST_PROGRAM=$program "$root/deploy/test.sh" --test suite -- --ignored ;;
        contracts)
            "$kafka" fetch && RISKFLOW_REQUIRE_KAFKA=1 RISKFLOW_REQUIRE_NODE=1 RISKFLOW_REQUIRE_CONSUMERS=1 \
                "$root/deploy/test.sh" --test suite -- contracts consumers
            ;;
        operate) "$root/deploy/operate/test.sh" --program "$program" "${before[@]}" ;;
        *) "$root/deploy/$1/test.sh" --program "$program" ;;
    esac
}
# How many passed and failed, by what the scripts of deploy/ print at their ends, and cargo's tests.
count() {
    awk -v what="$1" '
        /^[0-9]+ passed, [0-9]+ failed/ || /^test result:/ {
            for (i = 2; i <= NF; i++) if ($i ~ "^" what) sum += $(i - 1)
        }
        END { print sum + 0 }' "$2"
}

failures=()
printf 'acceptance of %s, commit %s, %s\n' "$("$program" -V)" "$commit" "$(date -u +%FT%TZ)" >"$log"
which=''
[[ $short != "$root/target/"* ]] || which=$(printf ' --only %s' "${only[@]}")
{
    printf '# Acceptance, %s\n\n' "$(date -u +%F)"
    echo "deploy/acceptance.sh$which at commit $commit, with $("$program" -V) of commit $built,"
    echo "on $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release), $(nproc) cores."
    printf '\n| what | s | passed | failed | not run | exit status |\n|---|---|---|---|---|---|\n'
} >"$work/table"
: >"$work/measured"
: >"$work/left-out"
for name in "${only[@]}"; do
    printf '\n== %s (%s s)\n' "$name" "$SECONDS" | tee -a "$log"
    began=$SECONDS status=0
    run "$name" 2>&1 | tee "$work/said" || status=$?
    cat "$work/said" >>"$log"
    ((status == 0)) || failures+=("$name: exit status $status")
    # A script that ends before it has tested anything must not look well.
    passes=$(count passed "$work/said")
    ((passes > 0)) || failures+=("$name: nothing passed")
    while IFS= read -r line; do
        printf '* %s: %s\n' "$name" "$line" >>"$work/left-out"
        allowed=0
        for begin in "${may_be_left_out[@]}"; do [[ $line != "$begin"* ]] || allowed=1; done
        ((allowed)) || failures+=("$name: NOT RUN, and may not be left out: $line")
    done < <(sed -n 's/^NOT RUN   //p' "$work/said")
    # What a test measured stands below its line; what a failure printed, behind a bar.
    # Tests of cargo print otherwise.
    case $name in
        chaos | slow | contracts) ;;
        *) sed -n "s/^ \{10\}\([^|].*\)/* $name: \1/p" "$work/said" >>"$work/measured" ;;
    esac
    printf '| %s | %s | %s | %s | %s | %s |\n' "$name" $((SECONDS - began)) "$passes" "$(count failed "$work/said")" \
        "$(grep -c '^NOT RUN   ' "$work/said" || true)" "$status" >>"$work/table"
done
{
    cat "$work/table"
    printf '\n%s s in all.\n\nMeasured:\n\n' "$SECONDS"
    cat "$work/measured"
    printf '\nNot run, and why:\n\n'
    cat "$work/left-out"
    if ((${#failures[@]} > 0)); then
        printf '\n**Failed:**\n\n'
        printf '* %s\n' "${failures[@]}"
    else
        printf '\nAll that was run is well.\n'
    fi
} >"$short"
printf '\n== done in %s s; the short log: %s\n' "$SECONDS" "$short" | tee -a "$log"
if ((${#failures[@]} > 0)); then
    printf 'failed: %s\n' "${failures[@]}" | tee -a "$log"
    exit 1
fi
