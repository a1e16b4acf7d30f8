// SPDX-License-Identifier: GPL-3.0-or-later
//! The bookkeeping of one administration connection, without any I/O: which answer belongs to
//! which command.
//!
//! ```text
//!   command(), background(), cancel()          receive(line)
//!            |                                       |
//!            v                                       v
//!      +---------------------- Session ------------------+
//!      | queue of unanswered commands   table of jobs    |
//!      +-------------------------------------------------+
//!            |                                       |
//!            v                                       v
//!       take_output(): bytes to send            Event<T>
//! ```
//!
//! The caller gives a value of its own type `T` with every command and gets it back with the
//! answer, so it needs no futures and no channels of its own.

use std::collections::VecDeque;
use std::fmt;

use crate::bytes;
use crate::message::{Failure, ServerLine};
use crate::note::Note;
use crate::tag::Tag;
use crate::token::{self, Words};

/// The longest line that may be sent to the server, newline not counted (tripe-admin.md, 1.2).
pub const MAX_SENT: usize = 255;

/// Why a command was not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The line would be longer than [`MAX_SENT`].
    #[error(
        "the command `{start}...' is {length} bytes long and the server takes {MAX_SENT} at most"
    )]
    TooLong {
        /// How the line begins.
        start: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A word holds a newline, which no quoting can carry.
    #[error("the command `{start}...' holds a newline, which the protocol cannot carry")]
    Newline {
        /// The first line of the command.
        start: String,
    },
    /// There is no connection. The command is not kept for the next one: that has a new session, in
    /// which its answer would be taken for that of another command.
    #[error("the server cannot be reached")]
    NotConnected,
}

/// What a line from the server means to the caller.
#[derive(Debug)]
pub enum Event<'a, T> {
    /// A line of information for a command still under way.
    Info {
        /// The caller's value for the command.
        context: &'a mut T,
        /// The words of the line.
        words: Words<'a>,
    },
    /// A command is finished.
    Done {
        /// The caller's value for the command.
        context: T,
        /// How it ended.
        result: Result<(), Failure>,
    },
    /// A notification.
    Note(Note),
    /// A warning broadcast.
    Warn(Words<'a>),
    /// A trace broadcast: text for people.
    Trace(&'a str),
    /// Somebody submitted a job to one of our services.
    Job {
        /// The job's identifier, to be given back with each answer.
        id: String,
        /// Which service is asked.
        service: String,
        /// Command and arguments.
        words: Words<'a>,
    },
    /// A job is no longer wanted; nothing may be sent about it.
    JobCancelled {
        /// The job's identifier.
        id: String,
    },
    /// Another client took over a service of ours with a later version.
    Displaced {
        /// The service.
        service: String,
        /// The other provider's version.
        version: String,
    },
    /// The line only changed the bookkeeping.
    Nothing,
    /// The line makes no sense here. The connection goes on.
    Strange {
        /// What is wrong with it.
        why: &'static str,
    },
}

#[derive(Clone, Debug)]
enum Waiting<T> {
    Foreground(T),
    Background(Tag),
    Cancel(Tag),
}

#[derive(Clone, Debug)]
enum Slot<T> {
    Free,
    Live(T),
    /// Cancelled by us; the slot stays taken until the server has answered the cancellation, so
    /// that its tag is not used again too early.
    Cancelled,
}

/// One connection's state.
#[derive(Clone)]
pub struct Session<T> {
    connected: bool,
    output: Vec<u8>,
    /// The line being made; kept to save allocations.
    scratch: String,
    waiting: VecDeque<Waiting<T>>,
    /// How many commands have had their first answer.
    answered: u64,
    jobs: Vec<(u32, Slot<T>)>,
    free: Vec<u32>,
}

/// All that a session's behaviour depends on, and no more: equal texts are sessions that behave
/// alike, which searches over all states make use of. So the kept allocation is not shown, nor,
/// while no command waits, how many have been answered.
impl<T: fmt::Debug> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("connected", &self.connected)
            .field("output", &self.output)
            .field("waiting", &self.waiting)
            .field("oldest_waiting", &self.oldest_waiting())
            .field("jobs", &self.jobs)
            .field("free", &self.free)
            .finish_non_exhaustive()
    }
}

