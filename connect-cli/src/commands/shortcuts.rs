// SPDX-License-Identifier: GPL-3.0-or-later
//! The commands of connect(8) that are commands of this program, too, and `kill` of tripe(8).
//! [`super::submit`] sends all the others.

use clap::{Args, Subcommand};
use connect_ipc::control::Request;
use connect_runtime::exit::Exit;
use tripe_admin::Interval;

use super::wait::{self, Goal};
use super::{admin, not_at_server, submit};
use crate::common::{Common, Pace};
use crate::completing;
use crate::error::Error;

/// The options of a command whose outcome can be waited for.
#[derive(Args, Debug)]
pub(crate) struct WaitOptions {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
    /// Wait for the outcome, no longer than --timeout if that is given.
    #[arg(long)]
    wait: bool,
}

/// The options of every other command.
#[derive(Args, Debug)]
pub(crate) struct PlainOptions {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
}

/// What the service, or the server, is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Shortcut {
    /// Make an active connection to a peer (also: up)
    #[command(
        alias = "up",
        after_help = "\
        Adds the peer to the server with the values of its record. If the server already has the \
        peer, it is removed first, also if it is up: its tunnel is interrupted, and its \
        disconnect, ifdown, ifup and connect run. To make only a new attempt to connect, use \
        kick. The command ends when the server has added it, which may first have to look up its host name. With --wait it ends \
        when keys are agreed with the peer or it has answered a ping (exit code 0), when it is \
        unreachable or removed, or its connect command fails (1), or after the time of --timeout \
        (124).\n\n\
        Examples:\n\
        \x20 connect-cli active alice\n\
        \x20 connect-cli active alice --wait --timeout 1m"
    )]
    Active {
        #[command(flatten)]
        options: WaitOptions,
        /// The peer's name.
        #[arg(add = completing::recorded())]
        peer: String,
    },
    /// Make a new attempt to connect to a peer that is added
    #[command(after_help = "\
        The peer's record must have a key connect or knock. The command ends at once. With \
        --wait it ends when keys are agreed with the peer or it answers again (exit code 0), \
        when it is unreachable or removed, or its connect command fails (1), or after the time \
        of --timeout (124).\n\n\
        Examples:\n\
        \x20 connect-cli kick alice\n\
        \x20 connect-cli kick alice --wait --timeout 30")]
    Kick {
        #[command(flatten)]
        options: WaitOptions,
        /// The peer's name.
        #[arg(add = completing::peers())]
        peer: String,
    },
    /// Remove a peer from the server (also: down)
    #[command(
        alias = "down",
        after_help = "\
        The command goes to the tripe server. The service notices that the peer is removed, runs \
        its disconnect and ifdown, and stops pinging it. With --wait the command ends when the \
        service has noticed it (exit code 0), or after the time of --timeout (124).\n\n\
        Examples:\n\
        \x20 connect-cli kill alice\n\
        \x20 connect-cli kill alice --wait"
    )]
    Kill {
        #[command(flatten)]
        options: WaitOptions,
        /// The peer's name.
        #[arg(add = completing::peers())]
        peer: String,
    },
    /// Wait for a peer to make contact, and add it when it does
    #[command(after_help = "\
        Prints a challenge at once. The command ends when a greeting with this challenge has \
        come and the peer is added, or when none has come in time. The connect command of the \
        other host runs this, usually through ssh.\n\n\
        Examples:\n\
        \x20 connect-cli passive alice\n\
        \x20 connect-cli passive --greeting-timeout 1m alice")]
    Passive {
        #[command(flatten)]
        options: PlainOptions,
        /// How long to wait for the greeting [default: 30s].
        #[arg(long, value_name = "TIME")]
        greeting_timeout: Option<Interval>,
        /// The user's name.
        #[arg(add = completing::users())]
        user: String,
    },
    /// Tell which peer a user stands for
    #[command(after_help = "\
        Prints the peer's name.\n\n\
        Examples:\n\
        \x20 connect-cli userpeer alice")]
    Userpeer {
        #[command(flatten)]
        options: PlainOptions,
        /// The user's name.
        #[arg(add = completing::users())]
        user: String,
    },
    /// List the peers that the service pings
    #[command(after_help = "\
        Prints one name a line.\n\n\
        Examples:\n\
        \x20 connect-cli adopted")]
    Adopted(PlainOptions),
    /// List the peers of the database that can be connected to
    #[command(after_help = "\
        Prints one name a line.\n\n\
        Examples:\n\
        \x20 connect-cli list-active")]
    ListActive(PlainOptions),
    /// Make the service believe that a peer does not answer, to test what happens then
    #[command(after_help = "\
        Its next check fails, and each of its attempts counts as a ping without a reply. A peer \
        with connect or knock is then reconnected; any other is removed.\n\n\
        Examples:\n\
        \x20 connect-cli sabotage alice")]
    Sabotage {
        #[command(flatten)]
        options: PlainOptions,
        /// The peer's name.
        #[arg(add = completing::peers())]
        peer: String,
    },
    /// Make the service end
    #[command(after_help = "\
        The peers stay with the server, but nobody pings them any more. A supervisor may start \
        the service again.\n\n\
        Examples:\n\
        \x20 connect-cli quit")]
    Quit(PlainOptions),
}

