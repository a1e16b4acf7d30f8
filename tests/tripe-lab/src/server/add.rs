// SPDX-License-Identifier: GPL-3.0-or-later
//! `ADD`: options, address, resolving and creation, in the order of tripe-admin.md, 3.1.

use std::net::{IpAddr, SocketAddr};

use super::args::Args;
use super::command::{Done, Outcome};
use super::fail::Fail;
use super::jobs::{Job, JobKey, Reply, Work};
use super::peer::{Interface, PeerKey, PeerOptions};
use super::timers::Timer;
use super::{ClientId, DeviceId, Output, Server};
use crate::config::{DEFAULT_PORT, Host, Tunnel};
use crate::switches::DisabledFamily;
use tripe_admin::Interval;

/// How long the resolver has, in protocol seconds (`T_RESOLVE` of the server).
const RESOLVE_SECONDS: u32 = 30;

/// An address family as a client names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    Any,
    Inet,
    Inet6,
}

impl Family {
    /// The family of that name, in any case.
    pub(super) fn find(word: &str) -> Option<Self> {
        [Family::Any, Family::Inet, Family::Inet6]
            .into_iter()
            .find(|family| family.name().eq_ignore_ascii_case(word))
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Family::Any => "ANY",
            Family::Inet => "INET",
            Family::Inet6 => "INET6",
        }
    }

    pub(super) const fn covers(self, ip: IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::Inet => ip.is_ipv4(),
            Family::Inet6 => ip.is_ipv6(),
        }
    }
}

/// An `ADD` whose words have been understood.
#[derive(Debug)]
pub(super) struct AddRequest {
    name: String,
    host: String,
    port: u16,
    options: PeerOptions,
    /// What the resolver will say in the end.
    answer: Answer,
}

/// What the resolver says.
#[derive(Debug)]
enum Answer {
    Found(IpAddr),
    Error,
    Timeout,
}

impl Server {
    pub(super) fn add(&mut self, client: ClientId, mut args: Args<'_>) -> Outcome {
        let mut tag = None;
        let mut options = PeerOptions {
            tunnel: self.config.tunnels.first().copied().unwrap_or(Tunnel::Lab),
            keepalive: Interval::from_secs(0),
            key: None,
            knock: None,
            private: None,
            mobile: false,
            ephemeral: false,
            corked: false,
        };
        while let Some(option) = args.option() {
            match option.as_str() {
                "-background" => tag = Some(args.value()?.to_owned()),
                "-cork" => options.corked = true,
                "-ephemeral" => options.ephemeral = true,
                "-keepalive" => options.keepalive = args.time()?,
                "-key" => options.key = Some(args.value()?.to_owned()),
                "-knock" => {
                    options.knock = Some(args.value()?.to_owned());
                    options.ephemeral = true;
                }
                "-mobile" => {
                    options.mobile = true;
                    options.ephemeral = true;
                }
                "-priv" => options.private = Some(args.value()?.to_owned()),
                "-tunnel" => {
                    let name = args.value()?;
                    options.tunnel = self
                        .config
                        .tunnels
                        .iter()
                        .copied()
                        .find(|tunnel| tunnel.name() == name)
                        .ok_or_else(|| Fail::UnknownTunnel(name.into()))?;
                }
                _ => return Err(args.bad_syntax()),
            }
        }
        let args = args.counted()?;
        let name = args.word(0);
        if self.find_peer(name).is_ok() {
            return Err(Fail::PeerExists(name.into()));
        }
        let mut address: Vec<&str> = args.rest().iter().skip(1).map(AsRef::as_ref).collect();
        let family = address.first().and_then(|word| Family::find(word));
        if family.is_some() {
            address.remove(0);
        }
        let (host, port) = match address[..] {
            [host] => (host, DEFAULT_PORT),
            [host, port] => (host, self.read_port(port)?),
            _ => return Err(Fail::BadAddrSyntax),
        };
        let family = family.unwrap_or(Family::Any);
        if !self.has_family(family) && self.config.switches.disabled_family == DisabledFamily::Named
        {
            return Err(Fail::DisabledAddressFamily(family.name()));
        }
        let reply = self.begin(client, tag)?;
        let (wait, answer) = self.resolve(host, family);
        let request = AddRequest {
            name: name.into(),
            host: host.into(),
            port,
            options,
            answer,
        };
        match wait {
            None => {
                if let Some(result) = self.resolved_to(&reply, request) {
                    self.answer(&reply, result);
                }
            }
            Some(seconds) => {
                let at = self.now + self.seconds(seconds);
                let work = Work::Resolve(Box::new(request));
                self.park(reply, work, Some((at, Timer::Resolved)));
            }
        }
        Ok(Done::Answered)
    }

