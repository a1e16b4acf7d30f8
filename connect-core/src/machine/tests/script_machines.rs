// SPDX-License-Identifier: GPL-3.0-or-later
//! Core's machine and the script helper's wired together, with a small server and a few peers,
//! which share the places of the helper: in whatever order messages are read and processes die, no
//! script is lost, doubled or out of order.
//!
//! The model of scripts searches every history of a few events; this one plays long ones, with the
//! commands and faults that the model leaves out.

use connect_ipc::scripts::ScriptKind;
use proptest::prelude::*;

use super::script_world::{Hooks, Setting, Start, Step, World};

/// What happens in every history.
fn usual() -> BoxedStrategy<Step> {
    let some = 1usize..5;
    let p = 0usize..3;
    let works = prop::bool::weighted(0.8);
    let dies = (0usize..5, 0usize..5).prop_map(|(lines, runs)| Step::CoreDiesAfter(lines, runs));
    prop_oneof![
        20 => some.clone().prop_map(Step::ServerReads),
        20 => some.clone().prop_map(Step::CoreHears),
        16 => some.clone().prop_map(Step::HelperReads),
        16 => some.clone().prop_map(Step::CoreReadsHelper),
        22 => works.prop_map(Step::Turn),
        14 => some.prop_map(Step::Exit),
        12 => Just(Step::Flow),
        4 => Just(Step::Wait),
        14 => (p.clone(), 0u8..2).prop_map(|(at, it)| Step::Add(at, it)),
        8 => p.clone().prop_map(Step::Kill),
        8 => p.clone().prop_map(Step::Kick),
        3 => p.clone().prop_map(Step::OrderIfup),
        2 => p.prop_map(Step::OrderIfdown),
        4 => Just(Step::LoseServer),
        10 => Just(Step::Connect),
        2 => Just(Step::NewServer),
        4 => Just(Step::Save),
        2 => Just(Step::CoreDies),
        3 => dies,
        1 => Just(Step::CoreEnds),
        1 => Just(Step::Unlink),
        1 => Just(Step::HelperDies),
        2 => (0usize..8).prop_map(Step::HelperDiesAfter),
    ]
    .boxed()
}

/// What happens besides, in one history of each kind.
fn unusual() -> Vec<BoxedStrategy<Step>> {
    let p = 0usize..3;
    let restored = Just(Step::RestoreDatabase);
    vec![
        Just(Step::Flow).boxed(),
        p.clone().prop_map(Step::Active).boxed(),
        p.clone().prop_map(Step::Move).boxed(),
        p.clone().prop_map(Step::Rename).boxed(),
        prop_oneof![
            p.clone().prop_map(Step::Rename),
            p.clone().prop_map(Step::Move)
        ]
        .boxed(),
        p.clone().prop_map(Step::Churn).boxed(),
        prop_oneof![p.prop_map(Step::RemoveRecord), restored].boxed(),
        prop_oneof![Just(Step::BreakDatabase), restored].boxed(),
        Just(Step::ConnectUnknown).boxed(),
        Just(Step::CoreDiesWithoutState).boxed(),
        Just(Step::SecondHelper).boxed(),
        Just(Step::LosesEnd).boxed(),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::sample::select(unusual()).prop_flat_map(|unusual| {
        let step = prop_oneof![9 => usual(), 1 => unusual];
        prop::collection::vec(step, 1..200)
    })
}

fn setting() -> impl Strategy<Value = Setting> {
    let hooks = prop_oneof![
        3 => Just(Hooks::Interface),
        3 => Just(Hooks::Connection),
        3 => Just(Hooks::Both),
        1 => Just(Hooks::UndoOnly),
        1 => Just(Hooks::MakeOnly),
        1 => Just(Hooks::WithoutIfdown),
        1 => Just(Hooks::WithoutDisconnect),
    ];
    let seldom = || prop::bool::weighted(0.3);
    let hooks = prop::collection::vec(hooks, 1..4);
    let start = (seldom(), seldom());
    let records = (any::<bool>(), any::<bool>());
    (hooks, start, 1usize..3, records, prop::bool::weighted(0.7)).prop_map(
        |(hooks, (startup, found), places, (mobile, orders), strict)| Setting {
            hooks,
            startup,
            found,
            places,
            mobile,
            orders,
            strict,
        },
    )
}

/// What is wrong with a history, and the scripts that were started in it.
fn play(setting: Setting, steps: impl IntoIterator<Item = Step>) -> (Vec<String>, Vec<Start>) {
    let mut world = World::new(setting);
    for step in steps {
        world.step(step);
    }
    world.come_to_rest();
    (world.faults(), world.into_starts())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(house::cases(192))
    })]
    #[test]
    fn scripts_of_several_peers_run_once_and_in_order(setting in setting(), steps in steps()) {
        let (faults, starts) = play(setting, steps);
        prop_assert!(faults.is_empty(), "{faults:?} in {starts:?}");
    }
}

