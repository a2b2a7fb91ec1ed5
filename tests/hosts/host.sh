#!/usr/bin/env bash
# One booted host for tests: systemd in a container over an overlay of this machine's root, cut off
# from the network. Nothing of the machine is changed.
#
#   host.sh up              create and boot
#   host.sh run CMD...      run a command inside as root, with the host's systemd
#   host.sh copy DIR PATH   copy a directory in
#   host.sh console         what the host printed
#   host.sh down            end and remove everything
#
# Wants root and systemd-nspawn (Debian: systemd-container, dbus). HOST_DIR names the work folder.
set -euo pipefail
dir=${HOST_DIR:?HOST_DIR names the folder of the host}
root=$dir/root

init() { # process id of the host's systemd
    local outer
    outer=$(cat "$dir/pid" 2>/dev/null) || return 1
    pgrep -P "$outer" | head -1
}
inside() {
    local pid
    pid=$(init) || { echo "host.sh: the host does not run" >&2; exit 1; }
    nsenter -t "$pid" -m -u -i -n -p -- /usr/bin/env -i HOME=/root TERM=dumb LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
up() {
    mkdir -p "$dir"/{upper,work,root}
    local units=$dir/upper/etc/systemd/system unit
    mkdir -p "$units" "$dir/upper/usr/lib/systemd/system"
    echo mqhost >"$dir/upper/etc/hostname"
    tr -d - </proc/sys/kernel/random/uuid >"$dir/upper/etc/machine-id"
    printf '127.0.0.1 localhost mqhost\n' >"$dir/upper/etc/hosts"
    for unit in systemd-resolved systemd-networkd systemd-timesyncd; do
        ln -sf /dev/null "$units/$unit.service"
    done
    mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$root"
    # The machine's own services stay off: they would take ports, and a RabbitMQ's unit the name
    # that the alias wants.
    rm -f "$root"/etc/systemd/system/*.wants/* "$root"/etc/rc?.d/* \
        "$root"/{usr/lib,etc}/systemd/system/rabbitmq-server.service \
        "$root"/etc/init.d/rabbitmq-server
    rm -rf "$root"/{etc,var/lib,var/log}/{rabbitmq,mqd}
    setsid systemd-nspawn --quiet --boot -D "$root" --machine="mqhost-$$" --hostname=mqhost \
        --register=no --keep-unit --private-network --resolv-conf=off --timezone=off \
        --link-journal=no >"$dir/console" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    for _ in $(seq 150); do
        case $(inside systemctl is-system-running 2>/dev/null || true) in
            running | degraded) return ;;
        esac
        sleep 0.2
    done
    echo "host.sh: the host does not boot:" >&2
    tail -20 "$dir/console" >&2
    exit 1
}
down() {
    local outer pid
    if outer=$(cat "$dir/pid" 2>/dev/null); then
        pid=$(init || true)
        [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
        kill -9 "$outer" 2>/dev/null || true
        for _ in $(seq 50); do kill -0 "$outer" 2>/dev/null || break; sleep 0.1; done
    fi
    umount "$root" 2>/dev/null || true
    rm -rf --one-file-system "$dir"
}
command=${1:-help}
shift || true
case $command in
    up) up ;;
    run) inside "$@" ;;
    copy) cp -a "$1" "$root$2" ;;
    console) cat "$dir/console" ;;
    down) down ;;
    *) sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//' ;;
esac
