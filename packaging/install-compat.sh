#!/bin/sh
# RabbitMQ's names for mqd's programs, for whoever opts in: a folder of them that collides with
# nothing, to be put into PATH.
#
#   DESTDIR=/ BINDIR=/usr/bin COMPATDIR=/usr/lib/mqd/compat packaging/install-compat.sh
#   USUAL_PATHS=yes packaging/install-compat.sh    also where RabbitMQ's packages put them
#   packaging/install-compat.sh remove
#
# The usual paths, /usr/sbin and /usr/lib/rabbitmq/bin, get links, and only where nothing is: when
# one of the names is taken, by RabbitMQ for example, nothing is installed at all.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
DESTDIR=${DESTDIR:-/}
BINDIR=${BINDIR:-/usr/bin}
COMPATDIR=${COMPATDIR:-/usr/lib/mqd/compat}
USUAL_PATHS=${USUAL_PATHS:-no}
root=${DESTDIR%/}
tools="rabbitmqctl rabbitmq-diagnostics rabbitmq-plugins rabbitmq-queues rabbitmq-streams rabbitmq-upgrade"
usual="/usr/sbin /usr/lib/rabbitmq/bin"

each_usual_path() {
    for folder in $usual; do
        for name in $tools rabbitmq-server; do
            "$1" "$root$folder/$name" "$COMPATDIR/$name"
        done
    done
}

is_ours() { [ -L "$1" ] && [ "$(readlink "$1")" = "$2" ]; }

taken=
note_taken() {
    if { [ -e "$1" ] || [ -L "$1" ]; } && ! is_ours "$1" "$2"; then taken="$taken $1"; fi
}

link() {
    mkdir -p "$(dirname "$1")"
    ln -sfn "$2" "$1"
}

unlink_ours() { if is_ours "$1" "$2"; then rm "$1"; fi; }

if [ "${1:-}" = remove ]; then
    each_usual_path unlink_ours
    for name in $tools rabbitmq-server; do rm -f "$root$COMPATDIR/$name"; done
    rmdir "$root$COMPATDIR" 2>/dev/null || :
    exit 0
fi

if [ "$USUAL_PATHS" = yes ]; then
    each_usual_path note_taken
    if [ -n "$taken" ]; then
        echo "install-compat: not installed, these are not mqd's:$taken" >&2
        echo "install-compat: without USUAL_PATHS=yes the names go to $COMPATDIR alone" >&2
        exit 1
    fi
fi
install -d "$root$COMPATDIR"
for name in $tools; do ln -sfn "$BINDIR/mqctl" "$root$COMPATDIR/$name"; done
sed "s|@BINDIR@|$BINDIR|" "$here/compat/rabbitmq-server.in" >"$root$COMPATDIR/rabbitmq-server"
chmod 0755 "$root$COMPATDIR/rabbitmq-server"
if [ "$USUAL_PATHS" = yes ]; then each_usual_path link; fi
