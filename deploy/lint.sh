#!/usr/bin/env bash
# Everything that judges without running: format, clippy, dependencies, scripts, alert rules.
#
# Goes on after a failure, so that one run tells everything, and fails at the end. A tool that is not installed is named.
#
# Exit status: 0 all that was checked is well; 1 something is not; 2 wrong usage.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

operands 0 "$@"
cd "$root"
failed=()
missing=()

check() {
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    "$@" || failed+=("$name")
}

# has TOOL, HOW TO INSTALL IT
has() {
    command -v "$1" >/dev/null || { missing+=("$1 ($2)"); return 1; }
}

# The advisory database is a git repository, which not every machine reaches: not fetched is said, vulnerable fails.
advisories() {
    local said status=0
    said=$(cargo deny --locked check advisories 2>&1) || status=$?
    if ((status != 0)) && grep -q 'failed to fetch advisory database' <<<"$said"; then
        printf '*** ADVISORIES NOT CHECKED: the advisory database cannot be fetched from here ***\n'
        missing+=("the advisory database (a network that reaches it)")
        return
    fi
    printf '%s\n' "$said"
    return "$status"
}

check "cargo fmt" cargo fmt --all --check
check "cargo clippy" cargo clippy --workspace --all-targets --locked -- -D warnings

# `make test` leaves benches out: a test there would never run.
no_tests_in_benches() {
    ! git grep -nE '#\[(tokio::)?test\]' -- benches
}
check "no tests in benches" no_tests_in_benches

if has cargo-deny "cargo install cargo-deny --locked"; then
    check "cargo deny: licences, bans, sources" cargo deny --locked --log-level error check licenses bans sources
    check "cargo deny: advisories" advisories
fi

if has shellcheck "Debian: apt-get install shellcheck"; then
    mapfile -t scripts < <(git ls-files '*.sh' .ci/run deploy/debian/{postinst,postrm,prerm} deploy/operate/systemctl)
    check "shellcheck" shellcheck "${scripts[@]}"
fi

mapfile -t rules < <(git ls-files 'deploy/prometheus/*.rules.yml')
mapfile -t rule_tests < <(git ls-files 'deploy/prometheus/*.test.yml')
if ((${#rules[@]} > 0)) && has promtool "Debian: apt-get install prometheus"; then
    check "promtool: rules" promtool check rules "${rules[@]}"
    ((${#rule_tests[@]} == 0)) || check "promtool: tests of rules" promtool test rules "${rule_tests[@]}"
fi

# A dashboard's queries as rules, so that promtool reads them.
dashboards_parse() {
    local rules status=0
    rules=$(mktemp --suffix .yml)
    python3 - deploy/grafana/*.json >"$rules" <<'PYTHON' || status=$?
import json, sys
panels = [panel for path in sys.argv[1:] for panel in json.load(open(path))["panels"]]
queries = [target["expr"].replace("$__rate_interval", "5m") for panel in panels for target in panel.get("targets", [])]
assert queries, "no query"
rules = [{"alert": f"Query{number}", "expr": query} for number, query in enumerate(queries)]
json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, sys.stdout)
PYTHON
    ((status != 0)) || promtool check rules "$rules" || status=$?
    rm -f "$rules"
    return "$status"
}
if has promtool "Debian: apt-get install prometheus" && has python3 "Debian: apt-get install python3"; then
    check "promtool: queries of dashboards" dashboards_parse
fi

# A rule over a metric that does not exist never fires, a panel over one stays empty.
metrics_exist() {
    local name names status=0
    mapfile -t names < <(grep -hoE '\b(riskflow|process)_[a-z_]+' deploy/prometheus/*.rules.yml deploy/grafana/*.json | sort -u)
    for name in "${names[@]}"; do
        # The catalogue is made of the code, which a test sees to.
        grep -q "^| \`${name%_bucket}\` " docs/metrics.md || { echo "no such metric: $name"; status=1; }
    done
    return "$status"
}
check "alert rules and dashboards name metrics that exist" metrics_exist

echo
for name in "${missing[@]}"; do echo "not checked, for want of: $name"; done
if ((${#failed[@]} > 0)); then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
echo "lint: all that was checked is well"