/// One peer with these scripts, and an operator who orders some.
fn alone(hooks: Hooks) -> Setting {
    Setting {
        hooks: vec![hooks],
        startup: false,
        found: false,
        places: 1,
        mobile: true,
        orders: true,
        strict: true,
    }
}

/// Nothing is lost, doubled or out of order. Gives every script that was to be started.
fn plays_well(hooks: Hooks, steps: impl IntoIterator<Item = Step>) -> Vec<Start> {
    let (faults, starts) = play(alone(hooks), steps);
    assert!(faults.is_empty(), "{faults:?} in {starts:?}");
    starts
}

#[test]
fn the_next_helper_is_told_what_follows_a_command_before_it_is_told_to_end_it() {
    plays_well(
        Hooks::Connection,
        [
            Step::Add(0, 0),
            Step::Flow,
            Step::Kick(0),
            Step::CoreHears(1),
            Step::Kick(0),
            Step::HelperDies,
            Step::CoreHears(1),
            Step::CoreReadsHelper(1),
            // Of what core says to it, no more than this before core dies.
            Step::HelperReads(3),
            Step::BreakDatabase,
            Step::CoreDies,
        ],
    );
}

#[test]
fn a_command_is_not_ended_before_it_is_decided_what_follows_it() {
    plays_well(
        Hooks::Connection,
        [
            Step::Add(0, 0),
            Step::Flow,
            Step::Save,
            Step::BreakDatabase,
            Step::CoreDies,
            Step::Connect,
            Step::Kill(0),
            // It asks for notifications, but not yet which peers there are.
            Step::CoreReadsHelper(1),
            Step::ServerReads(2),
            Step::Add(0, 0),
            Step::CoreHears(3),
            // Without a database it cannot order anything before it dies.
            Step::HelperReads(3),
            Step::CoreDies,
        ],
    );
}

#[test]
fn of_commands_that_no_helper_got_the_next_core_undoes_none() {
    plays_well(
        Hooks::Both,
        [
            Step::Add(0, 0),
            Step::Kick(0),
            Step::CoreHears(2),
            Step::Unlink,
            Step::ServerReads(3),
            Step::Kill(0),
            Step::Flow,
            Step::CoreEnds,
        ],
    );
}

#[test]
fn a_command_of_a_peer_that_had_none_is_not_taken_for_one_that_was_started() {
    plays_well(
        Hooks::Connection,
        [
            Step::Add(0, 0),
            Step::RemoveRecord(0),
            Step::CoreHears(1),
            Step::Kick(0),
            Step::RestoreDatabase,
            Step::CoreDiesAfter(0, 1),
            Step::CoreHears(1),
            Step::Connect,
            Step::Flow,
            Step::Kill(0),
        ],
    );
}

/// The scripts of a peer that was added, has its scripts made, and settled.
const SETTLED: [Step; 8] = [
    Step::Add(0, 0),
    Step::Flow,
    Step::Turn(true),
    Step::Flow,
    Step::Exit(0),
    Step::Flow,
    Step::Wait,
    Step::Flow,
];

