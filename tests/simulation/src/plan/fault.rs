// SPDX-License-Identifier: GPL-3.0-or-later
//! What can be done to a site.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::host::{HostId, Part, Way};

/// Which instant a fault waits for. It comes at the first such instant after its time, for its own
/// peer if it has one, and at the latest ten minutes after. Narrow windows would seldom be met
/// otherwise.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// None.
    #[default]
    Now,
    /// Core is joining the server.
    Joining,
    /// An order of the pinger is on its way to core.
    OrderOnItsWay,
    /// A ping is in flight.
    PingInFlight,
    /// Core has ordered a run.
    RunOrdered,
    /// The script helper is about to start a run.
    RunStarting,
    /// A script runs.
    ScriptRuns,
    /// The script helper has told core of an end.
    EndTold,
    /// Core has sent an `ADD`.
    AdditionUnderWay,
    /// A job of a client is open.
    JobOpen,
    /// The script helper has been started again.
    Recovering,
}

/// Something that is done to a host.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A process is killed after so many more outputs.
    Kill {
        /// Which.
        part: Part,
        /// How many outputs later.
        after: u32,
        /// For core: the state file that the next one finds.
        state: Kept,
    },
    /// A process is suspended.
    Stand {
        /// Which.
        part: Part,
        /// For how long.
        time: Duration,
    },
    /// Core ends in an orderly way and is started again.
    Quit {
        /// How it is asked to.
        how: Leaving,
        /// When it is started again after its end.
        again: Duration,
    },
    /// All processes of the service are started again, as an upgrade does.
    Upgrade {},
    /// The connection between core and the server ends after so many more bytes.
    CutAdmin {
        /// How many bytes later.
        after: u32,
        /// In which direction they are counted.
        way: Way,
    },
    /// The connection between core and a helper ends.
    CutHelper {
        /// Which helper.
        part: Part,
    },
    /// The server ends as in a crash and is started again.
    ServerRestart {
        /// Whether somebody adds the peers that it had again.
        with_peers: bool,
        /// When it is started again.
        after: Duration,
    },
    /// What the server writes comes in pieces.
    ServerChunks {
        /// How long a piece is.
        bytes: u32,
        /// The pause after each.
        pause: Duration,
        /// For how long.
        time: Duration,
    },
    /// Another client claims the service.
    Displace {
        /// With this version.
        version: String,
        /// When it gives the service up.
        time: Duration,
    },
    /// The server refuses a command of anybody.
    Refuse {
        /// The command.
        command: String,
        /// The failure.
        code: String,
        /// How often.
        times: u32,
        /// Whether the command detaches before it fails.
        detach: bool,
    },
    /// Core does not get what the server says for so long.
    LateAnswers {
        /// For how long.
        time: Duration,
    },
    /// A client cancels its job.
    CancelJob {
        /// After so many more lines of core.
        after: u32,
    },
    /// A client leaves, and its jobs with it.
    VanishClient {},
    /// The database changes.
    Database {
        /// How.
        change: DatabaseChange,
    },
    /// The journal of scripts is lost.
    Journal {
        /// How.
        loss: JournalLoss,
    },
    /// The host sleeps.
    Suspend {
        /// For how long.
        time: Duration,
    },
    /// The host is booted again.
    Reboot {},
    /// The path between two hosts changes.
    Path {
        /// The other host.
        to: HostId,
        /// How.
        change: PathChange,
    },
    /// The host gets another outer address.
    Address {},
    /// A reflected partner is dead.
    Partner {
        /// The peer.
        peer: String,
        /// For how long.
        time: Duration,
    },
    /// The partner of a peer that is reached by a host name gets another address.
    PartnerMoves {
        /// The peer.
        peer: String,
    },
    /// The name server answers in another way for the host name of a peer.
    Name {
        /// The peer.
        peer: String,
        /// How.
        answers: Naming,
        /// For how long.
        time: Duration,
    },
    /// Somebody else changes the server's peers.
    Others {
        /// The peer.
        peer: String,
        /// How.
        act: OthersAct,
    },
    /// Somebody gives a command of the service.
    Command {
        /// Its words.
        words: Vec<String>,
    },
    /// A knock comes in.
    Knock {
        /// From whom.
        knock: Knock,
    },
    /// A greeting comes in.
    Greeting {
        /// With what.
        greeting: Greeting,
    },
    /// An operator or observer does something.
    Operator {
        /// What.
        act: OperatorAct,
    },
    /// A second helper of a kind connects.
    SecondHelper {
        /// Which kind.
        part: Part,
        /// For how long it tries.
        time: Duration,
    },
    /// A helper of the next protocol version is started in place of ours.
    NextProtocol {
        /// Which kind.
        part: Part,
        /// For how long.
        time: Duration,
    },
    /// The wall clock is set.
    WallClock {
        /// By so many milliseconds.
        millis: i64,
    },
}

