#!/usr/bin/env bash
# Tests of `riskflow topics --create` at a real schema registry (Apicurio) beside a real Kafka. The test suite has a stand-in for it, since
# the real one is a download of 109 MB.
#
#   test.sh [--program FILE]
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/registry

given=''
arguments --program= given -- "$@"
needs jq "Debian: apt-get install jq"
needs curl "Debian: apt-get install curl"
program=$(program "$given")
# shellcheck disable=SC2317 # when it ends
stop_both() {
    "$here/registry.sh" stop "$work"
    stop_kafka "$work/kafka"
}
at_work
stops+=(stop_both)
"$here/registry.sh" install
brokers=$(start_kafka "$work/kafka")
url=$("$here/registry.sh" start "$work")
export NO_PROXY=127.0.0.1

ask() { curl --silent --show-error --noproxy '*' --header 'Content-Type: application/vnd.schemaregistry.v1+json' "$@"; }
topics() {
    "$program" topics "$@" --set input.kind=kafka --set output.kind=kafka --set "kafka.brokers=$brokers" --set topics.prefix=registry. \
        --set "checkpoint.path=$work/checkpoints" --set http.enabled=false
}
# How many subjects are in each state, such as `registered 33`.
states() { jq -r '[.[].schemas[].state] | group_by(.) | map("\(.[0]) \(length)") | join(", ")' "$1"; }

created() {
    topics --create --schema-registry "$url" --json >"$work/created.json"
    local all
    all=$("$program" schema | grep -cE '^(base|in|out)\.')
    states "$work/created.json"
    [[ $(states "$work/created.json") == "registered $all" ]]
    [[ $(ask "$url/subjects" | jq length) == "$all" ]]
}
it "all schemas are registered" created

again() {
    topics --create --check --schema-registry "$url" --json >"$work/again.json"
    states "$work/again.json"
    [[ $(states "$work/again.json") =~ ^unchanged\ [0-9]+$ ]]
    ask "$url/subjects/registry.in.rule-value/versions" | jq -e '. == [1]'
}
it "the same again changes nothing" again

# What docs/compatibility.md says of levels: of outputs a version may have more fields, of which old consumers take no notice.
level() { ask --fail --request PUT --data "{\"compatibility\":\"$2\"}" "$url/config/registry.$1-value" >/dev/null; }
more() {
    ask --fail "$url/subjects/registry.$1-value/versions/latest" |
        jq '{schemaType: "JSON", schema: (.schema | fromjson | .properties.further = {type: "string"} | .required += ["further"] | tojson)}' >"$work/more"
    ask --request POST --data "@$work/more" "$url/compatibility/subjects/registry.$1-value/versions/latest" | jq .is_compatible
}
fields() {
    level out.warning.delta FORWARD
    [[ $(more out.warning.delta) == true ]]
    level out.warning.delta BACKWARD
    [[ $(more out.warning.delta) == false ]]
}
it "a further field of an output fits under FORWARD, and not under BACKWARD" fields

# A subject that somebody else made: the registry compares, and refuses.
refused() {
    local subject=registry.in.rule-value status=0 before
    ask --fail --request DELETE "$url/subjects/$subject" >/dev/null
    # shellcheck disable=SC2016 # a keyword of JSON Schema
    ask --fail --request POST "$url/subjects/$subject/versions" \
        --data '{"schemaType":"JSON","schema":"{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"type\":\"string\"}"}' >/dev/null
    level in.rule BACKWARD
    before=$(ask "$url/subjects/$subject/versions")
    topics --create --schema-registry "$url" --json >"$work/refused.json" || status=$?
    states "$work/refused.json"
    [[ $status == 4 ]]
    jq -e --arg subject "$subject" '[.[].schemas[] | select(.state != "unchanged")] | map([.subject, .state]) == [[$subject, "incompatible"]]' \
        "$work/refused.json"
    [[ $(ask "$url/subjects/$subject/versions") == "$before" ]]
}
it "a schema that does not fit is refused, and its subject stays as it was" refused

elsewhere() {
    local status=0
    topics --create --schema-registry "${url%/apis/*}" 2>"$work/elsewhere" || status=$?
    cat "$work/elsewhere"
    [[ $status == 2 ]] && grep -q 'no schema registry' "$work/elsewhere"
}
it "the address of the registry without the path of its API is told so" elsewhere
done_testing
