// SPDX-License-Identifier: GPL-3.0-or-later
//! `-H`: the command on other hosts, by this program there and ssh(1).
//!
//! ```text
//!   words without -H --ssh, some at a time--> connect-cli on each host
//!   one host:  its input, output and exit code are ours
//!   several:   one table, JSON with all, or lines that begin with the host
//! ```

mod ssh;
mod table;
mod told;
mod words;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use clap::{ArgMatches, Command};
use connect_runtime::exit::Exit;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::ssh::Answer;
use self::told::Told;
use crate::common::Common;
use crate::error::Error;
use crate::output::{Output, SCHEMA, text, to_stderr_bare};

/// How many hosts are asked at the same time. Each costs a process, and keys to be exchanged.
const AT_ONCE: usize = 16;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Wanted {
    /// Whether it is the state, with or without a name of the command.
    status: bool,
    named: bool,
    json: bool,
    wide: bool,
    /// Whether it goes on until it is interrupted, or is about one service alone.
    single: bool,
}

impl Wanted {
    fn of(matches: &ArgMatches) -> Self {
        let (name, inner) = matches.subcommand().unzip();
        let set = |flag: &str| {
            let value = inner.and_then(|it: &ArgMatches| it.try_get_one::<bool>(flag).ok()?);
            value.is_some_and(|set| *set)
        };
        let is = |names: &[&str]| name.is_some_and(|name| names.contains(&name));
        Wanted {
            status: name.is_none() || is(&["status"]),
            named: name.is_some(),
            json: set("json"),
            wide: set("wide"),
            single: set("watch") || is(&["top", "events", "check", "passive"]),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct HostsReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// What each host has answered, in the order of the command line.
    hosts: Vec<HostReport<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct HostReport<'a> {
    /// The host, as it was named.
    host: &'a str,
    /// Whether the command succeeded there.
    ok: bool,
    /// Its exit code; `null` if it was not run.
    exit: Option<u8>,
    /// Why it was not run, or what it has said on standard error.
    error: Option<String>,
    /// What it has printed: JSON.
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    output: Option<Box<RawValue>>,
}

/// Runs the command line `line` on other hosts. `command` describes it, and `matches` is what it
/// was understood as.
pub(crate) async fn run(
    hosts: &[String],
    mut command: Command,
    matches: &ArgMatches,
    line: &[String],
    common: &mut Common,
) -> Result<Exit, Error> {
    command.build();
    let wanted = Wanted::of(matches);
    let hosts = each_once(hosts)?;
    let several = hosts.len() > 1;
    if let ([host], false) = (hosts.as_slice(), wanted.json && !wanted.single) {
        let words = words::without(&command, line, &["hosts"]);
        return end(ssh::instead(host, &words).await?);
    }
    if several && wanted.single {
        return Err(Error::SeveralHosts);
    }
    let words = if wanted.status && !wanted.json {
        // The table is made here.
        let mut words = words::without(&command, line, &["hosts", "wide"]);
        if !wanted.named {
            words.push("status".to_owned());
        }
        let at = words.iter().position(|word| word == "--");
        words.insert(at.unwrap_or(words.len()), "--json".to_owned());
        words
    } else {
        words::without(&command, line, &["hosts"])
    };
    let told = ask_all(hosts, words).await;
    if wanted.json {
        report(&told, &mut common.out)?;
    } else if wanted.status {
        table::show(&told, wanted.wide, &mut common.out)?;
    } else {
        lines(&told, to_stderr_bare, &mut common.out)?;
    }
    end(common_exit(&told))
}

/// The hosts, each once, in the order given.
fn each_once(hosts: &[String]) -> Result<Vec<String>, Error> {
    let mut seen = BTreeSet::new();
    if let Some(wrong) = hosts
        .iter()
        .find(|host| host.is_empty() || host.starts_with('-'))
    {
        return Err(Error::NoHost(wrong.clone()));
    }
    let hosts = hosts.iter().filter(|host| seen.insert(host.as_str()));
    Ok(hosts.cloned().collect())
}

/// Asks all hosts, some at the same time; the answers come in the order of the hosts.
async fn ask_all(hosts: Vec<String>, words: Vec<String>) -> Vec<Told> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let words = Arc::new(words);
    let mut asked = JoinSet::new();
    for (number, host) in hosts.into_iter().enumerate() {
        let (places, words) = (Arc::clone(&places), Arc::clone(&words));
        asked.spawn(async move {
            // The semaphore is never closed.
            let _place = places.acquire_owned().await;
            let answer = ssh::ask(&host, &words).await;
            (number, Told { host, answer })
        });
    }
    let mut told = asked.join_all().await;
    told.sort_by_key(|(number, _)| *number);
    told.into_iter().map(|(_, told)| told).collect()
}

/// One object with what each host has printed.
fn report(told: &[Told], out: &mut Output<impl Write>) -> Result<(), Error> {
    let hosts = told.iter().map(|told| {
        let Answer {
            exit,
            stderr,
            failure,
            ..
        } = &told.answer;
        let said = Some(stderr.trim()).filter(|said| !said.is_empty());
        HostReport {
            host: &told.host,
            ok: failure.is_none() && *exit == Some(0),
            exit: exit.filter(|_| failure.is_none()),
            error: failure.clone().or_else(|| said.map(str::to_owned)),
            output: on_one_line(&told.answer.stdout),
        }
    });
    let hosts = hosts.collect();
    let schema = SCHEMA;
    Ok(out.json_line(&HostsReport { schema, hosts })?)
}

/// The JSON that a host has written, on one line as our own is: a line break in it can only stand
/// between two values, since within a string it is escaped.
fn on_one_line(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.replace(['\n', '\r'], " ")).ok()
}

