// SPDX-License-Identifier: GPL-3.0-or-later
//! The form of every message on the wire: each line of `fixtures/` must be read and written again
//! to the very same bytes, and every variant must have a line there.
//!
//! If a change makes a line fail, it changes the form of a message that there was already. If an
//! old process would misunderstand or cannot read the new form, or a new process the old one, raise
//! `PROTOCOL`. Then correct the line. A new field or message needs no new `PROTOCOL`: an old
//! process ignores the field, and answers the message with `error`.

use std::collections::BTreeSet;

use connect_ipc::changes::{RecordStanding, Remedy};
use connect_ipc::control::{Answer, Envelope, PeerState, Reply, Request, RunProgress, ServerLink};
use connect_ipc::event::{Event, EventKind};
use connect_ipc::frame::{FrameError, decode, encode};
use connect_ipc::hello::{Hello, PROTOCOL, Role};
use connect_ipc::lookup::Family;
use connect_ipc::overdue::OverdueCause;
use connect_ipc::pinger::{FromPinger, PingResult, ToPinger};
use connect_ipc::scripts::{Command, Ended, FromScripts, ScriptKind, Stream, ToScripts};
use connect_ipc::setup::Pair;
use connect_ipc::statistics::LastPing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads every line as an `M` and checks that it is written as it stands.
fn read<M: DeserializeOwned + Serialize>(lines: &str) -> Result<Vec<M>, FrameError> {
    let read_line = |line: &str| {
        let message: M = decode(line)?;
        let mut bytes = Vec::new();
        encode(&message, &mut bytes)?;
        assert_eq!(String::from_utf8_lossy(&bytes), format!("{line}\n"));
        Ok(message)
    };
    lines.lines().map(read_line).collect()
}

/// Checks that every variant of an enum is among the values. The match that this expands to names
/// all variants, so a new one does not compile until it is listed, and then needs a fixture.
macro_rules! every_variant {
    ($values:expr, $type:ident: $($variant:ident),+ $(,)?) => {{
        let name = |value: &$type| match value {
            $($type::$variant { .. } => stringify!($variant),)+
        };
        let found: BTreeSet<&str> = $values.iter().map(|value| name(value)).collect();
        let all = BTreeSet::from([$(stringify!($variant)),+]);
        let missing: Vec<_> = all.difference(&found).collect();
        assert!(missing.is_empty(), "no fixture of {} has {missing:?}", stringify!($type));
    }};
}

#[test]
fn hellos() {
    let hellos: Vec<Hello> = read(include_str!("fixtures/hello.jsonl")).unwrap();
    assert!(hellos.iter().all(|hello| hello.protocol == PROTOCOL));
    let roles: Vec<Role> = hellos.iter().map(|hello| hello.role).collect();
    every_variant!(roles, Role: Core, Pinger, Ifscripts, Operator);
}

/// Checks that this is an `M`, and that it has no field that an `M` does not have.
fn assert_is<M: DeserializeOwned + Serialize>(example: &Value) -> serde_json::Result<()> {
    let message: M = serde_json::from_value(example.clone())?;
    assert_eq!(&serde_json::to_value(message)?, example);
    Ok(())
}

#[test]
fn examples_of_the_page_of_sockets_are_messages() {
    let page = include_str!("../../../docs/reference/sockets.md");
    let blocks = page.split("```json\n").skip(1);
    let mut replies = Vec::new();
    for block in blocks.map(|rest| rest.split("```").next().unwrap()) {
        for example in serde_json::Deserializer::from_str(block).into_iter::<Value>() {
            let example = example.unwrap();
            if example.get("role").is_some() {
                assert_is::<Hello>(&example).unwrap();
            } else if example.get("request").is_some() {
                assert_is::<Envelope>(&example).unwrap();
            } else {
                assert_is::<Answer>(&example).unwrap();
                replies.extend(example["reply"].as_object().unwrap().keys().cloned());
            }
        }
    }
    for reply in ["service", "peers", "event"] {
        assert!(replies.iter().any(|it| it == reply), "{reply}");
    }
}

#[test]
fn requests() {
    let envelopes: Vec<Envelope> = read(include_str!("fixtures/requests.jsonl")).unwrap();
    let requests: Vec<Request> = envelopes.into_iter().map(|it| it.request).collect();
    every_variant!(requests, Request: Status, Info, Submit, Events, Recent, Reload, Changes, ApplyChanges, Records, RunScript, Ping, ShowScript);
}

