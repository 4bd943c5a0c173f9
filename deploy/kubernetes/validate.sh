#!/usr/bin/env bash
# Judges rendered manifests without a cluster: by the schemas of three releases of Kubernetes, strictly; by those of the Prometheus
# operator, which let unknown fields pass; alert rules by promtool.
#
#   validate.sh FILE
#
# Exit status: 0 valid; 1 not; 2 wrong usage; 3 a tool is missing (deploy/tools.sh install python node; promtool).
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

operands 1 "$@"
manifests=$1
[[ -x $tools/python/bin/kubernetes-validate && -d $tools/node/node_modules ]] || fail "validators are missing: deploy/tools.sh install python node" 3
needs promtool "Debian: apt-get install prometheus"

for release in 1.28 1.32 1.37; do
    # Custom resources are not its business.
    "$tools/python/bin/kubernetes-validate" --strict --quiet --no-warn --kubernetes-version "$release" "$manifests"
done

at_work
"$tools/python/bin/python" - "$manifests" "$work" <<'PYTHON'
import json, sys, yaml
documents = [one for one in yaml.safe_load_all(open(sys.argv[1])) if one]
assert documents, "nothing there"
custom = [one for one in documents if one["apiVersion"].startswith("monitoring.coreos.com/")]
json.dump(custom, open(f"{sys.argv[2]}/custom.json", "w"))
for rule in custom:
    if rule["kind"] == "PrometheusRule":
        json.dump(rule["spec"], open(f"{sys.argv[2]}/rules.yml", "w"))
print(", ".join(sorted(one["kind"] for one in documents)))
PYTHON
# By its path, since the package is a module and node looks for modules beside the script only.
node - "$work/custom.json" "$tools/node/node_modules/@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/index.js" <<'NODE'
const [, , documents, schemas] = process.argv;
import(schemas).then((kinds) => {
  for (const one of require(documents)) new kinds[one.kind](one).validate();
});
NODE
[[ ! -f $work/rules.yml ]] || promtool check rules "$work/rules.yml"
