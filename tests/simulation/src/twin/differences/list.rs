// SPDX-License-Identifier: GPL-3.0-or-later
//! The list of differences, in the order of the page.

use super::{Difference, Shown, Written, claims};

/// A paragraph of the page, about a difference that a run of twins shows.
macro_rules! twin {
    ($section:literal, $name:literal, $explains:path) => {
        Difference {
            name: $name,
            written: paragraph!($section, $name),
            shown: Shown::Twin($explains),
        }
    };
}

/// A paragraph of the page, about a difference that a scenario shows.
macro_rules! scenario {
    ($section:literal, $name:literal, $test:literal) => {
        Difference {
            name: $name,
            written: paragraph!($section, $name),
            shown: Shown::Scenario($test),
        }
    };
}

/// A paragraph of the page, about a difference that a test of core's machine shows.
macro_rules! machine {
    ($section:literal, $name:literal, $file:literal, $test:literal) => {
        Difference {
            name: $name,
            written: paragraph!($section, $name),
            shown: Shown::Machine($file, $test),
        }
    };
}

macro_rules! paragraph {
    ($section:literal, $name:literal) => {
        Written::Page {
            section: $section,
            text: include_str!(concat!("../../../differences/", $name, ".md")),
        }
    };
}

/// A row of conformance.md that twins show.
macro_rules! row {
    ($subject:literal, $statement:literal, $name:literal, $explains:path) => {
        Difference {
            name: $name,
            written: Written::Table {
                subject: $subject,
                statement: $statement,
            },
            shown: Shown::Twin($explains),
        }
    };
}

/// All differences.
#[must_use]
pub fn all() -> &'static [Difference] {
    ALL
}

