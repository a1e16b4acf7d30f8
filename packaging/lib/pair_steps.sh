# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What packaging/pair does: one step for each block of docs/guide/install.md.

gate_address=192.0.2.1
hub_address=192.0.2.2
# A name of our own for the machines' networks, so that nothing of somebody else's is touched.
network=connect-pair-$$

# Two network namespaces, and a wire between them.
lay_wire() {
    ip netns add "$network-gate"
    ip netns add "$network-hub"
    ip -n "$network-gate" link add wire type veth peer name wire netns "$network-hub"
    ip -n "$network-gate" address add $gate_address/24 dev wire
    ip -n "$network-hub" address add $hub_address/24 dev wire
    local host
    for host in gate hub; do
        ip -n "$network-$host" link set lo up
        ip -n "$network-$host" link set wire up
    done
    # What stands for the networks behind them.
    ip -n "$network-gate" address add 10.1.0.1/16 dev lo
    ip -n "$network-hub" address add 10.2.0.1/16 dev lo
}

leave() {
    local host
    for host in gate hub; do
        ip netns del "$network-$host" 2> /dev/null || true
    done
}

# A machine with what the walk needs beyond the base: tools for the network, the package, the lab.
prepare() {
    on "$1"
    copy_base
    # While it is not booted yet, it has this machine's network to fetch packages by. What the walk
    # installs from Debian is only fetched.
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    chroot "$root" apt-get -q update
    DEBIAN_FRONTEND=noninteractive chroot "$root" \
        apt-get -q --yes --no-install-recommends install iproute2 iputils-ping
    [ "$1" != gate ] || chroot "$root" apt-get -q --yes --download-only install prometheus
    cp "$built"/now/*.deb "$root/root/"
    install -D "$built/tripe-lab" "$root/usr/local/bin/tripe-lab"
    echo "$1" > "$root/etc/hostname"
    # systemd-nspawn gives this right only with a network of its own making.
    boot --network-namespace-path="/run/netns/$network-$1" --capability=CAP_NET_ADMIN \
        --bind=/dev/net/tun
}

# Runs a block on a host, as its root would.
run_block() {
    on "$1"
    inside timeout 600 sh -e -c 'cd /root && . /dev/stdin' < "$2"
}

# Cuts the marked blocks out of the page: files NUMBER.HOST, in the page's order. Those with which
# something is tried that is set up already are NUMBER.try.HOST. What the page shows that a block
# prints is shown/NUMBER.
cut_blocks() {
    mkdir "$work/shown"
    awk -v directory="$work" '
        /^### .*fail$/ { try = "try." }
        /^#/ { last = "" }
        /^```sh (gate|hub|both)$/ {
            last = sprintf("%s/shown/%02d", directory, ++number)
            file = sprintf("%s/%02d.%s%s", directory, number, try, $2)
            next
        }
        /^```text$/ { file = last; next }
        /^```$/ { if (file == last) last = ""; file = "" }
        file { print > file }' docs/guide/install.md
}

# Compares what the last step has printed with what the page shows.
compare() {
    missing=
    shows "$1" "$2" || { printf 'not shown: %s\n' "$missing"; return 1; }
}

# How many commands and written files there are in the blocks of a host that set it up. What is
# between "<< 'END'" and "END" is a file; a pause is no command.
count_effort() {
    cat "$work"/[0-9][0-9].{"$1",both} | awk -v host="$1" '
        /^END$/ { inside = 0; next }
        inside || /^sleep / || /^$/ { next }
        / << .END.$/ { inside = 1; files++; next }
        { commands++ }
        END {
            printf "%s: %d commands, %d files\n", host, commands, files
            exit commands > 12 || files > 2
        }'
}

# Those of an earlier run may be named by --packages.
[ -e "$built/tripe-lab" ] || vital 'build the package' build_now
possible 'a base system' make_base
possible 'a wire' lay_wire
possible 'gate boots' prepare gate
possible 'hub boots' prepare hub
cut_blocks
for host in gate hub; do
    step "$host takes at most 12 commands and 2 files" count_effort $host
    sed 's/^/      /' "$report"
done
walk=$SECONDS set_up=
for block in "$work"/[0-9][0-9].*; do
    host=${block##*.}
    [ "$host" != both ] || host='gate hub'
    case $block in
    *.try.*) : "${set_up:=$((SECONDS - walk))}" ;;
    esac
    for each in $host; do
        step "$each: $(grep -v '^END' "$block" | tail -n 1 | cut -c 1-48)" run_block "$each" "$block"
        # What an operator would have seen.
        sed 's/^/      /' "$report"
        shown=$work/shown/$(basename "${block%%.*}")
        [ ! -e "$shown" ] || {
            cp "$report" "$work/printed"
            step "$each: it is what the page shows" compare "$shown" "$work/printed"
        }
    done
done
printf '\nThe pair was set up in %d s, without typing; the whole walk took %d s.\n' \
    "${set_up:-0}" $((SECONDS - walk))
on gate
summary
