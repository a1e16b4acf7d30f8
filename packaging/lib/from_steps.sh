# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What packaging/prove --from COMMIT does instead of its other steps: the package of that commit is
# installed, then this one over it, and then that one again. What core has saved must be understood
# both ways, so that no peer is dropped and no figure is lost.

# The number that the package of the commit gets: below that of this version, whatever it was.
earlier_version=0.0.1

# The package of this commit, and of the one that $from names.
build_with_earlier() {
    [ ! -e "$built/earlier" ] || return 0
    build_now
    build_commit "$from" "$earlier_version" "$built/earlier" "${quick[@]}"
}

# The server with its two peers, before any connect service.
server_runs() {
    inside groupadd --system tripe
    rm "$root/etc/systemd/system/tripe-connect.service"
    inside tell db compile -o /etc/tripe/peers.cdb /etc/tripe/peers.in
    inside systemctl daemon-reload
    inside systemctl enable --now tripe.service notes.service
    within 20 server VERSION
    # The notes are being taken.
    within 20 marked begin-
    server ADD alpha INET 198.18.0.1 4070
    server ADD beta INET 198.18.0.2 4070
    within 20 noted 'KXDONE beta'
    mark_notes
}

# The package of the commit takes the peers that are there.
earlier_installed() {
    install_package "$built"/earlier/*.deb
    within 30 serves $earlier_version
    peers_stayed
}

# The service has this version, and core has its helpers and both peers.
serves() {
    provided_by "$1"
    healthy
}

# The server is restarted under this version: its peers come again, with the scripts that belong to
# them and nothing besides.
server_anew() {
    local before
    before=$(ran alpha)
    inside systemctl restart tripe.service
    within 30 serves "$version"
    within 20 scripts_ran "${before:+$before }ifdown ifup"
}

from_steps() {
    step 'the server runs, its peers are up' server_runs
    step "the package of $from is installed: no peer dropped" earlier_installed
    step "upgrade from $from: nothing lost, no script run" over "$version" now
    step 'the server is restarted: each peer comes once' server_anew
    step "back to $from: nothing lost, no script run" over $earlier_version earlier
    step 'and up again' over "$version" now
}
