// SPDX-License-Identifier: GPL-3.0-or-later
//! Peers that differ from the database: in lines as people read them, and in JSON.

use connect_ipc::changes::{AppliedChange, Changes, PeerChange, RecordStanding, Remedy};
use serde::Serialize;

use super::paint::Paint;
use super::text;

/// How many keys of a record are named.
const KEYS_NAMED: usize = 5;

/// How many peers are named that are not done.
const PEERS_NAMED: usize = 3;

/// The command line that brings a peer in line with the database; `program` is how this program is
/// called, with the options that name the service.
pub(crate) fn command(program: &[String], change: &PeerChange) -> String {
    of_peer(program, change.remedy.command(), &change.peer)
}

/// The line of a command that is about a peer.
fn of_peer(program: &[String], command: &str, peer: &str) -> String {
    let option_like = peer.starts_with('-').then_some("--");
    let words = program.iter().map(String::as_str).chain([command]);
    text::shell_words(words.chain(option_like).chain([peer]))
}

/// How a peer differs from the database.
pub(crate) fn standing(change: &PeerChange) -> String {
    match change.standing {
        RecordStanding::Changed => {
            let named = change.keys.iter().take(KEYS_NAMED).map(String::as_str);
            let mut named: Vec<&str> = named.collect();
            let rest = change.keys.len().saturating_sub(KEYS_NAMED);
            let more = format!("and {rest} more");
            if rest > 0 {
                named.push(&more);
            }
            format!("record changed ({})", named.join(", "))
        }
        RecordStanding::Removed => "not in the database any more".to_owned(),
        RecordStanding::New => "has auto, but is not at the server".to_owned(),
    }
}

/// A peer, how it differs from the database, and the command that brings it in line.
pub(crate) fn line(program: &[String], change: &PeerChange) -> String {
    let command = command(program, change);
    let line = format!("{}: {}: {command}", change.peer, standing(change));
    text::clean(&line).into_owned()
}

/// How many peers there are, in a sentence.
pub(crate) fn total(number: u64) -> String {
    let verb = if number == 1 { "differs" } else { "differ" };
    let peers = text::count(number, "peer");
    format!("{peers} {verb} from the database")
}

/// Says that a database with `peers` peers was loaded, and that `waiting` of them differ from it.
pub(crate) fn loaded(peers: u64, waiting: u64) -> String {
    let loaded = format!("database loaded: {}", text::count(peers, "peer"));
    if waiting == 0 {
        return loaded;
    }
    format!("{loaded}; {}", total(waiting))
}

/// All of it, in lines.
pub(crate) fn lines(program: &[String], changes: &Changes) -> Vec<(Paint, String)> {
    let number = changes.counts.total();
    if number == 0 {
        return Vec::new();
    }
    let apply = text::shell_words(
        program
            .iter()
            .map(String::as_str)
            .chain(["reload", "--apply"]),
    );
    let heading = format!("{}; to bring all in line: {apply}", total(number));
    let mut lines = vec![(Paint::Doubtful, heading)];
    let listed = changes.list.iter();
    lines.extend(listed.map(|change| (Paint::Plain, format!("  {}", line(program, change)))));
    let rest = more(changes);
    if rest > 0 {
        lines.push((Paint::Plain, format!("  and {rest} more")));
    }
    lines
}

/// How many peers are not listed.
fn more(changes: &Changes) -> u64 {
    let listed = u64::try_from(changes.list.len()).unwrap_or(u64::MAX);
    changes.counts.total().saturating_sub(listed)
}

/// What is not done yet, and the command that shows why.
pub(crate) fn waiting(program: &[String], changes: &Changes, applied: &[AppliedChange]) -> String {
    let is_left = |change: &&PeerChange| applied.iter().all(|it| it.peer != change.peer);
    let left: Vec<&PeerChange> = changes.list.iter().filter(is_left).collect();
    let all = text::count(changes.counts.total(), "peer");
    let done = format!("{} of {all} brought in line", applied.len());
    let Some(first) = left.first() else {
        return format!("{done}; waiting for the others");
    };
    let named = left.iter().take(PEERS_NAMED);
    let named: Vec<&str> = named.map(|change| change.peer.as_str()).collect();
    let more = if left.len() > PEERS_NAMED {
        ", ..."
    } else {
        ""
    };
    let command = of_peer(program, "info", &first.peer);
    let line = format!(
        "{done}; waiting for {}{more}: see {command}",
        named.join(", ")
    );
    text::clean(&line).into_owned()
}

/// What was done for a peer.
pub(crate) fn done(applied: &AppliedChange) -> String {
    let what = match applied.remedy {
        Remedy::Active => "added with its present record",
        Remedy::Kill => "removed from the server",
        Remedy::Ifup => "ifup has run",
    };
    format!("{}: {what}", text::clean(&applied.peer))
}

/// What could not be done for a peer, and why: the words of the failure.
pub(crate) fn not_done(applied: &AppliedChange, words: &[String]) -> String {
    let peer = text::clean(&applied.peer);
    let what = match applied.remedy {
        Remedy::Active => "added",
        Remedy::Kill => "removed",
        Remedy::Ifup => match text::script_end(words) {
            Some(end) => return format!("ifup of {peer} {end}"),
            None => return format!("ifup of {peer} was not run: {}", text::failure(words)),
        },
    };
    format!("{peer} was not {what}: {}", text::failure(words))
}

