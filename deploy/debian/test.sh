#!/usr/bin/env bash
# Tests of the Debian package: how it is made, what its units allow, and a life of it in a bare Debian 12. Before that the program by
# itself, stripped, with the libraries that it is linked against and nothing else of ours, in such a tree.
#
#   test.sh [--program FILE] [--no-tree]
#
# Both trees need root, debootstrap and a Debian mirror (RISKFLOW_DEBIAN_MIRROR, else the usual one). The life: installed with nothing but what it
# depends on, run as its user, upgraded, removed, purged. With systemd-nspawn the same tree is booted, too, and the unit is started,
# killed and stopped by its systemd. --no-tree leaves all of that out.
#
# Exit status: 0 all that was run is well; 1 something is not; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/debian

given='' tree=1
arguments --program= given --no-tree tree -- "$@"

# What the unit may be exposed to at most, of 10, as systemd 252 counts.
most_exposed=1.5

program=$(program "$given")
version=$(version_of "$program")
at_work
package=$work/riskflow_$version-1_$(dpkg --print-architecture).deb

it "the package is built" "$here/build.sh" --program "$program" --out "$work"
[[ -f $package ]] || { done_testing; exit 1; }

same() {
    mkdir "$work/again"
    "$here/build.sh" --program "$program" --out "$work/again"
    cmp "$package" "$work/again/${package##*/}"
}
it "built again it is the same, byte by byte" same

inside() {
    dpkg-deb -c "$package" >"$work/list"
    grep -qE -- '-rwxr-xr-x root/root .* ./usr/bin/riskflow$' "$work/list"
    awk '{ print $2 }' "$work/list" | none -v '^root/root$'
    awk '{ print $1 }' "$work/list" | none -E '^.{5}w|^.{8}w'
}
it "all in it belongs to root, and nobody else writes it" inside