#[rustfmt::skip]
const ALL: &[Difference] = &[
    scenario!("Where we leave the manual's letter", "letter",
        "pinging::a_peer_with_knock_is_reconnected_by_a_key_exchange"),
    twin!("Where we leave the manual's letter", "letter-knock", claims::knock_peers),
    twin!("Where we leave the manual's letter", "letter-startup", claims::startup_of_all),
    twin!("Where we leave the manual's letter", "letter-list-active", claims::active_peers),
    scenario!("Where we leave the manual's letter", "letter-kick",
        "commands::kick_makes_a_new_key_exchange_with_a_peer_with_knock"),
    twin!("Where we leave the manual's letter", "letter-period", claims::shorter_period),
    scenario!("Where we leave the manual's letter", "letter-zero",
        "pinging::times_of_zero_are_a_second_each_and_logged"),
    scenario!("Where we leave the manual's letter", "letter-pause",
        "pinging::a_dead_peer_is_reconnected_again_and_again"),
    scenario!("Where we leave the manual's letter", "letter-disconnect",
        "dynamic_connection::disconnect_is_run_by_the_shell_when_the_peer_is_removed"),
    scenario!("Where we leave the manual's letter", "letter-both",
        "dynamic_connection::a_record_with_knock_and_connect_has_both"),
    scenario!("Where we leave the manual's letter", "letter-state",
        "info::before_any_ping_the_figures_are_zero_or_a_dash"),
    scenario!("It survives its server", "survives-its-server",
        "foundation::a_restarted_server_is_found_claimed_and_served_again"),
    scenario!("A suspended server", "suspended-server",
        "faults::core_waits_for_a_server_that_is_suspended_for_a_while"),
    twin!("A suspended server", "suspended-host", claims::suspended),
    scenario!("Pings", "kind-of-ping",
        "pinging::encrypted_pings_are_sent_where_the_record_says_so"),
    scenario!("Pings", "default-of-every",
        "pinging::every_is_30_seconds_for_dynamic_peers_and_5_minutes_for_passive_ones"),
    twin!("Pings", "when-checks-come", claims::when_checks_come),
    twin!("Pings", "refused-pings", claims::refused_pings),
    twin!("Pings", "new-keys-with-a-connection", claims::new_keys),
    scenario!("Pings", "reconnecting", "pinging::a_dead_peer_is_reconnected_again_and_again"),
    scenario!("Dead peers that come back", "dead-peers-that-come-back",
        "absent_peers::a_dead_peer_that_is_to_come_back_is_added_again_until_it_is_killed_by_hand"),
    machine!("Lookups of host names", "lookups", "resolving",
        "a_peer_whose_name_has_another_address_is_added_again_there"),
    twin!("Peers whose names look like options", "names-like-options", claims::option_names),
    twin!("Scripts", "order-of-scripts", claims::order_of_scripts),
    twin!("Scripts", "ifdown-without-ifup", claims::ifdown_without_ifup),
    scenario!("Scripts", "number-of-the-run",
        "trust::clean_environment_leaves_what_the_manual_lists_and_a_safe_path"),
    twin!("Scripts", "connect-is-ended", claims::connect_is_ended),
    scenario!("Scripts", "scripts-again",
        "scripts_again::the_output_of_a_requested_script_comes_while_it_runs"),
    twin!("Scripts", "record-of-ifdown", claims::record_of_ifdown),
    scenario!("Scripts", "size-of-a-record",
        "scripts_again::a_record_too_large_for_a_message_is_told_and_nothing_stays_pending"),
    scenario!("Scripts", "time-limits",
        "child_processes::a_child_that_takes_longer_than_its_limit_is_ended"),
    scenario!("Scripts", "hooks",
        "hooks::hooks_are_run_when_a_peer_comes_and_goes_each_once"),
    twin!("Scripts", "first-line-of-connect", claims::first_line_of_connect),
    twin!("Scripts", "hidden-challenges", claims::hidden_challenges),
    scenario!("Scripts", "end-of-a-child",
        "child_processes::a_grandchild_that_keeps_the_pipe_open_delays_nothing"),
    scenario!("Scripts", "trust-in-scripts",
        "trust::a_script_that_others_can_change_is_not_run_with_privileges"),
    scenario!("Scripts", "runtime-directory", "socket_access::a_directory_that_everybody_may_write_to_is_refused"),
    scenario!("Scripts", "environment", "trust::the_environment_is_inherited_as_the_original_has_it"),
    twin!("More warnings", "more-warnings", claims::more_warnings),
    twin!("More warnings", "auto-without-record", claims::auto_without_record),
    twin!("Lines that fit", "lines-that-fit", claims::lines_that_fit),
    twin!("The database", "database", claims::database),
    scenario!("The database", "values-that-cannot-be-sent",
        "commands::active_fails_for_what_is_not_in_the_database_or_has_no_address"),
    twin!("Commands", "commands", claims::commands),
    scenario!("Versions", "versions",
        "drop_in::what_an_original_has_started_up_is_not_started_up_again"),
    scenario!("What a restart remembers", "what-a-restart-remembers",
        "upgrade::a_full_stop_and_start_keeps_the_figures_and_runs_nothing"),
    scenario!("What a restart remembers", "end-of-the-service",
        "stopping::what_takes_longer_than_stop_wait_is_left_alone"),
    scenario!("Three processes", "three-processes",
        "foundation::a_killed_pinger_is_replaced_and_the_statistics_are_kept"),
    row!("active", "A peer of that name is killed first", "killed-first", claims::killed_first),
    row!("active", "`-knock` and `-ephemeral` from the keys of these names", "ephemeral",
        claims::ephemeral),
    row!("passive", "`unknown-user`, `unknown-peer`, `connect-timeout`, `bad-time-spec`",
        "user-without-record", claims::user_without_record),
    row!("tripe-service(7)", "`help` lists the commands", "help", claims::help),
    row!("Commands", "Wrong arguments: `bad-svc-syntax COMMAND USAGE`", "words-of-failures",
        claims::words_of_failures),
];
