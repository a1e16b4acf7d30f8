// SPDX-License-Identifier: GPL-3.0-or-later
//! Hooks: when they are run, with what, and that a restart of core or of the script helper neither
//! loses nor repeats one.

use std::time::Duration;

use connect_ipc::event::EventKind;
use connect_ipc::pinger::PingResult;
use connect_ipc::scripts::{Ended, FromScripts, Run, ToScripts};
use connect_ipc::setup::{Made, Pair, Setup, SetupState};
use connect_policy::hooks::DefaultHooks;
use peerdb::Record;

use super::super::State;
use super::rig::{Rig, record};

/// A peer that is reconnected when it does not answer.
const DYNAMIC: &[(&str, &str)] = &[
    ("watch", "t"),
    ("peer", "INET 192.0.2.1 1"),
    ("knock", "k"),
    ("retries", "1"),
    ("every", "1h"),
];

const SCRIPTS: &[(&str, &str)] = &[("ifup", "up"), ("ifdown", "down")];

const HOOKS: &[(&str, &str)] = &[("on-up", "tell up"), ("on-down", "tell down")];

const ADD: &str = "NOTE ADD p tun0 INET 192.0.2.1 1";

const REPLY: PingResult = PingResult::Reply(7.0);

fn with(more: &[&[(&str, &str)]]) -> Vec<Record> {
    vec![record("p", &[&[DYNAMIC], more].concat().concat())]
}

/// A peer with all scripts.
fn all() -> Vec<Record> {
    with(&[SCRIPTS, HOOKS])
}

/// The scripts that were ordered, in few words.
fn scripts(rig: &mut Rig) -> Vec<&'static str> {
    rig.ordered().iter().map(|run| run.kind.name()).collect()
}

/// A core that has seen the peer come.
fn added(records: &[Record]) -> Rig {
    let mut rig = Rig::joined(records, &[]);
    rig.hear(ADD);
    rig.answer_all();
    rig
}

/// The value of a variable of a run.
fn variable<'a>(run: &'a Run, name: &str) -> &'a str {
    let mut all = run.environment.iter();
    let found = all.find(|(key, _)| key == name);
    found.map_or("-", |(_, value)| value)
}

#[test]
fn hooks_follow_ifup_and_come_before_ifdown_and_take_turns() {
    let mut rig = added(&all());
    assert_eq!(scripts(&mut rig), ["ifup"]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-up"]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.ping(PingResult::Timeout);
    assert_eq!(scripts(&mut rig), ["on-down"]);
    rig.ping(PingResult::Timeout);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-up"]);
    rig.hear("NOTE KILL p");
    assert_eq!(scripts(&mut rig), ["on-down", "ifdown"]);
    rig.hear(ADD);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    assert_eq!(scripts(&mut rig), ["ifup", "ifdown"], "it has not answered");
}

#[test]
fn a_hook_is_told_what_has_happened() {
    let mut rig = added(&all());
    rig.ping(REPLY);
    let run = rig.ordered().pop().unwrap();
    let said = |run: &Run| {
        let names = ["H_EVENT", "H_REASON", "H_ROUNDS", "H_RTT", "H_INTERFACE"];
        names.map(|name| variable(run, name).to_owned()).join(" ")
    };
    assert_eq!(said(&run), "up first-reply 0 7.0 tun0");
    assert_eq!(variable(&run, "H_ADDRESS"), "INET 192.0.2.1 1");
    assert_eq!(variable(&run, "P_KNOCK"), "k");
    assert_eq!(variable(&run, "A_CIPHER"), "rijndael");
    rig.wait(Duration::from_secs(60));
    rig.ping(PingResult::Timeout);
    let down = rig.ordered().pop().unwrap();
    assert_eq!(said(&down), "down unreachable 1 7.0 tun0");
    assert_eq!(variable(&down, "H_SINCE"), variable(&down, "H_TIME"));
    rig.wait(Duration::from_secs(60));
    rig.ping(PingResult::Reply(8.0));
    let run = rig.ordered().pop().unwrap();
    assert_eq!(said(&run), "up recovered 1 8.0 tun0");
    assert_eq!(variable(&run, "H_SINCE"), variable(&down, "H_SINCE"));
    let seconds = |name| variable(&run, name).parse::<u64>().unwrap();
    assert_eq!(seconds("H_TIME") - seconds("H_SINCE"), 60);
    rig.hear("NOTE KILL p");
    let run = rig.ordered().remove(0);
    assert_eq!(said(&run), "down command 0 7.5 tun0");
}

#[test]
fn a_peer_that_is_killed_for_silence_is_told_to_be_down_once() {
    let records = [record(
        "p",
        &[
            &[("watch", "t"), ("peer", "INET h 1"), ("retries", "1")],
            HOOKS,
        ]
        .concat(),
    )];
    let mut rig = added(&records);
    rig.ping(REPLY);
    rig.sent();
    rig.ping(PingResult::Timeout);
    assert!(rig.sent().contains(&"KILL p".to_owned()));
    assert_eq!(scripts(&mut rig), ["on-up", "on-down"]);
    rig.hear("NOTE KILL p");
    assert_eq!(scripts(&mut rig), [""; 0]);
}

#[test]
fn without_hooks_nothing_is_told_and_nothing_kept() {
    let mut rig = added(&with(&[]));
    let mut with_scripts = added(&with(&[SCRIPTS]));
    end_all(&mut with_scripts);
    for rig in [&mut rig, &mut with_scripts] {
        rig.to_scripts.clear();
        for result in [REPLY, PingResult::Timeout, REPLY] {
            rig.ping(result);
        }
        assert_eq!(rig.to_scripts, []);
    }
    let (_, state) = with_scripts.machine.state().unwrap();
    let text = serde_json::to_string(&state.peers).unwrap();
    assert!(!text.contains("hooks"), "{text}");
}

/// Everything that was ordered was started and has ended.
fn end_all(rig: &mut Rig) {
    rig.take_orders();
    let runs = rig.ordered();
    rig.scripts_end(runs.iter().map(|run| run.run));
}

#[test]
fn a_peer_that_answers_before_its_ifup_is_ordered_is_told_to_be_up_with_the_next_reply() {
    let mut rig = Rig::joined(&all(), &[]);
    rig.hear(ADD);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifup"]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-up"]);
}

