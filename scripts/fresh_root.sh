#!/usr/bin/env bash
# Runs a command in a fresh clone of this repository inside a minimal Debian 12 that holds only git:
#
#   scripts/fresh_root.sh FOLDER [COMMAND...]        as root; the command is ./try when not given
#
# FOLDER becomes the root of that system, made by debootstrap; an existing one is used as it is, with
# whatever was installed in it. REAM_DEBIAN_MIRROR names the mirror to take packages from.
set -eu
[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
root=$1
shift
[ $# -gt 0 ] || set -- ./try
cd "$(dirname "$0")/.."

if [ ! -e "$root/etc/debian_version" ]; then
  debootstrap --variant=minbase --include=git,ca-certificates bookworm "$root" \
    ${REAM_DEBIAN_MIRROR:+"$REAM_DEBIAN_MIRROR"}
fi
rm -rf "$root/root/ream"
git clone -q --no-hardlinks . "$root/root/ream"

mounted=()
leave() {
  for point in ${mounted[@]+"${mounted[@]}"}; do umount -l "$root/$point"; done
}
trap leave EXIT
for point in proc sys dev; do
  if ! mountpoint -q "$root/$point"; then
    mount --rbind "/$point" "$root/$point"
    mount --make-rslave "$root/$point"
    mounted+=("$point")
  fi
done
chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 \
  bash -c 'cd /root/ream && "$@"' fresh_root "$@"
