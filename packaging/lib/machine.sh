# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A Debian machine with a systemd of its own, in a container without a network.
#
#   base system (debootstrap, kept between runs) -> copy for this run -> booted by systemd-nspawn

. packaging/lib/tools.sh

# What machines are copies of. The name changes when what is in it does.
base=${cache:?}/bookworm-systemd-1

# Prints why there can be no machine here, or nothing if there can.
machine_impossible() {
    if [ "$(id -u)" -ne 0 ]; then
        echo 'only root can boot a container'
    elif ! command -v debootstrap > /dev/null; then
        echo 'debootstrap is not installed'
    elif ! command -v systemd-nspawn > /dev/null; then
        echo 'systemd-nspawn is not installed (package systemd-container)'
    fi
}

# Makes the base system if it is not there yet, from where apt takes packages.
make_base() {
    [ ! -d "$base" ] || return 0
    local mirror
    # The first source of bookworm that apt itself has, other than the one for security updates.
    # shellcheck disable=SC2016 # it is apt-get that expands this
    mirror=$(apt-get indextargets --format '$(SITE)' 'Codename: bookworm' 'Created-By: Packages' |
        grep -v security | head -n 1)
    mkdir -p "$cache"
    rm -rf "$base.partial"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$base.partial" \
        "${mirror:-http://deb.debian.org/debian}"
    rm -rf "$base.partial"/var/cache/apt/archives/*.deb "$base.partial"/var/lib/apt/lists/*
    mv "$base.partial" "$base"
}

# Makes the copy for this run, $root.
copy_base() {
    cp -a --reflink=auto "$base" "$root"
}

# Boots the machine in $root. Steps are shells of their own, so its process numbers are kept in files.
boot() {
    systemd-nspawn --quiet --directory "$root" --register=no --keep-unit --boot --private-network \
        --console=read-only < /dev/null > "${work:?}/console" 2>&1 &
    echo $! > "$work/nspawn"
    within 60 find_init
    within 60 inside systemctl is-system-running --wait
}

# The container's systemd is the only child of systemd-nspawn.
find_init() {
    pgrep --parent "$(cat "$work/nspawn")" > "$work/init"
}

# Runs a command in the machine, with nothing of our environment.
inside() {
    nsenter --target "$(cat "$work/init")" --all -- env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# Ends the machine, with all that runs in it.
stop_machine() {
    [ -s "$work/init" ] || return 0
    kill -KILL "$(cat "$work/init")" 2> /dev/null || true
    within 20 nspawn_ended || true
    rm "$work/init" "$work/nspawn"
}

nspawn_ended() {
    [ ! -d "/proc/$(cat "$work/nspawn")" ]
}

# A property of a unit.
property() {
    inside systemctl show --property "$2" --value "$1"
}

# The process number of a unit's main process, as the machine sees it.
pid_of() {
    property "tripe-connect-$1.service" MainPID
}
