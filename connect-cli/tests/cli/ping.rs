// SPDX-License-Identifier: GPL-3.0-or-later
//! `ping`.

use connect_ipc::control::{Reply, Request};
use connect_ipc::pinger::{PingOutcome, PingResult};
use insta::assert_snapshot;

use crate::support::{Place, Result, Script, Step, interrupt};

fn pinged(result: PingResult) -> Step {
    let timeout = 10;
    Step::Reply(Reply::Pinged(PingOutcome { result, timeout }))
}

fn again() -> Step {
    Step::Next(asked())
}

fn asked() -> Request {
    let peer = "alice".to_owned();
    Request::Ping { peer }
}

#[test]
fn one_ping_tells_the_round_trip_or_why_there_is_none() -> Result {
    let place = Place::new()?;
    let refused = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Step::Reply(Reply::Failed(words))
    };
    let mut all = String::new();
    for answer in [
        pinged(PingResult::Reply(12.34)),
        pinged(PingResult::Timeout),
        refused(&["peer-not-adopted", "alice"]),
        refused(&["no-pinger"]),
        refused(&["ping-send-failed"]),
    ] {
        let core = place.core(Script::steps([answer]))?;
        all += &place.run("ping alice")?.to_string();
        assert_eq!(core.asked()?, Some(asked()));
    }
    let core = place.core(Script::steps([pinged(PingResult::Reply(0.5))]))?;
    all += &place.run("ping --json alice")?.to_string();
    core.asked()?;
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn several_pings_end_with_their_figures() -> Result {
    let place = Place::new()?;
    let script = || {
        Script::steps([
            pinged(PingResult::Reply(10.0)),
            again(),
            pinged(PingResult::Timeout),
        ])
    };
    let core = place.core(script())?;
    let text = place.run("ping -c 2 alice")?;
    core.asked()?;
    let core = place.core(script())?;
    let json = place.run("ping -c 2 --json alice")?;
    core.asked()?;
    assert_snapshot!(format!("{text}{json}"));
    Ok(())
}

#[test]
fn pings_without_end_are_interrupted_and_end_with_their_figures() -> Result {
    let place = Place::new()?;
    let (tell, told) = std::sync::mpsc::channel();
    let core = place.core(Script::steps([
        pinged(PingResult::Reply(10.0)),
        again(),
        Step::Tell(tell),
    ]))?;
    let mut command = place.command();
    command.args(["ping", "-c", "0", "alice"]);
    let child = command.stdout(std::process::Stdio::piped()).spawn()?;
    told.recv()?;
    interrupt(&child)?;
    let output = child.wait_with_output()?;
    core.asked()?;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout)?,
        "alice: reply in 10.0ms\n\
         1 ping, 1 answered, 0% lost; shortest 10.0ms, mean 10.0ms, longest 10.0ms\n"
    );
    Ok(())
}
