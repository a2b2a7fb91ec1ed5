#!/usr/bin/env bash
# A host for other people's tools: an overlay of this machine's root with their packages unpacked
# over it, processes, network and a name of its own. Nothing of the machine is changed.
#
#   host.sh up NAME LAYER...    create; usr, etc and var of each LAYER lie over the root's
#   host.sh run CMD...          run a command inside as root
#   host.sh down                end everything that runs inside and remove it
#
# Wants root and util-linux. HOST_DIR names the work folder.
set -euo pipefail
dir=${HOST_DIR:?HOST_DIR names the folder of the host}
root=$dir/root

up() {
    local name=$1
    shift
    mkdir -p "$dir"/{upper/etc,work,root}
    for layer in "$@"; do  # copied: a layer of its own must not lie inside another one
        for each in "$layer"/{usr,etc,var}; do [ ! -d "$each" ] || cp -a "$each" "$dir/upper/"; done
    done
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >"$dir/upper/etc/hosts"
    cat >"$dir/init" <<INIT
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$root"
for each in dev sys; do mount --rbind /\$each "$root/\$each"; done
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/lock"
hostname "$name"
ip link set lo up
trap '' CHLD  # stays ignored in what follows: children need no one to wait for them
echo ready
exec chroot "$root" /bin/sleep infinity
INIT
    setsid unshare --mount --uts --ipc --net --pid --fork --kill-child sh -e "$dir/init" \
        >"$dir/said" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    for _ in $(seq 100); do
        if grep -q ready "$dir/said"; then
            pgrep -P "$(cat "$dir/pid")" >"$dir/init.pid"
            return
        fi
        sleep 0.05
    done
    cat "$dir/said" >&2
    exit 1
}

inside() {
    exec nsenter --target "$(cat "$dir/init.pid")" --mount --uts --ipc --net --pid \
        --root="/proc/$(cat "$dir/init.pid")/root" -- \
        /usr/bin/env --chdir=/ -i HOME=/root TERM=dumb LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

down() {
    if [ -f "$dir/pid" ]; then kill -9 "$(cat "$dir/pid")" 2>/dev/null || :; fi
    if [ -f "$dir/init.pid" ]; then
        kill -9 "$(cat "$dir/init.pid")" 2>/dev/null || :
        while kill -0 "$(cat "$dir/init.pid")" 2>/dev/null; do sleep 0.05; done
    fi
    rm -rf --one-file-system "$dir"
}

command=${1:-help}
shift || :
case $command in
    up) up "$@" ;;
    run) inside "$@" ;;
    down) down ;;
    *) sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//' ;;
esac
