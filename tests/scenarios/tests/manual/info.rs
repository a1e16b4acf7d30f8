// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual, the command `info`: every key, and the form of every value.

use scenarios::{Expect as _, Outcome, Site};

use crate::support::{ANSWERING, pings};

/// The keys that an adopted peer has beyond its record.
const FIGURES: [&str; 9] = [
    "failures",
    "last-ping",
    "max-ping",
    "mean-ping",
    "min-ping",
    "n-lost",
    "n-ping",
    "sd-ping",
    "state",
];

/// The answer of `info`, as keys and values, each line one token.
fn info(site: &Site, peer: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for line in site.submit(&format!("info {peer}"))? {
        let words = tripe_admin::split(&line);
        assert_eq!(words.len(), 1, "one token a line: {line}");
        let (key, value) = words[0].split_once('=').unwrap_or_default();
        pairs.push((key.to_owned(), value.to_owned()));
    }
    pairs.sort_unstable();
    Ok(pairs)
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

/// Whether a text has the form `nn.nms`.
fn is_time(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.strip_suffix("ms");
    number
        .and_then(|number| number.split_once('.'))
        .is_some_and(|(whole, tenths)| digits(whole) && digits(tenths) && tenths.len() == 1)
}

#[test]
fn info_lists_every_key_and_value_of_the_record() -> Outcome {
    let pairs = [
        ("empty", ""),
        ("ifup", "./up \"two words\" 'x'"),
        ("peer", ANSWERING),
        ("text", "a = b"),
    ];
    let site = Site::new()?.peer("p", &pairs).build()?;
    let _service = site.connect(&[])?;
    assert_eq!(info(&site, "p")?, owned(&pairs));
    Ok(())
}

#[test]
fn info_fails_for_a_peer_that_is_not_in_the_database() -> Outcome {
    let site = Site::new()?.build()?;
    let _service = site.connect(&[])?;
    assert_eq!(site.submit_failing("info p")?, "unknown-peer p");
    Ok(())
}

#[test]
fn a_newline_in_a_value_becomes_a_space_and_a_long_value_is_cut() -> Outcome {
    let long = "x".repeat(1_000);
    let pairs = [("lines", "one\ntwo\n\nfour"), ("long", long.as_str())];
    let site = Site::new()?.peer("p", &pairs).build()?;
    let _service = site.connect(&[])?;
    let shown = info(&site, "p")?;
    assert_eq!(shown[0].1, "one two  four");
    let cut = &shown[1].1;
    assert!(cut.ends_with("x...") && cut.len() > 200, "{cut}");
    Ok(())
}

/// A site with one watched peer, whose other pairs are given.
fn adopted(pairs: &[(&str, &str)]) -> anyhow::Result<(Site, scenarios::Service)> {
    let mut all = vec![("peer", ANSWERING), ("watch", "t"), ("retries", "3")];
    all.extend(pairs);
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &all)
        .build()?;
    let service = site.connect(&[])?;
    site.submit("active p")?;
    Ok((site, service))
}

#[test]
fn a_peer_that_is_not_adopted_has_no_further_keys() -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", ANSWERING)])
        .build()?;
    let _service = site.connect(&[])?;
    site.submit("active p")?;
    assert_eq!(info(&site, "p")?, owned(&[("peer", ANSWERING)]));
    Ok(())
}

#[test]
fn before_any_ping_the_figures_are_zero_or_a_dash() -> Outcome {
    let (site, _service) = adopted(&[])?;
    let shown = info(&site, "p")?;
    let figures: Vec<_> = shown
        .into_iter()
        .filter(|(key, _)| FIGURES.contains(&key.as_str()))
        .collect();
    let wanted = [
        ("failures", "0"),
        ("last-ping", "-"),
        ("max-ping", "-"),
        ("mean-ping", "-"),
        ("min-ping", "-"),
        ("n-lost", "0"),
        ("n-ping", "0"),
        ("sd-ping", "-"),
        ("state", "idle"),
    ];
    assert_eq!(figures, owned(&wanted));
    Ok(())
}

