// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, the command `passive`.

use std::net::SocketAddr;

use scenarios::{Admin, Expect as _, Outcome, Service, Site};

use crate::support::{barrier, commands};

/// An address of the answering network.
fn from(number: u8) -> SocketAddr {
    SocketAddr::from(([198, 18, 3, number], 5000))
}

/// A site with passive peers `laptop` and `phone` of the users `alice` and `bob`.
fn site() -> anyhow::Result<(Site, Service)> {
    let site = Site::new()?
        .with_answering_peers()
        .peer(
            "laptop",
            &[
                ("peer", "PASSIVE"),
                ("mobile", "t"),
                ("keepalive", "5s"),
                ("watch", "t"),
            ],
        )
        .peer("phone", &[("peer", "PASSIVE")])
        .user("alice", "laptop")
        .user("bob", "phone")
        .user("ghost", "no-such-peer")
        .build()?;
    let service = site.connect(&[])?;
    Ok((site, service))
}

/// Submits `passive` with these arguments and gives the connection and the challenge.
fn passive(site: &Site, arguments: &str) -> anyhow::Result<(Admin, String)> {
    let mut admin = site.admin()?;
    admin.send(&format!("SVCSUBMIT connect passive {arguments}"))?;
    let line = admin.receive()?;
    let challenge = line.strip_prefix("INFO ").unwrap_or_default().to_owned();
    assert!(!challenge.is_empty() && !challenge.contains(' '), "{line}");
    Ok((admin, challenge))
}

#[test]
fn the_challenge_comes_first_and_the_greeting_adds_the_peer_at_its_origin() -> Outcome {
    let (site, _service) = site()?;
    let mut events = site.lab.follow();
    let (mut admin, challenge) = passive(&site, "alice")?;
    events.command("GETCHAL")?;
    assert!(commands(&site, "ADD").is_empty(), "not before the greeting");
    assert!(site.lab.fake_greeting(&challenge, from(1))?);
    let add = events.command_line("ADD ")?;
    let wanted = " -keepalive 5s -mobile laptop INET 198.18.3.1 5000";
    assert!(add.ends_with(wanted), "{add}");
    events.broadcast("NOTE ADD laptop ")?;
    assert_eq!(admin.receive()?, "OK");
    assert_eq!(site.submit("adopted")?, ["laptop"]);
    Ok(())
}

#[test]
fn each_challenge_is_a_fresh_one() -> Outcome {
    let (site, _service) = site()?;
    let (_first, one) = passive(&site, "alice")?;
    let (_second, other) = passive(&site, "alice")?;
    assert_ne!(one, other);
    Ok(())
}

#[test]
fn without_a_greeting_in_time_the_command_fails() -> Outcome {
    let (site, _service) = site()?;
    let (mut admin, challenge) = passive(&site, "-timeout 0 alice")?;
    assert_eq!(admin.receive()?, "FAIL connect-timeout");
    // The challenge is forgotten: who greets with it now is not added.
    site.lab.fake_greeting(&challenge, from(1))?;
    barrier(&site)?;
    assert!(commands(&site, "ADD").is_empty());
    Ok(())
}

#[test]
fn the_timeout_is_a_time_with_or_without_a_suffix() -> Outcome {
    let (site, _service) = site()?;
    for time in ["1", "1s"] {
        let (mut admin, _) = passive(&site, &format!("-timeout {time} alice"))?;
        assert_eq!(admin.receive()?, "FAIL connect-timeout", "{time}");
    }
    let mut waiting = Vec::new();
    for time in ["2m", "3h", "4d"] {
        waiting.push(passive(&site, &format!("-timeout {time} bob"))?);
    }
    for time in ["soon", "-1", "1.5", "5x", "''", "1ms"] {
        let failure = site.submit_failing(&format!("passive -timeout {time} alice"))?;
        assert_eq!(tripe_admin::split(&failure)[0], "bad-time-spec", "{time}");
    }
    for (mut admin, challenge) in waiting.into_iter().rev() {
        site.lab.fake_greeting(&challenge, from(2))?;
        assert_eq!(admin.receive()?, "OK");
    }
    Ok(())
}

#[test]
fn an_option_may_be_ended_by_two_dashes() -> Outcome {
    let (site, _service) = site()?;
    let (_admin, _) = passive(&site, "-timeout 5 -- alice")?;
    assert_eq!(site.submit_failing("passive -- -x")?, "unknown-user -x");
    Ok(())
}

#[test]
fn a_user_that_is_not_known_or_whose_peer_is_not_is_refused() -> Outcome {
    let (site, _service) = site()?;
    assert_eq!(
        site.submit_failing("passive laptop")?,
        "unknown-user laptop"
    );
    assert_eq!(
        site.submit_failing("passive ghost")?,
        "unknown-peer no-such-peer"
    );
    assert!(commands(&site, "GETCHAL").is_empty());
    Ok(())
}

