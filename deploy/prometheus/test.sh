#!/usr/bin/env bash
# Each of the alerts that matter at night, fired by what it is for and resolved by mending that: two processes of riskflow on a real Kafka,
# watched by a real Prometheus with the rules as they are shipped. The broker is stopped, checkpoints cannot be written, a feed stops, records
# are bad, a process is lost, a process ends again and again.
#
#   test.sh [--program FILE]
#
# Needs Java and Maven (deploy/kafka), and Debian's prometheus and python3-confluent-kafka. The rules have their own conditions; only their
# times are shorter (`shorten` below). The rhythm of the feed, which takes an hour to know, is learnt from two hours of history on the topic:
# a reading a second, each with the time at which it would have come.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/prometheus

given=''
arguments --program= given -- "$@"
needs java "Debian: apt-get install default-jre-headless maven"
for tool in prometheus promtool; do needs "$tool" "Debian: apt-get install prometheus"; done
needs curl "Debian: apt-get install curl"
needs jq "Debian: apt-get install jq"
# Debian's own, which has its packages.
/usr/bin/python3 -c 'import confluent_kafka' 2>/dev/null ||
    fail "python3-confluent-kafka is missing: Debian: apt-get install python3-confluent-kafka" 3
program=$(program "$given")
# shellcheck disable=SC2317 # when it ends
stop_broker() { [[ ! -d $work/kafka ]] || stop_kafka "$work/kafka" >/dev/null 2>&1; }
at_work
stops+=(stop_broker)

it "rules and their tests: promtool" promtool test rules "$here/riskflow.test.yml"

prometheus=$(port) http=("$(port)" "$(port)")
rules=$work/prometheus/riskflow.rules.yml
# shorten ALERT SED: within its expression and its `for`.
shorten() {
    sed -i "/alert: $1\$/,/labels:/ { s/for: .*/for: 1s/; $2 }" "$rules"
}
configure() {
    mkdir "$work/prometheus"
    cp "$here/riskflow.rules.yml" "$rules"
    shorten RiskflowDown ''
    shorten RiskflowRestarts 's/\[30m\]/[90s]/'
    shorten RiskflowSourceUnreachable ''
    shorten RiskflowDeadLetters 's/\[10m\]/[10s]/g'
    shorten RiskflowInputStopped 's/> 300 and/> 5 and/'
    shorten RiskflowCheckpointOld 's/> 600 and/> 10 and/'
    shorten RiskflowCheckpointFails 's/\[15m\]/[15s]/'
    diff "$here/riskflow.rules.yml" "$rules" || true
    cat >"$work/prometheus/prometheus.yml" <<YAML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [riskflow.rules.yml]
scrape_configs:
  - job_name: riskflow
    static_configs: [{ targets: ["127.0.0.1:${http[0]}", "127.0.0.1:${http[1]}"] }]
YAML
    promtool check config "$work/prometheus/prometheus.yml"
    cat >"$work/riskflow.toml" <<TOML
version = 1
input.kind = "kafka"
output.kind = "kafka"
kafka.brokers = "$brokers"
checkpoint.path = "$work/checkpoints"
checkpoint.interval = "1s"
cluster.hosts = ["127.0.0.1:$(port)", "127.0.0.1:$(port)"]
TOML
    cat >"$work/base.ndjson" <<'NDJSON'
{"topic":"base.asset","key":"weir-3","value":{"id":"weir-3","name":"Weir 3","category":"river_gauge","domain":"natural_hazard","region":"330902001001","inherent_level":2}}
{"topic":"base.datastream","key":"weir-3-rain","value":{"id":"weir-3-rain","asset":"weir-3","observed_property":"rainfall","unit":"mm"}}
NDJSON
    "$program" topics --create --config "$work/riskflow.toml"
    "$program" rules load rain --config "$work/riskflow.toml"
    "$program" import "$work/base.ndjson" --format envelope --config "$work/riskflow.toml"
}
# start_feed SECONDS: of history before it.
start_feed() {
    /usr/bin/python3 "$here/feed.py" "$brokers" "$1" 2>>"$work/feed.log" &
    feed=$!
    started+=("$feed")
}
# A process of its own accord ends with its cluster: here nobody starts it again but this script.
processes=()
start() {
    local index
    for index in 0 1; do
        "$program" run --config "$work/riskflow.toml" --set "cluster.process=$index" --set "http.listen=127.0.0.1:${http[index]}" \
            2>>"$work/$index.log" &
        processes[index]=$!
        started+=($!)
    done
}
# One of them is killed: the other ends by itself.
lose() {
    kill -KILL "${processes[1]}"
    wait "${processes[@]}" 2>/dev/null || true
}
until_it() {
    local until=$((SECONDS + $1))
    shift
    # Asked again and again: nothing outside tells when it is so.
    until "$@"; do
        ((SECONDS < until)) || { echo "in vain: $*"; firing; tail -n 3 "$work/"[01].log "$work/feed.log"; return 1; }
        sleep 0.5
    done
}
query() { get "http://127.0.0.1:$prometheus/api/v1/query" --data-urlencode "query=$1" | jq -e "${2:-.data.result[0].value[1]}"; }
live() { [[ $(query 'sum(riskflow_state{state="live"})') == '"2"' ]]; }
# What fires, each by its name once.
firing() { query 'ALERTS{alertstate="firing"}' '[.data.result[].metric.alertname] | unique | .[]' | tr -d '"'; }
is_firing() { firing | grep -qx "$1"; }
is_not_firing() { ! is_firing "$1"; }
# fires ALERT [ALSO…]: it fires, and nothing else but what may besides.
fires() {
    until_it 60 is_firing "$1"
    firing >"$work/firing"
    echo "firing: $(tr '\n' ' ' <"$work/firing")"
    none -vxF "$(printf '%s\n' "$@")" "$work/firing"
}
resolves() { until_it 150 is_not_firing "$1"; }
calm() { [[ -z $(firing) ]]; }
knows_rhythm() { query 'max(riskflow_input_usual_pause_seconds{topic="in.observation"})'; }

