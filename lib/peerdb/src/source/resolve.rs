// SPDX-License-Identifier: GPL-3.0-or-later
//! Finding the addresses of hosts, many at once and within a bounded time.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Why a host's addresses are not known.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum ResolveError {
    /// The resolver said so.
    #[error("{0}")]
    Failed(String),
    /// There was no answer in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
}

/// Something that knows the addresses of hosts.
pub trait Resolver {
    /// Finds the addresses of each host, in the order of `hosts`. Each host comes once. A result
    /// that is missing at the end counts as a failure.
    fn resolve(&self, hosts: &[String]) -> Vec<Result<Vec<IpAddr>, ResolveError>>;
}

/// The system's own resolver, asked for several hosts at the same time.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver {
    /// How many hosts are asked for at the same time; at least one is.
    pub threads: usize,
    /// How long all hosts together may take. A system call for a name cannot be interrupted, so
    /// nobody waits for a thread whose answer is late.
    pub limit: Duration,
}

impl Default for SystemResolver {
    /// 16 hosts at the same time, so that a few name servers that do not answer do not delay
    /// thousands of names; 30 seconds, the time that the server itself allows for one name.
    fn default() -> Self {
        SystemResolver {
            threads: 16,
            limit: Duration::from_secs(30),
        }
    }
}

impl Resolver for SystemResolver {
    fn resolve(&self, hosts: &[String]) -> Vec<Result<Vec<IpAddr>, ResolveError>> {
        self.resolve_with(hosts, |host| {
            // The port does not matter, but the system's call needs one.
            let addresses = (host, 0).to_socket_addrs()?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

impl SystemResolver {
    fn resolve_with(
        &self,
        hosts: &[String],
        look_up: impl Fn(&str) -> std::io::Result<Vec<IpAddr>> + Clone + Send + 'static,
    ) -> Vec<Result<Vec<IpAddr>, ResolveError>> {
        let mut answers = vec![Err(ResolveError::TimedOut(self.limit)); hosts.len()];
        let start = Instant::now();
        let work: Vec<(usize, String)> = hosts.iter().cloned().enumerate().collect();
        let work = Arc::new(Mutex::new(work.into_iter()));
        let (sender, receiver) = mpsc::channel();
        for _ in 0..self.threads.clamp(1, hosts.len().max(1)) {
            let (work, sender, look_up) = (Arc::clone(&work), sender.clone(), look_up.clone());
            let worker = move || {
                loop {
                    // Taking the next item cannot leave the list in an inconsistent state.
                    let next = work.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, host)) = next else {
                        return;
                    };
                    let answer =
                        look_up(&host).map_err(|error| ResolveError::Failed(error.to_string()));
                    // Nobody receives the answers any more: the time is over.
                    if sender.send((index, answer)).is_err() {
                        return;
                    }
                }
            };
            // One thread is enough. Without any thread, every host times out at once, since the
            // channel then closes.
            if thread::Builder::new()
                .name("resolver".into())
                .spawn(worker)
                .is_err()
            {
                break;
            }
        }
        drop(sender);
        loop {
            let left = self.limit.saturating_sub(start.elapsed());
            match receiver.recv_timeout(left) {
                Ok((index, answer)) => answers[index] = answer,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return answers,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_gets_its_own_answer() {
        let hosts: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let answers =
            SystemResolver::default().resolve_with(&hosts, |host| match host.parse::<u8>() {
                Ok(number) if number % 2 == 0 => Ok(vec![IpAddr::from([10, 0, 0, number])]),
                _ => Err(std::io::Error::other("odd")),
            });
        for (number, answer) in (0..).zip(answers) {
            let expected = if number % 2 == 0 {
                Ok(vec![IpAddr::from([10, 0, 0, number])])
            } else {
                Err(ResolveError::Failed("odd".into()))
            };
            assert_eq!(answer, expected);
        }
    }

    #[test]
    fn a_slow_host_does_not_hold_up_the_rest() {
        // The slow look-up only ends after the quick one has.
        let (finished, wait) = mpsc::channel();
        let wait = Arc::new(Mutex::new(wait));
        let resolver = SystemResolver {
            threads: 2,
            ..SystemResolver::default()
        };
        let hosts = ["slow".to_owned(), "quick".to_owned()];
        let answers = resolver.resolve_with(&hosts, move |host| {
            if host == "slow" {
                let _ = wait.lock().map(|wait| wait.recv());
            } else {
                let _ = finished.send(());
            }
            Ok(Vec::new())
        });
        assert_eq!(answers, [Ok(Vec::new()), Ok(Vec::new())]);
    }

    #[test]
    fn a_host_that_never_answers_is_given_up() {
        // The look-up waits until the test has seen the answer.
        let (release, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let resolver = SystemResolver {
            threads: 1,
            limit: Duration::ZERO,
        };
        let answers = resolver.resolve_with(&["silent".to_owned()], move |_| {
            let _ = wait.lock().map(|wait| wait.recv());
            Ok(Vec::new())
        });
        drop(release);
        assert_eq!(answers, [Err(ResolveError::TimedOut(Duration::ZERO))]);
        assert_eq!(
            ResolveError::TimedOut(Duration::from_millis(1500)).to_string(),
            "no answer within 1.5 s"
        );
    }

    #[test]
    fn no_hosts_need_no_answers() {
        assert_eq!(SystemResolver::default().resolve(&[]), []);
    }

    #[test]
    fn the_systems_resolver_takes_addresses_as_they_stand() {
        let hosts = ["192.0.2.1".to_owned(), "2001:db8::1".to_owned()];
        let answers = SystemResolver::default().resolve(&hosts);
        let expected: Vec<Result<Vec<IpAddr>, ResolveError>> = hosts
            .iter()
            .map(|host| Ok(vec![host.parse().unwrap()]))
            .collect();
        assert_eq!(answers, expected);
    }
}