#[test]
fn a_cancelled_command_frees_its_challenge() -> Outcome {
    let (site, _service) = site()?;
    let mut admin = site.admin()?;
    admin.send("SVCSUBMIT -background job connect passive alice")?;
    assert_eq!(admin.receive()?, "BGDETACH job");
    let line = admin.receive()?;
    let challenge = line
        .strip_prefix("BGINFO job ")
        .unwrap_or_default()
        .to_owned();
    let mut events = site.lab.follow();
    // The doubtful last line of a cancelled job is not ours to judge.
    admin.send("BGCANCEL job")?;
    admin.receive_until("OK")?;
    events.sent("SVCCANCEL ")?;
    site.lab.fake_greeting(&challenge, from(1))?;
    barrier(&site)?;
    assert!(commands(&site, "ADD").is_empty());
    assert!(
        commands(&site, "SVCFAIL").is_empty(),
        "nothing is said of a cancelled job"
    );
    Ok(())
}

#[test]
fn a_caller_that_goes_away_cancels_its_command() -> Outcome {
    let (site, _service) = site()?;
    let (admin, challenge) = passive(&site, "alice")?;
    let mut events = site.lab.follow();
    drop(admin);
    site.lab.fake_greeting(&challenge, from(1))?;
    // When the server notices is a doubtful point: at once, or only when it has something to
    // write. Either way nobody is left waiting and the service goes on.
    events.broadcast("NOTE GREET ")?;
    let (mut again, challenge) = passive(&site, "alice")?;
    site.lab.fake_greeting(&challenge, from(2))?;
    assert_eq!(again.receive()?, "OK");
    Ok(())
}

#[test]
fn many_wait_at_once_for_different_users_and_for_one() -> Outcome {
    let (site, _service) = site()?;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(("laptop", passive(&site, "alice")?));
        waiting.push(("phone", passive(&site, "bob")?));
    }
    // Answered in another order than asked; each gets its own, and the last one of a peer stays.
    for (number, (peer, (mut admin, challenge))) in (1..).zip(waiting.into_iter().rev()) {
        let mut events = site.lab.follow();
        site.lab.fake_greeting(&challenge, from(number))?;
        events.broadcast(&format!("NOTE ADD {peer} "))?;
        assert_eq!(admin.receive()?, "OK");
        let address = site.admin_ok(&format!("ADDR {peer}"))?.concat();
        assert_eq!(address, format!("INET 198.18.3.{number} 5000"));
    }
    assert_eq!(site.admin_ok("LIST")?.len(), 2);
    Ok(())
}

#[test]
fn greetings_for_one_user_that_come_at_once_add_the_peer_once_each_is_answered() -> Outcome {
    let (site, _service) = site()?;
    let (mut one, first) = passive(&site, "alice")?;
    let (mut two, second) = passive(&site, "alice")?;
    site.lab.fake_greeting(&first, from(1))?;
    site.lab.fake_greeting(&second, from(2))?;
    let answers = [one.receive()?, two.receive()?];
    // The second finds the peer there already, and replaces it, or is told that it is being added.
    assert_eq!(answers[0], "OK");
    assert!(
        ["OK", "FAIL peer-exists laptop"].contains(&answers[1].as_str()),
        "{answers:?}"
    );
    assert_eq!(site.admin_ok("LIST")?, ["laptop"]);
    Ok(())
}

#[test]
fn a_greeting_with_somebody_elses_challenge_is_ignored() -> Outcome {
    let (site, _service) = site()?;
    let (mut admin, challenge) = passive(&site, "alice")?;
    let foreign = site.admin_ok("GETCHAL")?.concat();
    let mut events = site.lab.follow();
    site.lab.fake_greeting(&foreign, from(1))?;
    events.broadcast("NOTE GREET ")?;
    barrier(&site)?;
    assert!(commands(&site, "ADD").is_empty());
    site.lab.fake_greeting(&challenge, from(2))?;
    assert_eq!(admin.receive()?, "OK");
    Ok(())
}

#[test]
fn a_greeting_that_cannot_be_followed_fails_the_command() -> Outcome {
    let (site, _service) = site()?;
    site.admin_ok("ADD other INET 198.18.3.1 5000")?;
    let (mut admin, challenge) = passive(&site, "alice")?;
    site.lab.fake_greeting(&challenge, from(1))?;
    assert_eq!(
        admin.receive()?,
        "FAIL peer-addr-exists INET 198.18.3.1 5000"
    );
    Ok(())
}

#[test]
fn it_waits_on_where_no_time_is_given() -> Outcome {
    // Half a minute is too long for a test; that it is just that is proved by core's own test
    // under a clock of its own. Here: the wait outlasts one that was given a second.
    let (site, _service) = site()?;
    let (mut patient, challenge) = passive(&site, "alice")?;
    let (mut hasty, _) = passive(&site, "-timeout 1 bob")?;
    assert_eq!(hasty.receive()?, "FAIL connect-timeout");
    let mut events = site.lab.follow();
    site.lab.fake_greeting(&challenge, from(1))?;
    events.broadcast("NOTE ADD laptop ")?;
    assert_eq!(patient.receive()?, "OK");
    Ok(())
}
