#!/usr/bin/env bash
# binary-image.sh NAME:TAG BINARY OUT.tar: an image with one static binary in it, run as nobody.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# = 3 ] || die "usage: binary-image.sh NAME:TAG BINARY OUT.tar"
[ -f "$2" ] || die "no such file: $2"
# A binary that asks for a loader would only say "not found" in a pod. (A static one that can be relocated asks for none.)
if command -v readelf > /dev/null && readelf -l "$2" | grep -q 'Requesting program interpreter'; then
  die "$2 is not static: there is no loader in the image"
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root" # mktemp's 0700 would become the image's root, closed to nobody
mkdir -p "$root/etc/ssl/certs"
mkdir -m 1777 "$root/tmp"
install -m 755 "$2" "$root/$(basename "$2")"
echo 'nobody:x:65534:65534:nobody:/tmp:/bin/false' > "$root/etc/passwd"
echo 'nobody:x:65534:' > "$root/etc/group"
[ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
python3 "$CLUSTER_DIR/image.py" "$3" "$1" "$root" "/$(basename "$2")"
