#!/usr/bin/env bash
# Tests of the compose file without an engine: by the compose specification and the checkers of its parts; then the same parts with the
# same files, as programs of this machine: Kafka with the settings of the file, riskflow, Prometheus, Alertmanager.
#
#   test.sh [--program FILE] [--no-run]
#
# Needs deploy/tools.sh install python; for the run also Java and Maven (deploy/kafka), and Debian's prometheus and
# prometheus-alertmanager. --no-run leaves the run out.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/compose

given='' run=1
arguments --program= given --no-run run -- "$@"
[[ -x $python ]] || fail "validators are missing: deploy/tools.sh install python" 3
program=$(program "$given")
# shellcheck disable=SC2317 # when it ends
stop_broker() { [[ ! -d $work/kafka ]] || stop_kafka "$work/kafka" >/dev/null 2>&1; }
at_work
stops+=(stop_broker)

# As docker compose reads it: variables filled in, then strictly.
read_it() {
    "$python" - "$here/compose.yaml" <<'PYTHON'
import re, sys, compose_spec
def read(text):
    options = compose_spec.PyOptions()
    options.apply_merge = True
    file = options.from_yaml(text)
    file.validate()
    file.to_spec()
    return file.service_names()
text = open(sys.argv[1]).read()
text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", re.sub(r"\$\{\w+:\?[^}]*\}", "x", text))
print(read(text))
# That it does look at it.
try:
    read(text.replace("mem_limit:", "mem_limits:"))
except Exception:
    sys.exit(0)
sys.exit("it takes anything")
PYTHON
}
it "compose.yaml: the compose specification" read_it

closed() {
    "$python" - "$here" <<'PYTHON'
import pathlib, sys, yaml
here = pathlib.Path(sys.argv[1])
file = yaml.safe_load((here / "compose.yaml").read_text())
services = file["services"]
for name, service in services.items():
    image = service["image"]
    assert ":" in image and not image.endswith(":latest"), f"{name}: {image} is of no version"
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to others"
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (here / source).exists(), f"{name}: {source} is not there"
            assert mount.endswith(":ro"), f"{name}: {mount} may be written"
        else:
            assert source in file["volumes"], f"{name}: no such volume: {source}"
    check = service.get("healthcheck", {}).get("test", [])
    if name == "riskflow":
        assert check[:3] == ["CMD", "/usr/bin/riskflow", "health"], f"{name}: {check}"
        mounts = [mount.split(":")[1] for mount in service["volumes"]]
        assert check[check.index("--config") + 1] in mounts, f"{name}: nobody mounts what its health check reads"
    for other in service.get("depends_on", {}):
        assert other in services, f"{name} waits for {other}, which is not there"
PYTHON
}
it "all ports on loopback, all files there, all images of a version" closed

if command -v amtool >/dev/null; then
    it "alertmanager.yml: amtool" amtool check-config "$here/alertmanager.yml"
else
    not_run "alertmanager.yml: amtool" "Debian: apt-get install prometheus-alertmanager"
fi
# As Prometheus sees its folder.
if command -v promtool >/dev/null; then
    mkdir "$work/prometheus"
    cp "$here/prometheus.yml" "$root/deploy/prometheus/riskflow.rules.yml" "$work/prometheus/"
    it "prometheus.yml and its rules: promtool" promtool check config "$work/prometheus/prometheus.yml"
else
    not_run "prometheus.yml: promtool" "Debian: apt-get install prometheus"
fi
it "riskflow.toml: riskflow check" "$program" check --config "$here/riskflow.toml"

grafana() {
    "$python" - "$here" "$root/deploy/grafana/riskflow.json" <<'PYTHON'
import json, pathlib, sys, yaml
here = pathlib.Path(sys.argv[1])
compose = yaml.safe_load((here / "compose.yaml").read_text())
sources = yaml.safe_load((here / "grafana/datasources/prometheus.yaml").read_text())["datasources"]
providers = yaml.safe_load((here / "grafana/dashboards/riskflow.yaml").read_text())["providers"]
folders = [mount.split(":")[1] for mount in compose["services"]["grafana"]["volumes"]]
assert all(one["options"]["path"] in folders for one in providers), "nobody mounts the dashboards"
assert sources[0]["url"] == "http://prometheus:9090" and "prometheus" in compose["services"]
dashboard = json.load(open(sys.argv[2]))
variables = [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "datasource"]
assert variables == [sources[0]["type"]], "the dashboard asks for another kind of source"
PYTHON
}
it "Grafana: dashboards and source are where it looks" grafana
not_run "Grafana itself, and docker compose" "Debian has no Grafana; images are not pulled"

# until_it SECONDS COMMAND…
until_it() {
    local until=$((SECONDS + $1))
    shift
    # Asked again and again: nothing outside tells when it is so.
    until "$@"; do
        ((SECONDS < until)) || { echo "in vain: $*"; return 1; }
        sleep 0.5
    done
}

