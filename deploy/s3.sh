#!/usr/bin/env bash
# A bucket in an S3-compatible server on this machine (moto, from PyPI), for tests of checkpoints. Nothing is kept.
#
#   s3.sh install       into target/moto (140 MB)
#   s3.sh start DIR     starts a server, waits until it answers, makes the bucket `riskflow`; prints its URL
#   s3.sh stop DIR      stops the server of DIR
#
# Exit status: 0 done; 1 failed; 3 moto is not installed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
server=$root/target/moto/bin/moto_server

fail() { echo "s3.sh: $1" >&2; exit "${2:-1}"; }

install() {
    [[ ! -x $server ]] || return 0
    python3 -m venv "$root/target/moto"
    "$root/target/moto/bin/pip" install --quiet 'moto[s3]==5.2.5' flask flask-cors
}

start() {
    [[ -x $server ]] || fail "moto is missing: deploy/s3.sh install" 3
    mkdir -p "$1"
    local port=$((20000 + RANDOM % 12000)) url until=$((SECONDS + 60))
    url=http://127.0.0.1:$port
    setsid "$server" --host 127.0.0.1 --port "$port" </dev/null >"$1/s3.log" 2>&1 &
    echo $! >"$1/s3.pid"
    # Only a server that answers makes a bucket.
    until curl --silent --fail --noproxy '*' --output /dev/null --request PUT "$url/riskflow"; do
        if ((SECONDS >= until)) || ! kill -0 "$(cat "$1/s3.pid")" 2>/dev/null; then
            fail "the server does not answer; see $1/s3.log"
        fi
        sleep 0.1
    done
    echo "$url"
}

stop() {
    [[ -s $1/s3.pid ]] || return 0
    kill "$(cat "$1/s3.pid")" 2>/dev/null || true
    rm -f "$1/s3.pid"
}

case ${1:-} in
    install) install ;;
    start | stop) [[ -n ${2:-} ]] || fail "$1 needs a folder"; "$1" "$2" ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