/// Of no connection.
impl<T> Default for Session<T> {
    fn default() -> Self {
        Session {
            connected: false,
            output: Vec::new(),
            scratch: String::new(),
            waiting: VecDeque::new(),
            answered: 0,
            jobs: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Session<T> {
    /// A session for a connection just made.
    #[must_use]
    pub fn new() -> Self {
        Session {
            connected: true,
            ..Self::default()
        }
    }

    /// Sends a foreground command. It blocks this connection in the server until it is answered,
    /// so commands that may take long belong into [`Session::background`].
    ///
    /// # Errors
    /// [`Refused`] if the line cannot be carried by the protocol; nothing is sent then.
    pub fn command<I>(&mut self, context: T, words: I) -> Result<(), Refused>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.scratch.clear();
        for word in words {
            token::push_word(&mut self.scratch, word.as_ref());
        }
        self.send_scratch()?;
        self.waiting.push_back(Waiting::Foreground(context));
        Ok(())
    }

    /// Sends a command with `-background` and a fresh tag; `words` are what follows these.
    ///
    /// # Errors
    /// [`Refused`] if the line cannot be carried by the protocol; nothing is sent then.
    pub fn background<I>(&mut self, context: T, keyword: &str, words: I) -> Result<Tag, Refused>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let slot = match self.free.last() {
            Some(slot) => *slot,
            // More jobs than a u32 counts do not fit into memory.
            None => u32::try_from(self.jobs.len()).unwrap_or(u32::MAX),
        };
        let generation = self
            .jobs
            .get(slot as usize)
            .map_or(0, |(generation, _)| *generation);
        let tag = Tag { slot, generation };
        self.scratch.clear();
        self.scratch.push_str(keyword);
        self.scratch.push_str(" -background ");
        tag.push(&mut self.scratch);
        for word in words {
            token::push_word(&mut self.scratch, word.as_ref());
        }
        self.send_scratch()?;
        if self.free.pop().is_some() {
            self.jobs[slot as usize].1 = Slot::Live(context);
        } else {
            self.jobs.push((generation, Slot::Live(context)));
        }
        self.waiting.push_back(Waiting::Background(tag));
        Ok(tag)
    }

    /// Cancels a background job and gives its context back; `None` if it is finished already.
    /// Nothing more is heard of the job.
    pub fn cancel(&mut self, tag: Tag) -> Option<T> {
        let (generation, slot) = self.jobs.get_mut(tag.slot as usize)?;
        if *generation != tag.generation || !matches!(slot, Slot::Live(_)) {
            return None;
        }
        let Slot::Live(context) = std::mem::replace(slot, Slot::Cancelled) else {
            return None;
        };
        self.scratch.clear();
        self.scratch.push_str("BGCANCEL ");
        tag.push(&mut self.scratch);
        // A tag of two numbers fits any line.
        if self.send_scratch().is_ok() {
            self.waiting.push_back(Waiting::Cancel(tag));
        }
        Some(context)
    }

    fn send_scratch(&mut self) -> Result<(), Refused> {
        if !self.connected {
            return Err(Refused::NotConnected);
        }
        let line = &self.scratch;
        if let Some(end) = memchr::memchr(b'\n', line.as_bytes()) {
            return Err(Refused::Newline {
                start: shorten(line.get(..end).unwrap_or(line)),
            });
        }
        if line.len() > MAX_SENT {
            return Err(Refused::TooLong {
                start: shorten(line),
                length: line.len(),
            });
        }
        self.output.extend_from_slice(&bytes::encode(line));
        self.output.push(b'\n');
        Ok(())
    }

    /// What is to be written to the server, as one piece for one write.
    pub fn take_output(&mut self) -> Vec<u8> {
        // What comes next is as long as a rule, so one allocation does for it.
        let room = Vec::with_capacity(self.output.len());
        std::mem::replace(&mut self.output, room)
    }

    /// Like [`Session::take_output`], appended to a buffer that the caller keeps.
    pub fn drain_output(&mut self, into: &mut Vec<u8>) {
        into.append(&mut self.output);
    }

    /// Whether there is anything to be written.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// The number of the oldest command that waits for its first answer, which a server gives at
    /// once, to a job by `BGDETACH`; `None` if none waits.
    #[must_use]
    #[inline]
    pub fn oldest_waiting(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then_some(self.answered)
    }

    /// How many commands and jobs are not answered yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        let live = self
            .jobs
            .iter()
            .filter(|(_, slot)| matches!(slot, Slot::Live(_)))
            .count();
        live + self
            .waiting
            .iter()
            .filter(|w| matches!(w, Waiting::Foreground(_)))
            .count()
    }

