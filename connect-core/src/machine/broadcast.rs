// SPDX-License-Identifier: GPL-3.0-or-later
//! What the service sends through the server: notifications, warnings, answers to jobs.

use std::iter;

use connect_ipc::RunId;
use tripe_admin::Address;
use tripe_admin::session::{MAX_SENT, Refused, fit_word};
use tripe_admin::token;

use super::server::Pending;
use super::{Machine, SERVICE};

/// The least room for a word that is cut: enough to recognise it.
const MIN_ROOM: usize = 8;

/// Replaces words that are left out at the end of a line.
const CUT_MARK: &str = "...";

/// Whether words fit into a line without cutting, however they are quoted. Quoting at most doubles
/// a word, and adds two quotes and a space.
fn fits_surely<'a>(words: impl Iterator<Item = &'a str>) -> bool {
    let mut most = 0;
    for word in words {
        most += 2 * word.len() + 3;
        if most > MAX_SENT || word.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return false;
        }
    }
    true
}

/// Makes `words` fit into a line: newlines become spaces; if the line is too long its longest word
/// is cut, and if that is not enough its last words are left out.
fn fit(words: &mut Vec<String>) {
    for word in words.iter_mut().filter(|word| word.contains(['\n', '\r'])) {
        *word = word.replace(['\n', '\r'], " ");
    }
    // Cutting the longest word once is enough unless several are very long.
    for _ in 0..words.len() {
        let length = token::join(&*words).len();
        if length <= MAX_SENT {
            return;
        }
        let Some(longest) = words.iter_mut().max_by_key(|word| word.len()) else {
            return;
        };
        let own = token::join([&*longest]).len();
        if own <= MIN_ROOM {
            break;
        }
        let room = own.saturating_sub(length - MAX_SENT).max(MIN_ROOM);
        *longest = fit_word(longest, room);
    }
    if token::join(&*words).len() > MAX_SENT {
        let mut room = MAX_SENT - CUT_MARK.len();
        let fitting = words.iter().take_while(|word| {
            let own = token::join([word]).len() + 1;
            let fits = own <= room;
            room = room.saturating_sub(own);
            fits
        });
        let kept = fitting.count();
        words.truncate(kept);
        words.push(CUT_MARK.to_owned());
    }
}

/// The peer and the script that a notification or warning is about, for the fields of its entry in
/// the journal (the manual, "Notifications" and "Warnings").
fn subject<'a>(words: &[&'a str]) -> (Option<&'a str>, Option<&'a str>) {
    match *words {
        [
            script @ ("ifup" | "ifdown" | "connect" | "disconnect" | "on-up" | "on-down"),
            peer,
            _,
            ..,
        ] => (Some(peer), Some(script)),
        ["peerdb-error" | "peerdb-update", ..] => (None, None),
        [_, peer, ..] => (Some(peer), None),
        _ => (None, None),
    }
}

/// The words of a notification or warning.
fn joined<'a>(
    head: impl IntoIterator<Item = &'a str>,
    tail: &'a [impl AsRef<str>],
) -> Vec<&'a str> {
    let tail = tail.iter().map(AsRef::as_ref);
    head.into_iter().chain(tail).collect()
}

/// Logs a warning about a run of a script, or about a peer with this address.
fn log_warning(run: Option<RunId>, address: Option<&Address>, words: &[&str]) {
    let (_peer, _script) = subject(words);
    tracing::warn!(
        _peer,
        _script,
        _run = run.map(|run| run.0),
        address = address.map(tracing::field::display),
        "{}",
        token::join(words)
    );
}

