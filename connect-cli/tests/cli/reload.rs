// SPDX-License-Identifier: GPL-3.0-or-later
//! `reload`, and what else tells of peers that differ from the database.

use connect_ipc::changes::{
    AppliedChange, ChangeCounts, Changes, LoadedRecord, PeerChange, RecordPage, RecordStanding,
    Remedy,
};
use connect_ipc::control::{PeerState, PeerStatus, Reply, Request};
use connect_ipc::event::EventKind;
use insta::assert_snapshot;

use crate::support::{Place, Result, Script, Step, event, peer, rows, service};

fn change(name: &str, standing: RecordStanding, keys: &[&str], remedy: Remedy) -> PeerChange {
    PeerChange {
        peer: name.to_owned(),
        standing,
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        remedy,
    }
}

/// One of each kind, and more than are listed.
fn changes() -> Changes {
    Changes {
        peers: 3,
        counts: ChangeCounts {
            changed: 4,
            removed: 1,
            new: 1,
        },
        list: vec![
            change(
                "alice",
                RecordStanding::Changed,
                &["key", "peer"],
                Remedy::Active,
            ),
            change("-b ob", RecordStanding::Removed, &[], Remedy::Kill),
            change("carol", RecordStanding::New, &[], Remedy::Active),
            change("dave", RecordStanding::Changed, &["laddr"], Remedy::Ifup),
        ],
    }
}

fn loaded() -> EventKind {
    EventKind::Database {
        peers: 3,
        waiting: changes().counts,
    }
}

/// What a core does that is asked to reload, and for which this comes of it.
fn reloaded(kind: EventKind) -> Result<Vec<Step>> {
    Ok(vec![
        Step::Reply(Reply::Live { seq: 1 }),
        Step::Next(Request::Reload {}),
        Step::Reply(Reply::Done {}),
        Step::To(1, event(2, None, kind)),
    ])
}

fn run(arguments: &str, steps: Vec<Step>) -> Result<String> {
    let place = Place::new()?;
    let core = place.core(Script::steps(steps))?;
    let outcome = place.run(arguments)?;
    core.asked()?;
    Ok(format!("$ connect-cli {arguments}\n{outcome}\n"))
}

/// The steps of a reload that succeeds, of which `changes` come.
fn listed(changes: Changes) -> Result<Vec<Step>> {
    let mut steps = reloaded(loaded())?;
    steps.push(Step::Next(Request::Changes {}));
    steps.push(Step::Reply(Reply::Changes(Box::new(changes))));
    Ok(steps)
}

