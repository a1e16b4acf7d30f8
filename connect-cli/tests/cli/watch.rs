// SPDX-License-Identifier: GPL-3.0-or-later
//! `status --watch`.

use connect_ipc::control::{PeerState, Reply, Request};
use connect_ipc::event::EventKind;
use insta::assert_snapshot;

use crate::support::{Place, Result, Script, Step, event, peer, rows, service};

fn script() -> Result<Script> {
    let mut down = peer("alice", &[1.5])?;
    (down.state, down.failed_checks) = (PeerState::Down, 1);
    Ok(Script::steps([
        Step::Reply(Reply::Live { seq: 1 }),
        Step::Next(Request::Status {}),
        Step::Reply(Reply::Service(Box::new(service()?))),
        Step::Reply(rows(vec![peer("alice", &[1.5])?])),
        // It may happen while the answer is on its way.
        Step::To(
            1,
            event(
                2,
                Some("alice"),
                EventKind::Unreachable {
                    failed_checks: 1,
                    next_ms: Some(1),
                },
            ),
        ),
        Step::Reply(Reply::Done {}),
        Step::Next(Request::Status {}),
        Step::Reply(Reply::Service(Box::new(service()?))),
        Step::Reply(rows(vec![down])),
        Step::Reply(Reply::Done {}),
        Step::Close,
    ]))
}

#[test]
fn the_state_is_printed_again_when_something_has_happened() -> Result {
    let place = Place::new()?;
    let core = place.core(script()?)?;
    let table = place.run("status --watch")?;
    core.asked()?;
    let core = place.core(script()?)?;
    let json = place.run("status --watch --json")?;
    core.asked()?;
    for line in json.stdout.lines() {
        let json: serde_json::Value = serde_json::from_str(line)?;
        assert_eq!(json["schema"], 1, "{line}");
    }
    assert_eq!(json.stdout.lines().count(), 2, "{json}");
    assert_snapshot!(table);
    Ok(())
}
