// SPDX-License-Identifier: GPL-3.0-or-later
//! Commands: their table (tripe-admin.md, 3.0) and how a line finds the one it means.

use std::borrow::Cow;

use super::args::Args;
use super::fail::Fail;
use super::{ClientId, Server};
use crate::switches::WordLimit;
use crate::text;
use tripe_admin::Words;

macro_rules! keywords {
    ($($variant:ident $name:literal $usage:literal $min:literal..$max:expr;)+) => {
        /// A command's name.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Keyword { $(#[doc = $name] $variant),+ }

        impl Keyword {
            /// Every command, in the order of `HELP`.
            pub const ALL: &'static [Keyword] = &[$(Keyword::$variant),+];

            /// The name in lower case, as the server writes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Keyword::$variant => $name),+ }
            }

            /// The summary of the arguments.
            #[must_use]
            pub const fn usage(self) -> &'static str {
                match self { $(Keyword::$variant => $usage),+ }
            }

            /// How few and how many arguments there may be, options not counted.
            #[must_use]
            pub const fn arguments(self) -> (usize, usize) {
                match self { $(Keyword::$variant => ($min, $max)),+ }
            }

            /// Finds a command by its name, in any case.
            #[must_use]
            pub fn find(word: &str) -> Option<Self> {
                // The longest name has ten letters; names are compared in one case without a copy
                // on the heap, since this is done for each of very many pings.
                let mut lower = [0_u8; 12];
                let lower = lower.get_mut(..word.len())?;
                lower.copy_from_slice(word.as_bytes());
                lower.make_ascii_lowercase();
                match std::str::from_utf8(lower).ok()? {
                    $($name => Some(Keyword::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

/// No upper limit to the number of arguments.
const MANY: usize = usize::MAX;

keywords! {
    Add "add" "[OPTIONS] PEER ADDR ..." 2..MANY;
    Addr "addr" "PEER" 1..1;
    Algs "algs" "[PEER]" 0..1;
    Bgcancel "bgcancel" "TAG" 1..1;
    Checkchal "checkchal" "CHAL" 1..1;
    Daemon "daemon" "" 0..0;
    Eping "eping" "[OPTIONS] PEER" 1..1;
    Forcekx "forcekx" "PEER" 1..1;
    Getchal "getchal" "" 0..0;
    Greet "greet" "PEER CHAL" 2..2;
    Help "help" "" 0..0;
    Ifname "ifname" "PEER" 1..1;
    Jobs "jobs" "" 0..0;
    Kill "kill" "PEER" 1..1;
    List "list" "" 0..0;
    Notify "notify" "MESSAGE ..." 1..MANY;
    Peerinfo "peerinfo" "PEER" 1..1;
    Ping "ping" "[OPTIONS] PEER" 1..1;
    Port "port" "[FAMILY]" 0..1;
    Quit "quit" "" 0..0;
    Reload "reload" "" 0..0;
    Servinfo "servinfo" "" 0..0;
    Setifname "setifname" "PEER NEW-NAME" 2..2;
    Stats "stats" "PEER" 1..1;
    Svcclaim "svcclaim" "SERVICE VERSION" 2..2;
    Svcensure "svcensure" "SERVICE [VERSION]" 1..2;
    Svcfail "svcfail" "JOBID TOKENS ..." 1..MANY;
    Svcinfo "svcinfo" "JOBID TOKENS ..." 1..MANY;
    Svclist "svclist" "" 0..0;
    Svcok "svcok" "JOBID" 1..1;
    Svcquery "svcquery" "SERVICE" 1..1;
    Svcrelease "svcrelease" "SERVICE" 1..1;
    Svcsubmit "svcsubmit" "[OPTIONS] SERVICE TOKENS ..." 2..MANY;
    Trace "trace" "[OPTIONS]" 0..1;
    Tunnels "tunnels" "" 0..0;
    Version "version" "" 0..0;
    Warn "warn" "MESSAGE ..." 1..MANY;
    Watch "watch" "[OPTIONS]" 0..1;
}

impl Keyword {
    /// Whether options may stand before the arguments, so that the command counts them itself.
    const fn takes_options(self) -> bool {
        matches!(
            self,
            Keyword::Add
                | Keyword::Eping
                | Keyword::Forcekx
                | Keyword::Kill
                | Keyword::Ping
                | Keyword::Svcsubmit
        )
    }

    /// The failure that quotes the usage.
    pub(super) const fn bad_syntax(self) -> Fail {
        Fail::BadSyntax(self.name(), self.usage())
    }
}

/// How a command that did not fail stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Done {
    /// It is finished and wants its `OK`.
    Ok,
    /// It has been answered, or will be by a job.
    Answered,
}

/// What a command comes to.
pub(super) type Outcome = Result<Done, Fail>;

/// How many words the other reading of the protocol allows (tripe-admin.md, 8, point 3).
const FEW_WORDS: usize = 16;

impl Server {
    /// Carries out one command line.
    pub(super) fn command(&mut self, client: ClientId, line: &[u8]) {
        if !self.clients.contains_key(&client) {
            return;
        }
        let line = text::decode(line);
        let most = match self.config.switches.word_limit {
            WordLimit::Unlimited => usize::MAX,
            WordLimit::Sixteen => FEW_WORDS,
        };
        let words: Vec<Cow<'_, str>> = Words::new(&line).take(most).collect();
        let Some((keyword, args)) = words.split_first() else {
            // A blank line is no command and gets no answer.
            return;
        };
        self.trace_admin(client, &line);
        self.in_order(client, |server| {
            let outcome = server.dispatch(client, keyword, args);
            match outcome {
                Ok(Done::Ok) => server.send(client, String::from("OK")),
                Ok(Done::Answered) => {}
                Err(fail) => {
                    let line = fail.write(server.line("FAIL")).finish();
                    server.send(client, line);
                }
            }
        });
        if std::mem::take(&mut self.quit_requested) {
            self.stop();
        }
    }

    fn dispatch(&mut self, client: ClientId, word: &str, args: &[Cow<'_, str>]) -> Outcome {
        if !word.eq_ignore_ascii_case("LAB")
            && let Some(outcome) = self.refuse(client, word, args)
        {
            return outcome;
        }
        let Some(keyword) = Keyword::find(word) else {
            return self.control(client, word, args);
        };
        if keyword == Keyword::Trace && !self.config.tracing {
            return Err(Fail::UnknownCommand(word.into()));
        }
        let (min, max) = keyword.arguments();
        if !keyword.takes_options() && !(min..=max).contains(&args.len()) {
            return Err(keyword.bad_syntax());
        }
        let args = Args::new(keyword, args);
        match keyword {
            Keyword::Add => self.add(client, args),
            Keyword::Addr => self.show_addr(client, &args),
            Keyword::Algs => self.show_algs(client, &args),
            Keyword::Bgcancel => self.bgcancel(client, &args),
            Keyword::Checkchal => self.checkchal(&args),
            Keyword::Daemon => self.become_daemon(),
            Keyword::Eping => self.ping(client, args, super::ping::PingKind::Encrypted),
            Keyword::Forcekx => self.forcekx(args),
            Keyword::Getchal => self.getchal(client),
            Keyword::Greet => self.greet(&args),
            Keyword::Help => self.help(client),
            Keyword::Ifname => self.show_ifname(client, &args),
            Keyword::Jobs => self.show_jobs(client),
            Keyword::Kill => self.kill(args),
            Keyword::List => self.list(client),
            Keyword::Notify => self.user_note(&args),
            Keyword::Peerinfo => self.peerinfo(client, &args),
            Keyword::Ping => self.ping(client, args, super::ping::PingKind::Transport),
            Keyword::Port => self.show_port(client, &args),
            Keyword::Quit => self.quit_command(),
            Keyword::Reload => Ok(Done::Ok),
            Keyword::Servinfo => self.servinfo(client),
            Keyword::Setifname => self.setifname(&args),
            Keyword::Stats => self.stats(client, &args),
            Keyword::Svcclaim => self.svcclaim(client, &args),
            Keyword::Svcensure => self.svcensure(&args),
            Keyword::Svcfail => self.svcfail(client, &args),
            Keyword::Svcinfo => self.svcinfo(client, &args),
            Keyword::Svclist => self.svclist(client),
            Keyword::Svcok => self.svcok(client, &args),
            Keyword::Svcquery => self.svcquery(client, &args),
            Keyword::Svcrelease => self.svcrelease(client, &args),
            Keyword::Svcsubmit => self.svcsubmit(client, args),
            Keyword::Trace => self.trace_command(client, &args),
            Keyword::Tunnels => self.show_tunnels(client),
            Keyword::Version => self.version(client),
            Keyword::Warn => self.user_warning(&args),
            Keyword::Watch => self.watch(client, &args),
        }
    }

    fn quit_command(&mut self) -> Outcome {
        let line = self.warn_line("SERVER").word("quit").word("admin-request");
        self.warn(line);
        self.quit_requested = true;
        Ok(Done::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for keyword in Keyword::ALL {
            let name = keyword.name();
            assert_eq!(Keyword::find(name), Some(*keyword));
            assert_eq!(Keyword::find(&name.to_uppercase()), Some(*keyword));
        }
        for word in ["", "ad", "addd", "a-very-long-word-indeed", "é", "LİST"] {
            assert_eq!(Keyword::find(word), None, "{word}");
        }
    }
}