#[test]
fn what_a_reload_leaves_undone_is_listed_with_the_command_for_each() -> Result {
    let mut all = run("reload", listed(changes())?)?;
    all += &run("reload --wait", listed(Changes::default())?)?;
    all += &run("reload --apply --dry-run --json", listed(changes())?)?;
    let fault = "/etc/tripe/peers.cdb is damaged".to_owned();
    let faulty = || EventKind::DatabaseFault {
        fault: fault.clone(),
    };
    all += &run("reload", reloaded(faulty())?)?;
    all += &run("reload --json", reloaded(faulty())?)?;
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn what_is_applied_is_told_as_it_is_done() -> Result {
    let applied = |failure: Option<Vec<String>>| {
        let result = |peer: &str, remedy, failure| {
            Step::Reply(Reply::Applied(AppliedChange {
                peer: peer.to_owned(),
                remedy,
                failure,
            }))
        };
        let mut steps = listed(changes())?;
        steps.push(Step::Next(Request::ApplyChanges {}));
        steps.push(result("-b ob", Remedy::Kill, None));
        steps.push(result("dave", Remedy::Ifup, None));
        steps.push(result("alice", Remedy::Active, failure));
        steps.push(Step::Reply(Reply::Done {}));
        Result::Ok(steps)
    };
    let failure = || Some(vec!["bad-key".to_owned(), "k".to_owned()]);
    let mut all = run("reload --apply", applied(None)?)?;
    all += &run("reload --apply", applied(failure())?)?;
    all += &run("reload --apply --json", applied(failure())?)?;
    let mut lost = listed(changes())?;
    lost.push(Step::Next(Request::ApplyChanges {}));
    lost.push(Step::Reply(Reply::Failed(vec!["server-lost".to_owned()])));
    all += &run("reload --apply", lost)?;
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn reload_fails_if_the_service_refuses_and_gives_up_after_its_limit() -> Result {
    let refused = || -> Result<Vec<Step>> {
        Ok(vec![
            Step::Reply(Reply::Live { seq: 1 }),
            Step::Next(Request::Reload {}),
            Step::Reply(Reply::Failed(vec!["no".into()])),
        ])
    };
    let silent = || -> Result<Vec<Step>> {
        let mut steps = refused()?;
        steps.pop();
        Ok(steps)
    };
    assert!(run("reload", refused()?)?.contains("exit code 1"));
    assert!(run("reload --timeout 1", silent()?)?.contains("exit code 124"));
    assert!(run("reload --wait --json --timeout 1", silent()?)?.contains("\"late\""));
    let place = Place::new()?;
    assert_eq!(
        place.run("reload --dry-run")?.code,
        Some(2),
        "without --apply"
    );
    Ok(())
}

fn row(name: &str, state: PeerState, record: Option<RecordStanding>) -> Result<PeerStatus> {
    let mut row = peer(name, &[5.0])?;
    row.state = state;
    row.wanted = state == PeerState::Up;
    row.connection.record = record;
    Ok(row)
}

fn table() -> Result<Vec<PeerStatus>> {
    Ok(vec![
        row("alice", PeerState::Up, Some(RecordStanding::Changed))?,
        row("bob", PeerState::Unwatched, Some(RecordStanding::Removed))?,
        row("carol", PeerState::Absent, Some(RecordStanding::New))?,
        row("erin", PeerState::Up, None)?,
    ])
}

#[test]
fn status_marks_the_peers_and_counts_them() -> Result {
    let state = || -> Result<Vec<Step>> {
        Ok(vec![
            Step::Reply(Reply::Service(Box::new(service()?))),
            Step::Reply(rows(table()?)),
            Step::Reply(Reply::Done {}),
        ])
    };
    let mut all = run("status", state()?)?;
    let json = run("status --json", state()?)?;
    let told = json.lines().filter(|line| line.contains("\"record\""));
    for line in told {
        all += line.trim();
        all += "\n";
    }
    let metrics = run("metrics", state()?)?;
    for line in metrics
        .lines()
        .filter(|line| line.contains("record_changed"))
    {
        all += line;
        all += "\n";
    }
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn a_database_is_compared_with_what_the_running_service_has_loaded() -> Result {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    };
    let sources = |place: &Place| {
        place.write(
            "new.in",
            "[alice]\npeer = INET 192.0.2.9 4070\n[carol]\npeer = INET 192.0.2.3 4070\nauto = t\n\
         [erin]\npeer = INET 192.0.2.5 4070\nevery = 1m\n",
        )
    };
    let steps = |place: &Place| -> Result<Vec<Step>> {
        let mut service = service()?;
        service.database.path = place.path("new.in").display().to_string();
        let record =
            |name: &str, record: &[(&str, &str)], in_use: Option<&[(&str, &str)]>| LoadedRecord {
                peer: name.to_owned(),
                record: Some(pairs(record)),
                in_use: in_use.map(pairs),
            };
        let page = |records, more| {
            let page = RecordPage {
                reloads: 3,
                records,
                more,
            };
            Step::Reply(Reply::Records(page))
        };
        let after = |name: &str| {
            let after = name.to_owned();
            Step::Next(Request::Records { after })
        };
        Ok(vec![
            Step::Reply(Reply::Service(Box::new(service))),
            Step::Reply(rows(table()?)),
            Step::Reply(Reply::Done {}),
            after(""),
            page(
                vec![record(
                    "alice",
                    &[("peer", "INET 192.0.2.2 4070")],
                    Some(&[("peer", "INET 192.0.2.9 4070"), ("key", "k")]),
                )],
                true,
            ),
            after("alice"),
            page(
                vec![
                    record("dora", &[("peer", "PASSIVE")], None),
                    record("erin", &[("peer", "INET 192.0.2.5 4070")], None),
                ],
                false,
            ),
            Step::Next(Request::Info {
                peer: "bob".to_owned(),
            }),
            Step::Reply(Reply::Failed(vec!["unknown-peer".to_owned()])),
        ])
    };
    let mut all = String::new();
    for arguments in [
        "db diff --running new.in",
        "db diff --running",
        "db diff --running --json new.in",
    ] {
        let place = Place::new()?;
        sources(&place)?;
        let core = place.core(Script::steps(steps(&place)?))?;
        let outcome = place.run(arguments)?;
        all += &format!("$ connect-cli {arguments}\n{outcome}\n");
        core.asked()?;
    }
    let place = Place::new()?;
    let two = place.run("db diff --running new.in new.in")?;
    assert_eq!(two.code, Some(2), "{two}");
    assert_snapshot!(all);
    Ok(())
}
