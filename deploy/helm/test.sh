#!/usr/bin/env bash
# Tests of the Helm chart without a cluster: each set of values is rendered, validated, and the program is asked what it says of the
# variables and the configuration that each pod would get.
#
#   test.sh [--program FILE]
#
# Needs deploy/tools.sh install.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
chart=$root/deploy/helm/riskflow kubernetes=$root/deploy/kubernetes
PATH=$PATH:$tools/bin

given=''
arguments --program= given -- "$@"
needs helm "deploy/tools.sh install helm"
needs jq "Debian: apt-get install jq"
program=$(program "$given")
at_work

# It says on standard error that two files are links.
release=riskflow
render() { helm template "$release" "$chart" --namespace city --kube-version 1.32.0 "$@" 2> >(grep -v 'found symbolic link' >&2); }
well() {
    local name=$1
    shift
    render "$@" >"$work/$name.yaml"
    "$kubernetes/validate.sh" "$work/$name.yaml"
    "$python" "$kubernetes/pods.py" check "$program" <"$work/$name.yaml"
}
refused() {
    local why=$1 said
    shift
    ! said=$(render "$@" 2>&1 >"$work/nothing") || return 1
    echo "$said"
    grep -q -- "$why" <<<"$said"
}
cluster=(--set 'replicas=3,workers=2,checkpoints.path=s3://bucket/riskflow,persistence.enabled=false,secretEnvironment=bucket')

it "helm lint" helm lint --strict "$chart"
it "as it comes: one process, a volume" well plain
it "three processes, a bucket" well cluster "${cluster[@]}"
it "three processes, a claim that all may mount" well claim --set replicas=3,persistence.existingClaim=shared
it "everything that can be on" well all "${cluster[@]}" --set createTopics=true,monitoring.enabled=true,monitoring.labels.release=prometheus \
    --set secretFiles=files,priorityClassName=system-cluster-critical,nodeSelector.disk=ssd \
    --set 'networkPolicy.egress[0].to[0].namespaceSelector.matchLabels.name=kafka'
release=storm
it "a release of another name" well other --set monitoring.enabled=true
release=riskflow
it "more than one process with checkpoints of its own each: refused" refused 'all must see the same checkpoints' --set replicas=2
it "a value that does not exist: refused" refused replica --set replica=2

tls() {
    render --set http.tlsSecret=tls,monitoring.enabled=true >"$work/tls.yaml"
    "$kubernetes/validate.sh" "$work/tls.yaml"
    [[ $(grep -c 'scheme: HTTPS' "$work/tls.yaml") == 2 ]]
}
it "HTTPS: probes and scraping by it" tls
not_run "HTTPS: what the program says of it" "its certificate is in a Secret"

# That a rolling update never waits for itself, that all come up together, and that peers have names before they are ready.
several() {
    [[ -s $work/cluster.yaml ]]
    grep -q 'podManagementPolicy: Parallel' "$work/cluster.yaml"
    grep -q 'type: OnDelete' "$work/cluster.yaml"
    grep -q 'publishNotReadyAddresses: true' "$work/cluster.yaml"
    "$python" "$kubernetes/pods.py" list <"$work/cluster.yaml" >"$work/pods"
    [[ $(wc -l <"$work/pods") == 3 ]]
    grep -o 'riskflow-{}\.riskflow-peers\.default\.svc\.cluster\.local:2101' "$work/pods" | wc -l | grep -x 3
    jq -r '.env | .HOSTNAME + " " + .RISKFLOW__CLUSTER__PROCESS + " " + .RISKFLOW__CLUSTER__PROCESSES' "$work/pods" | grep -x 'riskflow-2 hostname 3'
}
it "several processes: together, by name, no rolling update" several

versions() {
    local cargo
    cargo=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
    echo "Cargo.toml: $cargo"
    grep -qx "version: $cargo" "$chart/Chart.yaml"
    grep -qx "appVersion: \"$cargo\"" "$chart/Chart.yaml"
}
it "version: that of Cargo.toml" versions

packed() {
    helm package "$chart" --destination "$work"
    tar -xOf "$work"/riskflow-*.tgz riskflow/files/riskflow.rules.yml | cmp - "$root/deploy/prometheus/riskflow.rules.yml"
}
it "packed, it has the alert rules of deploy/prometheus" packed
not_run "helm install" "takes a cluster"
done_testing
