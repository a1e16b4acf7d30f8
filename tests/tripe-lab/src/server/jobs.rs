// SPDX-License-Identifier: GPL-3.0-or-later
//! Jobs: commands whose answer comes later, in the foreground or under a tag.
//!
//! ```text
//!   command --begin--> BGDETACH (if tagged) --park--> job --end_job + conclude--> OK or FAIL
//!                                                     job --cancel_job--> silence
//! ```

use std::collections::BTreeMap;

use super::add::AddRequest;
use super::args::Args;
use super::command::{Done, Outcome};
use super::fail::Fail;
use super::ping::Ping;
use super::timers::{Timer, TimerId};
use super::{ClientId, DeviceId, Now, Output, Server};
use crate::quote::Line;
use crate::rng::Rng;
use crate::switches::{Bgcancel, JobIds};

/// Names a job within the server.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct JobKey(u64);

/// To whom a job's answer goes.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) client: ClientId,
    /// Its tag, if it runs in the background.
    pub(super) tag: Option<String>,
}

/// When a job's timer runs, and what makes it of the job.
pub(super) type JobTimer = (Now, fn(JobKey) -> Timer);

/// An outstanding job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) reply: Reply,
    pub(super) work: Work,
    pub(super) timer: Option<TimerId>,
}

/// What a job waits for.
#[derive(Debug)]
pub(super) enum Work {
    /// An answer to a ping.
    Ping(Ping),
    /// The resolver, for `ADD`.
    Resolve(Box<AddRequest>),
    /// A device, for a peer that `ADD` is about to make.
    Device(DeviceId, Box<AddRequest>),
    /// A service provider, which knows the job by this number.
    Service { provider: ClientId, number: u32 },
}

/// The numbers under which providers know their jobs.
#[derive(Debug)]
pub(super) struct WireIds {
    spelling: JobIds,
    offset: u32,
    /// Odd, so that no number comes twice before all have been used.
    multiplier: u32,
    count: u32,
    jobs: BTreeMap<u32, JobKey>,
}

impl WireIds {
    pub(super) fn new(rng: &mut Rng, spelling: JobIds) -> Self {
        let [offset, multiplier] = [rng.next(), rng.next()].map(|number| {
            // Half of the bits are as good as all.
            u32::try_from(number >> 32).unwrap_or_default()
        });
        WireIds {
            spelling,
            offset,
            multiplier: multiplier | 1,
            count: 0,
            jobs: BTreeMap::new(),
        }
    }

    fn next(&mut self) -> u32 {
        self.count = self.count.wrapping_add(1);
        self.count
            .wrapping_mul(self.multiplier)
            .wrapping_add(self.offset)
    }

    /// How a number is spelt.
    pub(super) fn spell(&self, number: u32) -> String {
        match self.spelling {
            JobIds::Plain => format!("J{number:08x}"),
            JobIds::Odd => format!("-{number:x}=#~{number:o}"),
        }
    }

    /// The job of that spelling, if it lives.
    pub(super) fn find(&self, text: &str) -> Option<JobKey> {
        let number = match self.spelling {
            JobIds::Plain => u32::from_str_radix(text.strip_prefix('J')?, 16),
            JobIds::Odd => u32::from_str_radix(text.strip_prefix('-')?.split_once('=')?.0, 16),
        }
        .ok()?;
        // Spelt back and compared, so that only the very same text will do.
        let key = self.jobs.get(&number).copied()?;
        (self.spell(number) == text).then_some(key)
    }
}

impl Server {
    /// Accepts a command that may take long: from here on, if it has a tag, all it says goes under
    /// that tag.
    pub(super) fn begin(&mut self, client: ClientId, tag: Option<String>) -> Result<Reply, Fail> {
        let outstanding = self.clients.get(&client).map_or(0, |c| c.jobs.len());
        if outstanding >= self.config.max_client_jobs {
            return Err(Fail::Other(vec!["too-many-jobs".into()]));
        }
        if let Some(tag) = &tag {
            let taken = self
                .clients
                .get(&client)
                .is_some_and(|client| client.tags.contains_key(tag));
            if taken {
                return Err(Fail::TagExists(tag.clone()));
            }
            let line = self.line("BGDETACH").word(tag).finish();
            self.send(client, line);
        }
        Ok(Reply { client, tag })
    }

    fn reply_line(&self, reply: &Reply, plain: &str, tagged: &str) -> Line {
        match &reply.tag {
            None => self.line(plain),
            Some(tag) => self.line(tagged).word(tag),
        }
    }

    /// Sends a line of information for a job.
    pub(super) fn inform(&mut self, reply: &Reply, add: impl FnOnce(Line) -> Line) {
        let line = add(self.reply_line(reply, "INFO", "BGINFO")).finish();
        self.send(reply.client, line);
    }

    /// Sends a job's last line.
    pub(super) fn answer(&mut self, reply: &Reply, result: Result<(), Fail>) {
        let line = match result {
            Ok(()) => self.reply_line(reply, "OK", "BGOK"),
            Err(fail) => fail.write(self.reply_line(reply, "FAIL", "BGFAIL")),
        };
        self.send(reply.client, line.finish());
    }