broker() { start_kafka "$work/kafka" >"$work/brokers"; }
it "a Kafka" broker
brokers=$(cat "$work/brokers")
[[ -n $brokers ]] || { done_testing; exit 1; }
it "topics, rules, rows; the rules with shorter times" configure
start_feed 7200
start
prometheus --config.file="$work/prometheus/prometheus.yml" --storage.tsdb.path="$work/tsdb" --web.listen-address="127.0.0.1:$prometheus" \
    >"$work/prometheus.log" 2>&1 &
started+=($!)
it "both processes are live, and scraped" until_it 90 live
it "the rhythm of the feed is known from its history" until_it 30 knows_rhythm
it "nothing fires while all is well" until_it 60 calm

# Each second some: one burst is over before a rate sees it.
flooded() {
    /usr/bin/python3 "$here/feed.py" "$brokers" bad 50 && is_firing RiskflowDeadLetters
}
it "bad records: RiskflowDeadLetters" until_it 60 flooded
it "and nothing else" fires RiskflowDeadLetters
it "no more of them: it resolves" resolves RiskflowDeadLetters

# Also for root, who may write to any folder.
mv "$work/checkpoints" "$work/aside"
: >"$work/checkpoints"
it "checkpoints cannot be written: RiskflowCheckpointFails" fires RiskflowCheckpointFails RiskflowCheckpointOld
it "checkpoints stand still: RiskflowCheckpointOld" fires RiskflowCheckpointOld RiskflowCheckpointFails
rm "$work/checkpoints"
mv "$work/aside" "$work/checkpoints"
both_resolve() {
    resolves RiskflowCheckpointOld
    resolves RiskflowCheckpointFails
}
it "they can: both resolve" both_resolve

kill "$feed"
{ wait "$feed" || true; } 2>/dev/null
it "the feed stops: RiskflowInputStopped" fires RiskflowInputStopped
start_feed 0
it "it goes on: it resolves" resolves RiskflowInputStopped

# Nothing comes in, nothing goes out meanwhile.
stop_kafka "$work/kafka" >/dev/null 2>&1
it "the broker stops: RiskflowSourceUnreachable" \
    fires RiskflowSourceUnreachable RiskflowInputStopped RiskflowCheckpointOld RiskflowCheckpointFails RiskflowCommitRetries
start_kafka "$work/kafka" >/dev/null
it "it is back: it resolves" resolves RiskflowSourceUnreachable
it "and all else" until_it 120 calm

lose
it "one of two processes is killed: RiskflowDown" fires RiskflowDown
start
it "both are started: it resolves" resolves RiskflowDown
it "and both are live" until_it 60 live

# As under a supervisor, without end: each time they get live, and end. What is counted is what Prometheus saw.
start_of_0() { query "max(riskflow_start_timestamp_seconds{instance=\"127.0.0.1:${http[0]}\"})"; }
other_start() { [[ $(start_of_0) != "$before" ]] && live; }
looped() {
    local before
    for _ in {1..5}; do
        before=$(start_of_0)
        lose
        start
        until_it 60 other_start
    done
}
# In this shell, whose children they are.
looped >"$work/looped" 2>&1 || true
it "they end again and again, and are started each time: RiskflowRestarts" fires RiskflowRestarts RiskflowDown
it "they go on: it resolves" resolves RiskflowRestarts
it "nothing fires at the end" until_it 60 calm
done_testing