#[test]
fn after_replies_the_times_have_one_decimal_and_ms() -> Outcome {
    let (site, mut service) = adopted(&[("every", "1s"), ("timeout", "5s")])?;
    service.wait_for("two replies", || {
        let replies: u32 = site.info("p", "n-ping").ok()?.parse().ok()?;
        (replies >= 2).then_some(())
    })?;
    for key in ["last-ping", "max-ping", "mean-ping", "min-ping", "sd-ping"] {
        let value = site.info("p", key)?;
        assert!(is_time(&value), "{key}={value}");
    }
    let number =
        |key| -> anyhow::Result<f64> { Ok(site.info("p", key)?.trim_end_matches("ms").parse()?) };
    let (least, mean, most) = (
        number("min-ping")?,
        number("mean-ping")?,
        number("max-ping")?,
    );
    // The three are asked for one after the other, and another ping may come between.
    assert!(
        least <= mean + 0.1 && least <= most,
        "{least} {mean} {most}"
    );
    for (key, value) in [("n-lost", "0"), ("failures", "0")] {
        assert_eq!(site.info("p", key)?, value);
    }
    Ok(())
}

#[test]
fn while_a_ping_is_under_way_the_state_is_check() -> Outcome {
    let (site, _service) = adopted(&[("every", "1s"), ("timeout", "10m")])?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    pings(&mut events, "p", 1)?;
    assert_eq!(site.info("p", "state")?, "check");
    assert_eq!(site.info("p", "failures")?, "0");
    Ok(())
}

#[test]
fn lost_pings_are_counted_and_the_last_is_shown_as_timeout() -> Outcome {
    // Figures are read one by one while pings go on, so only their order is certain.
    let (site, _service) = adopted(&[("every", "1s"), ("timeout", "5s"), ("retries", "1000")])?;
    let mut events = site.lab.follow();
    site.lab.silence_peer("p", true)?;
    events.exactly("WARN USER connect ping-timeout p attempt 2 of 1000")?;
    let failures: u32 = site.info("p", "failures")?.parse()?;
    let lost: u32 = site.info("p", "n-lost")?.parse()?;
    assert!(failures >= 2 && lost >= failures, "{failures} {lost}");
    assert_eq!(site.info("p", "last-ping")?, "timeout");
    assert_eq!(site.info("p", "state")?, "check");
    Ok(())
}

#[test]
fn failures_are_of_the_current_or_most_recent_batch() -> Outcome {
    let (site, _service) = adopted(&[
        ("every", "1h"),
        ("timeout", "1s"),
        ("retries", "2"),
        ("knock", "here"),
        ("backoff", "1h"),
    ])?;
    let mut events = site.lab.follow();
    // Silent, so that no new keys are agreed on, which would begin another batch at once.
    site.lab.silence_peer("p", true)?;
    site.submit("sabotage p")?;
    events.exactly("WARN USER connect reconnecting p")?;
    // The batch is over and the next begins in an hour: its failures stay to be seen.
    assert_eq!(site.info("p", "failures")?, "2");
    assert_eq!(site.info("p", "state")?, "idle");
    assert_eq!(site.info("p", "last-ping")?, "timeout");
    Ok(())
}

#[test]
fn a_figure_outranks_a_key_of_the_same_name() -> Outcome {
    let (site, _service) = adopted(&[("state", "of mind")])?;
    let shown = info(&site, "p")?;
    let states: Vec<_> = shown.iter().filter(|(key, _)| key == "state").collect();
    assert_eq!(states.len(), 1);
    assert_eq!(states[0].1, "idle");
    Ok(())
}

#[test]
fn figures_begin_at_zero_when_the_peer_is_added_again() -> Outcome {
    let (site, mut service) = adopted(&[("every", "1s")])?;
    service.wait_for("a reply", || {
        (site.info("p", "n-ping").ok()? != "0").then_some(())
    })?;
    site.submit("active p")?;
    assert_eq!(site.info("p", "n-ping")?, "0");
    assert_eq!(site.info("p", "last-ping")?, "-");
    Ok(())
}
