#!/usr/bin/env bash
# Tests of the manifests for kustomize without a cluster: that they are what the chart gives, are valid, and what the program says of the
# variables and the configuration that each pod would get. Then two pods of the chart as they would be: the files of the image, read only,
# each with an address of its own, found by name; one is killed, and both come back; so do they when the network between them was cut.
#
#   test.sh [--program FILE]
#
# Needs deploy/tools.sh install; for the pods root and iproute2. Their network is of two namespaces without a way out.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/kubernetes

given=''
arguments --program= given -- "$@"
PATH=$PATH:$tools/bin
needs kustomize "deploy/tools.sh install kustomize"
needs jq "Debian: apt-get install jq"
program=$(program "$given")
at_work

well() {
    kustomize build "$here/$1" >"$work/$1.yaml"
    "$here/validate.sh" "$work/$1.yaml"
    "$python" "$here/pods.py" check "$program" <"$work/$1.yaml"
}
it "the base is what the chart gives" "$here/render.sh" --check
it "base: one process, a volume" well base
it "cluster: two processes, a bucket, monitoring" well cluster

moved() {
    mkdir "$work/mine"
    printf 'resources: [%s]\nnamespace: elsewhere\n' "$(realpath --relative-to="$work/mine" "$here/cluster")" >"$work/mine/kustomization.yaml"
    kustomize build "$work/mine" | "$python" "$here/pods.py" list | grep 'riskflow-{}\.riskflow-peers\.elsewhere\.svc'
}
it "in another namespace, pods find each other there" moved
not_run "kubectl apply" "takes a cluster"

# An embedded log on a claim that both mount stands for Kafka.
render_pods() {
    cat >"$work/riskflow.toml" <<'TOML'
version = 1
input.path = "/var/lib/riskflow/log"
output.path = "/var/lib/riskflow/log"
checkpoint.interval = "1s"
TOML
    "$tools/bin/helm" template riskflow "$root/deploy/helm/riskflow" --kube-version 1.32.0 --set-file config="$work/riskflow.toml" \
        --set replicas=2,workers=2,createTopics=true,persistence.existingClaim=shared 2>/dev/null >"$work/pods.yaml"
    "$python" "$here/pods.py" list <"$work/pods.yaml" >"$work/pods"
    "$root/deploy/container/root.sh" "$program" "$work/root"
    # Where a kubelet mounts its own.
    : >"$work/root/etc/hosts"
    install -d -o 65532 -g 65532 "$work/claim"
    for index in 0 1; do
        jq -rs ".[] | select(.pod == \"riskflow-$index\" and .container == \"riskflow\")" "$work/pods" >"$work/pod"
        jq -r '"10.244.0.1'$index' " + .pod + "." + .subdomain + "." + .namespace + ".svc.cluster.local"' "$work/pod" >>"$work/hosts"
    done
    cat "$work/hosts"
}
# Two namespaces, and a wire between them.
networks() {
    local index
    for index in 0 1; do
        nsenter --target "${holders[index]}" --net ip link set lo up
    done
    nsenter --target "${holders[0]}" --net ip link add eth0 type veth peer name eth0 netns "${holders[1]}"
    for index in 0 1; do
        nsenter --target "${holders[index]}" --net ip address add "10.244.0.1$index/24" dev eth0
        nsenter --target "${holders[index]}" --net ip link set eth0 up
    done
}
# pod INDEX CONTAINER: runs it in the foreground.
pod() {
    local index=$1 config=$work/config-$1 arguments variables
    jq -rs ".[] | select(.pod == \"riskflow-$index\" and .container == \"$2\")" "$work/pods" >"$work/pod-$1-$2"
    mkdir -p "$config"
    jq -rj .config "$work/pod-$1-$2" >"$config/riskflow.toml"
    mapfile -t arguments < <(jq -r '.args[]' "$work/pod-$1-$2")
    mapfile -t variables < <(jq -r '.env | to_entries[] | .key + "=" + .value' "$work/pod-$1-$2")
    # shellcheck disable=SC2016 # for the shell in there
    exec nsenter --target "${holders[index]}" --net unshare --mount sh -c 'root=$1; mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" &&
        mount --bind "$2" "$root/etc/riskflow" && mount --bind "$3" "$root/etc/hosts" && mount --bind "$4" "$root/var/lib/riskflow" &&
        mount -t tmpfs none "$root/tmp" && shift 4 && exec env -i "$@"' sh "$work/root" "$config" "$work/hosts" "$work/claim" \
        "${variables[@]}" "$(command -v chroot)" --userspec=65532:65532 "$work/root" /usr/bin/riskflow "${arguments[@]}"
}
ask() { nsenter --target "${holders[0]}" --net curl --silent --noproxy '*' "$@"; }
topics() {
    local first second
    (pod 0 topics) &
    first=$!
    (pod 1 topics) &
    second=$!
    wait "$first"
    wait "$second"
}
start() {
    (pod "$1" riskflow) 2>>"$work/$1.log" &
    processes[$1]=$!
    started+=($!)
}
# As the probes and the service would: by address, and by the service's name.
all_live() {
    local until=$((SECONDS + 60))
    until ask --fail http://10.244.0.10:9464/readyz | grep -x 'live' &&
        ask --fail http://10.244.0.11:9464/readyz | grep '^live: requests are passed on to process 0'; do
        ((SECONDS < until)) || { tail -n 5 "$work/"*.log; return 1; }
        sleep 0.1
    done
    ask --fail --header 'Host: riskflow.default.svc.cluster.local' http://10.244.0.10:9464/api/v1/warnings
    ask --fail --header 'Host: riskflow.default.svc.cluster.local' http://10.244.0.11:9464/api/v1/warnings
    ask --fail http://10.244.0.11:9464/metrics | grep '^riskflow_live '
}
if ((EUID != 0)) || ! command -v ip >/dev/null; then
    not_run "two pods with the image's files, each with an address" "needs root, and ip (Debian: apt-get install iproute2)"
