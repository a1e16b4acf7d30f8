// SPDX-License-Identifier: GPL-3.0-or-later
//! Events as people read them.

use connect_ipc::event::{DownReason, EventKind, Removal, UpReason};
use connect_ipc::scripts::{Ended, Stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tripe_admin::token;

use super::change_text;
use super::knock_text;
use super::overdue_text;
use super::paint::Paint;
use super::text;

/// The local time of an event, given in milliseconds since 1970.
pub(crate) fn local_time(at: u64, form: &str) -> String {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(at).map_or_else(
        |_| text::NOTHING.to_owned(),
        |at| {
            at.to_zoned_datetime(TimeZone::system())
                .strftime(form)
                .to_string()
        },
    )
}

/// How a script ended.
pub(crate) fn script_end(end: &Ended) -> (String, Paint) {
    let text = match end {
        Ended::Exited(0) => return ("exit status 0".to_owned(), Paint::Good),
        Ended::Exited(status) => format!("exit status {status}"),
        Ended::Signal(signal) => format!("killed by signal {signal}"),
        Ended::Unknown(status) => format!("ended with unknown status {status:#x}"),
        Ended::NotStarted(why) => format!("not started: {why}"),
        Ended::TimedOut => "ended at its time limit".to_owned(),
        Ended::Stopped => return ("stopped".to_owned(), Paint::Plain),
        Ended::Lost => "ended, but nobody knows how".to_owned(),
    };
    (text, Paint::Bad)
}

/// Why the server does not have a peer any more.
pub(crate) fn removal(removal: Removal) -> String {
    match removal {
        Removal::Silence { pings } => {
            format!("no answer to {}", text::count(u64::from(pings), "ping"))
        }
        Removal::Command => {
            "by a command, by the other host, or because the server ended".to_owned()
        }
        Removal::Left => "by the other host, or by a command".to_owned(),
        Removal::Replaced => "to be added again".to_owned(),
        Removal::Server => "the server ended, or was started again without it".to_owned(),
        Removal::Unseen => "while the service did not run, or was not connected".to_owned(),
    }
}

fn removed(why: Removal) -> String {
    let mark = match why {
        Removal::Silence { .. } | Removal::Server => ":",
        Removal::Command | Removal::Left | Removal::Replaced | Removal::Unseen => "",
    };
    format!("removed{mark} {}", removal(why))
}

/// Helpers connect, disconnect or are silent; checks are overdue; the state file has a fault.
fn parts_of_the_service(kind: &EventKind) -> String {
    let lasted = |seconds: &u64| format!("for {}", text::span(*seconds));
    match kind {
        EventKind::HelperConnected { helper, pid } => {
            let pid = pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
            format!("{helper} is connected{pid}")
        }
        EventKind::HelperDisconnected { helper } => format!("{helper} is not connected any more"),
        EventKind::StateFault { fault } => format!("state not saved: {fault}"),
        EventKind::StateSaved { seconds } => {
            format!("the state is saved again, after {}", text::span(*seconds))
        }
        EventKind::ChecksOverdue { cause, seconds } => {
            let cause = overdue_text::cause(*cause);
            format!(
                "checks or answers have been overdue {}: {cause}",
                lasted(seconds)
            )
        }
        EventKind::ChecksResumed { seconds } => {
            format!(
                "checks and answers are on time again; they were overdue {}",
                lasted(seconds)
            )
        }
        EventKind::ScriptsOverdue { seconds } => {
            format!("the script helper has been silent {}", lasted(seconds))
        }
        EventKind::ScriptsResumed { seconds } => {
            format!(
                "the script helper answers again; it was silent {}",
                lasted(seconds)
            )
        }
        _ => String::new(),
    }
}

/// A script has started, says something, has ended, or still runs although it was sent `KILL`.
fn one_script(kind: &EventKind) -> String {
    match kind {
        EventKind::Survives { script, pid } => {
            let pid = pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
            format!("{} had to end, but survives KILL{pid}", script.name())
        }
        EventKind::Started { script, pid } => format!("{} started, pid {pid}", script.name()),
        EventKind::Output {
            script,
            stream,
            line,
        } => {
            let mark = match stream {
                Stream::Stdout => '|',
                Stream::Stderr => '!',
            };
            format!("{} {mark} {line}", script.name())
        }
        EventKind::Ended { script, end } => format!("{}: {}", script.name(), script_end(end).0),
        _ => String::new(),
    }
}

/// The journal of scripts has a fault, or scripts wait for places.
fn scripts_as_a_whole(kind: &EventKind) -> String {
    match kind {
        EventKind::JournalFault { fault } => format!("fault of the journal of scripts: {fault}"),
        EventKind::JournalKept { seconds } => {
            let after = text::span(*seconds);
            format!("the journal of scripts is in order again, after {after}")
        }
        EventKind::PlacesFull { lane, seconds } => {
            let (scripts, since) = (lane.scripts(), text::span(*seconds));
            format!("{scripts} scripts have waited for a place for {since}")
        }
        EventKind::PlacesFree { lane, seconds } => {
            let (scripts, after) = (lane.scripts(), text::span(*seconds));
            format!("{scripts} scripts do not wait for a place any more, after {after}")
        }
        _ => String::new(),
    }
}

/// What happened. The words may hold control characters: see [`text::clean`].
pub(crate) fn describe(kind: &EventKind) -> (String, Paint) {
    let text = match kind {
        EventKind::Added { .. }
        | EventKind::Moved { .. }
        | EventKind::NewAddress { .. }
        | EventKind::LookupFailed { .. }
        | EventKind::Knock { .. } => address_of_a_peer(kind),
        EventKind::Removed(removal) => removed(*removal),
        EventKind::Back { away } => format!("at the server again after {}", text::span(*away)),
        EventKind::Up { reason } => format!("up: {}", up(*reason)),
        EventKind::Down { reason } => format!("down: {}", down(*reason)),
        EventKind::Adopted {} => "adopted: it is pinged from now on".to_owned(),
        EventKind::Disowned {} => "disowned: it is not pinged any more".to_owned(),
        EventKind::Keys {} => "keys agreed".to_owned(),
        EventKind::Reply { millis } => format!("reply in {}", text::millis(Some(*millis))),
        EventKind::Missed { attempt, of } => format!("no reply, attempt {attempt} of {of}"),
        EventKind::Failed { error } => format!("ping not sent: {}", text::failure(error)),
        // The failed pings were those of an earlier check.
        EventKind::Recovered { failures: 0 } => "answers again".to_owned(),
        EventKind::Recovered { failures } => {
            let pings = text::count(*failures, "failed ping");
            format!("answers again after {pings}")
        }
        EventKind::Unreachable {
            failed_checks,
            next_ms,
        } => unreachable(*failed_checks, *next_ms),
        EventKind::Reconnecting {} => "reconnecting".to_owned(),
        EventKind::Survives { .. }
        | EventKind::Started { .. }
        | EventKind::Output { .. }
        | EventKind::Ended { .. } => one_script(kind),
        EventKind::Database { peers, waiting } => change_text::loaded(*peers, waiting.total()),
        EventKind::DatabaseFault { fault } => format!("database not usable: {fault}"),
        EventKind::Joined {} => "joined the server".to_owned(),
        EventKind::Lost {} => "the server cannot be reached".to_owned(),
        EventKind::HelperConnected { .. }
        | EventKind::HelperDisconnected { .. }
        | EventKind::ChecksOverdue { .. }
        | EventKind::ChecksResumed { .. }
        | EventKind::ScriptsOverdue { .. }
        | EventKind::ScriptsResumed { .. }
        | EventKind::StateFault { .. }
        | EventKind::StateSaved { .. } => parts_of_the_service(kind),
        EventKind::JournalFault { .. }
        | EventKind::JournalKept { .. }
        | EventKind::PlacesFull { .. }
        | EventKind::PlacesFree { .. } => scripts_as_a_whole(kind),
        EventKind::Command { words, by } => format!("command by {by}: {}", token::join(words)),
    };
    (text, paint(kind))
}

/// What happened to the address of a peer, or who knocks from which.
fn address_of_a_peer(kind: &EventKind) -> String {
    match kind {
        EventKind::Added { address, interface } => {
            format!("added at {} as {interface}", text::address(address))
        }
        EventKind::Moved { address } => format!("moved to {}", text::address(address)),
        EventKind::NewAddress { from, to } => {
            let (from, to) = (text::address(from), text::address(to));
            format!("its host name has a new address: {to} in place of {from}")
        }
        EventKind::LookupFailed { host, error } => format!("cannot look up {host}: {error}"),
        EventKind::Knock { address, refused } => {
            let knocks = format!("knocks from {}", text::address(address));
            match refused {
                Some(why) => format!("{knocks}, refused: {}", knock_text::reason(*why)),
                None => knocks,
            }
        }
        _ => String::new(),
    }
}

/// `failed_checks` checks of a peer failed in a row. The next begins in `next_ms` milliseconds;
/// `None` if the peer is removed.
fn unreachable(failed_checks: u32, next_ms: Option<u64>) -> String {
    let row = if failed_checks == 1 { "" } else { " in a row" };
    let checks = text::count(failed_checks, "check");
    let next = match next_ms {
        Some(next) => format!("next in {}", text::wait(next)),
        None => "so it is removed".to_owned(),
    };
    format!("unreachable: {checks}{row} failed, {next}")
}

/// Why a peer is up.
const fn up(reason: UpReason) -> &'static str {
    match reason {
        UpReason::FirstReply => "first reply",
        UpReason::Recovered => "answers again",
    }
}

