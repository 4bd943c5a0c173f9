#!/usr/bin/env bash
# Follows docs/install.md and docs/operate.md line by line, from a clean clone of the commit that is checked out: the package and the image are
# made there (`make deb image PROGRAM=…`), documents and scripts are those of the clone. Each block of commands is run as it stands, in a bare
# Debian 12, and each command has to end well. Then a cluster of two processes on this machine: one is killed, and the time is measured until
# all are back.
#
#   test.sh [--program FILE] [--before FILE] [--no-tree]
#
# --before names a program of the release before: the guide is followed with it as far as the upgrade, which is to the other one, and so the
# way back. Without it both are the same program, the newer one under another number. Milliseconds from each stop to live again are printed.
#
# Needs root, debootstrap, umoci and a Debian mirror (RISKFLOW_DEBIAN_MIRROR, else the usual one); --no-tree leaves the documents out. In the
# tree `systemctl` is a few lines that start the command of the unit as its user: no systemd runs there.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

given='' before='' tree=1
arguments --program= given --before= before --no-tree tree -- "$@"
needs python3 "Debian: apt-get install python3"
needs curl "Debian: apt-get install curl"
program=$(program "$given")
version=$(version_of "$program")
if [[ -n $before ]]; then
    [[ -x $before ]] || fail "$before is no program" 2
    before=$(realpath "$before")
    ! cmp -s "$before" "$program" || fail "$before is the program that is to come after it" 2
fi
at_work

# As many tests as blocks: names are those of the headings.
if ((!tree)); then
    not_run "docs/install.md and docs/operate.md, line by line" "--no-tree"
elif ((EUID != 0)) || ! command -v debootstrap >/dev/null || ! command -v umoci >/dev/null; then
    not_run "docs/install.md and docs/operate.md, line by line" "needs root, debootstrap and umoci"