    /// The connection is gone: gives back the context of everything unanswered. Nothing can be sent
    /// until there is a new session.
    pub fn reset(&mut self) -> Vec<T> {
        let old = std::mem::take(self);
        let foreground = old.waiting.into_iter().filter_map(|waiting| match waiting {
            Waiting::Foreground(context) => Some(context),
            Waiting::Background(_) | Waiting::Cancel(_) => None,
        });
        let jobs = old.jobs.into_iter().filter_map(|(_, slot)| match slot {
            Slot::Live(context) => Some(context),
            Slot::Free | Slot::Cancelled => None,
        });
        foreground.chain(jobs).collect()
    }

    /// Takes one line from the server, without its newline.
    pub fn receive<'a>(&'a mut self, line: &'a str) -> Event<'a, T> {
        match ServerLine::parse(line) {
            ServerLine::Ok => self.answered(Ok(())),
            ServerLine::Fail(words) => self.answered(Err(Failure::new(words.owned()))),
            ServerLine::Info(words) => self.information(words),
            ServerLine::BgDetach(tag) => self.detached(&tag),
            ServerLine::BgInfo(tag, words) => match Tag::parse(&tag) {
                Some(tag) => self.job_info(tag, words),
                None => Event::Strange {
                    why: "an unknown tag",
                },
            },
            ServerLine::BgOk(tag) => self.finished(&tag, Ok(())),
            ServerLine::BgFail(tag, words) => self.finished(&tag, Err(Failure::new(words.owned()))),
            ServerLine::Warn(words) => Event::Warn(words),
            ServerLine::Note(words) => Event::Note(Note::from_words(words)),
            ServerLine::Trace(text) => Event::Trace(text),
            ServerLine::SvcJob { id, service, words } => Event::Job {
                id: id.into_owned(),
                service: service.into_owned(),
                words,
            },
            ServerLine::SvcCancel(id) => Event::JobCancelled {
                id: id.into_owned(),
            },
            ServerLine::SvcClaim { service, version } => Event::Displaced {
                service: service.into_owned(),
                version: version.into_owned(),
            },
            ServerLine::Unknown => Event::Strange {
                why: "unknown or incomplete line",
            },
        }
    }

    /// `INFO` for the oldest unanswered command.
    fn information<'a>(&'a mut self, words: Words<'a>) -> Event<'a, T> {
        // A background command that the server answers in the foreground still gets its answer.
        if let Some(Waiting::Background(tag)) = self.waiting.front() {
            return self.job_info(*tag, words);
        }
        match self.waiting.front_mut() {
            Some(Waiting::Foreground(context)) => Event::Info { context, words },
            _ => Event::Strange {
                why: "an INFO line that no command asked for",
            },
        }
    }

