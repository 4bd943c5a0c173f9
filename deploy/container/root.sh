#!/usr/bin/env bash
# The file system of the container image: the program, the libraries that it is linked against, certificates, a user. Nothing else: no
# shell, no package manager.
#
#   root.sh PROGRAM FOLDER
#
# The Dockerfile and build.sh both make their image of it. Runs on the Debian on which the program was built, as root (or in
# fakeroot), and takes each library from the package that is installed there; FOLDER/var/lib/dpkg/status.d says which, as
# scanners of images expect it.
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

operands 2 "$@"
program=$1 folder=$2
for tool in dpkg-query ldd; do needs "$tool" "this is no Debian"; done
[[ -x $program ]] || fail "$program is no program" 2
[[ -r /etc/ssl/certs/ca-certificates.crt ]] || fail "certificates are missing: apt-get install ca-certificates" 3
[[ ! -e $folder ]] || fail "$folder is there already" 2
# Not root's identity on the host, whatever the runtime maps; the number that others use for it, too.
user=65532

umask 022
mkdir -p "$folder"/{etc/riskflow,etc/ssl/certs,usr/bin,usr/lib/ssl,usr/lib64,var/lib/dpkg/status.d,var/lib/riskflow,tmp,proc,sys,dev}
ln -s usr/lib "$folder/lib"
ln -s usr/lib64 "$folder/lib64"
ln -s usr/bin "$folder/bin"
chmod 1777 "$folder/tmp"
install -m 0755 "$program" "$folder/usr/bin/riskflow"

# A package's record, and its licence.
record() {
    local package=$1 name=${1%%:*}
    [[ ! -e $folder/var/lib/dpkg/status.d/$name ]] || return 0
    dpkg-query --status "$package" >"$folder/var/lib/dpkg/status.d/$name"
    install -D -m 0644 "/usr/share/doc/$name/copyright" "$folder/usr/share/doc/$name/copyright"
}
# Libraries as the loader finds them, under the names that it looks for.
ldd "$program" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
    real=$(realpath "$library")
    at=$folder${real/#\/lib\//\/usr\/lib\/}
    install -D -m 0644 "$real" "$at"
    name=${library##*/}
    case $library in
        /lib64/*) chmod 0755 "$at"; ln -sf "${at#"$folder"}" "$folder/usr/lib64/$name" ;;
        *) [[ ${at##*/} == "$name" ]] || ln -sf "${at##*/}" "${at%/*}/$name" ;;
    esac
    # Packages know it by the path before or after /usr was merged.
    package=$(dpkg-query --search "$real" 2>/dev/null || dpkg-query --search "${real#/usr}")
    record "${package%%: *}"
done

# The certificates by the paths of OpenSSL (Kafka) and rustls (buckets).
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
ln -s /etc/ssl/certs "$folder/usr/lib/ssl/certs"
ln -s /etc/ssl/certs/ca-certificates.crt "$folder/usr/lib/ssl/cert.pem"
record ca-certificates

install -m 0644 /etc/os-release "$folder/etc/os-release"
printf 'root:x:0:0:root:/root:/sbin/nologin\nriskflow:x:%s:%s:riskflow:/var/lib/riskflow:/sbin/nologin\n' "$user" "$user" >"$folder/etc/passwd"
printf 'root:x:0:\nriskflow:x:%s:\n' "$user" >"$folder/etc/group"
printf 'hosts: files dns\n' >"$folder/etc/nsswitch.conf"
install -m 0644 "$root/deploy/container/riskflow.toml" "$folder/etc/riskflow/riskflow.toml"
install -D -m 0644 "$root/deploy/debian/copyright" "$folder/usr/share/doc/riskflow/copyright"
# What it is made of, where deploy/binary.sh left that beside it.
sbom=$(dirname "$program")/riskflow.cdx.json
[[ ! -f $sbom ]] || install -m 0644 "$sbom" "$folder/usr/share/doc/riskflow/riskflow.cdx.json"
chown -hR 0:0 "$folder"
chown "$user:$user" "$folder/var/lib/riskflow"
chmod 0750 "$folder/var/lib/riskflow"
find "$folder" -exec touch --no-dereference --date="@$(epoch)" {} +
