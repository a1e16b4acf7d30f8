// SPDX-License-Identifier: GPL-3.0-or-later
//! A fault of the database from its preparation to the moment when the service has the good one
//! again.
//!
//! ```text
//!   None --planned--> Preparing --all peers known, no script pending--> Faulty --time--> Restored
//!    ^                    |  not in time                                                     |
//!    +--------------------+<-----------------the service says that it has loaded it----------+
//! ```
//!
//! While a peer's record is not to be had, the service cannot run `ifup` for it, and nobody may
//! blame it. So no peer is added meanwhile, and beforehand the service gets the time to deal with
//! all that was done to peers.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_runtime::clock;
use tripe_lab::rng::Rng;

use super::Fault;
use crate::truth::account::WithoutRecord;
use crate::truth::watcher::Watcher;
use crate::world::database::Peers;
use crate::world::status::Status;

/// How long the service may take to deal with all peers, before the fault is given up: other faults
/// go on meanwhile.
const PREPARATION: Duration = Duration::from_secs(8);

/// How far it has come.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    None,
    Preparing(Fault, Monotonic),
    Faulty(Monotonic),
    Restored(Monotonic),
}

/// The fault.
#[derive(Debug, Default)]
pub(crate) struct DatabaseFault {
    stage: Stage,
}

impl DatabaseFault {
    /// Begins with a fault, unless there is one already.
    pub(crate) fn plan(&mut self, fault: Fault, now: Monotonic) {
        if matches!(self.stage, Stage::None) {
            self.stage = Stage::Preparing(fault, now);
        }
    }

    /// Whether peers may be added.
    pub(crate) const fn permits_additions(&self) -> bool {
        matches!(self.stage, Stage::None)
    }

    /// The fault that is prepared.
    pub(crate) const fn planned(&self) -> Option<Fault> {
        match self.stage {
            Stage::Preparing(fault, _) => Some(fault),
            _ => None,
        }
    }

    /// Whether the service may be without the good database.
    pub(crate) const fn is_faulty(&self) -> bool {
        matches!(self.stage, Stage::Faulty(_) | Stage::Restored(_))
    }

    /// Whether peers may be removed.
    pub(crate) const fn permits_removals(&self) -> bool {
        !matches!(self.stage, Stage::Preparing(..))
    }

    /// Since when the state of the service must be for the next step, if that needs it.
    pub(crate) const fn needs_status_since(&self) -> Option<Monotonic> {
        match self.stage {
            Stage::Preparing(_, since) | Stage::Restored(since) => Some(since),
            Stage::None | Stage::Faulty(_) => None,
        }
    }

    /// Puts the good database back at once, whatever was planned.
    pub(crate) fn end(&mut self, peers: &Peers) -> anyhow::Result<()> {
        match self.stage {
            Stage::Faulty(_) => {
                peers.write(None)?;
                self.stage = Stage::Restored(clock::now());
            }
            Stage::Preparing(..) => self.stage = Stage::None,
            Stage::None | Stage::Restored(_) => {}
        }
        Ok(())
    }

    /// Takes the next step if it is due; says what was done.
    pub(crate) fn step(
        &mut self,
        now: Monotonic,
        status: Option<&Status>,
        (peers, watcher): (&Peers, &Watcher),
        rng: &mut Rng,
    ) -> anyhow::Result<Option<String>> {
        match self.stage {
            Stage::Preparing(fault, since) => {
                if status.is_some_and(|status| is_at_rest(status, watcher)) {
                    let (text, time) = begin(fault, peers, watcher, rng)?;
                    self.stage = Stage::Faulty(now + time);
                    return Ok(Some(text));
                }
                if now >= since + PREPARATION {
                    self.stage = Stage::None;
                }
            }
            Stage::Faulty(until) if now >= until => {
                peers.write(None)?;
                self.stage = Stage::Restored(clock::now());
                return Ok(Some("the database is good again".to_owned()));
            }
            Stage::Restored(_) => {
                let loaded = status.is_some_and(|status| {
                    let database = &status.service.database;
                    database.fault.is_none() && database.peers == peers.count() as u64
                });
                if loaded {
                    watcher.account().without_record = WithoutRecord::None;
                    self.stage = Stage::None;
                    return Ok(Some("the service has the good database".to_owned()));
                }
            }
            Stage::None | Stage::Faulty(_) => {}
        }
        Ok(None)
    }
}

/// Makes the fault.
fn begin(
    fault: Fault,
    peers: &Peers,
    watcher: &Watcher,
    rng: &mut Rng,
) -> anyhow::Result<(String, Duration)> {
    if let Fault::Break(how, time) = fault {
        watcher.account().without_record = WithoutRecord::All;
        peers.break_it(how, rng)?;
        return Ok((format!("the database is broken: {how:?}"), time));
    }
    let index = usize::try_from(rng.below(peers.count() as u64))?;
    let peer = peers.names().nth(index).unwrap_or_default();
    let time = match fault {
        Fault::RemoveRecord(time) => time,
        _ => Duration::ZERO,
    };
    watcher.account().without_record = WithoutRecord::One(peer.clone());
    peers.write(Some(&peer))?;
    Ok((format!("{peer} is removed from the database"), time))
}

/// Whether the service knows all peers that the server has, and nothing waits.
fn is_at_rest(status: &Status, watcher: &Watcher) -> bool {
    let account = watcher.account();
    let known = |peer: &String| {
        status
            .peers
            .get(peer)
            .is_some_and(|it| it.state.is_adopted())
    };
    status.service.server == ServerLink::Up
        && status.pending() == 0
        && account.watching
        && account.present.iter().all(known)
}
