// SPDX-License-Identifier: GPL-3.0-or-later
//! Whether a peer's record fits into the messages between the processes.

use connect_ipc::RunId;
use connect_ipc::frame::{MAX_FRAME, length};
use connect_ipc::scripts::{Run, ScriptKind, ToScripts};
use connect_ipc::setup::Pair;
use peerdb::Record;

use crate::scripts::{Script, interface_script, shell_script};

/// The most bytes that stand round the contents of a message, such as the number of a request.
const ENVELOPE: usize = 64;

/// The most bytes of a message's contents.
pub const MAX_CONTENTS: usize = MAX_FRAME - ENVELOPE;

/// What a message may carry beside what comes from the record: the peer's name, interface, address
/// and algorithms, which the server tells in short lines.
const BESIDES: usize = 16 * 1024;

/// The most bytes that a record may take in a message. It follows from what a message may have.
pub const MAX_RECORD: usize = MAX_FRAME - BESIDES;

/// How many bytes of a message a byte of a value can become: a control character has six in JSON,
/// and the value of `ifup` is in the command and in the environment.
const MOST_FOR_ONE: usize = 12;

/// How many bytes stand round a key or a value in JSON, with its prefix, at the most.
const AROUND: usize = 16;

/// The size of the largest message with what comes of a record, if it is larger than
/// [`MAX_RECORD`].
#[must_use]
pub fn oversize(record: &Record) -> Option<usize> {
    // Nearly all records are far too small to be measured.
    let raw = record
        .iter()
        .map(|(key, value)| key.len() + value.len() + AROUND);
    if raw.sum::<usize>() * MOST_FOR_ONE <= MAX_RECORD {
        return None;
    }
    let pairs: Vec<(&str, &str)> = record.iter().collect();
    let script = |kind: ScriptKind| match kind.pair() {
        // A hook has the words and the variables of an interface script.
        Pair::Interface | Pair::Hooks => interface_script(record, kind, Vec::new(), &[]),
        Pair::Connection => shell_script(record, kind),
    };
    // A value that cannot be executed is told of by itself.
    let scripts = ScriptKind::ALL.map(|kind| (kind, script(kind))).into_iter();
    let runs = scripts.filter_map(|(kind, script)| Some(run(record, kind, script.ok()??)));
    let largest = runs.fold(length(&pairs), |largest, run| largest.max(length(&run)));
    (largest > MAX_RECORD).then_some(largest)
}

/// The message by which a script is run.
fn run(record: &Record, kind: ScriptKind, script: Script) -> ToScripts {
    ToScripts::Run(vec![Run {
        run: RunId(0),
        peer: record.name().to_owned(),
        kind,
        command: script.command,
        environment: script.environment,
        limit: None,
        setup: None,
        undoes: Vec::new(),
    }])
}

/// Says that what comes of a record is too large.
#[must_use]
pub fn too_large(size: usize) -> String {
    format!(
        "the record is too large: a message with it between the processes has {size} bytes, but \
         at most {MAX_RECORD} are allowed: shorten its values"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(notes: usize, length: usize, more: &[(&str, &str)]) -> Record {
        let notes = (0..notes).map(|note| (format!("note{note}"), "x".repeat(length)));
        let more = more
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Record::new("p", notes.chain(more))
    }

    #[test]
    fn a_record_that_does_not_fit_is_found_whichever_message_it_is_for() {
        assert_eq!(oversize(&record(10, 60_000, &[])), None);
        let large = oversize(&record(20, 60_000, &[]));
        assert!(large.is_some_and(|size| size > 1_200_000), "{large:?}");
        // In the message of the script it is in the command and in the environment.
        let words = "a ".repeat(250_000);
        assert_eq!(oversize(&record(0, 0, &[("note", &words)])), None);
        assert!(oversize(&record(0, 0, &[("ifup", &words)])).is_some());
        assert!(oversize(&record(0, 0, &[("on-down", &words)])).is_some());
        // What JSON has to escape takes more room.
        let odd = "\u{1}".repeat(200_000);
        assert!(oversize(&record(0, 0, &[("note", &odd)])).is_some());
    }

    #[test]
    fn the_largest_record_that_passes_fits_into_every_message() {
        let fits = (0..).map(|step| record(1, MAX_RECORD - 60 - step, &[("ifup", "/x")]));
        let largest = fits.into_iter().find(|record| oversize(record).is_none());
        let largest = largest.unwrap();
        let arguments = vec!["y".repeat(1_000); 3];
        let algorithms = vec![("a".repeat(200), "b".repeat(200)); 20];
        let kind = ScriptKind::Ifup;
        let script = interface_script(&largest, kind, arguments, &algorithms);
        let message = run(&largest, kind, script.unwrap().unwrap());
        assert!(length(&message) <= MAX_FRAME);
        assert!(length(&message) > MAX_RECORD);
    }
}
