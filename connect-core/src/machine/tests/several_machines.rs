// SPDX-License-Identifier: GPL-3.0-or-later
//! Scripts of several peers, which share the places of the script helper, run once and in order
//! whatever dies: core's machine and the script helper's in random histories.

use proptest::prelude::*;

use super::several_world::{Hooks, Setting, Start, Step, World};

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
        3 => p.prop_map(Step::OrderIfup),
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
        prop_oneof![p.prop_map(Step::Strike), restored].boxed(),
        prop_oneof![Just(Step::BreakDatabase), restored].boxed(),
        Just(Step::ConnectUnknown).boxed(),
        Just(Step::CoreDiesWithoutState).boxed(),
        Just(Step::SecondHelper).boxed(),
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

fn one(hooks: Hooks, startup: bool, steps: impl IntoIterator<Item = Step>) {
    let setting = Setting {
        hooks: vec![hooks],
        startup,
        found: false,
        places: 1,
        mobile: false,
        orders: false,
        strict: true,
    };
    let (faults, starts) = play(setting, steps);
    assert!(faults.is_empty(), "{faults:?} in {starts:?}");
}

#[test]
fn case_a() {
    use Step::*;
    one(
        Hooks::Interface,
        false,
        [
            Add(0, 0),
            Flow,
            CoreDiesAfter(0, 1),
            Kill(0),
            Save,
            ServerReads(1),
            CoreHears(1),
            Add(0, 0),
            Connect,
            CoreReadsHelper(1),
            ServerReads(2),
            CoreHears(1),
            CoreHears(1),
            Rename(0),
            CoreDiesAfter(0, 1),
            Flow,
        ],
    );
}

#[test]
fn case_a_without_rename() {
    use Step::*;
    one(
        Hooks::Interface,
        false,
        [
            Add(0, 0),
            Flow,
            CoreDiesAfter(0, 1),
            Kill(0),
            Save,
            ServerReads(1),
            CoreHears(1),
            Add(0, 0),
            Connect,
            CoreReadsHelper(1),
            ServerReads(2),
            CoreHears(1),
            CoreHears(1),
            CoreDiesAfter(0, 1),
            Flow,
        ],
    );
}

#[test]
fn case_b() {
    use Step::*;
    one(
        Hooks::Both,
        true,
        [
            Active(0),
            CoreDiesAfter(0, 1),
            Flow,
            Add(0, 1),
            Connect,
            CoreReadsHelper(1),
            CoreDiesAfter(0, 2),
            Flow,
        ],
    );
}

#[test]
fn case_c() {
    use Step::*;
    one(
        Hooks::Both,
        false,
        [
            Add(0, 0),
            Flow,
            Save,
            Turn(false),
            Kill(0),
            Unlink,
            CoreDiesAfter(0, 1),
            Exit(1),
            Turn(true),
            HelperDies,
            CoreHears(1),
            CoreReadsHelper(1),
            Add(0, 1),
            Connect,
            Flow,
            CoreDies,
            Kill(0),
        ],
    );
}