/// The peers that differ from the database, for JSON.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ChangesReport<'a> {
    /// How many have values of an earlier record.
    pub(crate) changed: u64,
    /// How many the database does not have any more.
    pub(crate) removed: u64,
    /// How many were not added yet.
    pub(crate) new: u64,
    /// The first of them.
    pub(crate) peers: Vec<ChangeReport<'a>>,
    /// How many more there are.
    pub(crate) more: u64,
}

impl<'a> ChangesReport<'a> {
    pub(crate) fn new(program: &[String], changes: &'a Changes) -> Self {
        let listed = changes.list.iter();
        ChangesReport {
            changed: changes.counts.changed,
            removed: changes.counts.removed,
            new: changes.counts.new,
            peers: listed
                .map(|change| ChangeReport::new(program, change))
                .collect(),
            more: more(changes),
        }
    }
}

/// A peer that differs from the database.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ChangeReport<'a> {
    /// The peer's name.
    pub(crate) peer: &'a str,
    /// `changed`, `removed` or `new`.
    pub(crate) standing: RecordStanding,
    /// The keys whose new values are not in use yet.
    pub(crate) keys: &'a [String],
    /// `active`, `kill` or `ifup`.
    pub(crate) remedy: Remedy,
    /// The command line.
    pub(crate) command: String,
}

impl<'a> ChangeReport<'a> {
    pub(crate) fn new(program: &[String], change: &'a PeerChange) -> Self {
        ChangeReport {
            peer: &change.peer,
            standing: change.standing,
            keys: &change.keys,
            remedy: change.remedy,
            command: command(program, change),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(peer: &str, keys: usize) -> PeerChange {
        PeerChange {
            peer: peer.to_owned(),
            standing: RecordStanding::Changed,
            keys: (0..keys).map(|key| format!("k{key}")).collect(),
            remedy: Remedy::Kill,
        }
    }

    #[test]
    fn a_command_can_be_pasted_whatever_the_peer_is_called() {
        let program = ["connect-cli", "-a", "a b"].map(str::to_owned);
        for (peer, command_line) in [
            ("p", "connect-cli -a 'a b' kill p"),
            ("-p q", "connect-cli -a 'a b' kill -- '-p q'"),
            ("a'b", r"connect-cli -a 'a b' kill 'a'\''b'"),
        ] {
            assert_eq!(command(&program, &change(peer, 0)), command_line);
        }
    }

    #[test]
    fn what_could_not_be_done_is_a_sentence() {
        for (remedy, words, expected) in [
            (
                Remedy::Ifup,
                "exit-nonzero 2",
                "ifup of aa ended with status 2",
            ),
            (
                Remedy::Ifup,
                "exit-signal S9",
                "ifup of aa was killed by signal 9",
            ),
            (
                Remedy::Ifup,
                "exit-unknown 0x7f",
                "ifup of aa ended with unknown status 0x7f",
            ),
            (
                Remedy::Ifup,
                "not-started 'no such file'",
                "ifup of aa was not started: no such file",
            ),
            (
                Remedy::Ifup,
                "timed-out",
                "ifup of aa was ended at its time limit",
            ),
            (
                Remedy::Ifup,
                "exit-lost",
                "ifup of aa has ended, but nobody knows how",
            ),
            (
                Remedy::Ifup,
                "no-script aa",
                "ifup of aa was not run: no-script aa: its record names no such script",
            ),
            (
                Remedy::Active,
                "resolve-error host.example",
                "aa was not added: resolve-error host.example: this name has no address, or cannot \
                 be looked up",
            ),
            (Remedy::Kill, "strange", "aa was not removed: strange"),
        ] {
            let words = tripe_admin::split(words);
            let applied = AppliedChange {
                peer: "aa".to_owned(),
                remedy,
                failure: None,
            };
            assert_eq!(not_done(&applied, &words), expected);
        }
    }

    #[test]
    fn what_is_waited_for_is_named_with_the_command_that_shows_why() {
        let peers = ["a", "b", "c", "d", "-e"];
        let mut list: Vec<PeerChange> = peers
            .map(|peer| PeerChange {
                peer: peer.to_owned(),
                ..change("", 1)
            })
            .into();
        let mut changes = Changes::default();
        changes.counts.changed = 5;
        changes.list = list.clone();
        let done = |peer: &str| AppliedChange {
            peer: peer.to_owned(),
            remedy: Remedy::Ifup,
            failure: None,
        };
        let program = ["connect-cli".to_owned()];
        let mut applied = vec![done("b")];
        assert_eq!(
            waiting(&program, &changes, &applied),
            "1 of 5 peers brought in line; waiting for a, c, d, ...: see connect-cli info a"
        );
        applied.extend(["a", "c", "d"].map(done));
        assert_eq!(
            waiting(&program, &changes, &applied),
            "4 of 5 peers brought in line; waiting for -e: see connect-cli info -- -e"
        );
        changes.list = list.drain(..1).collect();
        assert_eq!(
            waiting(&program, &changes, &applied),
            "4 of 5 peers brought in line; waiting for the others"
        );
    }

    #[test]
    fn only_so_many_keys_are_named() {
        assert_eq!(
            standing(&change("p", 5)),
            "record changed (k0, k1, k2, k3, k4)"
        );
        assert_eq!(
            standing(&change("p", 7)),
            "record changed (k0, k1, k2, k3, k4, and 2 more)"
        );
    }
}
