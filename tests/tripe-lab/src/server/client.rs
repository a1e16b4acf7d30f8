// SPDX-License-Identifier: GPL-3.0-or-later
//! Admin clients: what the server knows of each, and how they come to an end.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::jobs::JobKey;
use super::{ClientId, Output, Server};
use crate::switches::{HalfClose, ProviderDeath, Vanished};

/// Which broadcasts a client wants. A fresh one wants none.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Watch {
    /// `TRACE`.
    pub traces: bool,
    /// `NOTE`.
    pub notes: bool,
    /// `WARN`.
    pub warnings: bool,
}

impl Watch {
    /// What the server's own standard input and output start with.
    pub const STDIO: Watch = Watch {
        traces: true,
        notes: false,
        warnings: true,
    };
}

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) watch: Watch,
    /// Its outstanding jobs, in the order of their begin.
    pub(super) jobs: BTreeSet<JobKey>,
    /// Those of them that have a tag.
    pub(super) tags: BTreeMap<String, JobKey>,
    /// The foreground job that holds it up.
    pub(super) blocked: Option<JobKey>,
    /// It will send no more; to be closed when its last job is done.
    pub(super) eof: bool,
    /// Other clients' jobs that it owes an answer, as provider.
    pub(super) owed: BTreeSet<JobKey>,
}

impl Client {
    pub(super) fn new(watch: Watch) -> Self {
        Client {
            watch,
            jobs: BTreeSet::new(),
            tags: BTreeMap::new(),
            blocked: None,
            eof: false,
            owed: BTreeSet::new(),
        }
    }
}

impl Server {
    pub(super) fn client_eof(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.eof = true;
        if self.config.switches.half_close == HalfClose::AtEof {
            self.end_provider(id);
        }
        self.close_if_idle(id);
    }

    pub(super) fn client_hang_up(&mut self, id: ClientId) {
        if self.config.switches.vanished == Vanished::AtOnce {
            self.remove_client(id);
        } else {
            self.client_eof(id);
        }
    }

    pub(super) fn client_gone(&mut self, id: ClientId, errno: i32) {
        if self.clients.contains_key(&id) {
            let line = self.warn_line("ADMIN").word("client-write-error");
            let line = super::net::system_error(line, errno);
            self.remove_client(id);
            self.warn(line);
        }
    }

    /// Closes a half-closed client whose last job is done.
    pub(super) fn close_if_idle(&mut self, id: ClientId) {
        if self
            .clients
            .get(&id)
            .is_some_and(|client| client.eof && client.jobs.is_empty())
        {
            self.remove_client(id);
        }
    }

    /// Forgets a client: its jobs are cancelled, its services released.
    pub(super) fn remove_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        for job in client.jobs.clone() {
            self.cancel_job(job);
        }
        // Gone before others are told, so that nothing more is sent to it.
        let owed = self.clients.remove(&id).map(|client| client.owed);
        self.out.push(Output::Close(id));
        self.provider_died(id, owed.unwrap_or_default());
    }

    /// Takes away services and owed jobs of a client that is still there.
    fn end_provider(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            let owed = std::mem::take(&mut client.owed);
            self.provider_died(id, owed);
        }
    }

    fn provider_died(&mut self, id: ClientId, owed: BTreeSet<JobKey>) {
        match self.config.switches.provider_death {
            ProviderDeath::ReleaseFirst => {
                self.release_services_of(id);
                self.fail_owed(owed);
            }
            ProviderDeath::FailureFirst => {
                self.fail_owed(owed);
                self.release_services_of(id);
            }
        }
    }
}