#[test]
fn without_a_script_helper_the_first_reply_after_one_has_come_counts() {
    let mut rig = added(&all());
    scripts(&mut rig);
    rig.scripts_go();
    for result in [REPLY, PingResult::Timeout, REPLY] {
        rig.ping(result);
    }
    rig.scripts_come();
    assert_eq!(scripts(&mut rig), ["ifup"], "as it was given before");
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-up"]);
    // What was told is undone even so.
    rig.take_orders();
    rig.scripts_go();
    rig.ping(PingResult::Timeout);
    rig.ping(REPLY);
    rig.to_scripts.clear();
    rig.scripts_come();
    assert!(scripts(&mut rig).contains(&"on-down"));
}

#[test]
fn a_hook_that_comes_while_the_peer_is_up_is_run_from_the_next_change_on() {
    let mut rig = added(&with(&[]));
    rig.ping(REPLY);
    rig.database(&with(&[HOOKS]));
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.ping(PingResult::Timeout);
    assert_eq!(scripts(&mut rig), ["on-down"]);
    rig.ping(PingResult::Timeout);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-up"]);
}

#[test]
fn a_hook_that_comes_while_the_peer_is_up_is_run_when_it_is_removed() {
    let mut rig = added(&with(&[]));
    rig.ping(REPLY);
    rig.database(&with(&[HOOKS]));
    rig.hear("NOTE KILL p");
    assert_eq!(scripts(&mut rig), ["on-down"]);
    rig.hear(ADD);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    assert_eq!(scripts(&mut rig), [""; 0], "it has not answered");
}

/// Core was killed after it had ordered `on-down` for a peer that it had saved as up without hooks.
#[test]
fn an_on_down_that_an_earlier_core_has_ordered_is_not_run_again_whatever_it_has_saved() {
    let mut old = added(&with(&[]));
    old.ping(REPLY);
    old.database(&with(&[HOOKS]));
    let (_, state) = old.machine.state().unwrap();
    old.ping(PingResult::Timeout);
    old.take_orders();
    let mut rig = successor(state, &with(&[HOOKS]), old.setups(), &["p"]);
    rig.ping(PingResult::Timeout);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-up"]);
}

#[test]
fn a_hook_that_goes_is_not_run_and_counts_as_run() {
    let mut rig = added(&with(&[HOOKS]));
    rig.ping(REPLY);
    rig.database(&with(&[]));
    rig.ping(PingResult::Timeout);
    assert_eq!(scripts(&mut rig), ["on-up"]);
    rig.database(&with(&[HOOKS]));
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-up"]);
}

