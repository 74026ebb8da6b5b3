#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tries the README on a Debian that has nothing but apt: makes a minimal Debian 12 in a folder, puts
# a fresh clone in, and runs `./dev build` and `./dev run` there until it says `ready`. As root.
#
#   tools/bare-debian.sh [--test] [DIR]     DIR: /tmp/strowger-bare; kept, so a second try is short
#   --test    then also ./dev test
#
# The clone is of what is committed. OPTIONS in the environment is given to ./dev run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

with_tests=
[[ ${1:-} != --test ]] || { with_tests=yes && shift; }
dir=${1:-/tmp/strowger-bare}

((EUID == 0)) || { echo "debootstrap and chroot need root" >&2 && exit 1; }
command -v debootstrap >/dev/null || apt-get install -q -y --no-install-recommends debootstrap

if [[ ! -x $dir/usr/bin/apt-get ]]; then
    echo "Making a minimal Debian 12 in $dir"
    mkdir -p "$dir"
    debootstrap --variant=minbase bookworm "$dir" >"$dir.log" 2>&1
fi
# Network namespaces want a root that is a mount.
mountpoint -q "$dir" || mount --bind "$dir" "$dir"
mountpoint -q "$dir/proc" || mount -t proc proc "$dir/proc"
trap 'umount -R "$dir"' EXIT
# Whom npm shall trust there besides, as it does here: a proxy, for example.
authorities=/etc/ssl/certs/this-machine.pem
[[ ! -f ${NODE_EXTRA_CA_CERTS:-} ]] || install -D -m 644 "$NODE_EXTRA_CA_CERTS" "$dir$authorities"
rm -rf "$dir/root/strowger"
git clone -q --no-hardlinks . "$dir/root/strowger"

inside() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LANG=C.UTF-8 TERM=dumb NODE_EXTRA_CA_CERTS="$authorities" \
        chroot "$dir" /bin/bash -c "cd /root/strowger && $1" </dev/null
}

begin=$SECONDS
inside "./dev build"
echo "bare: ./dev build took $((SECONDS - begin)) s"

# It is told to end when it has said all; `ready` must have come, and the end must be a good one.
said=$dir.run.log
status=0
inside "timeout -k 60 -s INT 60 ./dev run ${OPTIONS:-}" >"$said" 2>&1 || status=$?
cat "$said"
if ! grep -q '^ready' "$said"; then
    echo "bare: FAIL: ./dev run did not reach ready" >&2
    exit 1
fi
echo "bare: ./dev run reached ready (timeout ended it: status $status)"

[[ ! $with_tests ]] || inside "./dev test"
