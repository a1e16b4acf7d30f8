# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What packaging/prove does on a machine with systemd.

processes='core pinger ifscripts'

# Shown when a step has failed.
evidence() {
    [ -s "$machine/init" ] || return 0
    inside systemctl --no-pager --plain --no-legend list-units 'tripe*'
    inside journalctl --no-pager --quiet --output short-precise -n 300 |
        grep -v 'an operator has connected' | tail -n 25
    inside tail -n 15 /var/log/notes
}

# The original, as it would have been running for long: the peers are up and configured.
original_runs() {
    inside groupadd --system tripe
    install_package "$built/original.deb"
    inside mkdir /etc/tripe/services
    inside ln -s /usr/lib/tripe/services/connect /etc/tripe/services/connect
    inside tell db compile -o /etc/tripe/peers.cdb /etc/tripe/peers.in
    inside systemctl daemon-reload
    inside systemctl enable --now tripe.service notes.service
    within 20 server VERSION
    inside systemctl --quiet enable --now tripe-connect.service
    inventory > "$work/inventory"
    within 20 provided_by 1.5.3
    server ADD alpha INET 198.18.0.1 4070
    server ADD beta INET 198.18.0.2 4070
    within 20 noted 'KXDONE beta'
    mark_notes
}

# Core is ready and has its server, both helpers and both peers.
healthy() {
    local unit
    for unit in .target .service -pinger.service -ifscripts.service -control.socket; do
        same "tripe-connect$unit" active "$(property tripe-connect$unit ActiveState)"
    done
    status_is .service.server up
    status_is .service.pinger.connected true
    status_is .service.scripts.connected true
    status_is '[.peers[] | select(.state | IN("up", "checking", "down")).name] | join(" ")' 'alpha beta'
}

install_over_the_original() {
    install_package "$built"/now/*.deb
    within 20 provided_by "$version"
    within 20 healthy
    within 20 original_has_ended
    same 'the diverted program' 'connect 1.5.3' \
        "$(inside /usr/lib/tripe/services/connect.original --version)"
    within 20 more_replies alpha 0
    within 20 more_replies beta 0
    scripts_ran ''
    peers_stayed
}

original_has_ended() {
    inside sh -c 'cat /proc/[0-9]*/cmdline' | { ! grep --text '/usr/lib/tripe/services/connect'; }
}

ready_and_status() {
    same 'the target' enabled "$(inside systemctl is-enabled tripe-connect.target)"
    same 'notification' 'notify active' \
        "$(property tripe-connect.service Type) $(property tripe-connect.service ActiveState)"
    property tripe-connect.service StatusText
    property tripe-connect.service StatusText | grep -q '2 peers'
}

# Each process has a user of its own; one capability is all there is.
least_privilege() {
    local process pid
    for process in $processes; do
        pid=$(pid_of "$process")
        same "user of $process" "tripe-connect-$process" \
            "$(inside stat --format %U "/proc/$pid")"
        local capabilities=0000000000000000
        [ "$process" != ifscripts ] || capabilities=0000000000001000
        same "capabilities of $process" $capabilities \
            "$(inside sed -n 's/^CapEff:\t//p' "/proc/$pid/status")"
    done
}

# Each process may have as many descriptors as its unit says, scripts as many processes, and no unit
# is without a limit of memory.
limited() {
    local process files unit
    for process in $processes; do
        unit=$(unit_of "$process")
        files=4096
        [ "$process" != pinger ] || files=256
        same "descriptors of $process" "$files $files" "$(inside sed -n \
            's/^Max open files *\([0-9]*\) *\([0-9]*\) .*/\1 \2/p' "/proc/$(pid_of "$process")/limits")"
        property "$unit" MemoryMax | grep '^[0-9][0-9]*$'
    done
    same 'processes of scripts' 4096 "$(property tripe-connect-ifscripts.service TasksMax)"
}

