# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What packaging/prove does in a chroot, where nothing but the package and tripe's own start-up has
# a hand in it.

inside() {
    chroot "$root" env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@"
}

enter_chroot() {
    furnish
    # Programs find themselves and each other through it.
    mount -t proc proc "$root/proc"
    inside true
}

serve() {
    # A port of the system's choice: the network is that of this machine.
    inside /usr/local/bin/tripe-lab -a $socket -u 127.0.0.83:0 --reflect 198.18.0.0/15 \
        --reflect-delay 1 > "$work/lab" 2>&1 &
    within 20 server VERSION
    inside tell -a $socket admin --watch > "$root/var/log/notes" 2>&1 &
    inside tell db compile -o /etc/tripe/peers.cdb /etc/tripe/peers.in
    inventory > "$work/inventory"
}

leave() {
    if mountpoint --quiet "$root/proc"; then
        inside connect-cli quit > /dev/null 2>&1 || true
        server QUIT > /dev/null 2>&1 || true
        within 20 umount "$root/proc" || umount --lazy "$root/proc"
    fi
}

installs() {
    # Without a systemd that runs nothing is started.
    install_package "$built"/now/*.deb
    local account
    for account in core pinger ifscripts metrics; do
        inside getent passwd "tripe-connect-$account"
    done
    inside getent group tripe-connect tripe
    same 'the link' /usr/lib/tripe/services/connect "$(readlink "$root/etc/tripe/services/connect")"
    same 'version' "connect $version" "$(inside /etc/tripe/services/connect --version)"
    server SVCLIST | { ! grep connect; }
}

started_up() {
    inside /etc/tripe/services/connect --daemon --startup
    provided_by "$version"
    within 20 scripts_ran ifup
    # Each helper connects by itself, and may be the later one.
    within 20 status_is .service.pinger.connected true
    within 20 status_is .service.scripts.connected true
    mark_notes
}

upgrades() {
    install_package "$built"/next/*.deb
    provided_by "$next_version"
    within 20 status_is .service.version "$next_version"
    scripts_ran ifup
    peers_stayed
}

removes() {
    inside apt-get -o Dpkg::Use-Pty=0 --yes remove tripe-connect
    within 20 service_gone
    [ ! -L "$root/etc/tripe/services/connect" ]
    peers_stayed
}

service_gone() {
    server SVCLIST | { ! grep connect; }
}

purges() {
    # The service gives up its name before its processes and sockets are gone.
    within 20 processes_gone
    inside apt-get -o Dpkg::Use-Pty=0 --yes purge tripe-connect
    inventory | diff "$work/inventory" -
}

processes_gone() {
    # It fails if a process has ended meanwhile.
    { readlink /proc/[0-9]*/exe || true; } | { ! grep "^$root/.*/connect"; }
}

possible 'a chroot' enter_chroot
vital 'with a server' serve
step 'installed: users, the link for tripe, nothing started' installs
step "started by tripe's start-up" started_up
step 'upgrade: taken over, no peer dropped, no script run' upgrades
step 'removed: the server keeps its peers' removes
step 'purged: nothing is left' purges