#[test]
fn a_peer_with_on_down_alone_has_it_run_when_it_was_up() {
    let mut rig = added(&with(&[&HOOKS[1..]]));
    rig.ping(PingResult::Timeout);
    rig.ping(REPLY);
    rig.ping(PingResult::Timeout);
    assert_eq!(scripts(&mut rig), ["on-down"]);
    let mut rig = added(&with(&[&HOOKS[..1]]));
    for result in [REPLY, PingResult::Timeout, REPLY] {
        rig.ping(result);
    }
    assert_eq!(scripts(&mut rig), ["on-up", "on-up"]);
}

#[test]
fn all_peers_with_a_record_have_the_hooks_that_were_given_for_all() {
    let defaults = DefaultHooks {
        on_up: Some("/all up".to_owned()),
        on_down: Some("/all down".to_owned()),
    };
    let mut rig = Rig::new(&with(&[&[("on-down", "/own")]]));
    rig.machine.config.hooks = defaults;
    rig.meet(&["p", "stranger"]);
    rig.answer_all();
    rig.ping(REPLY);
    rig.ping(PingResult::Timeout);
    let commands = rig.ordered().into_iter().map(|run| run.command);
    let expected: Vec<_> = [&["/all", "up", "p"] as &[&str], &["/own", "p"]]
        .into_iter()
        .map(|words| {
            connect_ipc::scripts::Command::Exec(
                words.iter().map(|word| (*word).to_owned()).collect(),
            )
        })
        .collect();
    assert_eq!(commands.collect::<Vec<_>>(), expected);
    rig.hear("NOTE KILL stranger");
    assert_eq!(scripts(&mut rig), [""; 0]);
}

#[test]
fn what_was_never_started_is_not_undone() {
    let not_started = Ended::NotStarted("no such file".to_owned());
    for (end, expected) in [
        (Some(not_started), vec![]),
        (Some(Ended::Lost), vec![("on-down", false)]),
        (None, vec![("on-down", true)]),
    ] {
        let mut rig = added(&all());
        rig.ping(REPLY);
        let run = rig.ordered().pop().unwrap().run;
        if let Some(end) = end.clone() {
            rig.scripts_say(FromScripts::Ended { run, end });
        }
        rig.ping(PingResult::Timeout);
        let down = rig.ordered();
        let found: Vec<_> = down
            .iter()
            .map(|it| (it.kind.name(), it.undoes == [run]))
            .collect();
        assert_eq!(found, expected, "{end:?}");
        rig.ping(REPLY);
        assert_eq!(scripts(&mut rig), ["on-up"], "{end:?}");
    }
}

#[test]
fn a_hook_that_cannot_be_executed_is_told_and_counts_as_never_started() {
    let hooks: &[(&str, &str)] = &[("on-up", " "), ("on-down", "down")];
    let mut rig = added(&with(&[hooks]));
    rig.sent();
    rig.ping(REPLY);
    let told = rig.sent();
    let is_warning = |line: &String| line.starts_with("WARN connect on-up p not-started");
    assert!(told.iter().any(is_warning), "{told:?}");
    rig.ping(PingResult::Timeout);
    assert_eq!(scripts(&mut rig), [""; 0]);
}

/// A new core, whose script helper keeps this and that has no state, meets a server with these
/// peers.
fn next(records: &[Record], kept: Vec<Setup>, peers: &[&str]) -> Rig {
    begins(Rig::alone(records, false), kept, peers)
}

/// The same, and it goes on from what the core before it has saved.
fn successor(state: State, records: &[Record], kept: Vec<Setup>, peers: &[&str]) -> Rig {
    let mut rig = Rig::alone(records, false);
    rig.inherit(state);
    begins(rig, kept, peers)
}

fn begins(mut rig: Rig, kept: Vec<Setup>, peers: &[&str]) -> Rig {
    rig.kept = kept;
    rig.pinger_comes();
    rig.scripts_come();
    rig.meet(peers);
    rig.answer_all();
    rig
}

#[test]
fn the_next_core_goes_on_from_what_the_script_helper_keeps() {
    let mut rig = added(&all());
    rig.ping(REPLY);
    let up = rig.setups();
    rig.ping(PingResult::Timeout);
    let mut down = up.clone();
    for setup in rig.setups() {
        down.retain(|kept| kept.key != setup.key);
        down.push(setup);
    }
    for (kept, result, expected) in [
        (&up, REPLY, &[] as &[&str]),
        (&up, PingResult::Timeout, &["on-down"]),
        (&down, REPLY, &["on-up"]),
        (&down, PingResult::Timeout, &[]),
    ] {
        let mut rig = next(&all(), kept.clone(), &["p"]);
        assert_eq!(scripts(&mut rig), [""; 0]);
        rig.ping(result);
        assert_eq!(scripts(&mut rig), expected, "{result:?}");
    }
    let mut rig = next(&all(), up, &[]);
    let runs = rig.ordered();
    let down_run = &runs[0];
    assert_eq!(variable(down_run, "H_REASON"), "unseen");
    assert_eq!(variable(down_run, "H_INTERFACE"), "tun0");
    let kinds: Vec<_> = runs.iter().map(|run| run.kind.name()).collect();
    assert_eq!(kinds, ["on-down", "ifdown"]);
    let mut rig = next(&all(), down, &[]);
    assert_eq!(scripts(&mut rig), ["ifdown"]);
}

