#!/usr/bin/env bash
# Tests of the container image: built without an engine, unpacked, and run with nothing else in sight.
#
#   test.sh [--program FILE]
#
# Needs umoci, and root for a root of its own (chroot). An engine is not needed; where docker answers, the Dockerfile is not built
# either, which takes minutes: `docker build -f deploy/container/Dockerfile .` does.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/container

given=''
arguments --program= given -- "$@"
needs umoci "Debian: apt-get install umoci"
needs jq "Debian: apt-get install jq"
needs curl "Debian: apt-get install curl"
((EUID == 0)) || fail "needs root: the image is run in a root of its own" 3

program=$(program "$given")
version=$(version_of "$program")
at_work
image=$work/image

it "the image is built" "$here/build.sh" --program "$program" --out "$image"
it "and unpacked" umoci unpack --image "$image:$version" "$work/bundle"
tree=$work/bundle/rootfs
[[ -d $tree ]] || { done_testing; exit 1; }

same() {
    "$here/build.sh" --program "$program" --out "$work/again"
    cmp "$image/index.json" "$work/again/index.json"
}
it "built again it is the same, by its digest" same

# What a Dockerfile says in JSON or words, and what the image has.
agrees() {
    local blob config
    blob=$(jq -r '.manifests[0].digest' "$image/index.json")
    blob=$(jq -r .config.digest "$image/blobs/${blob/://}")
    config=$(jq -c .config "$image/blobs/${blob/://}")
    echo "$config"
    said() { sed -n "s/^$1 //p" "$here/Dockerfile" | tail -n 1; }
    [[ $(jq -r .User <<<"$config") == "$(said USER)" ]]
    [[ $(jq -r .WorkingDir <<<"$config") == "$(said WORKDIR)" ]]
    [[ $(jq -r .StopSignal <<<"$config") == "$(said STOPSIGNAL)" ]]
    [[ $(jq -c .Entrypoint <<<"$config") == "$(said ENTRYPOINT | jq -c .)" ]]
    [[ $(jq -c .Cmd <<<"$config") == "$(said CMD | jq -c .)" ]]
    [[ $(jq -r '.Volumes | keys[0]' <<<"$config") == "$(said VOLUME)" ]]
    [[ $(jq -r '.ExposedPorts | keys[0]' <<<"$config") == "$(said EXPOSE)" ]]
    jq -r '.Env[]' <<<"$config" | grep -Fx "$(said ENV)"
}
it "the Dockerfile says the same of user, command, port, volume, environment" agrees
# OCI images have no such field: it is of the Dockerfile alone, and of the compose file.
asks() {
    local check
    check=$(sed -n 's/^HEALTHCHECK .* CMD //p' "$here/Dockerfile")
    [[ $(jq -r '.[0:2] | join(" ")' <<<"$check") == '/usr/bin/riskflow health' ]]
    [[ $(jq -r '.[2:] | join(" ")' <<<"$check") == "$(sed -n 's/^CMD //p' "$here/Dockerfile" | jq -r '.[1:] | join(" ")')" ]]
}
it "HEALTHCHECK asks the process that CMD runs" asks

