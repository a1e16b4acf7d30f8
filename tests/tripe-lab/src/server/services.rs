// SPDX-License-Identifier: GPL-3.0-or-later
//! Services: who provides what, and the hand-off of jobs to providers (tripe-admin.md, 3.10, 3.11,
//! 6.1 to 6.4).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::args::Args;
use super::command::{Done, Outcome};
use super::fail::Fail;
use super::jobs::{JobKey, Reply, Work};
use super::{ClientId, Server};
use crate::switches::EmptyInfo;
use tripe_admin::version;

/// A claimed service.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) provider: ClientId,
    pub(super) version: String,
}

impl Server {
    fn service(&self, name: &str) -> Result<&Service, Fail> {
        self.services
            .get(name)
            .ok_or_else(|| Fail::UnknownService(name.into()))
    }

    /// The service, if it is provided at `wanted` or later.
    fn service_at(&self, name: &str, wanted: Option<&str>) -> Result<&Service, Fail> {
        let service = self.service(name)?;
        match wanted {
            Some(wanted) if version::compare(&service.version, wanted) == Ordering::Less => {
                Err(Fail::ServiceTooOld(name.into(), service.version.clone()))
            }
            _ => Ok(service),
        }
    }

    pub(super) fn svcclaim(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let (name, claimed) = (args.word(0), args.word(1));
        if let Some(held) = self.services.get(name) {
            if version::compare(&held.version, claimed) != Ordering::Less {
                return Err(Fail::ServiceExists(name.into(), held.version.clone()));
            }
            let old = held.provider;
            let line = self.line("SVCCLAIM").word(name).word(claimed).finish();
            self.send(old, line);
        } else if self.services.len() >= self.config.max_services {
            return Err(Fail::Other(vec!["too-many-services".into()]));
        }
        self.services.insert(
            name.into(),
            Service {
                provider: client,
                version: claimed.into(),
            },
        );
        let line = self.note_line("SVCCLAIM").word(name).word(claimed);
        self.note(line);
        Ok(Done::Ok)
    }

    pub(super) fn svcrelease(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let name = args.word(0);
        if self.service(name)?.provider != client {
            return Err(Fail::NotServiceProvider(name.into()));
        }
        self.release(name);
        Ok(Done::Ok)
    }

    fn release(&mut self, name: &str) {
        if self.services.remove(name).is_some() {
            let line = self.note_line("SVCRELEASE").word(name);
            self.note(line);
        }
    }

    /// Releases all services of a provider that went away.
    pub(super) fn release_services_of(&mut self, provider: ClientId) {
        let names: Vec<String> = self
            .services
            .iter()
            .filter(|(_, service)| service.provider == provider)
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.release(&name);
        }
    }

    /// Fails jobs whose provider went away.
    pub(super) fn fail_owed(&mut self, owed: BTreeSet<JobKey>) {
        for key in owed {
            if let Some(job) = self.end_job(key) {
                self.conclude(&job.reply, Err(Fail::ProviderFailed));
            }
        }
    }

    pub(super) fn svclist(&mut self, client: ClientId) -> Outcome {
        let lines: Vec<String> = self
            .services
            .iter()
            .map(|(name, service)| self.line("INFO").word(name).word(&service.version).finish())
            .collect();
        for line in lines {
            self.send(client, line);
        }
        Ok(Done::Ok)
    }

    pub(super) fn svcquery(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let name = args.word(0);
        let service = self.service(name)?;
        let line = self
            .line("INFO")
            .pair("name", name)
            .pair("version", &service.version)
            .finish();
        self.send(client, line);
        Ok(Done::Ok)
    }

    pub(super) fn svcensure(&self, args: &Args<'_>) -> Outcome {
        self.service_at(args.word(0), args.get(1))?;
        Ok(Done::Ok)
    }

    pub(super) fn svcsubmit(&mut self, client: ClientId, mut args: Args<'_>) -> Outcome {
        let (mut tag, mut wanted) = (None, None);
        while let Some(option) = args.option() {
            match option.as_str() {
                "-background" => tag = Some(args.value()?.to_owned()),
                "-version" => wanted = Some(args.value()?),
                _ => return Err(args.bad_syntax()),
            }
        }
        let args = args.counted()?;
        let name = args.word(0);
        let provider = self.service_at(name, wanted)?.provider;
        let owed = self.clients.get(&provider).map_or(0, |c| c.owed.len());
        if owed >= self.config.max_provider_jobs {
            return Err(Fail::ProviderOverloaded);
        }
        let reply = self.begin(client, tag)?;
        let number = self.new_wire_number();
        let id = self.wire.spell(number);
        self.park(reply, Work::Service { provider, number }, None);
        let line = self.line("SVCJOB").word(&id).words(args.rest()).finish();
        self.send(provider, line);
        Ok(Done::Answered)
    }

    /// The live job of this name, if it is `provider`'s to answer.
    fn owed_job(&self, provider: ClientId, id: &str) -> Result<JobKey, Fail> {
        self.wire
            .find(id)
            .filter(|key| {
                self.clients
                    .get(&provider)
                    .is_some_and(|client| client.owed.contains(key))
            })
            .ok_or_else(|| Fail::UnknownJobid(id.into()))
    }

    /// Checks the one doubtful argument count, of `SVCINFO` and `SVCFAIL` without tokens.
    fn check_tokens(&self, args: &Args<'_>) -> Result<(), Fail> {
        if args.get(1).is_none() && self.config.switches.empty_info == EmptyInfo::Refused {
            return Err(args.bad_syntax());
        }
        Ok(())
    }

    pub(super) fn svcinfo(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        self.check_tokens(args)?;
        let key = self.owed_job(client, args.word(0))?;
        let Some(reply) = self.jobs.get(&key).map(|job| job.reply.clone()) else {
            return Err(Fail::UnknownJobid(args.word(0).into()));
        };
        let tokens = args.rest().iter().skip(1);
        self.inform(&reply, |line| line.words(tokens));
        Ok(Done::Ok)
    }

    pub(super) fn svcok(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        self.settle(client, args.word(0), Ok(()))
    }

    pub(super) fn svcfail(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        self.check_tokens(args)?;
        let tokens = args.rest().iter().skip(1).map(ToString::to_string);
        self.settle(client, args.word(0), Err(Fail::Other(tokens.collect())))
    }

    fn settle(&mut self, provider: ClientId, id: &str, result: Result<(), Fail>) -> Outcome {
        let key = self.owed_job(provider, id)?;
        let reply: Option<Reply> = self.end_job(key).map(|job| job.reply);
        if let Some(reply) = reply {
            self.conclude(&reply, result);
        }
        Ok(Done::Ok)
    }
}