    /// `OK` or `FAIL` for the oldest unanswered command.
    fn answered(&mut self, result: Result<(), Failure>) -> Event<'_, T> {
        self.answered += u64::from(!self.waiting.is_empty());
        match self.waiting.pop_front() {
            Some(Waiting::Foreground(context)) => Event::Done { context, result },
            // A command that failed before it detached, or one whose option the server ignored:
            // either way the job is over.
            Some(Waiting::Background(tag)) => self.end_job(tag, result),
            Some(Waiting::Cancel(tag)) => {
                // FAIL means that the job ended just before; its slot is free in either case.
                self.release(tag);
                Event::Nothing
            }
            None => Event::Strange {
                why: "an answer, but no command is unanswered",
            },
        }
    }

    fn detached(&mut self, text: &str) -> Event<'_, T> {
        match self.waiting.front() {
            Some(Waiting::Background(tag)) if Tag::parse(text) == Some(*tag) => {
                self.waiting.pop_front();
                self.answered += 1;
                Event::Nothing
            }
            _ => Event::Strange {
                why: "BGDETACH for a job that is not next",
            },
        }
    }

    fn job_info<'a>(&'a mut self, tag: Tag, words: Words<'a>) -> Event<'a, T> {
        match self.jobs.get_mut(tag.slot as usize) {
            Some((generation, Slot::Live(context))) if *generation == tag.generation => {
                Event::Info { context, words }
            }
            // A line that crossed our cancellation.
            Some((generation, Slot::Cancelled)) if *generation == tag.generation => Event::Nothing,
            _ => Event::Strange {
                why: "information for a job that does not exist",
            },
        }
    }

    fn finished(&mut self, text: &str, result: Result<(), Failure>) -> Event<'_, T> {
        match Tag::parse(text) {
            Some(tag) => self.end_job(tag, result),
            None => Event::Strange {
                why: "an unknown tag",
            },
        }
    }

    fn end_job(&mut self, tag: Tag, result: Result<(), Failure>) -> Event<'_, T> {
        match self.jobs.get_mut(tag.slot as usize) {
            Some((generation, Slot::Cancelled)) if *generation == tag.generation => Event::Nothing,
            Some((generation, slot @ Slot::Live(_))) if *generation == tag.generation => {
                let old = std::mem::replace(slot, Slot::Free);
                self.retire(tag.slot);
                match old {
                    Slot::Live(context) => Event::Done { context, result },
                    Slot::Free | Slot::Cancelled => Event::Nothing,
                }
            }
            _ => Event::Strange {
                why: "the end of a job that does not exist",
            },
        }
    }

    /// Frees the slot of a cancelled job.
    fn release(&mut self, tag: Tag) {
        if let Some((generation, slot @ Slot::Cancelled)) = self.jobs.get_mut(tag.slot as usize)
            && *generation == tag.generation
        {
            *slot = Slot::Free;
            self.retire(tag.slot);
        }
    }

    fn retire(&mut self, slot: u32) {
        if let Some((generation, _)) = self.jobs.get_mut(slot as usize) {
            *generation = generation.wrapping_add(1);
            self.free.push(slot);
        }
    }
}

/// How much of a refused line is named in the message.
const SHOWN: usize = 60;

fn shorten(line: &str) -> String {
    line.chars().take(SHOWN).collect()
}

