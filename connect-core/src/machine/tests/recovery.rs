// SPDX-License-Identifier: GPL-3.0-or-later
//! Scripts exactly once: what a core orders that finds what earlier ones have ordered, and what it
//! does not order.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::changes::RecordStanding;
use connect_ipc::control::{Reply, Request, ScriptCounters};
use connect_ipc::frame::{MAX_FRAME, length};
use connect_ipc::scripts::{
    Child, Ended, FromScripts, InterfaceScript, Run, ScriptKind, ToScripts, UnderWay,
};
use connect_ipc::setup::{Pair, Setup, SetupPage, SetupState};
use peerdb::Record;

use super::super::{ConnectionId, Input, Loaded, Output};
use super::rig::{Rig, record};
use connect_ipc::control::HelperStatus;

pub(super) const PAIRS: &[(&str, &str)] = &[
    ("peer", "INET 192.0.2.1 1"),
    ("ifup", "up"),
    ("ifdown", "down"),
];

pub(super) const BOTH: &[(&str, &str)] = &[
    ("peer", "INET 192.0.2.1 1"),
    ("ifup", "up"),
    ("ifdown", "down"),
    ("connect", "ssh on"),
    ("disconnect", "ssh off"),
];

pub(super) const ADD: &str = "NOTE ADD p tun0 INET 192.0.2.1 1";

fn records(pairs: &[(&str, &str)]) -> Vec<Record> {
    vec![record("p", pairs)]
}

/// A core that has seen `p` come, and what the script helper keeps of that.
fn set_up(pairs: &[(&str, &str)]) -> Vec<Setup> {
    let mut rig = Rig::joined(&records(pairs), &[]);
    rig.hear(ADD);
    rig.answer_all();
    rig.setups()
}

/// The scripts that were ordered, in few words.
fn scripts(rig: &mut Rig) -> Vec<&'static str> {
    rig.ordered().iter().map(|run| run.kind.name()).collect()
}

/// A new core, whose script helper keeps this, meets a server with these peers.
fn next(pairs: &[(&str, &str)], kept: Vec<Setup>, peers: &[&str]) -> Rig {
    let mut rig = Rig::alone(&records(pairs), false);
    rig.kept = kept;
    rig.scripts_come();
    rig.meet(peers);
    rig.answer_all();
    rig
}

#[test]
fn a_connect_of_an_earlier_core_ends_when_its_peer_is_gone() {
    let kept = set_up(BOTH);
    let connect = UnderWay {
        run: RunId(7),
        peer: "p".to_owned(),
        kind: ScriptKind::Connect,
        child: Some(Child {
            pid: 5,
            start_time: 6,
        }),
        limit: None,
    };
    let mut rig = Rig::alone(&records(BOTH), false);
    rig.kept = kept;
    rig.scripts_come_with(vec![connect]);
    rig.meet(&[]);
    rig.answer_all();
    let stops = rig.to_scripts.iter();
    let stopped = stops.filter(|message| **message == ToScripts::Stop(RunId(7)));
    assert_eq!(stopped.count(), 1);
    assert_eq!(scripts(&mut rig), ["disconnect", "ifdown"]);
}