impl Fault {
    /// The name under which it is counted.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Fault::Kill { part, .. } => match part {
                Part::Server => "kill server",
                Part::Core => "kill core",
                Part::Pinger => "kill pinger",
                Part::Scripts => "kill script helper",
            },
            Fault::Stand { part, .. } => match part {
                Part::Server => "server suspended",
                Part::Core => "core suspended",
                Part::Pinger => "pinger suspended",
                Part::Scripts => "script helper suspended",
            },
            Fault::Quit { .. } => "quit",
            Fault::Upgrade {} => "upgrade",
            Fault::CutAdmin { .. } => "cut admin connection",
            Fault::CutHelper { .. } => "cut helper connection",
            Fault::ServerRestart { .. } => "restart server",
            Fault::ServerChunks { .. } => "lines in pieces",
            Fault::Displace { .. } => "displace",
            Fault::Refuse { .. } => "refuse",
            Fault::LateAnswers { .. } => "late answers",
            Fault::CancelJob { .. } => "cancel job",
            Fault::VanishClient {} => "client leaves",
            Fault::Database { .. } => "database",
            Fault::Journal { .. } => "journal lost",
            Fault::Suspend { .. } => "suspend",
            Fault::Reboot {} => "reboot",
            Fault::Path { .. } => "path",
            Fault::Address {} => "address",
            Fault::Partner { .. } => "partner dead",
            Fault::PartnerMoves { .. } => "partner moves",
            Fault::Name { answers, .. } => answers.name(),
            Fault::Others { .. } => "others change peers",
            Fault::Command { .. } => "command",
            Fault::Knock { .. } => "knock",
            Fault::Greeting { .. } => "greeting",
            Fault::Operator { .. } => "operator",
            Fault::SecondHelper { .. } => "second helper",
            Fault::NextProtocol { .. } => "next protocol",
            Fault::WallClock { .. } => "wall clock",
        }
    }

    /// The peer that it is about, if it is about one.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        match self {
            Fault::Partner { peer, .. }
            | Fault::PartnerMoves { peer }
            | Fault::Name { peer, .. }
            | Fault::Others { peer, .. }
            | Fault::Database {
                change: DatabaseChange::Unwatched(peer, _),
            } => Some(peer),
            _ => None,
        }
    }
}

/// Which state file the next core finds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// The one that was written last.
    #[default]
    Last,
    /// One that was written so many times before.
    Older(u32),
    /// None.
    None,
    /// One that is about another run of the server.
    OfOtherServer,
}

/// How core is asked to end.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leaving {
    /// By the command `quit`.
    Command,
    /// By a signal.
    Signal,
}

/// A change of the database's file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseChange {
    /// A record has another value of this key, or the key no more.
    Record {
        /// The peer.
        peer: String,
        /// The key.
        key: String,
        /// The value.
        value: Option<String>,
    },
    /// A record has no `watch` for so long.
    Unwatched(String, Duration),
    /// A record is gone.
    Removed(String),
    /// There is a record of a peer that was none of the site.
    New(String),
    /// The file cannot be understood.
    Broken,
    /// There is no file.
    Missing,
    /// The site's database is there again.
    Back,
    /// The database of another site is there.
    OfOtherSite,
}

/// How the journal of scripts is lost.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalLoss {
    /// It is removed.
    Removed,
    /// The last so many entries cannot be read.
    Damaged(u32),
}

/// A change of the way from one host to another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathChange {
    /// So many per cent of the datagrams are lost.
    Loss(u32),
    /// So many per cent of the datagrams come twice.
    Duplicate(u32),
    /// Each takes so long.
    Delay(Duration),
    /// So many per cent are overtaken by later ones.
    Reorder(u32),
    /// Nothing arrives.
    Down {
        /// Nor in the other direction.
        both: bool,
        /// For how long.
        time: Duration,
    },
    /// All is well.
    Heal,
}

/// How a name server answers for a host name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Naming {
    /// Not within the limit of a lookup.
    Nothing,
    /// That there is no such name.
    Error,
    /// Shortly before the limit, with what was true when it was asked.
    Late,
    /// Each time with other addresses, among which is seldom the right one.
    Flapping,
    /// With the address of this other peer.
    OfAnother(String),
}

impl Naming {
    /// The name under which it is counted.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Naming::Nothing => "name without answer",
            Naming::Error => "name with error",
            Naming::Late => "name with late answer",
            Naming::Flapping => "name that flaps",
            Naming::OfAnother(_) => "name of another peer",
        }
    }
}

/// What somebody else does to a peer at the server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OthersAct {
    /// Adds it.
    Add,
    /// Kills it.
    Kill,
    /// Kills it and adds it again.
    KillAndAdd,
    /// Adds it and kills it.
    AddAndKill,
    /// It says goodbye.
    Bye,
}

/// A knock.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knock {
    /// The peer of a record, with the right key.
    Known(String),
    /// The peer of a record, with a wrong key.
    WrongKey(String),
    /// Nobody of the database.
    Unknown,
}

/// A greeting.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Greeting {
    /// With a challenge that core waits for.
    Live,
    /// With one that it does not wait for any more.
    Late,
    /// With one that no server has made.
    Stale,
}

/// What an operator or observer does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorAct {
    /// Asks for the state.
    Status,
    /// Asks for events, and reads them for so long.
    Events(Duration),
    /// Asks for events, and does not read them for so long.
    EventsUnread(Duration),
    /// So many connections ask for the state again as soon as they are answered, for 50 ms.
    Flood(u32),
    /// Asks what the database leaves undone.
    Changes,
    /// Has it done.
    Apply,
    /// Runs a script: `ifup`, else `ifdown`.
    RunScript {
        /// Of this peer.
        peer: String,
        /// `ifup`.
        up: bool,
    },
    /// Reads the records.
    Records,
    /// Has the database read.
    Reload,
    /// Leaves in the middle of an answer.
    Leaves,
}
