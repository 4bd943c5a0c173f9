#!/usr/bin/env bash
# Validators for deploy/, each from the registry of its language, into target/tools. Nothing of them is part of riskflow.
#
#   tools.sh install [NAME…]    all, or: helm (Go, a build of minutes), python (schemas of Kubernetes, compose files), node (schemas of
#                               the Prometheus operator, readers of AsyncAPI and OpenAPI), cloudevents (their SDK in Python)
#   tools.sh path               the folder of the programs
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
tools=${RISKFLOW_TOOLS:-$root/target/tools}

install_helm() {
    [[ ! -x $tools/bin/helm ]] || return 0
    needs go "https://go.dev, 1.24 or newer"
    GOFLAGS='' GOBIN=$tools/bin go install helm.sh/helm/v3/cmd/helm@v3.18.4
}
install_python() {
    [[ ! -d $(echo "$tools"/python/lib/python*/site-packages/compose_spec) ]] || return 0
    needs python3 "Debian: apt-get install python3-venv"
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet kubernetes-validate==1.37.0 compose-spec==0.2.1 PyYAML==6.0.4
}
install_cloudevents() {
    [[ ! -d $(echo "$tools"/cloudevents/lib/python*/site-packages/cloudevents/core) ]] || return 0
    needs python3 "Debian: apt-get install python3-venv"
    python3 -m venv "$tools/cloudevents"
    "$tools/cloudevents/bin/pip" install --quiet cloudevents==2.2.0
}
install_node() {
    [[ ! -d $tools/node/node_modules/@asyncapi ]] || return 0
    needs npm "Debian: apt-get install npm"
    mkdir -p "$tools/node"
    npm install --prefix "$tools/node" --silent --no-fund --no-audit --ignore-scripts @kubernetes-models/prometheus-operator@6.0.0 \
        @asyncapi/parser@3.6.6 openapi-typescript@7.13.0
}

case ${1:-} in
    path) echo "$tools/bin" ;;
    install)
        shift
        (($# > 0)) || set -- helm python node cloudevents
        for name; do
            case $name in
                helm | python | node | cloudevents) "install_$name" ;;
                *) usage >&2; exit 2 ;;
            esac
        done
        ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