#[test]
fn what_the_next_core_inherits_agrees_with_what_was_ordered() {
    for (taken, has_journal) in [(false, false), (true, false), (true, true)] {
        let mut old = added(&all());
        end_all(&mut old);
        old.ping(REPLY);
        if taken {
            old.take_orders();
        }
        let (_, state) = old.machine.state().unwrap();
        let kept = if has_journal {
            old.setups()
        } else {
            Vec::new()
        };
        let mut rig = successor(state, &all(), kept, &["p"]);
        rig.ping(REPLY);
        let expected: &[&str] = if taken { &[] } else { &["on-up"] };
        assert_eq!(scripts(&mut rig), expected, "taken {taken}");
        rig.ping(PingResult::Timeout);
        assert_eq!(scripts(&mut rig), ["on-down"], "taken {taken}");
    }
}

#[test]
fn a_peer_that_was_up_without_hooks_is_so_for_the_next_core() {
    let mut old = added(&with(&[SCRIPTS]));
    end_all(&mut old);
    old.ping(REPLY);
    let (_, state) = old.machine.state().unwrap();
    let mut rig = successor(state, &all(), Vec::new(), &["p"]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.ping(PingResult::Timeout);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-down", "on-up"]);
}

#[test]
fn a_server_that_is_started_again_has_another_peer() {
    let mut rig = added(&all());
    rig.ping(REPLY);
    end_all(&mut rig);
    rig.lose_server();
    rig.run += 1;
    rig.meet(&["p"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["on-down", "ifdown", "ifup"]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-up"]);
    // The same server, met again.
    rig.lose_server();
    rig.meet(&["p"]);
    rig.answer_all();
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), [""; 0]);
}

#[test]
fn what_was_never_started_is_forgotten_with_the_peer() {
    let mut rig = added(&with(&[HOOKS]));
    rig.ping(REPLY);
    let kept = rig.setups();
    let never = |setup: &Setup| {
        let SetupState::Made(made) = &setup.state else {
            panic!("{setup:?}")
        };
        let made = Made {
            never_started: true,
            runs: Vec::new(),
            ..(**made).clone()
        };
        SetupState::Made(made.into())
    };
    let kept: Vec<Setup> = kept
        .into_iter()
        .map(|setup| Setup {
            state: never(&setup),
            ..setup
        })
        .collect();
    let mut rig = next(&with(&[HOOKS]), kept.clone(), &["p"]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), [""; 0], "it was tried");
    for other in ["NOTE KILL p", ""] {
        let mut rig = next(&with(&[HOOKS]), kept.clone(), &["p"]);
        rig.to_scripts.clear();
        if other.is_empty() {
            rig.ping(PingResult::Timeout);
        } else {
            rig.hear(other);
        }
        let undone = rig.to_scripts.iter().any(|message| {
            matches!(message, ToScripts::Setup(change)
                if change.setup.key.pair == Pair::Hooks
                    && change.setup.state == SetupState::Undone {})
        });
        assert!(undone, "{other}");
    }
}

#[test]
fn a_hook_and_the_event_have_the_same_reason() {
    let reasons = |rig: &mut Rig| {
        let run = rig.ordered().pop().unwrap();
        let mut events = rig.events.drain(..);
        let event = events.find_map(|event| match event.kind {
            EventKind::Up { reason } => Some(reason.as_str()),
            _ => None,
        });
        (variable(&run, "H_REASON").to_owned(), event.unwrap())
    };
    let mut rig = added(&all());
    rig.observe();
    rig.ping(REPLY);
    assert_eq!(reasons(&mut rig), ("first-reply".to_owned(), "first-reply"));
    rig.ping(PingResult::Timeout);
    rig.ping(REPLY);
    assert_eq!(reasons(&mut rig), ("recovered".to_owned(), "recovered"));
    // Another run of the server has a peer of this name.
    rig.lose_server();
    rig.run += 1;
    rig.meet(&["p"]);
    rig.answer_all();
    rig.ping(REPLY);
    assert_eq!(reasons(&mut rig), ("first-reply".to_owned(), "first-reply"));
}