else
    folder=$work/tree clone=$work/clone
    # The tools are those of this machine: they are installed once.
    cloned() {
        git clone --quiet "$root" "$clone"
        git -C "$clone" status --porcelain | none .
        env -u RISKFLOW_DIST RISKFLOW_TOOLS="$tools" make --no-print-directory -C "$clone" deb image PROGRAM="$program"
        ls "$clone/target/dist"
        [[ -f $clone/target/dist/riskflow_$version-1_amd64.deb && -f $clone/target/dist/image/index.json ]]
    }
    # What the guide begins with under the name that it has there, and what it upgrades to.
    packages() {
        local ours=$clone/target/dist/riskflow_$version-1_amd64.deb old=$version
        if [[ -n $before ]]; then
            old=$(version_of "$before")
            "$clone/deploy/debian/build.sh" --program "$before" --out "$work/before"
            cp "$work/before/riskflow_$old-1_amd64.deb" "$folder/guide/riskflow_$version-1_amd64.deb"
        else
            cp "$ours" "$folder/guide/"
        fi
        if dpkg --compare-versions "$version" gt "$old"; then
            cp "$ours" "$folder/guide/riskflow_new_amd64.deb"
        else
            dpkg-deb -R "$ours" "$work/next"
            sed -i 's/^Version: .*/Version: 99.0-1/' "$work/next/DEBIAN/control"
            dpkg-deb --root-owner-group -Zgzip -z1 --build "$work/next" "$folder/guide/riskflow_new_amd64.deb"
        fi
    }
    prepare() {
        debootstrap --variant=minbase --include=curl bookworm "$folder" "${RISKFLOW_DEBIAN_MIRROR:-http://deb.debian.org/debian}" \
            >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log"; return 1; }
        mkdir "$folder/guide"
        packages
        install -m 0755 "$clone/deploy/operate/systemctl" "$folder/usr/local/bin/systemctl"
        # The documents name the version of today.
        python3 "$clone/deploy/operate/blocks.py" "$version" "$folder/guide" "$clone/docs/install.md" "$clone/docs/operate.md" >"$work/blocks"
    }
    # What the stand-in for systemctl wrote: when a stop began, was over, a start began, the job was live.
    tell_gap() {
        local times
        mapfile -t times 2>/dev/null <"$folder/run/riskflow.gap" || return 0
        rm -f "$folder/run/riskflow.gap"
        ((${#times[@]} == 4)) || return 0
        printf '          %s: %s ms from stop to live: stop %s ms, start %s ms, what the guide does between %s ms\n' "$1" \
            $((times[3] - times[0])) $((times[1] - times[0])) $((times[3] - times[2])) $((times[2] - times[1]))
    }
    told() { "$1" --version | tr '\n' ' ' | sed 's/ *$//'; }
    it "a clean clone: make deb image" cloned
    it "a bare Debian 12 with the packages beside it" prepare
    if [[ -n $before ]]; then
        printf '          upgrade and roll back between two programs: %s, and %s\n' "$(told "$before")" "$(told "$program")"
    else
        printf '          upgrade and roll back of ONE program under two numbers: --before FILE takes one of the release before\n'
    fi
    if [[ -s $work/blocks ]]; then
        while IFS=$'\t' read -r block name why; do
            if [[ -n $why ]]; then
                not_run "$name" "$why"
                continue
            fi
            # Loopback of its own: ports of the machine do not matter. A job goes on from one block to the next, so processes are the machine's.
            # shellcheck disable=SC2016 # for the shell in there
            followed() {
                nsenter --net="$work/net" unshare --mount sh -c 'mount --bind /proc "$1/proc" && exec chroot "$1" /bin/bash "$2"' sh \
                    "$folder" "/guide/$block" </dev/null
            }
            if [[ ! -e $work/net ]]; then
                touch "$work/net"
                unshare --net="$work/net" ip link set lo up
            fi
            # What installs packages needs the network; all else has none.
            if grep -q 'apt-get' "$folder/guide/$block"; then
                # The archive's packages were fetched with the tree, but for adduser.
                chroot "$folder" apt-get -q install -y --download-only --no-install-recommends adduser ca-certificates libssl3 >/dev/null 2>&1 || true
            fi
            it "$name" followed
            tell_gap "$name"
        done <"$work/blocks"
        umount "$work/net" 2>/dev/null || true
        # The job of the last block.
        [[ ! -e $folder/run/riskflow.pid ]] || started+=("$(cat "$folder/run/riskflow.pid")")
    fi
fi

# Two processes on an embedded log that both see, which is as good as Kafka for this.
milliseconds() { date +%s%3N; }
mkdir "$work/cluster"
hosts="['127.0.0.1:$(port)', '127.0.0.1:$(port)']" http=("$(port)" "$(port)")
cat >"$work/cluster/riskflow.toml" <<TOML
version = 1
input.path = "$work/cluster/log"
output.path = "$work/cluster/log"
checkpoint.path = "$work/cluster/checkpoints"
checkpoint.interval = "1s"
cluster.hosts = $hosts
TOML
processes=()
start() {
    "$program" run --config "$work/cluster/riskflow.toml" --set "cluster.process=$1" --set "http.listen=127.0.0.1:${http[$1]}" \
        2>>"$work/cluster/$1.log" &
    processes[$1]=$!
    started+=($!)
}
# Both are live, and process 1 passes requests on to process 0.
all_ready() {
    local until=$((SECONDS + 60))
    until get "http://127.0.0.1:${http[0]}/readyz" | grep -x 'live' &&
        get "http://127.0.0.1:${http[1]}/readyz" | grep '^live: requests are passed on to process 0'; do
        ((SECONDS < until)) || { tail -n 5 "$work/cluster/"*.log; return 1; }
        sleep 0.05
    done
}
ends_with() {
    local status=0
    wait "${processes[$1]}" || status=$?
    [[ $status == "$2" ]] || { echo "process $1 ended with $status"; tail -n 5 "$work/cluster/$1.log"; return 1; }
}
alone() {
    "$program" topics --create --config "$work/cluster/riskflow.toml" --set 'cluster.hosts=[]'
    "$program" rules load --config "$work/cluster/riskflow.toml" --set 'cluster.hosts=[]'
    "$program" generate storm --datastreams 2000 --hours 1 --to-log "$work/cluster/log"
    "$program" run --config "$work/cluster/riskflow.toml" --set 'cluster.hosts=[]' --set "http.listen=127.0.0.1:${http[0]}" 2>"$work/cluster/alone.log" &
    local job=$! until=$((SECONDS + 60))
    # The sleeps are between two questions: nothing outside tells when it is so.
    until get "http://127.0.0.1:${http[0]}/readyz"; do ((SECONDS < until)); sleep 0.1; done
    until "$program" checkpoint list --config "$work/cluster/riskflow.toml" | grep whole; do ((SECONDS < until)); sleep 0.1; done
    kill -TERM "$job"
    wait "$job"
}
it "one process, with a checkpoint" alone
start 0
start 1
it "two processes go on from it" all_ready
it "and from its checkpoint" grep -q 'going on after an earlier run' "$work/cluster/0.log"
# Not for anything to happen: what is killed is a job at work, not one that begins.
sleep 2
began=$(milliseconds)
kill -KILL "${processes[1]}"
{ wait "${processes[1]}" || true; } 2>/dev/null
wait_for "${processes[0]}"
ended=$(($(milliseconds) - began))
it "one of them is killed: the other ends with exit code 1" test "$statuses" = "1 "
start 0
start 1
it "both again" all_ready
printf '          killed; the other ended after %s ms, both ready again after %s ms, started at once\n' "$ended" "$(($(milliseconds) - began))"
kill -TERM "${processes[1]}"
wait_for "${processes[@]}"
it "SIGTERM to one: all end with exit code 0" test "$statuses" = "0 0 "
# `verify` would also find one that the stop left unfinished.
back() { "$program" checkpoint list --config "$work/cluster/riskflow.toml" | grep whole; }
it "there are whole checkpoints" back
done_testing