broker() {
    # All of the file's settings but who listens where, and where the data are.
    "$python" - "$here/compose.yaml" >"$work/settings" <<'PYTHON'
import sys, yaml
environment = yaml.safe_load(open(sys.argv[1]))["services"]["kafka"]["environment"]
local = {"node.id", "process.roles", "log.dirs", "inter.broker.listener.name"}
for name, value in environment.items():
    if name.startswith("KAFKA_"):
        name = name.removeprefix("KAFKA_").lower().replace("_", ".")
        if "listener" not in name and "quorum" not in name and name not in local:
            print(f"--set={name}={value}")
PYTHON
    local settings=() line brokers
    while read -r line; do settings+=(--set "${line#--set=}"); done <"$work/settings"
    brokers=$(start_kafka "$work/kafka" "${settings[@]}")
    sed "s|kafka:9092|$brokers|; s|/var/lib/riskflow|$work|; s|0.0.0.0:9464|127.0.0.1:$http|; s|0.0.0.0:9465|127.0.0.1:$bridge|; s|alertmanager:9093|127.0.0.1:$alertmanager|" \
        "$here/riskflow.toml" >"$work/riskflow.toml"
}
topics_twice() {
    "$program" topics --create --config "$work/riskflow.toml"
    "$program" topics --create --config "$work/riskflow.toml"
    "$program" topics --check --config "$work/riskflow.toml"
}
rules_twice() {
    "$program" rules load --config "$work/riskflow.toml"
    "$program" rules load --config "$work/riskflow.toml" | tee "$work/second"
    none -iE '^[1-9][0-9]* (rules? )?loaded' "$work/second"
}
scraped() { get "http://127.0.0.1:$prometheus/api/v1/query" --data-urlencode 'query=up{job="riskflow"}' | grep '"1"\]'; }
alerted() { get "http://127.0.0.1:$alertmanager/api/v2/alerts" | grep "$1"; }
# Somebody is on duty, and something happens.
happens() {
    cat >"$work/incident.ndjson" <<NDJSON
{"topic":"base.unit","key":"u","value":{"id":"u","name":"Dinghai","region":"330902"}}
{"topic":"base.user","key":"li","value":{"id":"li","posts":[{"unit":"u","role":"duty"}]}}
{"topic":"base.duty","key":"d","value":{"id":"d","region":"330902","unit":"u","role":"duty"}}
{"topic":"in.incident","key":"leak","value":{"id":"leak","version":1,"hazard":"chemical_leak","title":"Leak","level":"red","domain":"work_safety","region":"330902001001","since":"$(date -u +%FT%TZ)"}}
NDJSON
    "$program" import "$work/incident.ndjson" --config "$work/riskflow.toml"
}
# Each time more of them: a rate needs a rise.
flooded() {
    for _ in {1..20}; do
        echo '{"datastream":"x","phenomenon_time":"2099-01-01T00:00:00Z","result":1}'
    done >"$work/ahead.ndjson"
    "$program" import "$work/ahead.ndjson" --topic in.observation --config "$work/riskflow.toml" >/dev/null
    alerted RiskflowDeadLetters | grep '"topic":"in.observation"'
}
# A rule over a metric that is not scraped never fires: what is not there from the start is named here.
all_scraped() {
    local name missing=()
    while read -r name; do
        get "http://127.0.0.1:$prometheus/api/v1/query" --data-urlencode "query=count($name)" | grep -q '"value"' || missing+=("$name")
    done < <(grep -oE '\b(riskflow|process)_[a-z_]+' "$work/prometheus/riskflow.rules.yml" | sort -u)
    echo "not scraped: ${missing[*]}"
    [[ ${missing[*]} == riskflow_input_usual_pause_seconds ]]
}

if ((!run)); then
    not_run "Kafka, riskflow, Prometheus and Alertmanager with these files" "--no-run"
elif ! command -v java >/dev/null || ! command -v prometheus >/dev/null || ! command -v prometheus-alertmanager >/dev/null; then
    not_run "Kafka, riskflow, Prometheus and Alertmanager with these files" \
        "Debian: apt-get install default-jre-headless maven prometheus prometheus-alertmanager"
else
    http=$(port) bridge=$(port) prometheus=$(port) alertmanager=$(port)
    it "a Kafka with the settings of the file" broker
    it "topics: made, and left alone the second time" topics_twice
    it "rules: loaded, and left alone the second time" rules_twice
    "$program" run --config "$work/riskflow.toml" 2>"$work/riskflow.log" &
    job=$!
    started+=("$job")
    it "riskflow is live, by the command of its health check" until_it 30 "$program" health --config "$work/riskflow.toml"
    "$program" bridge --config "$work/riskflow.toml" 2>"$work/bridge.log" &
    started+=($!)
    it "the bridge is live, by the command of its health check" until_it 30 "$program" health --url "http://127.0.0.1:$bridge"
    # Their own addresses, faster, and alerts that wait for seconds.
    sed "s/alertmanager:9093/127.0.0.1:$alertmanager/; s/riskflow:9464/127.0.0.1:$http/; s/bridge:9465/127.0.0.1:$bridge/; s/: 15s/: 1s/" "$here/prometheus.yml" >"$work/prometheus/prometheus.yml"
    sed -i 's/for: .*/for: 2s/' "$work/prometheus/riskflow.rules.yml"
    prometheus --config.file="$work/prometheus/prometheus.yml" --storage.tsdb.path="$work/tsdb" --web.listen-address="127.0.0.1:$prometheus" \
        >"$work/prometheus.log" 2>&1 &
    started+=($!)
    prometheus-alertmanager --config.file="$here/alertmanager.yml" --storage.path="$work/alertmanager" --cluster.listen-address= \
        --web.listen-address="127.0.0.1:$alertmanager" >"$work/alertmanager.log" 2>&1 &
    started+=($!)
    it "Prometheus scrapes it as job riskflow" until_it 30 scraped
    it "Prometheus has every metric that a rule names, but the one that takes an hour" until_it 30 all_scraped
    it "an incident is imported" happens
    it "it reaches Alertmanager by the bridge" until_it 60 alerted RiskIncident
    it "RiskflowDeadLetters reaches Alertmanager while all of a topic is refused" until_it 60 flooded
    stopped() {
        kill -TERM "$job"
        until_it 40 gone
    }
    gone() { ! kill -0 "$job" 2>/dev/null; }
    it "SIGTERM ends it" stopped
    it "RiskflowDown reaches Alertmanager" until_it 60 alerted RiskflowDown
fi
done_testing
