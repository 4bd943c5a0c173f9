#!/usr/bin/env bash
# The container image as an OCI layout, without an engine: what deploy/container/Dockerfile makes, of a finished program.
#
#   build.sh [--program FILE] [--out FOLDER]
#
# Takes the program of target/dist (deploy/binary.sh makes it), or the one that --program names. FOLDER (target/dist/image) gets the
# layout, and its tag is the version. `skopeo copy oci:FOLDER:VERSION docker://REGISTRY/riskflow:VERSION` pushes it.
#
# Exit status: 0 done; 1 failed; 2 wrong usage; 3 a tool is missing.
set -euo pipefail

# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

given='' out=$dist/image
arguments --program= given --out= out -- "$@"

needs umoci "Debian: apt-get install umoci"
if ((EUID != 0)) && [[ -z ${FAKEROOTKEY:-} ]]; then
    # Files of the image belong to root, and one folder to its user.
    needs fakeroot "Debian: apt-get install fakeroot"
    exec fakeroot -- "$0" --program "$(program "$given")" --out "$out"
fi
program=$(program "$given")
version=$(version_of "$program")
time=$(date -u -d "@$(epoch)" +%Y-%m-%dT%H:%M:%SZ)

at_work
"$root/deploy/container/root.sh" "$program" "$work/root"
umoci init --layout "$work/image"
umoci new --image "$work/image:$version"
umoci insert --image "$work/image:$version" --history.created "$time" --history.created_by deploy/container/root.sh "$work/root" /
# As in the Dockerfile; a test compares the two.
umoci config --image "$work/image:$version" --created "$time" --history.created "$time" --history.created_by deploy/container/build.sh \
    --author 'The riskflow developers' --architecture "$(dpkg --print-architecture)" --os linux \
    --config.user 65532:65532 --config.workingdir /var/lib/riskflow --config.volume /var/lib/riskflow --config.exposedports 9464 \
    --config.env RISKFLOW_CONFIG=/etc/riskflow/riskflow.toml \
    --config.stopsignal SIGTERM --config.entrypoint /usr/bin/riskflow \
    --config.cmd run --config.cmd --config --config.cmd /etc/riskflow/riskflow.toml \
    --config.label "org.opencontainers.image.title=riskflow" --config.label "org.opencontainers.image.version=$version" \
    --config.label "org.opencontainers.image.licenses=MIT OR Apache-2.0"
umoci gc --layout "$work/image"
rm -rf "$out"
mkdir -p "${out%/*}"
mv "$work/image" "$out"
echo "oci:$out:$version"
