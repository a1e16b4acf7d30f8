// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts are run for a peer, and with which arguments, environment and time limit.

use connect_ipc::scripts::{Command, ScriptKind};
use peerdb::Record;
use tripe_admin::Interval;

use crate::environment::environment;
use crate::value::{self, Expected, ValueError};

/// The program that `ifup` or `ifdown` runs; `None` without the key, or if it cannot be executed.
#[must_use]
pub fn program(record: &Record, key: &str) -> Option<String> {
    value::words(record, key).ok()??.into_iter().next()
}

/// A script as it is to be run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Script {
    /// What to execute.
    pub command: Command,
    /// Variables to set.
    pub environment: Vec<(String, String)>,
}

/// The arguments of `ifup` after those in the record: the peer, its interface and its address in
/// words (the manual, "Configuring interfaces").
#[must_use]
pub fn ifup_arguments(name: &str, ifname: &str, address: Vec<String>) -> Vec<String> {
    [name.to_owned(), ifname.to_owned()]
        .into_iter()
        .chain(address)
        .collect()
}

/// `ifup` or `ifdown`: the words of the record, and `arguments` after them; `None` without the key.
///
/// # Errors
/// [`ValueError`] if the value cannot be executed.
pub fn interface_script(
    record: &Record,
    kind: ScriptKind,
    arguments: Vec<String>,
    algorithms: &[(String, String)],
) -> Result<Option<Script>, ValueError> {
    let Some(mut words) = value::words(record, kind.name())? else {
        return Ok(None);
    };
    words.extend(arguments);
    Ok(Some(Script {
        command: Command::Exec(words),
        environment: environment(record, algorithms),
    }))
}

/// `connect` or `disconnect`: the record's value for the shell, without variables of ours; `None`
/// without the key.
///
/// # Errors
/// [`ValueError`] if the value is blank, or cannot be executed.
pub fn shell_script(record: &Record, kind: ScriptKind) -> Result<Option<Script>, ValueError> {
    let Some(line) = record.get(kind.name()) else {
        return Ok(None);
    };
    if line.contains('\0') || line.trim().is_empty() {
        return Err(value::unexpected(
            record,
            kind.name(),
            line,
            Expected::Words,
        ));
    }
    Ok(Some(Script {
        command: Command::Shell(line.to_owned()),
        environment: Vec::new(),
    }))
}

/// How long the script may take if its record says so (key `KIND-timeout`). With 0 it is ended at
/// once.
///
/// # Errors
/// [`ValueError`] if the value is no time.
pub fn limit(record: &Record, kind: ScriptKind) -> Result<Option<Interval>, ValueError> {
    value::interval(record, &format!("{}-timeout", kind.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_scripts_are_words_and_shell_scripts_lines() {
        let record = Record::new(
            "p",
            [
                ("ifup", "run 'a b'"),
                ("connect", "ssh hub | head"),
                ("disconnect", " "),
                ("ifup-timeout", "30"),
            ],
        );
        let arguments = ifup_arguments("p", "tripe0", vec!["INET".into()]);
        let ifup = interface_script(&record, ScriptKind::Ifup, arguments, &[])
            .unwrap()
            .unwrap();
        let words = ["run", "a b", "p", "tripe0", "INET"].map(str::to_owned);
        assert_eq!(ifup.command, Command::Exec(words.to_vec()));
        assert!(
            ifup.environment
                .contains(&("P_IFUP_TIMEOUT".into(), "30".into()))
        );
        let connect = shell_script(&record, ScriptKind::Connect).unwrap().unwrap();
        assert_eq!(connect.command, Command::Shell("ssh hub | head".into()));
        assert!(connect.environment.is_empty());
        assert!(shell_script(&record, ScriptKind::Disconnect).is_err());
        assert_eq!(
            interface_script(&record, ScriptKind::Ifdown, Vec::new(), &[]).unwrap(),
            None
        );
        let seconds = |kind| limit(&record, kind).unwrap().map(Interval::seconds);
        assert_eq!(seconds(ScriptKind::Ifup), Some(30));
        assert_eq!(seconds(ScriptKind::Ifdown), None);
    }
}
