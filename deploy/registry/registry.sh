#!/usr/bin/env bash
# A real schema registry on this machine, for tests: Apicurio, from Maven Central, which has Confluent's API as well. Nothing is kept.
#
#   registry.sh install       into target/apicurio (115 MB; a download of 109 MB)
#   registry.sh start DIR     starts one, waits until it answers; prints the URL of Confluent's API
#   registry.sh stop DIR      stops that of DIR
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 a tool is missing, or it is not installed.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# The last one that Java 17 runs: newer ones want 21.
version=3.0.9
sha256=2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43
home=$root/target/apicurio
program=$home/apicurio-registry-app-$version-runner.jar

# By its hash, and not by Maven: that wants its parent's description, which is not there.
install() {
    [[ ! -f $program ]] || return 0
    needs curl "Debian: apt-get install curl"
    local archive=apicurio-registry-app-$version-all.tar.gz
    rm -rf "$home.new"
    mkdir -p "$home.new"
    curl --silent --show-error --fail --location --retry 3 --output "$home.new/$archive" \
        "https://repo1.maven.org/maven2/io/apicurio/apicurio-registry-app/$version/$archive" || fail "Apicurio $version could not be fetched"
    echo "$sha256  $home.new/$archive" | sha256sum --check --quiet || fail "$archive is not what it was"
    tar -xzf "$home.new/$archive" -C "$home.new"
    rm "$home.new/$archive"
    rm -rf "$home"
    mv "$home.new" "$home"
}

start() {
    needs java "Debian: apt-get install default-jre-headless"
    needs curl "Debian: apt-get install curl"
    [[ -f $program ]] || fail "Apicurio is missing: deploy/registry/registry.sh install" 3
    local port=$((20000 + RANDOM % 12000)) url
    url=http://127.0.0.1:$port/apis/ccompat/v7
    start_server "$1" registry java -Xmx512m "-Dquarkus.http.port=$port" -Dquarkus.http.host=127.0.0.1 -jar "$program"
    await_server "$1" registry 120 get --output /dev/null "$url/subjects"
    echo "$url"
}

stop() { stop_server "$1" registry; }

case ${1:-} in
    install) operands 1 "$@"; install ;;
    start | stop) operands 2 "$@"; [[ -n $2 ]] || fail "$1 needs a folder" 2; "$1" "$2" ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