/// Why a peer is not up any more. For a removal, the words are those of the event `removed`.
fn down(reason: DownReason) -> String {
    removed(match reason {
        DownReason::Unreachable => return "unreachable".to_owned(),
        DownReason::Silence => return "removed because it did not answer".to_owned(),
        DownReason::Command => Removal::Command,
        DownReason::Left => Removal::Left,
        DownReason::Replaced => Removal::Replaced,
        DownReason::Server => Removal::Server,
        DownReason::Unseen => Removal::Unseen,
    })
}

/// Whether what happened is good or bad.
fn paint(kind: &EventKind) -> Paint {
    match kind {
        EventKind::Keys {}
        | EventKind::Recovered { .. }
        | EventKind::Back { .. }
        | EventKind::Up { .. }
        | EventKind::Database { .. }
        | EventKind::Joined {}
        | EventKind::HelperConnected { .. }
        | EventKind::ChecksResumed { .. }
        | EventKind::ScriptsResumed { .. }
        | EventKind::StateSaved { .. }
        | EventKind::JournalKept { .. }
        | EventKind::PlacesFree { .. } => Paint::Good,
        EventKind::Removed(Removal::Command | Removal::Replaced)
        | EventKind::Down {
            reason: DownReason::Command | DownReason::Replaced,
        }
        | EventKind::Missed { .. }
        | EventKind::NewAddress { .. }
        | EventKind::LookupFailed { .. }
        | EventKind::Knock {
            refused: Some(_), ..
        }
        | EventKind::Reconnecting {} => Paint::Doubtful,
        EventKind::Removed(
            Removal::Silence { .. } | Removal::Left | Removal::Server | Removal::Unseen,
        )
        | EventKind::Failed { .. }
        | EventKind::Unreachable { .. }
        | EventKind::Down { .. }
        | EventKind::DatabaseFault { .. }
        | EventKind::Lost {}
        | EventKind::HelperDisconnected { .. }
        | EventKind::ChecksOverdue { .. }
        | EventKind::ScriptsOverdue { .. }
        | EventKind::StateFault { .. }
        | EventKind::JournalFault { .. }
        | EventKind::PlacesFull { .. }
        | EventKind::Survives { .. } => Paint::Bad,
        EventKind::Ended { end, .. } => script_end(end).1,
        _ => Paint::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_form_asked_for_and_one_out_of_range_is_a_dash() {
        assert_eq!(local_time(u64::MAX, "%F"), "-");
        assert_eq!(local_time(1_700_000_000_123, "%3f"), "123");
    }

    #[test]
    fn events_that_count_one_say_so() {
        let said = |kind| describe(&kind).0;
        assert_eq!(
            said(EventKind::Unreachable {
                failed_checks: 1,
                next_ms: Some(1)
            }),
            "unreachable: 1 check failed, next in 1s"
        );
        assert_eq!(
            said(EventKind::Unreachable {
                failed_checks: 3,
                next_ms: Some(61_000)
            }),
            "unreachable: 3 checks in a row failed, next in 1m1s"
        );
        assert_eq!(
            said(EventKind::Removed(Removal::Silence { pings: 1 })),
            "removed: no answer to 1 ping"
        );
        assert_eq!(
            said(EventKind::Recovered { failures: 1 }),
            "answers again after 1 failed ping"
        );
        assert_eq!(said(EventKind::Recovered { failures: 0 }), "answers again");
    }

    /// The page of events has, after each example, the text that is printed for it. With
    /// `UPDATE_PAGES` set, the texts are written into the page.
    #[test]
    fn the_page_of_events_shows_what_is_printed() {
        const PRINTED: &str = "Printed as: `";
        let page =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/events.md");
        let text = std::fs::read_to_string(&page).unwrap();
        let mut printed = None;
        let mut shown = 0;
        let mut lines = Vec::new();
        for line in text.lines() {
            if line.starts_with("{\"seq\":") {
                let event: connect_ipc::event::Event = serde_json::from_str(line).unwrap();
                printed = Some(describe(&event.kind).0);
            }
            if line.starts_with(PRINTED) {
                lines.push(format!("{PRINTED}{}`", printed.take().unwrap()));
                shown += 1;
            } else {
                lines.push(line.to_owned());
            }
        }
        assert_eq!(shown, connect_ipc::event::EventName::ALL.len());
        let fresh = lines.join("\n") + "\n";
        if std::env::var_os("UPDATE_PAGES").is_some() {
            std::fs::write(&page, fresh).unwrap();
        } else {
            assert!(text == fresh, "{fresh}");
        }
    }
}
