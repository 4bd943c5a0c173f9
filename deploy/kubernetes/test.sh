#!/usr/bin/env bash
# Tests of the manifests for kustomize without a cluster: that they are what the chart gives, are valid, and what the program says of the
# arguments and the configuration that each pod would get.
#
#   test.sh [--program FILE]
#
# Needs deploy/tools.sh install, and kubectl (or kustomize).
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/kubernetes
python=$(dirname "$("$root/deploy/tools.sh" path)")/python/bin/python

given=''
while (($# > 0)); do
    case $1 in
        --program) given=$(value "$@"); shift 2 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
needs kubectl "https://kubernetes.io/docs/tasks/tools"
program=$(program "$given")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

well() {
    kubectl kustomize "$here/$1" >"$work/$1.yaml"
    "$here/validate.sh" "$work/$1.yaml"
    "$python" "$here/pods.py" check "$program" <"$work/$1.yaml"
}
it "the base is what the chart gives" "$here/render.sh" --check
it "base: one process, a volume" well base
it "cluster: two processes, a bucket, monitoring" well cluster

moved() {
    mkdir "$work/mine"
    printf 'resources: [%s]\nnamespace: elsewhere\n' "$(realpath --relative-to="$work/mine" "$here/cluster")" >"$work/mine/kustomization.yaml"
    kubectl kustomize "$work/mine" | "$python" "$here/pods.py" list | grep -q 'riskflow-1\.riskflow-peers\.elsewhere\.svc'
}
it "in another namespace, pods find each other there" moved
not_run "kubectl apply" "takes a cluster"
done_testing