#[test]
fn replies() {
    let answers: Vec<Answer> = read(include_str!("fixtures/replies.jsonl")).unwrap();
    let replies: Vec<Reply> = answers.into_iter().map(|answer| answer.reply).collect();
    every_variant!(
        replies,
        Reply: Service, Peers, Peer, Line, Live, Event, Recent, Dropped, Changes, Applied, Records, Run, Pinged, Script, Done, Failed, Error,
            Busy
    );
    let (mut links, mut states, mut last) = (Vec::new(), Vec::new(), Vec::new());
    let (mut standings, mut remedies) = (Vec::new(), Vec::new());
    let mut progress = Vec::new();
    for reply in &replies {
        match reply {
            Reply::Service(service) => links.push(service.server),
            Reply::Peers(peers) => {
                states.extend(peers.list.iter().map(|peer| peer.state));
                standings.extend(peers.list.iter().filter_map(|peer| peer.connection.record));
                last.extend(peers.list.iter().map(|peer| peer.statistics.last));
            }
            Reply::Changes(changes) => {
                remedies.extend(changes.list.iter().map(|change| change.remedy));
            }
            Reply::Run(step) => progress.push(step.clone()),
            _ => {}
        }
    }
    every_variant!(progress, RunProgress: Waiting, Started, Output, Ended);
    every_variant!(standings, RecordStanding: Changed, Removed, New);
    every_variant!(remedies, Remedy: Active, Kill, Ifup);
    every_variant!(links, ServerLink: Down, Joining, Up);
    every_variant!(states, PeerState: Up, Checking, Unknown, Down, Adding, Gone, Killed, Waiting, Absent, Unwatched);
    let causes = replies.iter().filter_map(|reply| match reply {
        Reply::Service(service) => service.checks.cause,
        _ => None,
    });
    let causes: Vec<OverdueCause> = causes.collect();
    every_variant!(
        causes,
        OverdueCause: PingerSilent, PingerMissing, ServerSilent, ServerDown, HeldUp
    );
    every_variant!(last, LastPing: None, Reply, Timeout);
}

#[test]
fn events() {
    let events: Vec<Event> = read(include_str!("fixtures/events.jsonl")).unwrap();
    let kinds: Vec<EventKind> = events.into_iter().map(|event| event.kind).collect();
    every_variant!(
        kinds,
        EventKind: Added, Removed, Back, Up, Down, Adopted, Disowned, Keys, Moved, NewAddress,
        LookupFailed, Reply, Missed, Failed, Recovered,
        Unreachable, Reconnecting, Knock, Started, Output, Survives, Ended, Database, DatabaseFault, Joined,
        Lost, HelperConnected, HelperDisconnected, ChecksOverdue, ChecksResumed, ScriptsOverdue, ScriptsResumed, StateFault, StateSaved,
        JournalFault, JournalKept, PlacesFull, PlacesFree, Command
    );
}

#[test]
fn messages_to_the_pinger() {
    let messages: Vec<ToPinger> = read(include_str!("fixtures/to-pinger.jsonl")).unwrap();
    every_variant!(
        messages,
        ToPinger: Watch, Ready, Forget, Results, CheckNow, Sabotage, Suspend, Proceed, Error
    );
    let results = messages.iter().flat_map(|message| match message {
        ToPinger::Results { ended, .. } => ended.clone(),
        _ => Vec::new(),
    });
    let outcomes: Vec<PingResult> = results.map(|result| result.result).collect();
    every_variant!(outcomes, PingResult: Reply, Timeout, Failed, Void);
}

#[test]
fn messages_from_the_pinger() {
    let messages: Vec<FromPinger> = read(include_str!("fixtures/from-pinger.jsonl")).unwrap();
    every_variant!(messages, FromPinger: Resume, Ping, Late, Proceeding, LogLost, Error);
}

#[test]
fn messages_to_the_script_helper() {
    let messages: Vec<ToScripts> = read(include_str!("fixtures/to-scripts.jsonl")).unwrap();
    every_variant!(messages, ToScripts: Adopt, Ready, Recall, Run, Setup, Failures, Over, Settled, LookUp, Stop, Error);
    let runs = messages.iter().flat_map(|message| match message {
        ToScripts::Run(runs) => runs.clone(),
        _ => Vec::new(),
    });
    let commands: Vec<Command> = runs.map(|run| run.command).collect();
    every_variant!(commands, Command: Exec, Shell);
    let (mut pairs, mut families) = (Vec::new(), Vec::new());
    for message in &messages {
        match message {
            ToScripts::Setup(change) => pairs.push(change.setup.key.pair),
            ToScripts::LookUp(lookup) => families.push(lookup.family),
            _ => {}
        }
    }
    every_variant!(pairs, Pair: Interface, Connection, Hooks);
    every_variant!(families, Family: Inet, Inet6, Any);
}

#[test]
fn messages_from_the_script_helper() {
    let messages: Vec<FromScripts> = read(include_str!("fixtures/from-scripts.jsonl")).unwrap();
    every_variant!(
        messages,
        FromScripts: Resume, Taken, Started, Output, Dropped, Eof, Survives, Ended, Failures, Setups,
            JournalFault, Full, LookedUp, LogLost, Error
    );
    let (mut ends, mut streams) = (Vec::new(), Vec::new());
    for message in &messages {
        match message {
            FromScripts::Ended { end, .. } => ends.push(end.clone()),
            FromScripts::Output { stream, .. } => streams.push(*stream),
            _ => {}
        }
    }
    every_variant!(
        ends,
        Ended: Exited, Signal, Unknown, NotStarted, TimedOut, Stopped, Lost
    );
    every_variant!(streams, Stream: Stdout, Stderr);
    let well = ends.iter().filter(|end| end.failure().is_none()).count();
    assert_eq!(well, 2, "exit status 0, and stopped: {ends:?}");
}

#[test]
fn scripts_of_every_kind() {
    let answers: Vec<Answer> = read(include_str!("fixtures/replies.jsonl")).unwrap();
    let mut kinds = Vec::new();
    for answer in answers {
        if let Reply::Peer(peer) = answer.reply {
            kinds.extend(peer.scripts.iter().map(|script| script.kind));
            kinds.extend(peer.recent.iter().map(|script| script.kind));
        }
    }
    every_variant!(kinds, ScriptKind: Ifup, Ifdown, Connect, Disconnect, OnUp, OnDown);
}