#[test]
fn a_peer_to_which_no_ping_could_be_sent_has_been_away_since_the_first_of_them() {
    let mut rig = added(&all());
    rig.ping(REPLY);
    rig.ordered();
    rig.wait(Duration::from_secs(60));
    rig.ping(PingResult::Failed);
    let down = rig.ordered().pop().unwrap();
    assert_eq!(variable(&down, "H_REASON"), "unreachable");
    rig.wait(Duration::from_secs(60));
    rig.ping(REPLY);
    let up = rig.ordered().pop().unwrap();
    assert_eq!(variable(&up, "H_REASON"), "recovered");
    assert_eq!(variable(&up, "H_SINCE"), variable(&down, "H_SINCE"));
}

/// The peer goes down, or is removed, or both, while there is no script helper: the next core runs
/// what this one could not send.
#[test]
fn an_on_down_that_no_helper_got_is_run_by_the_next_core() {
    let records = with(&[&HOOKS[1..]]);
    for (is_down, is_removed) in [(true, false), (false, true), (true, true)] {
        let mut old = added(&records);
        old.ping(REPLY);
        old.take_orders();
        old.setups();
        old.scripts_go();
        if is_down {
            old.ping(PingResult::Timeout);
        }
        if is_removed {
            old.hear("NOTE KILL p");
        }
        let (_, state) = old.machine.state().unwrap();
        let peers: &[&str] = if is_removed { &[] } else { &["p"] };
        let mut rig = successor(state, &records, Vec::new(), peers);
        if !is_removed {
            rig.ping(PingResult::Timeout);
        }
        assert_eq!(scripts(&mut rig), ["on-down"], "{is_down} {is_removed}");
    }
}

#[test]
fn what_an_earlier_peer_of_the_name_is_owed_does_not_keep_the_next_from_its_on_up() {
    let mut old = added(&with(&[]));
    old.ping(REPLY);
    old.database(&with(&[HOOKS]));
    old.scripts_go();
    old.ping(PingResult::Timeout);
    old.hear("NOTE KILL p");
    old.hear(ADD);
    old.answer_all();
    let (_, state) = old.machine.state().unwrap();
    let mut rig = successor(state, &with(&[HOOKS]), Vec::new(), &["p"]);
    assert_eq!(scripts(&mut rig), ["on-down"]);
    rig.ping(REPLY);
    assert_eq!(scripts(&mut rig), ["on-up"]);
}

/// Where neither the one nor the other was sent, nothing has happened.
#[test]
fn an_on_up_and_an_on_down_that_no_helper_got_are_not_run_by_the_next_core() {
    let mut old = added(&with(&[HOOKS]));
    old.ping(REPLY);
    let _ = old.ordered();
    old.scripts_go();
    old.ping(PingResult::Timeout);
    let (_, state) = old.machine.state().unwrap();
    let mut rig = successor(state, &with(&[HOOKS]), Vec::new(), &["p"]);
    rig.ping(PingResult::Timeout);
    assert_eq!(scripts(&mut rig), [""; 0]);
}

#[test]
fn an_on_up_that_waits_is_dropped_also_where_there_is_no_on_down() {
    let mut rig = added(&with(&[&HOOKS[..1]]));
    rig.scripts_go();
    rig.scripts_come();
    rig.ping(REPLY);
    rig.setups();
    rig.ping(PingResult::Timeout);
    let kept = rig.setups();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0].state, SetupState::Undone {});
}

/// The helper has read up to the `connect` of the peer that was unreachable, and core is killed
/// before it knows that. The peer has gone since, and another one of its name is there.
#[test]
fn what_was_ordered_before_a_peer_had_gone_is_not_taken_for_that_of_the_next() {
    let records = with(&[&[("connect", "on")], HOOKS]);
    let mut old = added(&records);
    end_all(&mut old);
    old.ping(REPLY);
    end_all(&mut old);
    // `on-down`, and then `connect` once more.
    old.ping(PingResult::Timeout);
    old.ping(PingResult::Timeout);
    let kept = old.setups();
    assert_eq!(kept.len(), 2, "on-down and connect: {kept:?}");
    old.hear("NOTE KILL p");
    old.hear(ADD);
    old.answer_all();
    let (_, state) = old.machine.state().unwrap();
    let mut rig = successor(state, &records, kept, &["p"]);
    assert_eq!(scripts(&mut rig), ["connect"]);
}