#[test]
fn a_script_that_may_have_run_counts_also_for_the_next_core() {
    for (hooks, order) in [
        (Hooks::Connection, Step::Kick(0)),
        (Hooks::Interface, Step::OrderIfup(0)),
    ] {
        let lost = [
            Step::Add(0, 0),
            Step::Flow,
            Step::HelperDiesAfter(1),
            Step::Turn(true),
            Step::Flow,
            Step::Wait,
            Step::Flow,
            Step::CoreEnds,
            Step::Connect,
            Step::Flow,
        ];
        // The next one cannot be started.
        let next = [
            order,
            Step::Flow,
            Step::Turn(false),
            Step::Flow,
            Step::Kill(0),
        ];
        plays_well(hooks, lost.into_iter().chain(next));
    }
}

#[test]
fn a_kick_is_run_once_though_the_saved_state_still_wants_it() {
    let undecided = [Step::Save, Step::CoreDies, Step::Connect]
        .into_iter()
        .chain([Step::ServerReads(2), Step::CoreHears(4)].repeat(4))
        .chain([Step::Kick(0), Step::CoreHears(1), Step::Save]);
    let run = [Step::Flow, Step::Turn(true), Step::Flow, Step::CoreDies];
    // The next core saves the same once more, and dies undecided.
    let again = [Step::Connect, Step::ServerReads(2), Step::CoreHears(4)];
    let again = again
        .into_iter()
        .chain([Step::ServerReads(2), Step::CoreHears(4)].repeat(3));
    let again = again.chain([Step::Save, Step::CoreDies]);
    let steps = SETTLED.into_iter().chain(undecided).chain(run).chain(again);
    plays_well(Hooks::Connection, steps);
}

#[test]
fn the_next_core_runs_a_kick_that_no_helper_got() {
    let kicked = [Step::Unlink, Step::Kick(0), Step::Flow, Step::CoreEnds];
    let starts = plays_well(Hooks::Connection, SETTLED.into_iter().chain(kicked));
    assert_eq!(starts.len(), 2, "{starts:?}");
}

#[test]
fn the_helper_is_told_of_a_move_whenever_it_comes() {
    for exchanges in 2..16 {
        let undecided = [Step::Save, Step::CoreDies, Step::Connect]
            .into_iter()
            .chain([Step::ServerReads(1), Step::CoreHears(1)].repeat(exchanges))
            .chain([Step::Rename(0), Step::Flow, Step::Wait, Step::Flow])
            .chain([Step::CoreEnds]);
        let steps = SETTLED.into_iter().chain(undecided);
        let starts = plays_well(Hooks::Interface, steps);
        assert_eq!(starts.len(), 1, "{exchanges}: {starts:?}");
    }
}

#[test]
fn what_was_there_before_the_service_is_undone_also_after_a_kick_that_could_not_be_started() {
    let mut world = World::new(Setting {
        found: true,
        ..alone(Hooks::Connection)
    });
    for step in [
        Step::Kick(0),
        Step::Flow,
        Step::Turn(false),
        Step::Flow,
        Step::Kill(0),
    ] {
        world.step(step);
    }
    world.come_to_rest();
    let starts = world.into_starts();
    assert_eq!(starts.len(), 2, "{starts:?}");
}

/// A server that starts again has the peer with another interface before core has joined it.
#[test]
fn a_command_for_a_peer_of_a_new_server_is_kept_with_the_interface_that_the_peer_has_there() {
    let steps = SETTLED.into_iter().chain([
        Step::NewServer,
        Step::Add(0, 1),
        Step::Connect,
        Step::Flow,
        // `disconnect` and `connect`.
        Step::Turn(true),
        Step::Flow,
        Step::Exit(0),
        Step::Flow,
        Step::Turn(true),
        Step::Flow,
        Step::Exit(0),
        Step::Flow,
        Step::Wait,
        Step::Flow,
        // The peer stays.
        Step::CoreEnds,
        Step::Connect,
        Step::Flow,
    ]);
    let starts = plays_well(Hooks::Connection, steps);
    assert_eq!(starts.len(), 3, "{starts:?}");
}