    /// Reads a port, by number or by name.
    fn read_port(&self, text: &str) -> Result<u16, Fail> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse() {
                Ok(port) if port != 0 => Ok(port),
                _ => Err(Fail::InvalidPort(text.into())),
            };
        }
        self.config
            .ports
            .get(text)
            .copied()
            .ok_or_else(|| Fail::UnknownPort(text.into()))
    }

    /// Whether there is a socket for a family.
    fn has_family(&self, family: Family) -> bool {
        self.udp.iter().any(|addr| family.covers(addr.ip()))
    }

    /// What the resolver will say of `host`, and after how many seconds if not at once.
    fn resolve(&self, host: &str, family: Family) -> (Option<u32>, Answer) {
        let choose = |ips: &[IpAddr]| {
            ips.iter()
                .copied()
                .find(|ip| {
                    let own = if ip.is_ipv4() {
                        Family::Inet
                    } else {
                        Family::Inet6
                    };
                    family.covers(*ip) && self.has_family(own)
                })
                .map_or(Answer::Error, Answer::Found)
        };
        if let Ok(ip) = host.parse() {
            return (None, choose(&[ip]));
        }
        match self.config.host(host) {
            None => (None, Answer::Error),
            Some(Host::Is(ips)) => (None, choose(&ips)),
            Some(Host::Slow(seconds, ips)) if seconds < RESOLVE_SECONDS => {
                (Some(seconds), choose(&ips))
            }
            Some(Host::Slow(..) | Host::Never) => (Some(RESOLVE_SECONDS), Answer::Timeout),
        }
    }

    /// The resolver answers a job, or has run out of time.
    pub(super) fn resolved(&mut self, key: JobKey) {
        let Some(job) = self.end_job(key) else {
            return;
        };
        let reply: Reply = job.reply;
        if let Work::Resolve(request) = job.work {
            self.in_order(reply.client, |server| {
                if let Some(result) = server.resolved_to(&reply, *request) {
                    server.conclude(&reply, result);
                }
            });
        }
    }

    /// Goes on with the address known, up to the peer's creation. `None` if that has to wait for a
    /// device: a job for it has begun.
    fn resolved_to(&mut self, reply: &Reply, request: AddRequest) -> Option<Result<(), Fail>> {
        let addr = match self.may_create(&request) {
            Ok(addr) => addr,
            Err(fail) => return Some(Err(fail)),
        };
        let key = self.new_peer_key();
        match request.options.tunnel {
            Tunnel::Lab => {
                let interface = self.interfaces.take();
                self.create_peer(key, request.name, addr, interface, request.options);
                Some(Ok(()))
            }
            Tunnel::Tun => {
                let device = key.device();
                let prefix = self.config.interface_prefix.clone();
                self.out.push(Output::OpenDevice(device, prefix));
                let work = Work::Device(device, Box::new(request));
                self.park(reply.clone(), work, None);
                None
            }
        }
    }

    /// A device was made for a peer, or could not be made because of this system error.
    pub(super) fn device_opened(&mut self, device: DeviceId, opened: Result<String, i32>) {
        let job = self
            .devices
            .get(&device)
            .copied()
            .and_then(|job| self.end_job(job));
        match job {
            Some(Job {
                reply,
                work: Work::Device(_, request),
                ..
            }) => self.in_order(reply.client, |server| {
                let result = server.create_with_device(device, *request, opened);
                server.conclude(&reply, result);
            }),
            // Nobody waits for it any more.
            _ => {
                if opened.is_ok() {
                    self.out.push(Output::CloseDevice(device));
                }
            }
        }
    }

    fn create_with_device(
        &mut self,
        device: DeviceId,
        request: AddRequest,
        opened: Result<String, i32>,
    ) -> Result<(), Fail> {
        let ifname = match opened {
            Ok(ifname) => ifname,
            Err(errno) => {
                self.warn_no_device(request.options.tunnel, errno);
                return Err(Fail::PeerCreateFail(request.name));
            }
        };
        // Somebody may have been faster.
        match self.may_create(&request) {
            Ok(addr) => {
                let interface = Interface::device(ifname);
                let key = PeerKey::of_device(device);
                self.create_peer(key, request.name, addr, interface, request.options);
                Ok(())
            }
            Err(fail) => {
                self.out.push(Output::CloseDevice(device));
                Err(fail)
            }
        }
    }

    /// The address of a peer to be, if nothing speaks against the peer.
    fn may_create(&mut self, request: &AddRequest) -> Result<SocketAddr, Fail> {
        let ip = match request.answer {
            Answer::Found(ip) => ip,
            Answer::Error => return Err(Fail::ResolveError(request.host.clone())),
            Answer::Timeout => return Err(Fail::ResolveTimeout(request.host.clone())),
        };
        let addr = SocketAddr::new(ip, request.port);
        if self.peer_addrs.contains_key(&addr) {
            return Err(Fail::PeerAddrExists(addr));
        }
        if self.find_peer(&request.name).is_ok() {
            return Err(Fail::PeerExists(request.name.clone()));
        }
        let options = &request.options;
        let public = options.key.as_deref().unwrap_or(&request.name);
        if !self.config.public_keys.contains(public) {
            self.warn_no_key("public-key", public);
            return Err(Fail::PeerCreateFail(request.name.clone()));
        }
        if let Some(private) = &options.private
            && !self.config.private_keys.contains(private)
        {
            self.warn_no_key("private-key", private);
            return Err(Fail::PeerCreateFail(request.name.clone()));
        }
        if self.peers.len() >= self.config.max_peers {
            let line = self
                .warn_line("PEER")
                .word(&request.name)
                .word("too-many-peers");
            self.warn(line);
            return Err(Fail::PeerCreateFail(request.name.clone()));
        }
        Ok(addr)
    }

    /// Warns that a keyring lacks a key.
    pub(super) fn warn_no_key(&mut self, ring: &str, tag: &str) {
        let line = self.warn_line("KEYMGMT").words([ring, tag, "not-found"]);
        self.warn(line);
    }
}
