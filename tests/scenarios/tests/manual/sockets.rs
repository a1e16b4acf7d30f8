// SPDX-License-Identifier: GPL-3.0-or-later
//! The service's own sockets, as docs/reference/sockets.md describes them: for programs that
//! know nothing of ours, too.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use scenarios::{Outcome, Service, Site};
use serde_json::{Value, json};

use crate::support::{ANSWERING, caller, receive, send};

fn site() -> anyhow::Result<(Site, Service)> {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING)])
        .peer("passive", &[("peer", "PASSIVE")])
        .user("u", "passive")
        .build()?;
    let service = site.connect(&[])?;
    Ok((site, service))
}

/// An operator that has said hello and sends these requests, and then no more.
fn asking_all(
    service: &Service,
    socket: &str,
    requests: &[Value],
) -> anyhow::Result<BufReader<UnixStream>> {
    let mut operator = caller(service, socket)?;
    let hello = json!({"role": "operator", "protocol": 1, "version": "test"});
    let mut all = hello.to_string();
    for request in requests {
        all += &format!("\n{request}");
    }
    // In one write, so that the end is there before the first answer can be.
    send(&mut operator, &all)?;
    operator.get_ref().shutdown(Shutdown::Write)?;
    Ok(operator)
}

#[test]
fn core_says_first_which_server_and_directory_it_has() -> Outcome {
    let (site, service) = site()?;
    let directory = site.directory().canonicalize()?;
    for socket in ["control.sock", "observe.sock"] {
        let stream = UnixStream::connect(service.control().with_file_name(socket))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let hello: Value = serde_json::from_str(&line)?;
        assert_eq!(hello["socket"], json!(site.lab.socket_path()), "{line}");
        assert_eq!(hello["directory"], json!(directory), "{line}");
    }
    Ok(())
}

#[test]
fn a_client_that_has_closed_its_sending_side_is_still_answered_and_then_the_connection_ends()
-> Outcome {
    let (_site, service) = site()?;
    for socket in ["control.sock", "observe.sock"] {
        let requests = [
            json!({"id": 1, "request": {"status": {}}}),
            json!({"id": 2, "request": {"info": {"peer": "p"}}}),
        ];
        let mut operator = asking_all(&service, socket, &requests)?;
        let mut answers = String::new();
        operator.read_to_string(&mut answers)?;
        let finals = [
            "{\"id\":1,\"reply\":{\"done\":{}}}",
            "{\"id\":2,\"reply\":{\"peer\"",
        ];
        for answer in finals {
            assert!(answers.contains(answer), "{socket}: {answers}");
        }
    }
    Ok(())
}

#[test]
fn who_has_asked_all_waits_for_an_outcome_as_well() -> Outcome {
    let (site, service) = site()?;
    let passive = json!({"id": 7, "request": {"submit": {"words": ["passive", "u"]}}});
    let mut operator = asking_all(&service, "control.sock", &[passive])?;
    let line: Value = serde_json::from_str(&receive(&mut operator)?)?;
    let challenge = line["reply"]["line"][0].as_str().unwrap_or_default();
    assert!(!challenge.is_empty(), "{line}");
    // A site of its own greets with it.
    let active = Site::new()?.build()?;
    active.admin_ok(&format!("ADD -cork hub {}", site.address()))?;
    active.admin_ok(&format!("GREET hub {challenge}"))?;
    let mut answers = String::new();
    operator.read_to_string(&mut answers)?;
    assert_eq!(answers.trim(), "{\"id\":7,\"reply\":{\"done\":{}}}");
    Ok(())
}

#[test]
fn who_has_asked_for_events_only_listens_from_then_on() -> Outcome {
    let (site, service) = site()?;
    let events = json!({"id": 3, "request": {"events": {"kinds": ["added"]}}});
    let mut observer = asking_all(&service, "observe.sock", &[events])?;
    while !receive(&mut observer)?.contains("live") {}
    site.submit("active p")?;
    let event: Value = serde_json::from_str(&receive(&mut observer)?)?;
    assert_eq!(event["reply"]["event"]["peer"], "p", "{event}");
    Ok(())
}

#[test]
fn observers_may_only_look() -> Outcome {
    let (site, service) = site()?;
    let requests = [
        json!({"id": 1, "request": {"submit": {"words": ["active", "p"]}}}),
        json!({"id": 2, "request": {"reload": {}}}),
        json!({"id": 3, "request": {"status": {}}}),
    ];
    let mut observer = asking_all(&service, "observe.sock", &requests)?;
    let mut answers = String::new();
    observer.read_to_string(&mut answers)?;
    for id in [1, 2] {
        let refusal =
            format!("{{\"id\":{id},\"reply\":{{\"error\":\"observers may not give commands");
        assert!(answers.contains(&refusal), "{answers}");
    }
    assert!(
        answers.contains("{\"id\":3,\"reply\":{\"done\""),
        "{answers}"
    );
    assert_eq!(site.lab.peers()?.len(), 0);
    Ok(())
}