/// The peer comes while core is not connected, and another one of its name while the next core is
/// not there yet.
#[test]
fn a_command_for_a_peer_that_came_unseen_is_kept_with_its_interface() {
    let steps = [
        Step::LoseServer,
        Step::Add(0, 0),
        Step::Connect,
        Step::Flow,
        Step::Turn(true),
        Step::Flow,
        Step::Exit(0),
        Step::Flow,
        Step::Wait,
        Step::Flow,
        Step::CoreEnds,
        Step::Kill(0),
        Step::Add(0, 1),
        Step::Connect,
        Step::Flow,
    ];
    for hooks in [Hooks::Interface, Hooks::Connection] {
        let starts = plays_well(hooks, steps);
        // Made, undone, and made again.
        assert_eq!(starts.len(), 3, "{hooks:?}: {starts:?}");
    }
}

/// Core knows what is to be made again, and is killed just before it orders that.
#[test]
fn a_setup_that_is_to_be_made_is_not_noted_for_a_peer_that_has_moved() {
    let before = [
        Step::Add(0, 0),
        Step::Flow,
        Step::CoreDiesAfter(0, 1),
        Step::Kill(0),
        Step::Save,
        Step::ServerReads(1),
        Step::CoreHears(1),
        Step::Add(0, 0),
        Step::Connect,
        Step::CoreReadsHelper(1),
        Step::ServerReads(2),
        Step::CoreHears(2),
    ];
    for moved in [Some(Step::Rename(0)), None] {
        let steps = before.into_iter().chain(moved);
        let dies = [Step::CoreDiesAfter(0, 1), Step::Flow];
        plays_well(Hooks::Interface, steps.chain(dies));
    }
}

#[test]
fn nor_if_only_one_of_two_setups_is_to_be_made() {
    let setting = Setting {
        startup: true,
        ..alone(Hooks::Both)
    };
    let steps = [
        Step::Active(0),
        Step::CoreDiesAfter(0, 1),
        Step::Flow,
        Step::Add(0, 1),
        Step::Connect,
        Step::CoreReadsHelper(1),
        Step::CoreDiesAfter(0, 2),
        Step::Flow,
    ];
    let (faults, starts) = play(setting, steps);
    assert!(faults.is_empty(), "{faults:?} in {starts:?}");
}

#[test]
fn a_command_that_was_undone_is_not_taken_for_one_that_may_have_made_the_next_setup() {
    plays_well(
        Hooks::Both,
        [
            Step::Add(0, 0),
            Step::Flow,
            Step::Save,
            Step::Turn(false),
            Step::Kill(0),
            Step::Unlink,
            Step::CoreDiesAfter(0, 1),
            Step::Exit(1),
            Step::Turn(true),
            Step::HelperDies,
            Step::CoreHears(1),
            Step::CoreReadsHelper(1),
            Step::Add(0, 1),
            Step::Connect,
            Step::Flow,
            Step::CoreDies,
            Step::Kill(0),
        ],
    );
}

#[test]
fn what_a_peer_without_a_record_did_not_make_is_not_undone_with_what_an_earlier_one_left() {
    plays_well(
        Hooks::Both,
        [
            Step::Add(0, 0),
            Step::Kick(0),
            Step::CoreHears(2),
            Step::HelperReads(1),
            Step::CoreDies,
            Step::Kill(0),
            Step::Connect,
            Step::CoreReadsHelper(1),
            Step::ServerReads(2),
            Step::CoreHears(2),
            Step::HelperReads(2),
            Step::ServerReads(1),
            Step::RemoveRecord(0),
            Step::ServerReads(1),
            Step::CoreHears(1),
            Step::Add(0, 0),
            Step::CoreHears(2),
            Step::CoreReadsHelper(2),
            Step::CoreDiesAfter(0, 0),
            Step::CoreEnds,
            Step::Kill(0),
        ],
    );
}