# The directory of the sockets is root's. Core makes its own sockets in it, and can neither remove
# nor replace the operators' one.
directory_is_roots() {
    local sockets=/run/tripe-connect process
    same 'the directory' 'root tripe-connect-core 1775' "$(inside stat --format '%U %G %a' $sockets)"
    same 'the sockets of core' 'tripe-connect-core tripe-connect-core' \
        "$(inside stat --format %U $sockets/helpers.sock $sockets/observe.sock | paste -sd ' ')"
    same 'the socket of helpers' 'tripe-connect-core tripe-connect-helpers 660' \
        "$(inside stat --format '%U %G %a' $sockets/helpers.sock)"
    same 'the socket of systemd' 'root tripe-connect 660' \
        "$(inside stat --format '%U %G %a' $sockets/control.sock)"
    for process in pinger ifscripts; do
        if inside grep -E '^(Gid|Groups):' "/proc/$(pid_of $process)/status" |
            grep -w "$(inside stat --format %g $sockets)"; then
            echo "$process can make sockets there too"
            return 1
        fi
    done
    if inside setpriv --reuid tripe-connect-core --regid tripe-connect-core --clear-groups \
        rm -f $sockets/control.sock; then
        echo "core's user can remove the operators' socket"
        return 1
    fi
}

registered() {
    same 'version' "connect $version" "$(inside /etc/tripe/services/connect --version)"
    # As tripe's start-up and its unit for services do: all is left to our units, and nothing is
    # started twice.
    local core
    core=$(pid_of core)
    inside /etc/tripe/services/connect --daemon --startup
    inside systemctl start tripe-connect.service
    within 20 original_has_ended
    same 'core' "$core" "$(pid_of core)"
    provided_by "$version"
}

renewed() {
    local now
    now=$(pid_of "$1")
    [ "$now" != "$2" ] && [ "$now" != 0 ] &&
        [ "$(property "$(unit_of "$1")" ActiveState)" = active ]
}

# One process is killed: it comes back, no other is restarted, no peer suffers.
comes_back() {
    remember
    local before other
    declare -A pids
    for other in $processes; do
        pids[$other]=$(pid_of "$other")
    done
    before=${pids[$1]}
    inside systemctl kill --signal KILL --kill-who main "$(unit_of "$1")"
    within 30 renewed "$1" "$before"
    within 20 healthy
    for other in $processes; do
        [ "$other" = "$1" ] || same "process of $other" "${pids[$other]}" "$(pid_of "$other")"
    done
    peers_undisturbed
}

# With a watchdog of 3 seconds in place of 30, so that nobody waits for long.
watchdog_acts() {
    local drop_in=/run/systemd/system/tripe-connect.service.d before
    inside mkdir -p $drop_in
    printf '[Service]\nWatchdogSec=3\n' | inside tee $drop_in/watchdog.conf
    inside systemctl daemon-reload
    inside systemctl restart tripe-connect.service
    within 20 healthy
    remember
    before=$(pid_of core)
    inside systemctl kill --signal STOP --kill-who main tripe-connect.service
    within 60 renewed core "$before"
    inside journalctl --unit tripe-connect.service --grep 'Watchdog timeout' --quiet
    within 20 healthy
    peers_undisturbed
    inside rm -r $drop_in
    inside systemctl daemon-reload
    inside systemctl restart tripe-connect.service
    within 20 healthy
}

# Commands given while core is away or on its way wait for it.
sockets_wait() {
    remember
    # Six starts in eight seconds are more than the unit allows, and some were made just before.
    inside systemctl reset-failed tripe-connect.service
    inside systemctl stop tripe-connect.service
    same core inactive "$(property tripe-connect.service ActiveState)"
    # Somebody who may only look starts nothing by it.
    if inside setpriv --reuid 65534 --regid 65534 --clear-groups connect-cli status; then
        echo 'somebody could look at a core that is stopped'
        return 1
    fi
    same core inactive "$(property tripe-connect.service ActiveState)"
    # This one starts it.
    same 'adopted peers' 'alpha beta' "$(inside connect-cli adopted | sort | paste -sd ' ')"
    local _
    for _ in 1 2 3; do
        inside systemctl restart --no-block tripe-connect.service
        inside connect-cli adopted
        inside connect-cli status
    done
    # The last of them may still be under way.
    inside systemctl start tripe-connect.service
    within 20 healthy
    peers_undisturbed
}

