# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What packaging/prove does in a chroot, where only the package and tripe's own start-up act.

# Where the package notes what it has to know when it is removed.
notes=/var/lib/tripe-connect-package

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
    inside systemctl --quiet enable tripe-connect.service
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
    inside getent group tripe-connect tripe-connect-helpers tripe
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

# Core's user owns the directory of its state, and puts links where an installation could write.
# Both occasions for a note come once more: the server's group is missing, and a unit of the
# original is there and enabled.
links_planted() {
    local state=/var/lib/tripe-connect unit=/etc/systemd/system/tripe-connect.service name
    local as_core=(setpriv --reuid tripe-connect-core --regid tripe-connect-core --clear-groups)
    inside install -d -o tripe-connect-core -g tripe-connect-core -m 0750 $state
    for name in .made-group-tripe .original-was-enabled made-group-tripe original-was-enabled; do
        inside "${as_core[@]}" ln -s /etc/passwd $state/$name
    done
    inside groupdel tripe
    inside cp $unit.original $unit
    inside systemctl --quiet enable tripe-connect.service
    inside rm $notes/made-group-tripe $notes/original-was-enabled
    cp "$root/etc/passwd" "$work/passwd"
}

nothing_written_through_links() {
    cmp "$work/passwd" "$root/etc/passwd"
    same 'the directory of notes' 'root:root 755' "$(inside stat --format '%U:%G %a' $notes)"
    same 'the notes' 'made-group-tripe original-was-enabled' "$(inside ls $notes | paste -sd ' ')"
}

upgrades() {
    links_planted
    install_package "$built"/next/*.deb
    nothing_written_through_links
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
step 'upgrade: taken over, no peer dropped, no link followed' upgrades
step 'removed: the server keeps its peers' removes
step 'purged: nothing is left' purges
