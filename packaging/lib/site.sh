# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the machine under proof has beside the package: a lab server in place of tripe(8), a peer
# database, scripts that note when they ran, a stand-in for the original, and checks on all of it.

# Where the service looks when nothing is set.
socket=/run/tripesock

# make_original FILE: a package like the one that the original comes in.
make_original() {
    local tree=$work/original
    install -D packaging/original/connect "$tree/usr/lib/tripe/services/connect"
    mkdir "$tree/DEBIAN"
    cat > "$tree/DEBIAN/control" << 'END'
Package: tripe-peer-services
Version: 1.5.3
Architecture: all
Maintainer: Nobody <nobody@tripe-connect.example>
Description: stand-in for the original package, for tests
END
    dpkg-deb --root-owner-group --build "$tree" "$1"
}

# Puts the lab server and all that an administrator would have written into $root.
furnish() {
    # tripe-lab is the server; connect-cli is here under another name, since the package has it too.
    install -D "$built/tripe-lab" "$root/usr/local/bin/tripe-lab"
    install -D "$built/connect-cli" "$root/usr/local/bin/tell"
    mkdir -p "$root/etc/tripe"
    cat > "$root/etc/tripe/peers.in" << 'END'
[@GLOBAL]
watch = t
every = 1s
timeout = 5s
auto = t
ifup = /etc/tripe/note ifup
ifdown = /etc/tripe/note ifdown

[alpha]
peer = INET 198.18.0.1 4070

[beta]
peer = INET 198.18.0.2 4070
END
    cat > "$root/etc/tripe/note" << 'END'
#!/bin/sh
mkdir -p /var/lib/tripe-connect-ifscripts
echo "$1 $2" >> /var/lib/tripe-connect-ifscripts/ran
echo "$1 of $2"
END
    chmod 755 "$root/etc/tripe/note"
    cat > "$root/etc/systemd/system/tripe.service" << END
[Unit]
Description=Stand-in for tripe(8), which encrypts nothing
[Service]
Type=exec
Group=tripe
ExecStart=/usr/local/bin/tripe-lab -m 660 -a $socket --reflect 198.18.0.0/15 --reflect-delay 1
[Install]
WantedBy=multi-user.target
END
    # As the unit that comes with tripe(8) for the original.
    cat > "$root/etc/systemd/system/tripe-connect.service" << END
[Unit]
Description=The original connect service
Requires=tripe.service
After=tripe.service
[Service]
Type=simple
ExecStart=/usr/lib/tripe/services/connect
[Install]
WantedBy=tripe.service
END
    # All that the server says, for the whole run.
    cat > "$root/etc/systemd/system/notes.service" << END
[Unit]
Description=Notes of what the server says
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/local/bin/tell -a $socket admin --watch
StandardOutput=append:/var/log/notes
Restart=always
RestartSec=100ms
[Install]
WantedBy=multi-user.target
END
}

# Gives the server a command.
server() {
    inside tell -a $socket admin "$@"
}

# The version of the connect service that the server has.
provider() {
    server SVCQUERY connect | sed -n 's/.*version=\([^ ]*\).*/\1/p'
}

provided_by() {
    same 'provider of the service' "$1" "$(provider)"
}

# What the service knows of a peer: a path into the JSON of "connect-cli info".
info() {
    inside connect-cli info --json "$1" | jq -r "$2"
}

replies() {
    info "$1" .peer.ping.replies
}

more_replies() {
    [ "$(replies "$1")" -gt "$2" ]
}

# A path into the JSON of "connect-cli status" has this value.
status_is() {
    same "$1" "$2" "$(inside connect-cli status --json | jq -r "$1")"
}

# Which scripts ran for a peer so far, in order. Scripts of different peers run side by side, so
# nothing promises an order between peers.
ran() {
    inside sed -n "s/ $1\$//p" /var/lib/tripe-connect-ifscripts/ran 2> /dev/null | paste -sd ' ' || true
}

# For each peer just these scripts ran, in this order.
scripts_ran() {
    local peer
    for peer in alpha beta; do
        same "scripts that ran for $peer" "$1" "$(ran $peer)" || return
    done
}

# Something the server has said.
noted() {
    inside grep -q "$1" /var/log/notes
}

# Has the server say this, and succeeds if it is in the notes: then all that it said before is there
# as well. The writer of the notes may be late, or have just been restarted, so try this again.
marked() {
    server NOTIFY "$1"
    noted "$1"
}

# What the server says from now on is what peers_stayed looks at.
mark_notes() {
    echo "mark-$RANDOM$RANDOM-" > "$work/mark"
    within 20 marked "$(cat "$work/mark")"
}

# Remembers how things are, for peers_undisturbed.
remember() {
    local peer
    for peer in alpha beta; do
        ran $peer > "$work/$peer.ran"
        replies $peer > "$work/$peer.before"
    done
    mark_notes
}

# Since then, and a few pings later, no peer was added or removed, no script has run, and no
# statistics were lost.
peers_undisturbed() {
    local peer
    for peer in alpha beta; do
        within 20 more_replies $peer "$(cat "$work/$peer.before")"
        same "lost pings of $peer" 0 "$(info $peer .peer.ping.lost)"
    done
    # Last, so that one which was ordered has had the time to run.
    for peer in alpha beta; do
        same "scripts that ran for $peer" "$(cat "$work/$peer.ran")" "$(ran $peer)"
    done
    peers_stayed
}

# The same for the server's side only.
peers_stayed() {
    local until
    same 'peers of the server' 'alpha beta' "$(server LIST | sort | paste -sd ' ')"
    until=end-$RANDOM$RANDOM-
    within 20 marked "$until"
    # grep ends with 1 if there is none, which is what is wanted.
    inside sed -n "/$(cat "$work/mark")/,/$until/p" /var/log/notes |
        { ! grep -E '^(NOTE )?(ADD|KILL) '; }
}

# Every file that is there, and every account.
inventory() {
    (
        cd "$root" || exit
        find . -xdev \( -path ./var/log -o -path ./var/cache -o -path ./var/lib/dpkg \
            -o -path ./var/lib/apt -o -path ./var/lib/systemd/random-seed -o -path ./root \
            -o -path ./tmp -o -path ./var/tmp \) -prune -o -printf '%p %y %l\n' |
            grep -vE '^\./etc/(passwd|group|shadow|gshadow)- |^\./etc/\.(pwd\.lock|updated)|^\./var/\.updated'
        cat etc/passwd etc/group
    ) | LC_ALL=C sort
}

# What apt says of a package file, and installs it from.
install_package() {
    cp "$1" "$root/root/"
    inside apt-get -o Dpkg::Use-Pty=0 --yes --allow-downgrades \
        --no-install-recommends install "/root/$(basename "$1")"
}