# Somebody removes the directory of the sockets: core ends with a code of its own and is started
# again, with the directory and a control socket that the operators' group can use.
directory_removed() {
    remember
    local before
    before=$(pid_of core)
    inside systemctl reset-failed tripe-connect.service
    inside rm -r /run/tripe-connect
    within 30 renewed core "$before"
    within 20 healthy
    inside journalctl --unit tripe-connect.service --grep 'status=72' --quiet
    same 'the control socket' 'tripe-connect 660' \
        "$(inside stat --format '%G %a' /run/tripe-connect/control.sock)"
    peers_undisturbed
    # From here on the sockets are systemd's again. Many starts in a short time were made before.
    inside systemctl reset-failed tripe-connect.service
    inside systemctl restart tripe-connect.target
    within 20 healthy
}

# A restart of the target ends with an error if core fails, and the doctor says why. Once the cause
# is gone, a restart is all that it takes.
restart_tells() {
    local settings=$root/etc/default/tripe-connect
    cp "$settings" "$work/settings"
    echo 'CORE_OPTIONS=--starup' >> "$settings"
    if inside systemctl restart tripe-connect.target; then
        echo 'the restart of the target claims that it succeeded'
        return 1
    fi
    doctor_says 'tripe-connect.service ended with code 2'
    doctor_says "unexpected argument '--starup'"
    # Looking at the service has started core once more each time.
    cp "$work/settings" "$settings"
    inside systemctl reset-failed 'tripe-connect*'
    inside systemctl restart tripe-connect.target
    healthy
    doctor_says 'tripe-connect.target is active and enabled'
    doctor_says 'All is well'
    # To start core alone, by the name that people try, starts all units.
    inside systemctl stop tripe-connect.target tripe-connect.service tripe-connect-pinger.service
    inside systemctl start tripe-connect
    within 20 healthy
}

# The doctor ends with 1 if anything is at fault.
doctor_says() {
    { inside connect-cli doctor || true; } | tee /dev/stderr | grep -qF -- "$1"
}

# What the scripts wrote when the server was restarted is found in the journal by peer, script and
# run, and by the units' common name.
journal_has_fields() {
    within 20 journal_finds 'ifup alpha stdout "ifup of alpha"' PEER=alpha SCRIPT=ifup
    local run
    run=$(inside journalctl --output json PEER=alpha SCRIPT=ifup | jq -r .RUN | tail -n 1)
    journal_finds 'ifup alpha stdout "ifup of alpha"' "RUN=$run"
}

# journal_finds TEXT MATCH...
journal_finds() {
    local text=$1
    shift
    inside journalctl --quiet --no-pager --unit 'tripe-connect*' "$@" | grep -F "$text"
}

# Metrics are served where the unit says, and an exporter that fails is reported.
metrics_unit() {
    doctor_says 'tripe-connect-metrics.service is not enabled'
    inside systemctl enable --now tripe-connect-metrics.service
    doctor_says 'tripe-connect-metrics.service is active'
    printf 'METRICS_LISTEN=127.0.0.1:none\n' | inside tee --append /etc/default/tripe-connect
    inside systemctl restart tripe-connect-metrics.service || true
    doctor_says 'tripe-connect-metrics.service ended with code 2'
    sed -i /METRICS_LISTEN=127.0.0.1:none/d "$root/etc/default/tripe-connect"
    inside systemctl disable --now tripe-connect-metrics.service
    inside systemctl reset-failed tripe-connect-metrics.service
}