else
    it "two pods: their files, arguments, names" render_pods
    holders=()
    for index in 0 1; do
        unshare --net sleep infinity &
        holders+=($!)
        started+=($!)
    done
    # Each is in a network of its own only once it is unshared.
    for holder in "${holders[@]}"; do
        until [[ $(readlink "/proc/$holder/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.05; done
    done
    it "each has an address" networks
    it "topics are made by both at once" topics
    processes=()
    start 0
    start 1
    it "they find each other by name, and probes and service answer" all_live
    kill -KILL "${processes[1]}"
    { wait "${processes[1]}" || true; } 2>/dev/null
    wait_for "${processes[0]}"
    it "one of them is killed: the other ends with exit code 1" test "$statuses" = "1 "
    start 1
    # Not for anything to happen: that they begin apart is what is tried.
    sleep 1
    start 0
    it "started again, one a second later: both live" all_live
    # Without a packet to either: neither is told that the other is gone.
    nsenter --target "${holders[0]}" --net ip link set eth0 down
    both_end() {
        local until=$((SECONDS + 90)) index
        for index in 0 1; do
            while kill -0 "${processes[$index]}" 2>/dev/null; do
                ((SECONDS < until)) || { echo "process $index goes on"; return 1; }
                sleep 0.1
            done
        done
    }
    it "the network between them is cut: both end" both_end
    wait_for "${processes[@]}"
    it "with exit code 1" test "$statuses" = "1 1 "
    nsenter --target "${holders[0]}" --net ip link set eth0 up
    start 0
    start 1
    it "the network is back: both live" all_live
    kill -TERM "${processes[0]}"
    wait_for "${processes[@]}"
    it "SIGTERM to one: both end with exit code 0" test "$statuses" = "0 0 "
fi
done_testing
