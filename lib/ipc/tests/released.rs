// SPDX-License-Identifier: GPL-3.0-or-later
//! A process of the present version understands what each released version says, and loses nothing
//! of it. Helpers and core of two versions work together if both have the same `PROTOCOL`.

use std::error::Error;

use connect_ipc::control::{Answer, Envelope, Reply, Request, SCHEMA};
use connect_ipc::event::{Event, EventKind};
use connect_ipc::frame::decode;
use connect_ipc::hello::{Hello, PROTOCOL, Role};
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_ipc::scripts::{FromScripts, ToScripts};
use house::released::{Example, examples, lost};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, to_value};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Reads every line of an example as an `M`.
fn read<M: DeserializeOwned + Serialize>(example: &Example) -> Outcome<Vec<M>> {
    let version = &example.version;
    let read_line = |line: &str| {
        let message: M = decode(line).map_err(|error| format!("{version}: {error} in {line}"))?;
        let file: Value = serde_json::from_str(line)?;
        let places = lost(&file, &to_value(&message)?);
        assert_eq!(places, [""; 0], "{version}: {line}");
        Ok(message)
    };
    let messages: Outcome<Vec<M>> = example.text()?.lines().map(read_line).collect();
    let messages = messages?;
    assert!(!messages.is_empty(), "{version}");
    Ok(messages)
}

/// The examples of messages between core and helpers by the versions with which there are such.
fn of_our_protocol(name: &str) -> Outcome<Vec<Example>> {
    let mut ours = Vec::new();
    for example in examples("hello.jsonl")? {
        let hellos: Vec<Hello> = read(&example)?;
        if hellos.iter().all(|hello| hello.protocol == PROTOCOL) {
            ours.push(example.version);
        }
    }
    let mut found = examples(name)?;
    found.retain(|example| ours.contains(&example.version));
    Ok(found)
}

#[test]
fn the_hello_of_each_version_is_read() -> Outcome {
    for example in examples("hello.jsonl")? {
        let hellos: Vec<Hello> = read(&example)?;
        let roles: Vec<Role> = hellos.iter().map(|hello| hello.role).collect();
        let all = [Role::Core, Role::Pinger, Role::Ifscripts, Role::Operator];
        assert_eq!(roles, all, "{}", example.version);
        assert!(hellos.iter().all(|hello| hello.version == example.version));
    }
    Ok(())
}

#[test]
fn the_requests_of_each_version_are_read() -> Outcome {
    for example in examples("requests.jsonl")? {
        let requests: Vec<Envelope> = read(&example)?;
        let kick = requests
            .iter()
            .find_map(|envelope| match &envelope.request {
                Request::Submit { words } => Some((envelope.id, &words[..])),
                _ => None,
            });
        let words = ["kick".to_owned(), "alice".to_owned()];
        assert_eq!(kick, Some((3, &words[..])), "{}", example.version);
    }
    Ok(())
}

#[test]
fn the_replies_of_each_version_are_read() -> Outcome {
    for example in examples("replies.jsonl")? {
        let answers: Vec<Answer> = read(&example)?;
        let service = answers.iter().find_map(|answer| match &answer.reply {
            Reply::Service(service) => Some(service),
            _ => None,
        });
        let service = service.ok_or("no status")?;
        assert_eq!((service.schema, service.uptime), (SCHEMA, 60));
        assert_eq!(service.version, example.version);
        assert_eq!(service.counters.unreachable, 1, "{}", example.version);
    }
    Ok(())
}

#[test]
fn the_events_of_each_version_are_read() -> Outcome {
    for example in examples("events.jsonl")? {
        let events: Vec<Event> = read(&example)?;
        let added = events.iter().find_map(|event| match &event.kind {
            EventKind::Added { address, .. } => Some((event.peer.as_deref(), to_value(address))),
            _ => None,
        });
        let (peer, address) = added.ok_or("no peer was added")?;
        assert_eq!(peer, Some("alice"), "{}", example.version);
        assert_eq!(address?, "INET 192.0.2.1 4070");
    }
    Ok(())
}

#[test]
fn the_messages_between_core_and_the_pinger_are_read() -> Outcome {
    for example in of_our_protocol("to-pinger.jsonl")? {
        let messages: Vec<ToPinger> = read(&example)?;
        let checked = messages.iter().any(
            |message| matches!(message, ToPinger::CheckNow { at, .. } if at.0 == 4_000_000_000),
        );
        assert!(checked, "{}", example.version);
    }
    for example in of_our_protocol("from-pinger.jsonl")? {
        let messages: Vec<FromPinger> = read(&example)?;
        let order = messages.iter().find_map(|message| match message {
            FromPinger::Ping(orders) => orders.first(),
            _ => None,
        });
        let order = order.map(|order| (order.seq, order.due.0));
        assert_eq!(order, Some((8, 6_000_000_000)), "{}", example.version);
    }
    Ok(())
}

#[test]
fn the_messages_between_core_and_the_script_helper_are_read() -> Outcome {
    for example in of_our_protocol("to-scripts.jsonl")? {
        let messages: Vec<ToScripts> = read(&example)?;
        let run = messages.iter().find_map(|message| match message {
            ToScripts::Run(runs) => runs.first(),
            _ => None,
        });
        let run = run.map(|run| (run.run.0, &*run.peer, run.kind.name()));
        assert_eq!(run, Some((2, "alice", "connect")), "{}", example.version);
    }
    for example in of_our_protocol("from-scripts.jsonl")? {
        let messages: Vec<FromScripts> = read(&example)?;
        let output = messages.iter().find_map(|message| match message {
            FromScripts::Output { run, line, .. } => Some((run.0, &**line)),
            _ => None,
        });
        assert_eq!(output, Some((1, "up")), "{}", example.version);
    }
    Ok(())
}