/// Each of the two setups that are to be undone is that of another peer of the same name.
#[test]
fn what_is_to_be_undone_is_saved_for_each_setup_as_it_was_made() {
    let setting = Setting {
        strict: false,
        mobile: false,
        ..alone(Hooks::Both)
    };
    let steps = [
        Step::Add(0, 0),
        Step::Kick(0),
        Step::CoreDiesAfter(0, 1),
        Step::CoreHears(2),
        Step::ServerReads(1),
        Step::CoreDiesAfter(0, 0),
        Step::ServerReads(1),
        Step::Connect,
        Step::HelperDiesAfter(1),
        Step::Flow,
        Step::Connect,
        Step::ServerReads(1),
        Step::CoreHears(1),
        Step::Churn(0),
        Step::Flow,
        Step::Churn(0),
        Step::HelperDiesAfter(1),
        Step::Flow,
        Step::CoreEnds,
    ];
    let (faults, starts) = play(setting, steps);
    assert!(faults.is_empty(), "{faults:?} in {starts:?}");
}

#[test]
fn a_command_that_no_helper_got_is_not_saved_as_one_to_be_undone() {
    let steps = [
        Step::Add(0, 0),
        Step::CoreHears(1),
        Step::Kill(0),
        Step::Unlink,
        Step::Add(0, 0),
        Step::Kill(0),
        Step::CoreHears(3),
        Step::CoreEnds,
    ];
    assert_eq!(plays_well(Hooks::Connection, steps).len(), 0);
}

/// The helper has told that the script could not be started, and core has settled that, before it
/// reads the note of a move that crossed it.
#[test]
fn a_note_of_a_move_does_not_take_back_that_a_script_was_never_started() {
    let steps = [
        Step::Add(0, 0),
        Step::Flow,
        Step::Turn(false),
        Step::Rename(0),
        Step::CoreReadsHelper(1),
        Step::Kill(0),
        Step::Wait,
        Step::LoseServer,
        Step::HelperReads(3),
        Step::HelperDies,
        Step::Flow,
        Step::CoreDies,
    ];
    let setting = Setting {
        orders: false,
        mobile: false,
        ..alone(Hooks::Interface)
    };
    let (faults, starts) = play(setting, steps);
    assert!(faults.is_empty(), "{faults:?} in {starts:?}");
}

/// `ifup` comes, runs and ends, and core knows it.
fn made() -> Vec<Step> {
    let run = [Step::Turn(true), Step::Flow, Step::Exit(0), Step::Flow];
    let mut steps = vec![Step::Add(0, 0), Step::Flow];
    steps.extend(run);
    steps.extend([Step::Wait, Step::Flow, Step::Save]);
    steps
}

/// The journal lost what came after the order. The `ifdown` is due all the same, also under the
/// next core.
#[test]
fn a_script_that_core_saw_end_is_not_kept_as_never_started() {
    for hooks in [Hooks::Interface, Hooks::Connection] {
        let mut steps = made();
        steps.extend([
            Step::KeepsOnly(1),
            Step::Connect,
            Step::Flow,
            Step::Turn(true),
            Step::Flow,
        ]);
        steps.extend([
            Step::Exit(0),
            Step::Flow,
            Step::Wait,
            Step::Flow,
            Step::Save,
        ]);
        steps.extend([
            Step::CoreDies,
            Step::Connect,
            Step::Flow,
            Step::Wait,
            Step::Kill(0),
        ]);
        plays_well(hooks, steps);
    }
}

#[test]
fn what_undoes_a_script_that_core_saw_end_is_run_after_the_journal_was_damaged() {
    for hooks in [Hooks::Interface, Hooks::Connection] {
        plays_well(
            hooks,
            [
                Step::Add(0, 0),
                Step::Flow,
                Step::Turn(true),
                Step::Exit(0),
                // Core orders the undoing of a run of which it has not read that it was started.
                Step::Kill(0),
                Step::CoreHears(5),
                Step::CoreReadsHelper(10),
                // That order was on its way.
                Step::KeepsOnly(1),
            ],
        );
    }
}

#[test]
fn a_run_of_an_earlier_core_is_not_run_again_after_the_helper_has_connected_again() {
    for again in [false, true] {
        let mut steps = vec![Step::Add(0, 0), Step::Flow, Step::Save, Step::CoreDies];
        steps.extend([
            Step::Connect,
            Step::Flow,
            Step::Turn(true),
            Step::Flow,
            Step::Exit(0),
        ]);
        steps.extend([Step::Flow, Step::Wait, Step::Flow]);
        if again {
            steps.extend([Step::Unlink, Step::Connect, Step::Flow]);
        }
        steps.push(Step::KeepsOnly(1));
        plays_well(Hooks::Interface, steps);
    }
}

