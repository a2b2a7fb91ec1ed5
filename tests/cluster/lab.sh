#!/usr/bin/env bash
# Hosts con1, con2, ... on one machine, joined by a switch: 172.16.254.60, .61, ... Each has a network
# and a name of its own; `up` boots systemd in each as well, over an overlay of this machine's root.
# Nothing leaves these networks, nothing of the machine is changed.
#
#   lab.sh wire NAME...          the networks alone, for processes started with `in`
#   lab.sh image CMD...          run a command in what all hosts are made of, before they boot
#   lab.sh up NAME...            create and boot
#   lab.sh in NAME CMD...        a process of this machine in the host's network, under its name
#   lab.sh run NAME CMD...       a command in a booted host, as root
#   lab.sh off NAME              orderly shutdown
#   lab.sh cut-power NAME        SIGKILL to everything in it
#   lab.sh boot NAME             boot again on the same disc
#   lab.sh cut [--one-way] A B   drop frames from A to B; without --one-way, from B to A too
#   lab.sh unplug NAME           drop all frames from and to it, from one moment on
#   lab.sh lose A B PERCENT      drop some of the frames, both ways
#   lab.sh heal                  no cut and no loss any more
#   lab.sh root NAME             the folder of its root     lab.sh console NAME   what it printed
#   lab.sh switch                the name of the switch's network namespace
#   lab.sh down                  end and remove everything
#
# LAB_DIR names the work folder. Wants root, iproute2, nftables; booting: systemd-container, dbus.
set -euo pipefail
dir=${LAB_DIR:?LAB_DIR names the folder of the lab}
net=172.16.254

number() { echo "${1//[^0-9]/}"; }
address() { echo "$net.$((59 + $(number "$1")))"; }
spaces() { cat "$dir/spaces"; }
in_switch() { ip netns exec "$(spaces)-sw" "$@"; }

wire() {
    mkdir -p "$dir"
    [ -e "$dir/spaces" ] || echo "mqlab$$" >"$dir/spaces"
    local ns host port
    ns=$(spaces)
    if ! ip netns list | grep -qw "$ns-sw"; then
        ip netns add "$ns-sw"
        ip -n "$ns-sw" link set lo up
        ip -n "$ns-sw" link add br0 type bridge
        ip -n "$ns-sw" addr add "$net.1/24" dev br0
        ip -n "$ns-sw" link set br0 up
    fi
    printf '%s\n' "$@" >"$dir/names"
    { echo "127.0.0.1 localhost"; for host in "$@"; do echo "$(address "$host") $host"; done; } >"$dir/hosts"
    for host in "$@"; do
        ip netns list | grep -qw "$ns-$host" && continue
        port=p$(number "$host")
        ip netns add "$ns-$host"
        ip -n "$ns-sw" link add "$port" type veth peer name eth0 netns "$ns-$host"
        ip -n "$ns-sw" link set "$port" master br0 up
        ip -n "$ns-$host" addr add "$(address "$host")/24" dev eth0
        ip -n "$ns-$host" link set lo up
        ip -n "$ns-$host" link set eth0 up
    done
}

as_host() { # replaces this process: ids stay
    local host=$1
    shift
    exec nsenter --net="/run/netns/$(spaces)-$host" unshare --mount --uts /bin/sh -c '
        mount --make-rprivate /; mount --bind "$1" /etc/hosts; hostname "$2"; shift 2; exec "$@"' \
        sh "$dir/hosts" "$host" "$@"
}

image() { # a layer under the hosts' own ones; in memory: inside / it could not be stacked on /
    mkdir -p "$dir/image"
    mountpoint -q "$dir/image" || mount -t tmpfs -o size=2g,mode=755 tmpfs "$dir/image"
    mkdir -p "$dir/image"/{upper,work,root}
    unshare --mount /bin/sh -ec '
        mount --make-rprivate /
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
        for each in dev proc sys; do mount --rbind /$each "$1/root/$each"; done
        root=$1/root; shift; exec chroot "$root" "$@"' sh "$dir/image" "$@"
}