impl Shortcut {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        match self {
            Shortcut::Active { options, peer } => {
                let (words, request) = submission(&["active", &peer]);
                let goal = Goal::Active;
                options
                    .give(common, &words, request, Pace::Slow, goal)
                    .await
            }
            Shortcut::Kick { options, peer } => {
                let (words, request) = submission(&["kick", &peer]);
                let goal = Goal::Kick;
                options
                    .give(common, &words, request, Pace::Quick, goal)
                    .await
            }
            Shortcut::Kill { options, peer } => {
                let killed = if options.wait {
                    wait::kill(common, peer.clone(), options.json).await
                } else {
                    admin::kill(common, peer.clone(), options.json).await
                };
                match killed {
                    Err(error) => Err(not_at_server::explained(error, peer, common).await),
                    ended => ended,
                }
            }
            Shortcut::Passive {
                options,
                greeting_timeout,
                user,
            } => {
                let timeout = greeting_timeout.map(|timeout| timeout.to_string());
                let mut words = vec!["passive"];
                if let Some(timeout) = &timeout {
                    words.extend(["-timeout", timeout]);
                }
                // A user's name may look like an option.
                words.extend(["--", &user]);
                options.give(common, &words, Pace::Slow).await
            }
            Shortcut::Userpeer { options, user } => {
                let words = ["userpeer", &user];
                options.give(common, &words, Pace::Quick).await
            }
            Shortcut::Adopted(options) => options.give(common, &["adopted"], Pace::Quick).await,
            Shortcut::ListActive(options) => {
                options.give(common, &["list-active"], Pace::Quick).await
            }
            Shortcut::Sabotage { options, peer } => {
                let words = ["sabotage", &peer];
                options.give(common, &words, Pace::Quick).await
            }
            Shortcut::Quit(options) => options.give(common, &["quit"], Pace::Quick).await,
        }
    }
}

/// The words of a command of the service, and the request that gives it.
fn submission(words: &[&str]) -> (Vec<String>, Request) {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let submit = Request::Submit {
        words: words.clone(),
    };
    (words, submit)
}

impl WaitOptions {
    /// Sends the request that a command stands for, and waits for the outcome if that is wanted.
    async fn give(
        self,
        common: &mut Common,
        words: &[String],
        request: Request,
        pace: Pace,
        goal: Goal,
    ) -> Result<Exit, Error> {
        if self.wait {
            return wait::request(common, words, request, self.json, goal).await;
        }
        submit::request(common, words, request, self.json, pace).await
    }
}

impl PlainOptions {
    /// Gives the service a command.
    async fn give(self, common: &mut Common, words: &[&str], pace: Pace) -> Result<Exit, Error> {
        let (words, request) = submission(words);
        submit::request(common, &words, request, self.json, pace).await
    }
}