/// The end of a run and the order that undoes it cross, and the helper dies.
#[test]
fn what_undoes_a_script_that_was_never_started_is_not_run_by_the_next_helper() {
    plays_well(
        Hooks::Both,
        [
            Step::Add(0, 0),
            Step::Flow,
            Step::Kill(0),
            Step::Turn(false),
            Step::HelperDiesAfter(1),
        ],
    );
}

/// Core has ordered the undoing of a run before it read that this was never started. The order is
/// lost with the helper or with the connection, without any damage of the journal.
#[test]
fn what_undoes_a_script_that_was_never_started_is_not_run_after_the_order_was_lost() {
    for hooks in [Hooks::Interface, Hooks::Connection] {
        let lost = [0, 1].map(Step::KeepsOnly);
        for lost in lost.into_iter().chain([Step::HelperDies, Step::Unlink]) {
            let steps = [
                Step::Add(0, 0),
                Step::Flow,
                Step::Turn(false),
                Step::Kill(0),
                Step::CoreHears(5),
                Step::CoreReadsHelper(10),
                lost,
                Step::Connect,
                Step::Flow,
            ];
            plays_well(hooks, steps);
        }
    }
}

/// The journal lost what came after the order, and core knows that it was never started.
#[test]
fn a_script_that_core_knows_as_never_started_is_not_undone_by_the_next_core() {
    let next = [
        Step::Connect,
        Step::Flow,
        Step::Wait,
        Step::Flow,
        Step::CoreEnds,
        Step::Connect,
        Step::Flow,
        Step::Kill(0),
    ];
    for hooks in [Hooks::Interface, Hooks::Connection] {
        // It could not be started; or the peer went before.
        for ends in [Step::Turn(false), Step::Kill(0)] {
            let steps = [Step::Add(0, 0), Step::Flow, ends, Step::Flow, Step::Wait];
            let steps = steps.into_iter().chain([Step::Flow, Step::KeepsOnly(1)]);
            plays_well(hooks, steps.chain(next));
        }
    }
    // Another command has replaced it.
    let steps = [Step::Add(0, 0), Step::Flow, Step::Kick(0), Step::Flow];
    let steps = steps
        .into_iter()
        .chain([Step::Wait, Step::Flow, Step::KeepsOnly(2)]);
    plays_well(Hooks::Connection, steps.chain(next));
}

/// The journal could not be written when the script was started, or has lost that.
#[test]
fn a_script_that_core_has_seen_start_is_not_started_again() {
    for hooks in [Hooks::Interface, Hooks::Connection] {
        let begins = [Step::Add(0, 0), Step::Flow, Step::Turn(true), Step::Flow];
        let begins = begins.into_iter();
        plays_well(hooks, begins.clone().chain([Step::KeepsOnly(1)]));
        let kicked = [Step::Kick(0), Step::Flow, Step::KeepsOnly(1), Step::Connect];
        let gone = [Step::Flow, Step::Kill(0)];
        plays_well(hooks, begins.chain(kicked).chain(gone));
    }
}

/// The kinds of the scripts that were started.
fn kinds(starts: &[Start]) -> Vec<ScriptKind> {
    starts.iter().map(|start| start.kind).collect()
}

#[test]
fn what_waits_when_its_peer_goes_is_never_started_also_where_nothing_undoes_it() {
    let added = [Step::Add(0, 0), Step::Flow];
    let gone = [Step::Kill(0), Step::Flow, Step::Wait, Step::Flow];
    for hooks in [Hooks::MakeOnly, Hooks::WithoutIfdown] {
        let steps = added.into_iter().chain(gone);
        assert_eq!(kinds(&plays_well(hooks, steps)), []);
        // There is no helper, so that nothing is sent; or one ends before it has noted all.
        for count in 1..12 {
            let dies = [Step::HelperDiesAfter(count)];
            let steps = added.into_iter().chain(dies).chain(gone);
            assert_eq!(kinds(&plays_well(hooks, steps)), []);
        }
        let steps = [Step::Unlink].into_iter().chain(added).chain(gone);
        let steps = steps.chain([Step::Connect, Step::Flow]);
        assert_eq!(kinds(&plays_well(hooks, steps)), []);
    }
}