/// Cuts `text` so that as a quoted word it takes at most `room` bytes, marking the cut with `...`,
/// and makes newlines into spaces, so that free text always fits a line.
#[must_use]
pub fn fit_word(text: &str, room: usize) -> String {
    let clean = text.replace(['\n', '\r'], " ");
    if token::join([&clean]).len() <= room {
        return clean;
    }
    let mut cut = String::new();
    // Two bytes for the quotes, three for the dots; a quote or backslash takes two.
    let mut used = 5;
    for c in clean.chars() {
        used += c.len_utf8() + usize::from(matches!(c, '"' | '\\'));
        if used > room {
            break;
        }
        cut.push(c);
    }
    cut.push_str("...");
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(session: &mut Session<u32>) -> String {
        String::from_utf8(session.take_output()).unwrap()
    }

    #[test]
    fn answers_go_to_the_oldest_command() {
        let mut session = Session::new();
        session.command(1, ["LIST"]).unwrap();
        session.command(2, ["ADDR", "al ice"]).unwrap();
        assert_eq!(sent(&mut session), "LIST\nADDR \"al ice\"\n");
        assert!(matches!(
            session.receive("INFO bob"),
            Event::Info { context: 1, .. }
        ));
        assert!(matches!(
            session.receive("OK"),
            Event::Done {
                context: 1,
                result: Ok(())
            }
        ));
        match session.receive("FAIL unknown-peer 'al ice'") {
            Event::Done {
                context: 2,
                result: Err(failure),
            } => {
                assert_eq!(failure.words(), ["unknown-peer", "al ice"]);
                assert_eq!(failure.code(), "unknown-peer");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(session.receive("OK"), Event::Strange { .. }));
    }

    #[test]
    fn a_background_job_lives_from_detach_to_end() {
        let mut session = Session::new();
        let tag = session
            .background(7, "PING", ["-timeout", "10", "alice"])
            .unwrap();
        assert_eq!(
            sent(&mut session),
            format!("PING -background {tag} -timeout 10 alice\n")
        );
        session.command(8, ["LIST"]).unwrap();
        assert!(matches!(
            session.receive(&format!("BGDETACH {tag}")),
            Event::Nothing
        ));
        let line = format!("BGINFO {tag} ping-ok 1.5");
        match session.receive(&line) {
            Event::Info { context: 7, words } => assert_eq!(words.owned(), ["ping-ok", "1.5"]),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            session.receive("OK"),
            Event::Done { context: 8, .. }
        ));
        assert!(matches!(
            session.receive(&format!("BGOK {tag}")),
            Event::Done {
                context: 7,
                result: Ok(())
            }
        ));
        assert!(matches!(
            session.receive(&format!("BGOK {tag}")),
            Event::Strange { .. }
        ));
    }

    #[test]
    fn a_tag_is_never_used_for_two_live_jobs() {
        let mut session = Session::new();
        let first = session.background(1, "PING", ["a"]).unwrap();
        assert!(matches!(
            session.receive("FAIL unknown-peer a"),
            Event::Done {
                context: 1,
                result: Err(_)
            }
        ));
        let second = session.background(2, "PING", ["b"]).unwrap();
        assert_ne!(first, second);
        session.receive(&format!("BGDETACH {second}"));
        assert!(matches!(
            session.receive(&format!("BGOK {first}")),
            Event::Strange { .. }
        ));
        assert!(matches!(
            session.receive(&format!("BGOK {second}")),
            Event::Done { context: 2, .. }
        ));
    }

    #[test]
    fn a_cancelled_job_is_silent_whatever_the_server_still_says() {
        let mut session = Session::new();
        let tag = session.background(1, "PING", ["a"]).unwrap();
        session.receive(&format!("BGDETACH {tag}"));
        assert_eq!(session.cancel(tag), Some(1));
        assert_eq!(session.cancel(tag), None);
        assert!(sent(&mut session).ends_with(&format!("BGCANCEL {tag}\n")));
        assert!(matches!(
            session.receive(&format!("BGOK {tag}")),
            Event::Nothing
        ));
        assert!(matches!(
            session.receive(&format!("FAIL unknown-tag {tag}")),
            Event::Nothing
        ));
        let next = session.background(2, "PING", ["b"]).unwrap();
        assert_eq!((next.slot, next.generation), (tag.slot, tag.generation + 1));
    }

    #[test]
    fn what_the_protocol_cannot_carry_is_refused_and_leaves_no_trace() {
        let mut session = Session::<u32>::new();
        let long = "x".repeat(MAX_SENT - "WARN ".len());
        assert!(session.command(1, ["WARN", &long]).is_ok());
        session.take_output();
        assert!(matches!(
            session.command(2, ["WARN", &format!("{long}x")]),
            Err(Refused::TooLong { length: 256, .. })
        ));
        assert!(matches!(
            session.command(3, ["WARN", "a\nb"]),
            Err(Refused::Newline { .. })
        ));
        assert!(session.background(4, "PING", ["a\nb"]).is_err());
        assert!(!session.has_output());
        assert_eq!(session.outstanding(), 1);
    }

    #[test]
    fn a_lost_connection_gives_every_context_back() {
        let mut session = Session::new();
        session.command(1, ["LIST"]).unwrap();
        let tag = session.background(2, "PING", ["a"]).unwrap();
        session.background(3, "PING", ["b"]).unwrap();
        session.cancel(tag);
        assert_eq!(session.reset(), [1, 3]);
        assert_eq!(session.outstanding(), 0);
        assert!(!session.has_output());
    }

    #[test]
    fn free_text_is_cut_to_fit() {
        assert_eq!(fit_word("short", 100), "short");
        assert_eq!(fit_word("two\nlines", 100), "two lines");
        assert_eq!(fit_word("aaaaaaaaaaaaaaaa", 10), "aaaaa...");
        assert_eq!(fit_word("\"\"\"\"\"\"", 10), "\"\"...");
    }

    proptest! {
        #[test]
        fn fitted_text_always_fits(text in ".{0,300}", room in 5usize..255) {
            prop_assert!(token::join([fit_word(&text, room)]).len() <= room);
        }

        #[test]
        fn no_sequence_of_lines_makes_it_panic(
            lines in proptest::collection::vec(
                "(OK|FAIL|INFO|BGDETACH|BGINFO|BGOK|BGFAIL|SVCJOB|NOTE)( (c[0-3]\\.[0-3]|x|''))?( y)?",
                0..60,
            )
        ) {
            let mut session = Session::new();
            for (n, line) in lines.iter().enumerate() {
                if n % 3 == 0 {
                    session.command(n, ["LIST"]).unwrap();
                } else if n % 3 == 1 {
                    let tag = session.background(n, "PING", ["x"]).unwrap();
                    if n % 2 == 0 {
                        session.cancel(tag);
                    }
                }
                session.receive(line);
            }
            session.reset();
        }
    }
}