/// The lines of each host, which begin with its name; those of standard error are given to `say`.
fn lines(
    told: &[Told],
    mut say: impl FnMut(&str),
    out: &mut Output<impl Write>,
) -> Result<(), Error> {
    for told in told {
        let host = text::clean(&told.host);
        for line in told.answer.stdout.lines() {
            out.line(&format!("{host}: {line}"))?;
        }
        out.finish()?;
        match &told.answer.failure {
            Some(why) => say(&format!("{host}: {why}")),
            None => {
                for line in told.answer.stderr.lines() {
                    say(&format!("{host}: {line}"));
                }
            }
        }
    }
    Ok(())
}

/// The exit code for all: 0 if it is 0 on each host; if all others have the same code, that code;
/// or else 1.
fn common_exit(told: &[Told]) -> u8 {
    let codes = told.iter().map(|told| match &told.answer.failure {
        Some(_) => Exit::Unavailable as u8,
        None => told.answer.exit.unwrap_or(Exit::Failure as u8),
    });
    let bad: BTreeSet<u8> = codes.filter(|code| *code != 0).collect();
    match bad.len() {
        0 => 0,
        1 => bad.first().copied().unwrap_or_default(),
        _ => Exit::Failure as u8,
    }
}

fn end(code: u8) -> Result<Exit, Error> {
    if code == 0 {
        Ok(Exit::Success)
    } else {
        Err(Error::Status(code))
    }
}

/// Writes the answers of hosts in each form, for the fuzz targets: host, how ssh ended, and what
/// was written to standard output and error. Returns the exit code for all.
#[cfg(fuzzing)]
pub(crate) fn write_all(
    answers: &[(&str, Option<i32>, &[u8], &[u8])],
    out: &mut Output<impl Write>,
) -> Result<u8, Error> {
    let told = answers.iter().map(|(host, code, stdout, stderr)| Told {
        host: (*host).to_owned(),
        answer: ssh::answer(*code, stdout, stderr),
    });
    let told: Vec<Told> = told.collect();
    let mut said = Vec::new();
    report(&told, out)?;
    table::show(&told, false, out)?;
    lines(&told, |text| said.push(text.to_owned()), out)?;
    for text in said {
        out.line(&crate::output::message(&text, None, None))?;
    }
    Ok(common_exit(&told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_one_that_all_who_failed_share() {
        let told = |codes: &[Option<u8>]| -> Vec<Told> {
            let told = codes.iter().map(|exit| Told {
                host: String::new(),
                answer: Answer {
                    exit: *exit,
                    failure: exit.is_none().then(String::new),
                    ..Answer::default()
                },
            });
            told.collect()
        };
        assert_eq!(common_exit(&told(&[Some(0), Some(0)])), 0);
        assert_eq!(common_exit(&told(&[Some(0), Some(77), Some(77)])), 77);
        assert_eq!(common_exit(&told(&[Some(65), Some(77)])), 1);
        assert_eq!(common_exit(&told(&[None, Some(0)])), 69);
    }

    #[test]
    fn what_a_host_says_stays_on_one_line() {
        let said = |json: &str| on_one_line(json).map(|json| json.get().to_owned());
        assert_eq!(said("[1,\r\n2]\n").unwrap(), "[1,  2]");
        assert_eq!(said(r#""a\nb""#).unwrap(), r#""a\nb""#);
        assert_eq!(said("[1,\n"), None);
    }

    #[test]
    fn a_host_is_asked_once_and_is_never_an_option() {
        let hosts =
            |hosts: &[&str]| each_once(&hosts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(hosts(&["b", "a", "b"]).unwrap(), ["b", "a"]);
        for wrong in ["", "-oProxyCommand=x"] {
            assert!(
                matches!(hosts(&["a", wrong]), Err(Error::NoHost(_))),
                "{wrong}"
            );
        }
    }
}