lean() {
    [[ ! -e $tree/bin/sh && ! -e $tree/usr/bin/apt ]]
    [[ $(find "$tree" -type f -perm /111 -path '*/bin/*') == "$tree/usr/bin/riskflow" ]]
    find "$tree" -type f -perm /6000 | none .
    find "$tree" ! -type l -perm /o+w ! -path "$tree/tmp" | none .
    # What a scanner of images reads: a record for each package that a file came from.
    grep -h '^Package: ' "$tree"/var/lib/dpkg/status.d/* | grep libssl3
    du -sh "$tree"
}
it "one program, no shell, nothing that others may write" lean

lists_crates "$program" "$tree/usr/share/doc/riskflow/riskflow.cdx.json"

inside() { chroot --userspec=65532:65532 "$tree" /usr/bin/riskflow "$@"; }
told() {
    [[ $(inside -V) == "riskflow $version" ]]
    [[ $(inside --version | grep -cE '^(commit|timely|differential-dataflow) [^ ]+$') == 3 ]]
}
it "riskflow -V and --version in it" told
it "riskflow check in it" inside check --config /etc/riskflow/riskflow.toml
# As an engine runs it with other arguments than CMD: in the folder of the volume, with the environment of the image.
with_arguments() {
    local blob environment
    blob=$(jq -r '.manifests[0].digest' "$image/index.json")
    blob=$(jq -r .config.digest "$image/blobs/${blob/://}")
    mapfile -t environment < <(jq -r '.config.Env[]' "$image/blobs/${blob/://}")
    env -i "${environment[@]}" "$(command -v chroot)" --userspec=65532:65532 "$tree" /usr/bin/riskflow "$@"
}
one_configuration() {
    with_arguments check | grep -F /var/lib/riskflow/log
    with_arguments topics --create
    with_arguments rules load rain
    [[ -d $tree/var/lib/riskflow/log/in.rule && ! -e $tree/data ]]
    rm -r "$tree/var/lib/riskflow/log"
}
it "check, topics --create and rules load in it go by the file that run does" one_configuration

# A process listens at its own name in `cluster.hosts`: the resolver works without the rest of a Debian.
resolves() {
    local job port=$((20000 + RANDOM % 12000)) until=$((SECONDS + 30)) status=0
    echo '127.0.0.1 worker.test' >"$tree/etc/hosts"
    local where=(--set input.path=/tmp/log --set output.path=/tmp/log --set checkpoint.path=/tmp/checkpoints --set http.enabled=false)
    inside topics --create "${where[@]}"
    chroot --userspec=65532:65532 "$tree" /usr/bin/riskflow run "${where[@]}" --set "cluster.hosts=['worker.test:$port', 'other.test:1']" 2>"$work/log" &
    job=$!
    until grep -q 'waiting for the other processes' "$work/log"; do
        if ((SECONDS >= until)) || ! kill -0 "$job" 2>/dev/null; then cat "$work/log"; return 1; fi
        sleep 0.2
    done
    kill -TERM "$job"
    wait "$job" || status=$?
    rm -r "$tree/etc/hosts" "$tree/tmp/log"
    cat "$work/log"
    [[ $status == 0 ]]
}
it "names are resolved, as a process of a cluster needs it" resolves

# As with --read-only: only the volume and /tmp are written. curl asks from outside; loopback is the machine's.
serves() {
    local port=$((20000 + RANDOM % 12000)) job until=$((SECONDS + 30)) status=0
    # shellcheck disable=SC2016 # for the shell in there
    unshare --mount sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount -t tmpfs -o uid=65532 none "$1/var/lib/riskflow" &&
        shift && chroot --userspec=65532:65532 "$1" /usr/bin/riskflow topics --create --config /etc/riskflow/riskflow.toml &&
        exec chroot --userspec=65532:65532 "$@"' sh "$tree" "$tree" /usr/bin/riskflow run --config /etc/riskflow/riskflow.toml --set "http.listen=0.0.0.0:$port" &
    job=$!
    until curl --silent --fail --noproxy '*' "http://127.0.0.1:$port/readyz"; do
        if ((SECONDS >= until)) || ! kill -0 "$job"; then return 1; fi
        sleep 0.2
    done
    # As HEALTHCHECK asks, from inside; its configuration has the usual port.
    chroot --userspec=65532:65532 "$tree" /usr/bin/riskflow health --config /etc/riskflow/riskflow.toml --set "http.listen=0.0.0.0:$port" | grep '^live'
    curl --silent --fail --noproxy '*' "http://127.0.0.1:$port/metrics" | grep '^riskflow_live 1' >/dev/null
    kill -TERM "$job"
    wait "$job" || status=$?
    [[ $status == 0 ]]
}
it "it runs on a file system that is read only, until SIGTERM" serves

if command -v skopeo >/dev/null; then
    it "skopeo reads it" skopeo inspect "oci:$image:$version"
else
    not_run "skopeo reads it" "Debian: apt-get install skopeo"
fi
not_run "docker build" "takes an engine, its registry, and a build of half an hour"
done_testing