impl Machine {
    /// Sends one line, cut to fit. Without a server there is nobody to tell.
    fn say(&mut self, keyword: &'static str, first: &str, rest: &[impl AsRef<str>]) {
        if !self.server.is_connected() {
            return;
        }
        let context = Pending::Routine(keyword);
        let rest = rest.iter().map(AsRef::as_ref);
        let words = [keyword, first].into_iter().chain(rest);
        let sent = if fits_surely(words.clone()) {
            self.server.session.command(context, words)
        } else {
            let mut words: Vec<String> = words.map(str::to_owned).collect();
            fit(&mut words);
            self.server.session.command(context, &words)
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "cannot send a line to the server");
        }
    }

    /// Broadcasts `WARN USER connect ...`.
    pub(super) fn warn<'a>(
        &mut self,
        head: impl IntoIterator<Item = &'a str>,
        tail: &'a [impl AsRef<str>],
    ) {
        self.warn_of(None, head, tail);
    }

    /// As [`Machine::warn`], about a run of a script.
    pub(super) fn warn_of<'a>(
        &mut self,
        run: Option<RunId>,
        head: impl IntoIterator<Item = &'a str>,
        tail: &'a [impl AsRef<str>],
    ) {
        let words = joined(head, tail);
        log_warning(run, None, &words);
        self.say("WARN", SERVICE, &words);
    }

    /// As [`Machine::warn`], about a knock, whose address the log has as well.
    pub(super) fn warn_of_knock<'a>(
        &mut self,
        address: &Address,
        head: impl IntoIterator<Item = &'a str>,
        tail: &'a [impl AsRef<str>],
    ) {
        let words = joined(head, tail);
        log_warning(None, Some(address), &words);
        self.say("WARN", SERVICE, &words);
    }

    /// Broadcasts `WARN USER connect ...`, but logs nothing: the caller has logged it.
    pub(super) fn warn_unlogged<const N: usize>(&mut self, head: [&str; N], tail: &[&String]) {
        let tail = tail.iter().map(|word| word.as_str());
        let words: Vec<&str> = head.into_iter().chain(tail).collect();
        self.say("WARN", SERVICE, &words);
    }

    /// Broadcasts `NOTE USER connect ...` of a fault. The log has it as a warning, beside the
    /// warnings that follow from it.
    pub(super) fn notify_fault<'a>(
        &mut self,
        head: impl IntoIterator<Item = &'a str>,
        tail: &'a [impl AsRef<str>],
    ) {
        let words = joined(head, tail);
        log_warning(None, None, &words);
        self.say("NOTIFY", SERVICE, &words);
    }

    /// As [`Machine::notify_fault`], but logs nothing: the caller has logged it.
    pub(super) fn notify_unlogged(&mut self, word: &str) {
        self.say("NOTIFY", SERVICE, &[word]);
    }

    /// Broadcasts `NOTE USER connect ...`, about a run of a script.
    pub(super) fn notify_of<'a>(
        &mut self,
        run: Option<RunId>,
        head: impl IntoIterator<Item = &'a str>,
        tail: &'a [impl AsRef<str>],
    ) {
        let words = joined(head, tail);
        let (_peer, _script) = subject(&words);
        tracing::info!(
            _peer,
            _script,
            _run = run.map(|run| run.0),
            "{}",
            token::join(&words)
        );
        self.say("NOTIFY", SERVICE, &words);
    }

    /// Gives one line of a job's answer.
    pub(super) fn job_info(&mut self, id: &str, words: &[String]) {
        if self.commands.has_job(id) {
            self.say("SVCINFO", id, words);
        }
    }

    /// Ends a job with success.
    pub(super) fn job_done(&mut self, id: &str) {
        if self.commands.end_job(id) {
            self.say("SVCOK", id, &[""; 0]);
        }
    }

    /// Ends a job with failure.
    pub(super) fn job_failed(&mut self, id: &str, failure: &[String]) {
        if self.commands.end_job(id) {
            self.say("SVCFAIL", id, failure);
        }
    }

    /// Sends a foreground command that must not be cut.
    ///
    /// # Errors
    /// As [`tripe_admin::session::Session::command`]; nothing is sent and the context is dropped.
    pub(super) fn command<'a>(
        &mut self,
        context: Pending,
        keyword: &'a str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Refused> {
        self.server
            .session
            .command(context, iter::once(keyword).chain(arguments))
    }

    /// As [`Machine::command`], for commands about a peer of the server. If the line cannot be
    /// sent, that is because of the peer's name. Returns whether it was sent.
    pub(super) fn command_on_peer(&mut self, context: Pending, keyword: &str, peer: &str) -> bool {
        let sent = self.command(context, keyword, [peer]);
        was_sent(peer, &sent)
    }
}

/// Whether a command about a peer was sent; if not, why is logged.
pub(super) fn was_sent(peer: &str, sent: &Result<(), Refused>) -> bool {
    if let Err(error) = sent {
        tracing::warn!(peer, %error, "cannot ask the server about the peer");
    }
    sent.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_line_is_about_is_told_to_the_journal() {
        let of = |line: &'static str| subject(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(of("ifup oslo exit-nonzero 3"), (Some("oslo"), Some("ifup")));
        assert_eq!(of("ping-timeout oslo attempt 1 of 3"), (Some("oslo"), None));
        assert_eq!(of("reconnecting ifup"), (Some("ifup"), None));
        assert_eq!(of("peerdb-error damaged"), (None, None));
        assert_eq!(of("peerdb-update"), (None, None));
    }

    #[test]
    fn the_longest_word_is_cut() {
        let mut words = vec!["WARN".to_owned(), "connect".to_owned(), "x y".repeat(200)];
        fit(&mut words);
        assert_eq!(token::join(&words).len(), MAX_SENT);
        assert_eq!(words[1], "connect");
        assert!(words[2].ends_with("..."));
    }

    #[test]
    fn of_too_many_short_words_the_last_are_left_out() {
        let mut words: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        fit(&mut words);
        assert!(token::join(&words).len() <= MAX_SENT);
        assert_eq!(words[..2], ["0", "1"]);
        assert_eq!(words.last().map(String::as_str), Some(CUT_MARK));
    }

    proptest! {
        #[test]
        fn everything_fits(words in proptest::collection::vec(".{0,300}", 1..30)) {
            let mut words = words;
            if fits_surely(words.iter().map(String::as_str)) {
                let line = token::join(&words);
                prop_assert!(line.len() <= MAX_SENT && !line.contains('\n'), "{} {line}", line.len());
            }
            fit(&mut words);
            let line = token::join(&words);
            prop_assert!(line.len() <= MAX_SENT && !line.contains('\n'), "{} {line}", line.len());
        }
    }
}
