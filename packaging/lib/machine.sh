# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Debian machines with a systemd of their own, in containers without a network.
#
#   base system (debootstrap, kept between runs) -> copy for this run -> booted by systemd-nspawn

. packaging/lib/tools.sh

# What machines are copies of. The name changes when what is in it does.
base=$cache/bookworm-systemd-1

# What making and booting one takes.
able() {
    if [ "$(id -u)" -ne 0 ]; then
        echo 'only root can do that'
        return 1
    fi
    command -v debootstrap
    [ "$chroot" = yes ] || command -v systemd-nspawn
}

# Makes the base system if it is not there yet, from where apt takes packages.
make_base() {
    able
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

# on MACHINE: what follows is about this machine, whose system is in $root.
on() {
    machine=$work/machines/$1
    root=$machine/root
}

# Makes the machine's system.
copy_base() {
    mkdir -p "$machine"
    cp -a --reflink=auto "$base" "$root"
}

# boot [OPTION...]: boots the machine, with options for systemd-nspawn. Steps are shells of their
# own, so its process numbers are kept in files.
boot() {
    systemd-nspawn --quiet --directory "$root" --register=no --keep-unit --boot \
        --console=read-only "${@:---private-network}" < /dev/null > "$machine/console" 2>&1 &
    echo $! > "$machine/nspawn"
    within 60 find_init
    within 60 inside systemctl is-system-running --wait
}

# The container's systemd is the only child of systemd-nspawn, once another one, which prepares its
# start, has ended.
find_init() {
    local child
    child=$(pgrep --parent "$(cat "$machine/nspawn")") &&
        [ "$(cat "/proc/$child/comm")" = systemd ] &&
        echo "$child" > "$machine/init"
}

# Runs a command in the machine, with nothing of our environment.
inside() {
    nsenter --target "$(cat "$machine/init")" --all -- env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# Ends all machines, with all that runs in them.
stop_machines() {
    for machine in "$work"/machines/*; do
        [ -s "$machine/init" ] || continue
        kill -KILL "$(cat "$machine/init")" 2> /dev/null || true
        within 20 nspawn_ended || true
    done
}

nspawn_ended() {
    [ ! -d "/proc/$(cat "$machine/nspawn")" ]
}

# A property of a unit.
property() {
    inside systemctl show --property "$2" --value "$1"
}

# The unit of a process.
unit_of() {
    case $1 in
    core) echo tripe-connect.service ;;
    *) echo "tripe-connect-$1.service" ;;
    esac
}

# The process number of a unit's main process, as the machine sees it.
pid_of() {
    property "$(unit_of "$1")" MainPID
}