#[test]
fn what_an_operator_orders_is_never_started_when_its_peer_has_gone() {
    use ScriptKind::{Connect, Disconnect, Ifdown, Ifup};
    for (hooks, order, expected) in [
        (Hooks::Interface, Step::OrderIfup(0), [Ifup, Ifdown]),
        (Hooks::Connection, Step::Kick(0), [Connect, Disconnect]),
    ] {
        let steps = SETTLED
            .into_iter()
            .chain([order, Step::Flow, Step::Kill(0), Step::Flow]);
        assert_eq!(kinds(&plays_well(hooks, steps)), expected);
    }
}

/// The server has lost the peer. Core has said that its setups are undone, and is killed before it
/// says that its command is to end; or both processes die while it ends.
#[test]
fn the_next_core_ends_the_command_of_a_peer_that_is_gone() {
    let connected = [
        Step::Add(0, 0),
        Step::Flow,
        // `ifup`, and then `connect`.
        Step::Turn(true),
        Step::Flow,
        Step::Exit(0),
        Step::Flow,
        Step::Turn(true),
        Step::Flow,
        Step::Save,
    ];
    let dies = [Step::CoreDiesAfter(0, 2), Step::Kill(0), Step::Flow];
    let steps = connected.into_iter().chain(dies);
    plays_well(Hooks::MakeOnly, steps.chain([Step::Connect, Step::Flow]));
    let both = [Step::Kill(0), Step::Flow, Step::HelperDies, Step::CoreDies];
    let steps = connected.into_iter().chain(both);
    plays_well(Hooks::MakeOnly, steps.chain([Step::Connect, Step::Flow]));
}

#[test]
fn an_ifdown_that_an_operator_orders_does_not_count_as_ifup() {
    let orders = [
        Step::Add(0, 0),
        Step::Flow,
        Step::OrderIfdown(0),
        Step::Flow,
        Step::OrderIfup(0),
        Step::Flow,
    ];
    let run = [
        // Neither `ifup` can be started.
        Step::Turn(false),
        Step::Flow,
        Step::Turn(true),
        Step::Flow,
        Step::Exit(0),
        Step::Flow,
        Step::Turn(false),
        Step::Flow,
        Step::Kill(0),
    ];
    let starts = plays_well(Hooks::Interface, orders.into_iter().chain(run));
    assert_eq!(starts.len(), 3, "{starts:?}");
}

#[test]
fn a_kick_waits_for_the_ifup_that_is_due() {
    let steps = [
        Step::Add(0, 0),
        Step::Kick(0),
        Step::CoreHears(2),
        Step::HelperReads(9),
        Step::Turn(true),
        Step::Flow,
    ];
    let starts = plays_well(Hooks::MakeOnly, steps);
    assert_eq!(kinds(&starts), [ScriptKind::Ifup, ScriptKind::Connect]);
}

/// Core tells the next helper an order that undoes nothing, and the connection breaks before it has
/// said so.
#[test]
fn what_undoes_nothing_is_not_run_though_the_connection_breaks_while_that_is_told() {
    for (kept, read) in (0..2).flat_map(|kept| (0..6).map(move |read| (kept, read))) {
        let steps = [
            Step::Add(0, 0),
            Step::Flow,
            Step::Turn(false),
            Step::Kill(0),
            Step::CoreHears(5),
            Step::CoreReadsHelper(10),
            Step::KeepsOnly(kept),
            Step::CoreReadsHelper(3),
            Step::HelperReads(read),
            Step::Unlink,
            Step::Connect,
            Step::Flow,
        ];
        plays_well(Hooks::Interface, steps);
    }
}