#[test]
fn what_is_stopped_before_it_started_is_not_undone_though_it_was_told_as_made() {
    let run = RunId(7);
    let mut kept = set_up(BOTH);
    for setup in &mut kept {
        if setup.key.pair == Pair::Connection
            && let SetupState::Made(made) = &mut setup.state
        {
            Arc::make_mut(made).runs = vec![run];
        }
    }
    let connect = UnderWay {
        run,
        peer: "p".to_owned(),
        kind: ScriptKind::Connect,
        child: None,
        limit: None,
    };
    let mut rig = Rig::alone(&records(BOTH), false);
    rig.kept = kept;
    rig.scripts_come_with(vec![connect]);
    rig.answer_all();
    // The script helper forgets the run when this is settled.
    let end = Ended::Stopped;
    rig.scripts_say(FromScripts::Ended { run, end });
    rig.meet(&[]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown"]);
}

#[test]
fn a_peer_that_goes_before_the_script_helper_comes_is_brought_down_with_what_the_server_said() {
    let mut rig = Rig::alone(&records(PAIRS), false);
    rig.meet(&["p"]);
    rig.answer_all();
    rig.hear("NOTE KILL p");
    rig.scripts_come();
    rig.answer_all();
    let ordered = rig.ordered();
    let names: Vec<&str> = ordered.iter().map(|run| run.kind.name()).collect();
    assert_eq!(names, ["ifdown"]);
    let mut variables = ordered[0].environment.iter();
    assert!(
        variables.any(|(name, _)| name.starts_with("A_")),
        "{ordered:?}"
    );
}

#[test]
fn while_there_is_no_database_no_peer_is_said_to_be_removed_from_it() {
    let kept = set_up(PAIRS);
    let mut rig = Rig::without_database(false, None);
    let fault = "it is damaged".to_owned();
    rig.feed(Input::Database(Loaded::Faulty { fault }));
    rig.kept = kept;
    rig.scripts_come();
    rig.meet(&["p"]);
    rig.answer_all();
    let standing = |rig: &mut Rig| rig.rows()[0].connection.record;
    assert_eq!(standing(&mut rig), None);
    // Otherwise this would remove all peers.
    rig.request(1, 1, Request::ApplyChanges {});
    rig.answer_all();
    assert_eq!(rig.rows().len(), 1);
    rig.database(&[record("q", PAIRS)]);
    assert_eq!(standing(&mut rig), Some(RecordStanding::Removed));
}

#[test]
fn an_operators_ifup_does_not_pass_for_the_one_that_is_due() {
    let refused = |rig: &mut Rig| {
        let (peer, script) = ("p".to_owned(), InterfaceScript::Ifup);
        rig.request(1, 1, Request::RunScript { peer, script });
        rig.answer_all();
        let last = rig.answers.pop();
        match last.map(|(_, answer)| answer.reply) {
            Some(Reply::Failed(words)) => words.join(" "),
            other => panic!("{other:?}"),
        }
    };
    // The script helper has not told everything yet.
    let mut rig = Rig::alone(&records(PAIRS), true);
    rig.kept = set_up(BOTH);
    rig.by_page = true;
    rig.scripts_come();
    rig.meet(&["p"]);
    rig.answer_all();
    assert_eq!(refused(&mut rig), "peer-not-ready p");
    assert_eq!(scripts(&mut rig), [""; 0]);
}

fn counters(rig: &mut Rig) -> ScriptCounters {
    rig.request(9, 9, Request::Status {});
    let found = rig
        .answers
        .drain(..)
        .find_map(|(_, answer)| match answer.reply {
            Reply::Service(status) => Some(status.counters.scripts),
            _ => None,
        });
    found.expect("the state of the service")
}

#[test]
fn what_an_earlier_core_has_set_up_is_kept_and_taken_down_with_what_it_had() {
    for (pairs, up, down) in [
        (PAIRS, vec!["ifup"], vec!["ifdown"]),
        (BOTH, vec!["ifup", "connect"], vec!["disconnect", "ifdown"]),
    ] {
        let mut old = Rig::joined(&records(pairs), &[]);
        old.hear(ADD);
        old.answer_all();
        assert_eq!(scripts(&mut old), up);
        let kept = set_up(pairs);
        let mut rig = next(pairs, kept.clone(), &["p"]);
        assert_eq!(scripts(&mut rig), [""; 0], "nothing twice");
        rig.hear("NOTE KILL p");
        assert_eq!(scripts(&mut rig), down);
        // It went while no core was there, and its record is gone as well.
        let mut rig = Rig::alone(&[], false);
        rig.kept.clone_from(&kept);
        rig.scripts_come();
        rig.meet(&[]);
        assert_eq!(scripts(&mut rig), down);
        let mut rig = next(pairs, kept, &[]);
        let runs = rig.ordered();
        assert!(
            runs.iter()
                .all(|run| run.setup == Some(SetupState::Undone {}))
        );
        let ifdown = runs
            .iter()
            .find(|run| run.kind == ScriptKind::Ifdown)
            .unwrap();
        let algorithm = ("A_CIPHER".to_owned(), "rijndael".to_owned());
        assert!(ifdown.environment.contains(&algorithm));
    }
}

#[test]
fn a_peer_that_is_another_one_by_its_interface_address_or_server_is_taken_down_and_set_up() {
    for (which, line) in [
        ("interface", "NOTE ADD p tun7 INET 192.0.2.1 1"),
        ("address", "NOTE ADD p tun0 INET 192.0.2.7 1"),
        ("server", ADD),
    ] {
        let mut old = Rig::joined(&records(BOTH), &[]);
        old.hear(line);
        let kept = {
            // The old core is answered as the line has it.
            let mut kept = set_up(BOTH);
            for setup in &mut kept {
                let SetupState::Made(made) = &mut setup.state else {
                    panic!("{setup:?}")
                };
                match which {
                    "interface" => Arc::make_mut(made).interface = "tun7".to_owned(),
                    "address" => Arc::make_mut(made).address = "INET 192.0.2.7 1".to_owned(),
                    _ => Arc::make_mut(made).server.as_mut().unwrap().inode = 77,
                }
            }
            kept
        };
        let mut rig = next(BOTH, kept, &["p"]);
        let expected = ["disconnect", "ifdown", "ifup", "connect"];
        assert_eq!(scripts(&mut rig), expected, "{which}");
    }
}

#[test]
fn a_mobile_peer_may_have_moved() {
    let pairs: Vec<_> = PAIRS.iter().copied().chain([("mobile", "t")]).collect();
    let mut kept = set_up(&pairs);
    let SetupState::Made(made) = &mut kept[0].state else {
        panic!("{kept:?}")
    };
    Arc::make_mut(made).address = "INET 203.0.113.9 9".to_owned();
    let mut rig = next(&pairs, kept, &["p"]);
    assert_eq!(scripts(&mut rig), [""; 0]);
}

#[test]
fn an_interface_that_was_renamed_is_the_same() {
    // While core listened.
    let mut old = Rig::joined(&records(PAIRS), &[]);
    old.hear("NOTE ADD p tun9 INET 192.0.2.1 1");
    old.answer_all();
    let mut kept = old.setups();
    old.hear("NOTE NEWIFNAME p tun9 vpn0");
    kept = {
        let later = old.setups();
        assert_eq!(later.len(), kept.len());
        later
    };
    let SetupState::Made(made) = &kept[0].state else {
        panic!("{kept:?}")
    };
    assert_eq!(made.interface, "vpn0");
    // While none did: its `ifup` was under way, which may have done it.
    let mut rig = Rig::alone(&records(PAIRS), false);
    rig.kept = kept;
    let under_way = UnderWay {
        run: RunId(1),
        peer: "p".to_owned(),
        kind: ScriptKind::Ifup,
        child: Some(Child {
            pid: 7,
            start_time: 1,
        }),
        limit: None,
    };
    rig.scripts_come_with(vec![under_way]);
    rig.meet(&["p"]);
    rig.answer_all();
    // The next core is to know the new name.
    let SetupState::Made(made) = &rig.setups()[0].state else {
        panic!("the setup is kept")
    };
    assert_eq!(made.interface, "tun0");
    assert_eq!(rig.runs(), []);
}

#[test]
fn an_interface_that_was_renamed_while_the_server_was_out_of_reach_is_the_same() {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    rig.hear("NOTE ADD p tun9 INET 192.0.2.1 1");
    rig.answer_all();
    // The rig tells of another name than this when it is asked.
    rig.hear("NOTE NEWIFNAME p tun9 vpn0");
    let run = rig.runs()[0].0;
    rig.lose_server();
    let end = Ended::Exited(0);
    rig.scripts_say(FromScripts::Ended { run, end });
    rig.meet(&["p"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), [""; 0]);
}

#[test]
fn what_was_taken_down_is_set_up_if_the_peer_is_back_and_never_taken_down_twice() {
    let undone = |pair| Setup {
        key: connect_ipc::setup::SetupKey {
            peer: "p".to_owned(),
            pair,
        },
        state: SetupState::Undone {},
        number: None,
    };
    let kept: Vec<Setup> = Pair::ALL.into_iter().map(undone).collect();
    let mut rig = next(BOTH, kept.clone(), &["p"]);
    assert_eq!(scripts(&mut rig), ["ifup", "connect"]);
    let mut rig = next(BOTH, kept, &[]);
    assert_eq!(scripts(&mut rig), [""; 0]);
}

#[test]
fn nothing_is_ordered_before_it_is_known_what_was_ordered() {
    let kept = set_up(BOTH);
    for (lines, expected) in [
        (vec![], vec![]),
        (vec!["NOTE KILL p"], vec!["disconnect", "ifdown"]),
        (
            vec!["NOTE KILL p", ADD],
            vec!["disconnect", "ifdown", "ifup", "connect"],
        ),
        (
            vec!["NOTE KILL p", ADD, "NOTE KILL p"],
            vec!["disconnect", "ifdown"],
        ),
    ] {
        let mut rig = Rig::alone(&records(BOTH), false);
        rig.meet(&["p"]);
        rig.answer_all();
        for line in &lines {
            rig.hear(line);
            rig.answer_all();
        }
        assert_eq!(scripts(&mut rig), [""; 0]);
        rig.kept.clone_from(&kept);
        rig.scripts_come();
        rig.answer_all();
        assert_eq!(scripts(&mut rig), expected, "{lines:?}");
    }
}

#[test]
fn a_peer_without_a_script_that_makes_it_is_undone_though_it_went_before_anything_was_known() {
    let only = &[
        ("peer", "INET 192.0.2.1 1"),
        ("ifdown", "down"),
        ("disconnect", "ssh off"),
    ];
    for found in [&[][..], &["p"][..]] {
        let mut rig = Rig::alone(&records(only), true);
        rig.meet(found);
        rig.answer_all();
        if found.is_empty() {
            rig.hear(ADD);
            rig.answer_all();
        }
        rig.hear("NOTE KILL p");
        rig.scripts_come();
        rig.answer_all();
        assert_eq!(scripts(&mut rig), ["disconnect", "ifdown"], "{found:?}");
    }
}

#[test]
fn a_peer_that_had_no_scripts_at_startup_is_undone_by_those_that_come_later() {
    let without = &[("peer", "INET 192.0.2.1 1")];
    let only = &[
        ("peer", "INET 192.0.2.1 1"),
        ("ifdown", "down"),
        ("disconnect", "ssh off"),
    ];
    for startup in [true, false] {
        let mut rig = Rig::alone(&records(without), startup);
        rig.scripts_come();
        rig.meet(&["p"]);
        rig.answer_all();
        rig.database(&records(only));
        rig.hear("NOTE KILL p");
        rig.answer_all();
        assert_eq!(scripts(&mut rig), ["disconnect", "ifdown"], "{startup}");
    }
}

#[test]
fn setups_come_in_pages_and_a_helper_that_dies_between_them_is_asked_again() {
    let mut kept = set_up(BOTH);
    kept.sort_by(|one, other| one.key.cmp(&other.key));
    let mut rig = Rig::alone(&records(BOTH), false);
    rig.meet(&[]);
    rig.by_page = true;
    rig.kept.clone_from(&kept);
    rig.scripts_come();
    let asked: Vec<_> = rig
        .to_scripts
        .drain(..)
        .filter_map(|message| match message {
            ToScripts::Recall(after) => Some(after),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [None, Some(kept[0].key.clone())]);
    // The second page has not come.
    rig.scripts_go();
    rig.by_page = false;
    rig.scripts_come();
    assert_eq!(scripts(&mut rig), ["disconnect", "ifdown"]);
}

#[test]
fn what_never_started_is_not_undone() {
    // Gone before what `ifup` needs was known.
    let mut rig = Rig::joined(&records(BOTH), &[]);
    rig.hear(ADD);
    rig.hear("NOTE KILL p");
    rig.answer_all();
    assert_eq!(scripts(&mut rig), [""; 0]);
    // Without an `ifup` there is nothing to wait for.
    let only = &[("peer", "INET 192.0.2.1 1"), ("ifdown", "down")];
    let mut rig = Rig::joined(&records(only), &[]);
    rig.hear(ADD);
    rig.hear("NOTE KILL p");
    assert_eq!(scripts(&mut rig), ["ifdown"]);
    // Whether it was started is not known: the script helper decides.
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    rig.hear(ADD);
    rig.answer_all();
    let up = rig.runs()[0].0;
    rig.hear("NOTE KILL p");
    let down = rig.ordered();
    assert_eq!((down.len(), &*down[0].undoes), (1, &[up][..]));
    for (end, expected) in [
        (Ended::NotStarted("why".into()), vec![]),
        (Ended::Stopped, vec![]),
        (Ended::Exited(1), vec!["ifdown"]),
        (Ended::Lost, vec!["ifdown"]),
    ] {
        let mut rig = Rig::joined(&records(PAIRS), &[]);
        rig.hear(ADD);
        rig.answer_all();
        let run = rig.runs()[0].0;
        let text = format!("{end:?}");
        rig.scripts_say(FromScripts::Ended { run, end });
        rig.hear("NOTE KILL p");
        assert_eq!(scripts(&mut rig), expected, "{text}");
    }
}

#[test]
fn what_was_added_before_its_record_named_scripts_is_not_undone_by_them() {
    let without = records(&[("peer", "INET 192.0.2.1 1")]);
    for before in [Vec::new(), without] {
        for restarted in [false, true] {
            let mut rig = Rig::joined(&before, &[]);
            rig.hear(ADD);
            rig.answer_all();
            if restarted {
                let (_, state) = rig.machine.state().unwrap();
                rig = Rig::alone(&records(BOTH), true);
                rig.inherit(state);
                rig.scripts_come();
                rig.meet(&["p"]);
            } else {
                rig.database(&records(BOTH));
            }
            rig.answer_all();
            rig.hear("NOTE KILL p");
            rig.answer_all();
            assert_eq!(scripts(&mut rig), [""; 0], "{before:?} {restarted}");
        }
    }
}

#[test]
fn a_peer_that_was_found_counts_as_set_up() {
    let mut rig = next(BOTH, Vec::new(), &["p"]);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.hear("NOTE KILL p");
    assert_eq!(scripts(&mut rig), ["disconnect", "ifdown"]);
}

#[test]
fn a_server_that_was_started_again_has_other_peers() {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    rig.hear(ADD);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifup"]);
    rig.lose_server();
    rig.run += 1;
    rig.meet(&["p"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifdown", "ifup"]);
    // The same one, after the connection was cut.
    rig.lose_server();
    rig.meet(&["p"]);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), [""; 0]);
}

#[test]
fn an_order_is_sent_again_until_it_is_accepted_and_an_accepted_run_that_disappears_is_lost() {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    rig.hear(ADD);
    rig.answer_all();
    let run = rig.runs()[0].0;
    rig.scripts_come();
    let again: Vec<Run> = rig.ordered();
    assert_eq!((again.len(), again[0].run), (1, run));
    rig.scripts_say(FromScripts::Taken(run));
    rig.sent();
    rig.scripts_come();
    assert_eq!(rig.ordered(), []);
    assert_eq!(counters(&mut rig).lost, 1);
    let sent = rig.sent();
    let told = "WARN connect ifup p exit-lost".to_owned();
    assert_eq!(sent.iter().filter(|line| **line == told).count(), 1);
}

#[test]
fn children_that_only_core_knows_are_told_in_messages_that_fit() {
    let run = |number| UnderWay {
        run: RunId(number),
        // As long as a message can make a name that the server can give.
        peer: format!("{number:\u{1}>255}"),
        kind: ScriptKind::Ifup,
        child: Some(Child {
            pid: i32::MAX,
            start_time: number,
        }),
        limit: Some(u32::MAX),
    };
    let known: Vec<UnderWay> = (1..=2_005).map(run).collect();
    let mut rig = Rig::joined(&[], &[]);
    rig.scripts_come_with(known[..500].to_vec());
    for some in known[500..].chunks(500) {
        rig.scripts_say(FromScripts::Resume(some.to_vec()));
    }
    rig.to_scripts.clear();
    rig.scripts_come();
    let mut told = Vec::new();
    for message in rig.to_scripts.drain(..) {
        assert!(length(&message) <= MAX_FRAME);
        match message {
            ToScripts::Adopt(some) => told.extend(some),
            ToScripts::Ready {} => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, known);
}

#[test]
fn a_command_that_is_not_wanted_any_more_is_told_in_its_place_before_the_helper_begins() {
    let mut rig = Rig::joined(&records(BOTH), &[]);
    rig.hear(ADD);
    rig.answer_all();
    rig.scripts_go();
    rig.to_scripts.clear();
    rig.hear("NOTE KILL p");
    rig.scripts_come();
    let told: Vec<String> = rig
        .to_scripts
        .drain(..)
        .filter_map(|message| match message {
            ToScripts::Run(runs) => Some(runs[0].kind.name().to_owned()),
            ToScripts::Stop(_) => Some("stop".to_owned()),
            ToScripts::Ready {} => Some("ready".to_owned()),
            _ => None,
        })
        .collect();
    let expected = ["ifup", "connect", "disconnect", "ifdown", "stop", "ready"];
    assert_eq!(
        told, expected,
        "in order: a helper that has begun starts what it can"
    );
}

#[test]
fn a_script_that_an_operator_has_ordered_is_undone_with_the_peer_whatever_happens_to_the_other() {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    rig.hear(ADD);
    rig.answer_all();
    let first = rig.ordered().remove(0);
    assert!(first.setup.is_some());
    let (peer, script) = ("p".to_owned(), InterfaceScript::Ifup);
    rig.request(1, 1, Request::RunScript { peer, script });
    rig.answer_all();
    let second = rig.ordered().remove(0);
    assert!(second.setup.is_some(), "the first one may never be started");
    rig.hear("NOTE KILL p");
    let down = rig.ordered().remove(0);
    assert_eq!(down.kind, ScriptKind::Ifdown);
    assert_eq!(down.undoes, [first.run, second.run]);
}

/// A peer whose `ifup` could not be started, and that of an operator ends so; `None` if it still
/// waits.
fn after_an_operators_ifup(end: Option<Ended>) -> Vec<(ScriptKind, bool)> {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    rig.hear(ADD);
    rig.answer_all();
    let first = rig.ordered().remove(0).run;
    let (peer, script) = ("p".to_owned(), InterfaceScript::Ifup);
    rig.request(1, 1, Request::RunScript { peer, script });
    rig.answer_all();
    let second = rig.ordered().remove(0).run;
    let busy = || Ended::NotStarted("it is busy".to_owned());
    rig.scripts_say(FromScripts::Ended {
        run: first,
        end: busy(),
    });
    if let Some(end) = end {
        if matches!(end, Ended::Exited(_)) {
            let child = Child {
                pid: 7,
                start_time: 0,
            };
            rig.scripts_say(FromScripts::Started { run: second, child });
        }
        rig.scripts_say(FromScripts::Ended { run: second, end });
    }
    rig.hear("NOTE KILL p");
    let runs = rig.ordered().into_iter();
    runs.map(|run| (run.kind, run.undoes == [second])).collect()
}

#[test]
fn what_an_operator_has_set_up_is_undone_though_the_first_ifup_was_never_started() {
    let down = ScriptKind::Ifdown;
    assert_eq!(
        after_an_operators_ifup(Some(Ended::Exited(0))),
        [(down, false)]
    );
    // It is left out with the one that it undoes, if that is never started.
    assert_eq!(after_an_operators_ifup(None), [(down, true)]);
    let busy = Ended::NotStarted("it is busy".to_owned());
    assert_eq!(after_an_operators_ifup(Some(busy)), []);
}

#[test]
fn what_may_never_start_is_not_undone_though_an_earlier_one_is_not_over() {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    for _ in 0..3 {
        rig.hear(ADD);
        rig.answer_all();
        let up = rig.ordered().remove(0);
        rig.hear("NOTE KILL p");
        let down = rig.ordered().remove(0);
        assert_eq!(
            (down.kind, &*down.undoes),
            (ScriptKind::Ifdown, &[up.run][..])
        );
    }
}

#[test]
fn the_end_of_a_run_is_settled_and_told_once() {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    rig.hear(ADD);
    rig.answer_all();
    let run = rig.runs()[0].0;
    let end = FromScripts::Ended {
        run,
        end: Ended::Exited(3),
    };
    rig.scripts_say(end.clone());
    let settled = |rig: &mut Rig| {
        let told = rig.to_scripts.drain(..);
        let settled =
            told.filter(|it| matches!(it, ToScripts::Settled(runs) if runs.contains(&run)));
        settled.count()
    };
    assert_eq!(settled(&mut rig), 0, "it may wait for another message");
    let due = rig.machine.next_deadline().unwrap();
    assert!(
        due <= rig.now + Duration::from_millis(20),
        "but not for long"
    );
    rig.wait(due.since(rig.now));
    assert_eq!(settled(&mut rig), 1);
    // The helper died before it heard that, and its successor has read it in the journal.
    let under_way = UnderWay {
        run,
        peer: "p".to_owned(),
        kind: ScriptKind::Ifup,
        child: None,
        limit: None,
    };
    rig.scripts_come_with(vec![under_way]);
    rig.scripts_say(end);
    rig.wait(Duration::from_millis(20));
    assert!(settled(&mut rig) >= 1);
    assert_eq!(counters(&mut rig).failed, 1);
}

/// The journal has lost the end of a run, which core knows: it is not run once more, when nobody
/// would know of it, and what follows would wait for it.
#[test]
fn a_run_that_is_over_is_not_run_again_after_the_journal_was_damaged() {
    let mut rig = Rig::joined(&records(BOTH), &[]);
    rig.hear(ADD);
    rig.answer_all();
    let over: Vec<Run> = rig.ordered();
    assert!(!over.is_empty());
    rig.scripts_end(over.iter().map(|run| run.run));
    rig.wait(Duration::from_millis(20));
    rig.to_scripts.clear();
    rig.scripts_come_with(over.iter().map(waiting).collect());
    let told = &rig.to_scripts;
    let begins = told.iter().position(|it| *it == ToScripts::Ready {});
    for run in &over {
        let is_over =
            |it: &ToScripts| matches!(it, ToScripts::Over(runs) if runs.contains(&run.run));
        let over = told.iter().position(is_over);
        assert!(over.is_some() && over < begins, "{run:?}: {told:?}");
    }
}

fn waiting(run: &Run) -> UnderWay {
    UnderWay {
        run: run.run,
        peer: run.peer.clone(),
        kind: run.kind,
        child: None,
        limit: None,
    }
}

#[test]
fn the_end_of_a_run_is_settled_with_the_next_order() {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    rig.hear(ADD);
    rig.answer_all();
    let run = rig.runs()[0].0;
    rig.scripts_say(FromScripts::Ended {
        run,
        end: Ended::Exited(0),
    });
    rig.hear("NOTE KILL p");
    let told: Vec<ToScripts> = rig.to_scripts.drain(..).collect();
    let [ToScripts::Settled(settled), ToScripts::Run(down)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(
        (&settled[..], down[0].kind),
        (&[run][..], ScriptKind::Ifdown)
    );
}

#[test]
fn the_next_core_knows_the_record_that_an_operators_ifup_had() {
    let with = |laddr| [BOTH, &[("laddr", laddr)]].concat();
    let mut rig = Rig::joined(&records(&with("10.0.0.1")), &[]);
    rig.hear(ADD);
    rig.answer_all();
    let runs = rig.to_scripts.iter().filter_map(|message| match message {
        ToScripts::Run(runs) => Some(runs[0].run),
        _ => None,
    });
    let runs: Vec<RunId> = runs.collect();
    let mut kept = rig.setups();
    rig.scripts_end(runs);
    rig.database(&records(&with("10.0.0.2")));
    let (peer, script) = ("p".to_owned(), InterfaceScript::Ifup);
    rig.request(1, 1, Request::RunScript { peer, script });
    rig.answer_all();
    let again = rig.setups();
    assert_eq!(again.len(), 1);
    kept.retain(|setup| setup.key.pair != Pair::Interface);
    kept.extend(again);
    let mut rig = next(&with("10.0.0.2"), kept, &["p"]);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.hear("NOTE KILL p");
    let down = rig.ordered();
    let down = down.iter().find(|run| run.kind == ScriptKind::Ifdown);
    let variables = &down.unwrap().environment;
    assert!(
        variables.contains(&("P_LADDR".to_owned(), "10.0.0.2".to_owned())),
        "{variables:?}"
    );
}

#[test]
fn a_second_helper_is_refused_and_changes_nothing() {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    let mut refused = Vec::new();
    for number in [1, 2] {
        let (connection, status) = (ConnectionId(number), HelperStatus::default());
        let inputs = [
            Input::ScriptsConnected {
                connection,
                status: status.clone(),
            },
            Input::PingerConnected { connection, status },
        ];
        for input in inputs {
            let mut out = Vec::new();
            rig.machine.handle(input, rig.now, &mut out);
            refused.extend(out);
        }
    }
    let expected = [1, 1, 2, 2].map(|number| Output::Refuse(ConnectionId(number)));
    assert_eq!(refused, expected);
    rig.feed(Input::Gone(ConnectionId(1)));
    rig.hear(ADD);
    rig.answer_all();
    assert_eq!(scripts(&mut rig), ["ifup"]);
}

#[test]
fn a_page_that_nobody_asked_for_changes_nothing() {
    let mut rig = Rig::joined(&records(PAIRS), &[]);
    let page = SetupPage {
        setups: set_up(PAIRS),
        more: false,
    };
    rig.scripts_say(FromScripts::Setups(page));
    assert_eq!(scripts(&mut rig), [""; 0]);
}

#[test]
fn an_order_that_the_helper_does_not_have_is_left_to_the_next_core() {
    for taken in [false, true] {
        let mut rig = Rig::joined(&records(BOTH), &[]);
        rig.hear(ADD);
        rig.answer_all();
        if taken {
            rig.take_orders();
        }
        let (_, state) = rig.machine.state().unwrap();
        let mut next = Rig::alone(&records(BOTH), false);
        next.inherit(state);
        next.scripts_come();
        next.meet(&["p"]);
        next.answer_all();
        let expected: &[&str] = if taken { &[] } else { &["ifup", "connect"] };
        assert_eq!(scripts(&mut next), expected, "taken {taken}");
    }
}

#[test]
fn a_server_that_does_not_tell_an_address_holds_up_no_decision() {
    let mut rig = Rig::alone(&records(BOTH), false);
    rig.kept = set_up(BOTH);
    rig.scripts_come();
    rig.meet(&["p"]);
    while let lines = rig.sent()
        && !lines.is_empty()
    {
        for line in lines {
            match line.split(' ').next() {
                Some("ADDR") => rig.hear("FAIL resolve-error p"),
                Some("IFNAME") => {
                    rig.hear("INFO tun0");
                    rig.hear("OK");
                }
                _ => rig.hear("OK"),
            }
        }
    }
    assert_eq!(rig.machine.scripts.recovery.undecided(), 0);
    assert_eq!(scripts(&mut rig), [""; 0]);
    rig.hear("NOTE KILL p");
    assert_eq!(scripts(&mut rig), ["disconnect", "ifdown"]);
}
