#!/usr/bin/env bash
# Writes what kustomize builds on: the manifests of the chart (deploy/helm/riskflow), with the configuration left to overlays. So there is
# one source, and a change of the chart reaches both.
#
#   render.sh            writes base/riskflow.yaml and monitoring/monitoring.yaml
#   render.sh --check    fails if they are not what it would write
#
# Exit status: 0 done; 1 failed, or stale; 2 wrong usage; 3 helm is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/kubernetes
PATH=$PATH:$tools/bin

write=1
arguments --check write -- "$@"
needs helm "deploy/tools.sh install helm"

at_work
render() {
    # It says on standard error that files are links.
    helm template riskflow "$root/deploy/helm/riskflow" --namespace riskflow --kube-version 1.32.0 "$@" 2>"$work/said" ||
        { cat "$work/said" >&2; return 1; }
}
head='# Made of deploy/helm/riskflow by deploy/kubernetes/render.sh: change it there.'
{ echo "$head"; render --set existingConfigMap=riskflow-config; } >"$work/riskflow.yaml"
{ echo "$head"; render --set monitoring.enabled=true,monitoring.dashboard=false --show-only templates/monitoring.yaml; } >"$work/monitoring.yaml"
if ((!write)); then
    diff -u "$here/base/riskflow.yaml" "$work/riskflow.yaml"
    diff -u "$here/monitoring/monitoring.yaml" "$work/monitoring.yaml"
else
    cp "$work/riskflow.yaml" "$here/base/"
    cp "$work/monitoring.yaml" "$here/monitoring/"
fi
