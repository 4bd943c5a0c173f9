#!/usr/bin/env bash
# The Debian packages: riskflow_VERSION_ARCH.deb, and riskflow-dbgsym_… with its debug information, if that is there.
#
#   build.sh [--program FILE] [--out FOLDER]
#
# Packs the program of target/dist (deploy/binary.sh makes it), or the one that --program names, into FOLDER (target/dist). Needs only
# dpkg-dev: the package holds the very program that the container image holds, whoever built it, and what it depends on comes
# from the libraries that it is linked against. cargo-deb would build it once more, and has to be built itself first.
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$root/deploy/debian

given='' out=$dist
arguments --program= given --out= out -- "$@"

for tool in dpkg-deb dpkg-shlibdeps; do needs "$tool" "Debian: apt-get install dpkg-dev"; done
needs readelf "Debian: apt-get install binutils"
program=$(program "$given")
version=$(version_of "$program")
SOURCE_DATE_EPOCH=$(epoch)
export SOURCE_DATE_EPOCH
date=$(date -R -u -d "@$SOURCE_DATE_EPOCH")
architecture=$(dpkg --print-architecture)
maintainer=${DEBFULLNAME:-The riskflow developers} maintainer+=" <${DEBEMAIL:-riskflow@example.invalid}>"
mkdir -p "$out"

at_work
umask 022

# pack NAME OPTION…: makes the package of $work/NAME, which has a DEBIAN/control but for its size.
pack() {
    local package=$1 folder=$work/$1 size
    shift
    (cd "$folder" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    size=$(du -k -s --apparent-size --exclude=DEBIAN "$folder" | cut -f 1)
    sed -i "s/^Architecture:/Installed-Size: $size\n&/" "$folder/DEBIAN/control"
    find "$folder" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group "$@" --build "$folder" "$out/${package}_$version-1_$architecture.deb"
}

main=$work/riskflow
documents=$main/usr/share/doc/riskflow
install -D -m 0755 "$program" "$main/usr/bin/riskflow"
install -D -m 0644 "$here/riskflow.service" "$main/usr/lib/systemd/system/riskflow.service"
install -D -m 0644 "$here/riskflow-bridge.service" "$main/usr/lib/systemd/system/riskflow-bridge.service"
install -D -m 0644 "$here/riskflow.toml" "$main/etc/riskflow/riskflow.toml"
install -D -m 0644 "$root/config/riskflow.toml" "$documents/riskflow.toml"
install -D -m 0644 -t "$documents/docs" "$root"/docs/*.md
install -D -m 0644 -t "$documents" "$root/README.md"
install -D -m 0644 "$root/deploy/RUNBOOK.md" "$documents/deploy/RUNBOOK.md"
install -D -m 0644 "$here/copyright" "$documents/copyright"
install -D -m 0644 -t "$main/usr/share/riskflow/prometheus" "$root/deploy/prometheus/riskflow.rules.yml"
install -D -m 0644 -t "$main/usr/share/riskflow/grafana" "$root/deploy/grafana/riskflow.json"
# What it is made of, where that lies beside it.
sbom=${program%/*}/riskflow.cdx.json
if [[ -f $sbom ]]; then
    install -D -m 0644 -t "$documents" "$sbom"
else
    echo "no list of what it is made of: $sbom is not there (deploy/binary.sh makes it)"
fi
pages=$main/usr/share/man/man1
"$program" man --out "$pages"
chmod 0644 "$pages"/*
gzip -9n "$pages"/*
completions() { install -d "$main/usr/share/$2" && "$program" completions "$1" >"$main/usr/share/$2/$3"; }
completions bash bash-completion/completions riskflow
completions zsh zsh/vendor-completions _riskflow
completions fish fish/vendor_completions.d riskflow.fish
gzip -9n <"$root/CHANGELOG.md" >"$documents/changelog.gz"
gzip -9n >"$documents/changelog.Debian.gz" <<TEXT
riskflow ($version-1) unstable; urgency=medium

  * Version $version; what changed: changelog.gz.

 -- $maintainer  $date
TEXT

mkdir -p "$main/DEBIAN" "$work/debian"
install -m 0755 -t "$main/DEBIAN" "$here/postinst" "$here/prerm" "$here/postrm"
echo /etc/riskflow/riskflow.toml >"$main/DEBIAN/conffiles"
# dpkg-shlibdeps reads this file, and takes nothing else from it.
printf 'Source: riskflow\n\nPackage: riskflow\nArchitecture: any\n' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O -eriskflow/usr/bin/riskflow)
libraries=${libraries#shlibs:Depends=}
cat >"$main/DEBIAN/control" <<TEXT
Package: riskflow
Version: $version-1
Section: misc
Priority: optional
Architecture: $architecture
Maintainer: $maintainer
Depends: adduser, $libraries
Recommends: ca-certificates
Description: risk monitoring and early warning for a city
 Keeps the risk of every asset and region of a city up to date from sensor
 readings and records on Kafka or in an embedded log, and follows every warning
 to its end. This package has the program with its man pages and completions,
 its service, alert rules for Prometheus and a dashboard for Grafana.
TEXT
pack riskflow

debug=${program%/*}/riskflow.debug
if [[ ! -f $debug ]]; then
    echo "no riskflow-dbgsym: $debug is not there (deploy/binary.sh makes it)"
    exit 0
fi
id=$(readelf -n "$program" | awk '/Build ID:/ { print $3 }')
[[ -n $id ]] || fail "$program has no build id"
symbols=$work/riskflow-dbgsym
install -D -m 0644 "$debug" "$symbols/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
install -D -m 0644 "$here/copyright" "$symbols/usr/share/doc/riskflow-dbgsym/copyright"
install -m 0644 "$documents/changelog.Debian.gz" "$symbols/usr/share/doc/riskflow-dbgsym/changelog.Debian.gz"
mkdir "$symbols/DEBIAN"
cat >"$symbols/DEBIAN/control" <<TEXT
Package: riskflow-dbgsym
Version: $version-1
Section: debug
Priority: optional
Architecture: $architecture
Maintainer: $maintainer
Depends: riskflow (= $version-1)
Build-Ids: $id
Description: debug symbols for riskflow
 Names and lines for backtraces and debuggers.
TEXT
# Its sections are packed already.
pack riskflow-dbgsym -Zgzip -z1