init() { # process id of a host's systemd
    local outer
    outer=$(cat "$dir/$1/pid" 2>/dev/null) || return 1
    pgrep -P "$outer" | head -1
}
run() {
    local pid
    pid=$(init "$1") || { echo "lab.sh: $1 does not run" >&2; exit 1; }
    shift
    exec nsenter -t "$pid" -m -u -i -n -p -- /usr/bin/env -i HOME=/root TERM=dumb LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
make_host() {
    local host=$1 place=$dir/$1 unit
    local units=$place/upper/etc/systemd/system
    mkdir -p "$place"/{upper,work,root} "$units"
    echo "$host" >"$place/upper/etc/hostname"
    tr -d - </proc/sys/kernel/random/uuid >"$place/upper/etc/machine-id"
    cp "$dir/hosts" "$place/upper/etc/hosts"
    # Without logind su asks nobody for a session, which would wait for a user's systemd.
    for unit in systemd-resolved systemd-networkd systemd-timesyncd systemd-logind; do
        ln -sf /dev/null "$units/$unit.service"
    done
}
mount_root() {
    local place=$dir/$1 lower=/
    mountpoint -q "$place/root" && return
    [ -d "$dir/image/upper" ] && lower=$dir/image/upper:/
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$place/upper,workdir=$place/work" "$place/root"
}
boot() {
    local host=$1 place=$dir/$1
    mount_root "$host"
    # Services of the machine that start by themselves would take ports.
    [ -e "$place/made" ] || rm -f "$place/root"/etc/systemd/system/*.wants/* "$place/root"/etc/rc?.d/*
    touch "$place/made"
    setsid systemd-nspawn --quiet --boot -D "$place/root" --machine="$(spaces)-$host" \
        --hostname="$host" --register=no --keep-unit --network-namespace-path="/run/netns/$(spaces)-$host" \
        --resolv-conf=off --timezone=off --link-journal=no >>"$place/console" 2>&1 </dev/null &
    echo $! >"$place/pid"
    for _ in $(seq 300); do
        case $(run "$host" systemctl is-system-running 2>/dev/null || true) in
            running | degraded) return ;;
        esac
        sleep 0.2
    done
    echo "lab.sh: $host does not boot:" >&2
    tail -20 "$place/console" >&2
    exit 1
}
end() { # end NAME power|orderly
    local outer pid
    outer=$(cat "$dir/$1/pid" 2>/dev/null) || return 0
    pid=$(init "$1" || true)
    if [ "$2" = orderly ] && [ -n "$pid" ]; then
        kill -s SIGRTMIN+4 "$pid"
        for _ in $(seq 600); do kill -0 "$outer" 2>/dev/null || break; sleep 0.1; done
    fi
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    kill -9 "$outer" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$outer" 2>/dev/null || break; sleep 0.1; done
    rm -f "$dir/$1/pid"
}

rules() {
    in_switch nft list table bridge lab >/dev/null 2>&1 || in_switch nft \
        'add table bridge lab; add chain bridge lab f { type filter hook forward priority 0; }'
}
drop() { # drop FROM TO [CONDITION...]
    local from=$1 to=$2
    shift 2
    in_switch nft add rule bridge lab f ip saddr "$(address "$from")" ip daddr "$(address "$to")" "$@" drop
}

unplug() {
    rules
    in_switch nft "add rule bridge lab f ip saddr $(address "$1") drop
        add rule bridge lab f ip daddr $(address "$1") drop"
}

down() {
    local host
    for host in $(cat "$dir/names" 2>/dev/null); do
        end "$host" power
        umount "$dir/$host/root" 2>/dev/null || true
        ip netns del "$(spaces)-$host" 2>/dev/null || true
    done
    umount -l "$dir/image" 2>/dev/null || true
    [ ! -e "$dir/spaces" ] || ip netns del "$(spaces)-sw" 2>/dev/null || true
    rm -rf --one-file-system "$dir"
}

command=${1:-help}
shift || true
case $command in
    wire) wire "$@" ;;
    image) image "$@" ;;
    up)
        wire "$@"
        for host in "$@"; do [ -d "$dir/$host" ] || make_host "$host"; done
        for host in "$@"; do boot "$host"; done
        ;;
    in) as_host "$@" ;;
    run) run "$@" ;;
    off) end "$1" orderly ;;
    cut-power) end "$1" power ;;
    boot) boot "$1" ;;
    cut)
        both=yes
        [ "$1" != --one-way ] || { both=; shift; }
        rules
        drop "$1" "$2"
        [ -z "$both" ] || drop "$2" "$1"
        ;;
    unplug) unplug "$1" ;;
    lose)
        rules
        drop "$1" "$2" numgen random mod 100 '<' "$3"
        drop "$2" "$1" numgen random mod 100 '<' "$3"
        ;;
    heal) in_switch nft delete table bridge lab 2>/dev/null || true ;;
    root) echo "$dir/$1/root" ;;
    console) cat "$dir/$1/console" ;;
    switch) echo "$(spaces)-sw" ;;
    down) down ;;
    *) sed -n '2,25p' "$0" | sed 's/^# \{0,1\}//' ;;
esac