    /// Registers a job that waits; in the foreground it holds its client up. With `timer`, that
    /// happens at that time unless the job has ended before.
    pub(super) fn park(&mut self, reply: Reply, work: Work, timer: Option<JobTimer>) -> JobKey {
        self.next_job += 1;
        let key = JobKey(self.next_job);
        if let Some(client) = self.clients.get_mut(&reply.client) {
            client.jobs.insert(key);
            match &reply.tag {
                Some(tag) => {
                    client.tags.insert(tag.clone(), key);
                }
                None => client.blocked = Some(key),
            }
        }
        match &work {
            Work::Ping(ping) => {
                if let Some(peer) = self.peers.get_mut(&ping.peer) {
                    peer.pings.insert(ping.id, key);
                }
            }
            Work::Resolve(_) => {}
            Work::Device(device, _) => {
                self.devices.insert(*device, key);
            }
            Work::Service { provider, number } => {
                self.wire.jobs.insert(*number, key);
                if let Some(provider) = self.clients.get_mut(provider) {
                    provider.owed.insert(key);
                }
            }
        }
        let timer = timer.map(|(at, make)| self.timers.set(at, make(key)));
        self.jobs.insert(key, Job { reply, work, timer });
        key
    }

    /// A number for a new service job.
    pub(super) fn new_wire_number(&mut self) -> u32 {
        self.wire.next()
    }

    /// Takes a job out of all books. What is to be said of it, the caller says.
    pub(super) fn end_job(&mut self, key: JobKey) -> Option<Job> {
        let job = self.jobs.remove(&key)?;
        self.timers.cancel(job.timer);
        if let Some(client) = self.clients.get_mut(&job.reply.client) {
            client.jobs.remove(&key);
            if let Some(tag) = &job.reply.tag {
                client.tags.remove(tag);
            }
            if client.blocked == Some(key) {
                client.blocked = None;
            }
        }
        match &job.work {
            Work::Ping(ping) => {
                if let Some(peer) = self.peers.get_mut(&ping.peer) {
                    peer.pings.remove(&ping.id);
                }
            }
            Work::Resolve(_) => {}
            Work::Device(device, _) => {
                self.devices.remove(device);
            }
            Work::Service { provider, number } => {
                self.wire.jobs.remove(number);
                if let Some(provider) = self.clients.get_mut(provider) {
                    provider.owed.remove(&key);
                }
            }
        }
        Some(job)
    }

    /// Says an ended job's last line and lets its client go on.
    pub(super) fn conclude(&mut self, reply: &Reply, result: Result<(), Fail>) {
        self.answer(reply, result);
        self.let_go(reply);
    }

    fn let_go(&mut self, reply: &Reply) {
        if reply.tag.is_none() && self.clients.contains_key(&reply.client) {
            self.out.push(Output::Resume(reply.client));
        }
        self.close_if_idle(reply.client);
    }

    /// Ends a job of which its submitter wants to hear no more.
    pub(super) fn cancel_job(&mut self, key: JobKey) -> Option<Job> {
        let job = self.end_job(key)?;
        if let Work::Service { provider, number } = job.work {
            let id = self.wire.spell(number);
            let line = self.line("SVCCANCEL").word(&id).finish();
            self.send(provider, line);
        }
        Some(job)
    }

    pub(super) fn bgcancel(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let tag = args.word(0);
        let job = self
            .clients
            .get(&client)
            .and_then(|client| client.tags.get(tag))
            .copied()
            .and_then(|key| self.cancel_job(key))
            .ok_or_else(|| Fail::UnknownTag(tag.into()))?;
        if self.config.switches.bgcancel == Bgcancel::Reported {
            self.answer(&job.reply, Err(Fail::Other(vec!["cancelled".into()])));
        }
        Ok(Done::Ok)
    }

    pub(super) fn show_jobs(&mut self, client: ClientId) -> Outcome {
        let keys = self
            .clients
            .get(&client)
            .map(|client| client.jobs.clone())
            .unwrap_or_default();
        for key in keys {
            if let Some(tag) = self.jobs.get(&key).and_then(|job| job.reply.tag.as_ref()) {
                let line = self.line("INFO").word(tag).finish();
                self.send(client, line);
            }
        }
        Ok(Done::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_spelling_finds_a_job() {
        for spelling in [JobIds::Plain, JobIds::Odd] {
            let mut ids = WireIds::new(&mut Rng::new(3), spelling);
            let (one, two) = (ids.next(), ids.next());
            ids.jobs.insert(one, JobKey(1));
            ids.jobs.insert(two, JobKey(2));
            let text = ids.spell(one);
            assert_eq!(ids.find(&text), Some(JobKey(1)));
            assert_eq!(ids.find(&ids.spell(two)), Some(JobKey(2)));
            for wrong in [
                String::new(),
                text.to_uppercase()
                    .to_lowercase()
                    .replacen('-', "", 1)
                    .replacen('j', "", 1),
                format!("{text} "),
                format!("{text}0"),
                text.replacen(['J', '-'], "K", 1),
                text.replacen(['J', '-'], "J+", 1),
                String::from("J"),
                String::from("-="),
            ] {
                assert_eq!(ids.find(&wrong), None, "{wrong:?}");
            }
        }
    }
}
