#!/bin/sh
# Installs the service's files under DESTDIR: the unit (with BINDIR filled in), the user, the
# folders, manual pages, completion and the log rotation. The programs themselves are installed by pip.
#
#   DESTDIR=/ BINDIR=/opt/mqd/bin packaging/install.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
DESTDIR=${DESTDIR:-/}
BINDIR=${BINDIR:-/usr/bin}
lib=$DESTDIR/usr/lib
install -d "$lib/systemd/system" "$lib/sysusers.d" "$lib/tmpfiles.d" \
    "$DESTDIR/usr/share/man/man8" "$DESTDIR/usr/share/man/man5" "$DESTDIR/usr/share/man/man7" "$DESTDIR/etc/logrotate.d"
sed "s|@BINDIR@|$BINDIR|" "$here/systemd/mqd.service.in" >"$lib/systemd/system/mqd.service"
chmod 0644 "$lib/systemd/system/mqd.service"
install -m 0644 "$here/systemd/mqd.sysusers" "$lib/sysusers.d/mqd.conf"
install -m 0644 "$here/systemd/mqd.tmpfiles" "$lib/tmpfiles.d/mqd.conf"
install -m 0644 "$here/logrotate/mqd" "$DESTDIR/etc/logrotate.d/mqd"
for page in "$here"/../man/*.[578]; do
    section=${page##*.}
    install -m 0644 "$page" "$DESTDIR/usr/share/man/man$section/"
done
# each shell asks the program itself, when it is first to complete something
share=$DESTDIR/usr/share
install -d "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
for tool in mqctl mq-diagnostics mq-plugins mq-queues mq-streams mq-upgrade; do
    variable=_$(printf %s "$tool" | tr a-z- A-Z_)_COMPLETE
    printf 'eval "$(%s=bash_source %s)"\n' "$variable" "$tool" >"$share/bash-completion/completions/$tool"
    printf '#compdef %s\neval "$(%s=zsh_source %s)"\n' "$tool" "$variable" "$tool" >"$share/zsh/site-functions/_$tool"
    printf 'env %s=fish_source %s | source\n' "$variable" "$tool" >"$share/fish/vendor_completions.d/$tool.fish"
done
chmod 0644 "$share"/bash-completion/completions/mq* "$share"/zsh/site-functions/_mq* "$share"/fish/vendor_completions.d/mq*