documents() {
    dpkg-deb -x "$package" "$work/documents"
    local share=$work/documents/usr/share command
    while read -r command; do
        gzip -dc "$share/man/man1/riskflow-$command.1.gz" | grep '^\.SH SYNOPSIS'
    done < <("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z]*\) .*/\1/p' | grep -vx help)
    gzip -dc "$share/man/man1/riskflow.1.gz" | grep '^\.TH riskflow 1'
    bash -n "$share/bash-completion/completions/riskflow"
    grep -q '^#compdef riskflow' "$share/zsh/vendor-completions/_riskflow"
    grep -q 'complete -c riskflow' "$share/fish/vendor_completions.d/riskflow.fish"
}
it "it has a man page for each command, and completions" documents

lists_crates "$program" "$work/documents/usr/share/doc/riskflow/riskflow.cdx.json"

if command -v lintian >/dev/null; then
    # The first upload closes no bug; debhelper is not used.
    it "lintian" lintian --allow-root --fail-on error,warning \
        --suppress-tags initial-upload-closes-no-bugs,maintainer-script-calls-systemctl "$package"
else
    not_run "lintian" "Debian: apt-get install lintian"
fi

if command -v systemd-analyze >/dev/null; then
    verified() {
        local said
        said=$(systemd-analyze verify --man=no "$1" 2>&1)
        printf '%s\n' "$said"
        [[ -z $said ]]
    }
    for name in riskflow riskflow-bridge; do
        unit=$work/$name.service
        # The program is looked for on this machine, where the package is not installed.
        sed "s|=/usr/bin/riskflow|=$program|" "$here/$name.service" >"$unit"
        it "$name.service: systemd-analyze verify says nothing" verified "$unit"
        it "$name.service: systemd-analyze security: at most $most_exposed of 10" \
            systemd-analyze security --no-pager --offline=yes --threshold="${most_exposed/./}" "$unit"
        printf '          %s\n' "$(systemd-analyze security --no-pager --offline=yes "$unit" | tail -n 1)"
    done
else
    not_run "systemd-analyze" "Debian: apt-get install systemd"
fi
it "check says ok of the configuration" "$program" check --config "$here/riskflow.toml"

# What scripts inside a tree share; bash's own network is enough to ask the job.
inside_a_tree() {
    cat <<'SCRIPT'
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
step() { echo "-- $1"; }
bare() { ! dpkg-query -W -f '${Package}\n' | grep -E -- '-dev$|^(gcc|g\+\+|cargo|rustc|make)$'; }
get() { exec 3<>"/dev/tcp/127.0.0.1/$PORT" && printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3 && cat <&3; }
# Runs it as a user until it is ready, then SIGTERM.
run_once() {
    local user=$1 job until=$((SECONDS + 30)) status=0
    shift
    # No other process of this tree has its namespace of processes: `exec` keeps the id.
    (exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all riskflow run "$@" --set "http.listen=127.0.0.1:$PORT") 2>/tmp/log &
    job=$!
    until (get /readyz) 2>/dev/null | head -n 1 | grep ' 200 '; do
        if ((SECONDS >= until)) || ! kill -0 "$job"; then cat /tmp/log; exit 1; fi
        # Between two questions, until it is ready or over.
        sleep 0.2
    done
    kill -TERM "$job"
    wait "$job" || status=$?
    ((status == 0)) || { cat /tmp/log; echo "status $status"; exit 1; }
}
SCRIPT
}
# The program by itself.
by_itself() {
    cat <<'SCRIPT'
step "no package of ours, no development packages, all libraries there"
bare
! dpkg-query -W riskflow 2>/dev/null
! ldd /usr/local/bin/riskflow | grep 'not found'
step "--version, topics"
riskflow --version
install -d -o nobody -g nogroup /srv/riskflow
cd /srv/riskflow
setpriv --reuid nobody --regid nogroup --clear-groups riskflow topics --create
setpriv --reuid nobody --regid nogroup --clear-groups riskflow topics --check
step "run as nobody, until it is ready; SIGTERM"
run_once 65534
[[ -d data/log && -d data/checkpoints ]]
step "done"
SCRIPT
}
# The life of the package.
life() {
    cat <<'SCRIPT'
step "no development packages"
bare

step "install"
apt-get -q update >/dev/null
apt-get -q install -y --no-install-recommends /packages/one.deb >/dev/null
riskflow --version
riskflow doctor --config /etc/riskflow/riskflow.toml || [[ $? == 3 ]]
riskflow check --config /etc/riskflow/riskflow.toml >/dev/null
getent passwd riskflow
[[ $(stat -c '%a %U %G' /etc/riskflow/secrets) == '750 root riskflow' ]]
bare

# As the unit does.
as_user() { (cd /var/lib/riskflow && exec setpriv --reuid riskflow --regid riskflow --clear-groups --no-new-privs --bounding-set=-all "$@"); }
run_as_user() {
    cd /var/lib/riskflow
    run_once riskflow --config /etc/riskflow/riskflow.toml
}
step "run as its user, until it is ready; SIGTERM"
as_user riskflow rules load rain --config /etc/riskflow/riskflow.toml >/dev/null
run_as_user
[[ -d /var/lib/riskflow/checkpoints && -d /var/lib/riskflow/log ]]

step "root is no user of its log: what would write it refuses, and doctor finds files of another"
export RISKFLOW_CONFIG=/etc/riskflow/riskflow.toml
printf 'id,category,domain,region,inherent_level\ngauge,rain_gauge,natural_hazard,330902001001,2\n' >/tmp/assets.csv
refused() {
    local status=0
    "$@" >/tmp/said 2>&1 || status=$?
    cat /tmp/said
    [[ $status == 2 ]] && grep -q 'belongs to the user riskflow, and this runs as root' /tmp/said
}
refused riskflow import /tmp/assets.csv
refused riskflow act 0123456789abcdef acknowledge --actor li --unchecked
refused riskflow rules load gas
find /var/lib/riskflow ! -user riskflow >/tmp/foreign
[[ ! -s /tmp/foreign ]]
(cd /tmp && runuser -u riskflow -- riskflow doctor --set http.enabled=false >/tmp/said) || [[ $? == 3 ]]
cat /tmp/said
grep -q '^ok  *files: all in .*/var/lib/riskflow/log. can be written by riskflow' /tmp/said
file=$(find /var/lib/riskflow/log/in.rule -name '*.log' | sort | sed -n 1p)
chown root:root "$file"
chmod 0644 "$file"
if (cd /tmp && runuser -u riskflow -- riskflow doctor --set http.enabled=false >/tmp/said); then cat /tmp/said; exit 1; fi
grep 'files: in .*1 of root' /tmp/said
grep 'chown -R riskflow: /var/lib/riskflow/log' /tmp/said
chown riskflow:riskflow "$file"
unset RISKFLOW_CONFIG

step "upgrade: what was changed in the configuration stays, and so do the data"
echo '# ours' >>/etc/riskflow/riskflow.toml
echo secret >/etc/riskflow/secrets/kafka-password
apt-get -q install -y --no-install-recommends /packages/two.deb >/dev/null
[[ $(dpkg-query -W -f '${Version}' riskflow) == 99.0-1 ]]
grep -q '^# ours$' /etc/riskflow/riskflow.toml
run_as_user
as_user riskflow tail in.rule --config /etc/riskflow/riskflow.toml -n 1 | grep rain

step "remove, purge"
apt-get -q remove -y riskflow >/dev/null
[[ ! -e /usr/bin/riskflow && -e /etc/riskflow/riskflow.toml ]]
apt-get -q purge -y riskflow >/dev/null
[[ ! -e /etc/riskflow && -d /var/lib/riskflow/log ]]
step "done"
SCRIPT
}

grow() {
    debootstrap --variant=minbase bookworm "$folder" "${RISKFLOW_DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 ||
        { tail -n 5 "$work/debootstrap.log"; return 1; }
}
# run_in TREE SCRIPT: with its own mounts and processes: they end with it.
run_in() {
    # shellcheck disable=SC2016 # for the shell in there
    PORT=$((20000 + RANDOM % 12000)) unshare --mount --pid --fork --kill-child \
        sh -c 'mount -t proc proc "$1/proc" && exec chroot "$1" bash "$2"' sh "$@"
}
# In a tree of its own, so that the package has to bring its libraries by itself.
bare_program() {
    local bare=$work/bare libraries
    cp -a "$folder" "$bare"
    libraries=$(dpkg-deb --field "$package" Depends | tr ',' '\n' | sed 's/^ *//; s/[ |(].*//' | grep -vx adduser)
    echo "libraries: ${libraries//$'\n'/ }"
    # shellcheck disable=SC2086 # names
    chroot "$bare" env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends "$@"' sh $libraries \
        >"$work/libraries.log" 2>&1 || { tail -n 5 "$work/libraries.log"; return 1; }
    objcopy --strip-all "$program" "$bare/usr/local/bin/riskflow"
    chmod 0755 "$bare/usr/local/bin/riskflow"
    { inside_a_tree; by_itself; } >"$bare/by-itself"
    run_in "$bare" /by-itself
    rm -rf --one-file-system "$bare"
}
in_a_tree() {
    mkdir "$folder/packages"
    cp "$package" "$folder/packages/one.deb"
    dpkg-deb -R "$package" "$work/next"
    sed -i 's/^Version: .*/Version: 99.0-1/' "$work/next/DEBIAN/control"
    # Another default, so that dpkg has to choose.
    echo '# theirs' >>"$work/next/etc/riskflow/riskflow.toml"
    dpkg-deb --root-owner-group -Zgzip -z1 --build "$work/next" "$folder/packages/two.deb"
    # An edited configuration is kept without asking.
    echo 'force-confold' >"$folder/etc/dpkg/dpkg.cfg.d/test"
    { inside_a_tree; life; } >"$folder/packages/life"
    run_in "$folder" /packages/life
}
# What the unit does under a systemd of its own: the sandbox lets it work, a kill starts it again, a wrong configuration does not.
unit_life() {
    cat <<'SCRIPT'
set -euxo pipefail
export RISKFLOW_CONFIG=/etc/riskflow/riskflow.toml
said() { systemctl show riskflow --property "$1" --value; }
ready() { curl --silent --fail --retry 50 --retry-delay 1 --retry-all-errors localhost:9464/readyz; }
runuser -u riskflow -- riskflow topics --create
# It returns when the process is live.
systemctl enable --now riskflow
[[ $(riskflow health) == live && $(said StatusText) == live ]]
counted() { curl --silent localhost:9464/metrics | grep -F "riskflow_config_$1"; }
until_counted() { for _ in $(seq 50); do ! counted "$1" || return 0; sleep 0.1; done; return 1; }
printf '\n[log]\nfilter = "debug"\n' >>"$RISKFLOW_CONFIG"
systemctl reload riskflow
until_counted 'reloads_total{result="applied"} 1'
cp "$RISKFLOW_CONFIG" /tmp/good
echo 'nonsense = 1' >>"$RISKFLOW_CONFIG"
systemctl reload riskflow
until_counted 'refused 1'
[[ $(said ActiveState) == active && $(riskflow health --url http://127.0.0.1:9464) == live ]]
cat /tmp/good >"$RISKFLOW_CONFIG"
grep -E '^Seccomp:[[:space:]]+2$' "/proc/$(said MainPID)/status"
grep -E '^CapEff:[[:space:]]+0+$' "/proc/$(said MainPID)/status"
systemctl kill --signal KILL riskflow
until [[ $(said NRestarts) == 1 ]]; do ((SECONDS < 120)); sleep 0.2; done
ready
systemctl stop riskflow
[[ $(said Result) == success ]]
echo 'nonsense = 1' >>"$RISKFLOW_CONFIG"
if systemctl start riskflow; then exit 1; fi
# Longer than RestartSec: what must not happen is that it is started again.
sleep 5
[[ $(said ActiveState) == failed && $(said ExecMainStatus) == 2 && $(said NRestarts) == 0 ]]
echo WELL
SCRIPT
}
under_systemd() {
    chroot "$folder" env DEBIAN_FRONTEND=noninteractive sh -c 'rm -rf /var/lib/riskflow &&
        apt-get -q install -y --no-install-recommends systemd systemd-sysv dbus curl /packages/one.deb' >"$work/install.log" 2>&1 ||
        { tail -n 5 "$work/install.log"; return 1; }
    unit_life >"$folder/packages/unit-life"
    cat >"$folder/etc/systemd/system/try.service" <<'UNIT'
[Unit]
After=network.target

[Service]
Type=oneshot
StandardOutput=file:/packages/result
StandardError=file:/packages/result
ExecStart=/bin/bash /packages/unit-life
ExecStopPost=/bin/systemctl poweroff --no-block

[Install]
WantedBy=multi-user.target
UNIT
    ln -s /etc/systemd/system/try.service "$folder/etc/systemd/system/multi-user.target.wants/"
    timeout --kill-after=5 120 systemd-nspawn --register=no --keep-unit --directory="$folder" --boot --private-network \
        </dev/null >"$work/boot.log" 2>&1 || true
    cat "$folder/packages/result" || tail -n 20 "$work/boot.log"
    grep -x WELL "$folder/packages/result"
}
by_itself="the program by itself in a bare Debian 12, with its libraries only: --version, topics, run until ready"
name="a life in a bare Debian 12: installed, run, upgraded, removed, purged"
why=''
if ((!tree)); then
    why="--no-tree"
elif ((EUID != 0)); then
    why="needs root"
elif ! command -v debootstrap >/dev/null; then
    why="Debian: apt-get install debootstrap"
fi
if [[ -n $why ]]; then
    not_run "$by_itself" "$why"
    not_run "$name" "$why"
else
    folder=$work/tree
    it "a bare Debian 12" grow
    it "$by_itself" bare_program
    it "$name" in_a_tree
    name="under a systemd of its own: sandboxed, killed, stopped, wrongly configured"
    if command -v systemd-nspawn >/dev/null; then
        it "$name" under_systemd
    else
        not_run "$name" "Debian: apt-get install systemd-container"
    fi
fi
done_testing