# The server dies with all its peers and is started again: core stays and starts it up.
server_restarts() {
    local before
    before=$(pid_of core)
    inside systemctl restart tripe.service
    within 30 provided_by "$version"
    within 30 healthy
    same core "$before" "$(pid_of core)"
    # Both peers came down with the old server and up with the new one.
    within 20 scripts_ran 'ifdown ifup'
}

# over VERSION DIRECTORY: installs a package over the one of another version. All processes are
# renewed, and no peer notices.
over() {
    remember
    local process
    declare -A pids
    for process in $processes; do
        pids[$process]=$(pid_of "$process")
    done
    install_package "$built/$2"/*.deb
    for process in $processes; do
        within 20 renewed "$process" "${pids[$process]}"
    done
    provided_by "$1"
    within 20 healthy
    peers_undisturbed
}

upgrade() {
    echo 'TRIPE_CONNECT_LOG_LEVEL=debug' >> "$root/etc/default/tripe-connect"
    over "$next_version" next
    status_is .service.version "$next_version"
    status_is .service.pinger.version "$next_version"
    status_is .service.scripts.version "$next_version"
    grep -q '^TRIPE_CONNECT_LOG_LEVEL=debug$' "$root/etc/default/tripe-connect"
}

# After a reboot everything is there without anybody's help.
reboots() {
    inside systemctl poweroff
    within 60 nspawn_ended
    boot
    within 60 provided_by "$next_version"
    within 20 healthy
}

remove() {
    mark_notes
    inside apt-get -o Dpkg::Use-Pty=0 --yes remove tripe-connect
    local process
    for process in pinger ifscripts; do
        same "the unit of $process" not-found "$(property "$(unit_of $process)" LoadState)"
    done
    same 'the unit of this name' /etc/systemd/system/tripe-connect.service \
        "$(property tripe-connect.service FragmentPath)"
    same 'the unit of the original' enabled "$(inside systemctl is-enabled tripe-connect.service)"
    inside sh -c 'readlink /proc/[0-9]*/exe' | { ! grep /connect; }
    peers_stayed
}

original_is_back() {
    same 'the program' 'connect 1.5.3' "$(inside /etc/tripe/services/connect --version)"
    inside systemctl start tripe-connect.service
    within 20 provided_by 1.5.3
    peers_stayed
}

purge_leaves_nothing() {
    inside systemctl stop tripe-connect.service
    inside apt-get -o Dpkg::Use-Pty=0 --yes purge tripe-connect
    inside ls /run | { ! grep tripe-connect; }
    inventory | diff "$work/inventory" -
}

machine_boots() {
    furnish
    boot
}

all_steps() {
    local process
    step 'the original runs, its peers are up' original_runs
    step 'installed over it: takes over, no peer dropped, no script run' install_over_the_original
    step 'READY, and a STATUS with the peers' ready_and_status
    step 'a user for each process, one capability in all' least_privilege
    step 'limits of descriptors, memory and processes' limited
    step "the directory of the sockets is root's" directory_is_roots
    step 'registered with tripe; its start-up leaves the units alone' registered
    for process in $processes; do
        step "kill -9 $process: it comes back, alone" comes_back "$process"
    done
    step 'core is stopped by SIGSTOP: the watchdog acts' watchdog_acts
    step 'commands wait for a core that is away; a look starts none' sockets_wait
    step 'the runtime directory is removed: all is made again' directory_removed
    step 'core cannot start: restart and doctor tell so' restart_tells
    step 'metrics: the unit, and what the doctor says of it' metrics_unit
    step 'the server is restarted: core stays and starts it up' server_restarts
    step 'the journal finds entries by peer, script and run' journal_has_fields
    step 'upgrade: nothing lost, no script run, settings kept' upgrade
    step 'reboot: all is there again' reboots
    step 'removed: the server keeps its peers' remove
    step 'the original is back and runs' original_is_back
    step 'purged: nothing is left' purge_leaves_nothing
}
