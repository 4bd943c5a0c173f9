#!/usr/bin/env bash
# A bucket in an S3-compatible server on this machine (moto, from PyPI), for tests of checkpoints. Nothing is kept.
#
#   s3.sh install       into target/moto (140 MB)
#   s3.sh start DIR     starts a server, waits until it answers, makes the bucket `riskflow`; prints its URL
#   s3.sh stop DIR      stops the server of DIR
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 moto is not installed.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
server=$root/target/moto/bin/moto_server

install() {
    [[ ! -x $server ]] || return 0
    python3 -m venv "$root/target/moto"
    "$root/target/moto/bin/pip" install --quiet 'moto[s3]==5.2.5' flask flask-cors
}

start() {
    [[ -x $server ]] || fail "moto is missing: deploy/s3.sh install" 3
    local port=$((20000 + RANDOM % 12000)) url
    url=http://127.0.0.1:$port
    start_server "$1" s3 "$server" --host 127.0.0.1 --port "$port"
    # Only a server that answers makes a bucket.
    await_server "$1" s3 60 get --output /dev/null --request PUT "$url/riskflow"
    echo "$url"
}

stop() { stop_server "$1" s3; }

case ${1:-} in
    install) operands 1 "$@"; install ;;
    start | stop) operands 2 "$@"; [[ -n $2 ]] || fail "$1 needs a folder" 2; "$1" "$2" ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
