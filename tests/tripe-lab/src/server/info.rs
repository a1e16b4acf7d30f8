// SPDX-License-Identifier: GPL-3.0-or-later
//! Commands that only tell something (tripe-admin.md, 3.3, 3.4 and 3.7).

use super::add::Family;
use super::args::Args;
use super::command::{Done, Keyword, Outcome};
use super::fail::Fail;
use super::{ClientId, Server};
use crate::quote::Line;
use crate::switches::{DisabledFamily, PeerinfoKnock};

/// How booleans are written.
pub(super) const fn boolean(value: bool) -> &'static str {
    if value { "t" } else { "nil" }
}

/// What `ALGS` tells, line by line: the specification's examples. Every key uses the same
/// algorithms, none of which the lab really has.
const ALGORITHMS: &[&[(&str, &str)]] = &[
    &[
        ("kx-group", "x25519"),
        ("kx-group-order-bits", "252"),
        ("kx-group-elt-bits", "256"),
    ],
    &[("hash", "sha256"), ("mgf", "sha256-mgf"), ("hash-sz", "32")],
    &[("bulk-transform", "v0"), ("bulk-overhead", "36")],
    &[
        ("cipher", "rijndael-cbc"),
        ("cipher-keysz", "32"),
        ("cipher-blksz", "16"),
    ],
    &[("cipher-data-limit", "1073741824")],
    &[
        ("mac", "sha256-hmac"),
        ("mac-keysz", "32"),
        ("mac-tagsz", "16"),
    ],
];

impl Server {
    /// Sends a line of information for a foreground command.
    pub(super) fn info(&mut self, client: ClientId, add: impl FnOnce(Line) -> Line) {
        let line = add(self.line("INFO")).finish();
        self.send(client, line);
    }

    pub(super) fn list(&mut self, client: ClientId) -> Outcome {
        let names: Vec<String> = self.peers.values().map(|peer| peer.name.clone()).collect();
        for name in names {
            self.info(client, |line| line.word(&name));
        }
        Ok(Done::Ok)
    }

    pub(super) fn show_addr(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let key = self.find_peer(args.word(0))?;
        if let Some(addr) = self.peers.get(&key).map(|peer| peer.addr) {
            self.info(client, |line| line.addr(addr));
        }
        Ok(Done::Ok)
    }

    pub(super) fn show_ifname(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let key = self.find_peer(args.word(0))?;
        if let Some(name) = self.peers.get(&key).map(|peer| peer.ifname.clone()) {
            self.info(client, |line| line.word(&name));
        }
        Ok(Done::Ok)
    }

    pub(super) fn show_algs(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        if let Some(name) = args.get(0) {
            self.find_peer(name)?;
        }
        for pairs in ALGORITHMS {
            self.info(client, |line| {
                pairs
                    .iter()
                    .fold(line, |line, (key, value)| line.pair(key, value))
            });
        }
        Ok(Done::Ok)
    }

    pub(super) fn peerinfo(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let key = self.find_peer(args.word(0))?;
        let Some(peer) = self.peers.get(&key) else {
            return Ok(Done::Ok);
        };
        let options = &peer.options;
        let mut lines = vec![self.line("INFO").pair("tunnel", options.tunnel.name())];
        let knock = match (&options.knock, self.config.switches.peerinfo_knock) {
            (None, PeerinfoKnock::WhenSet) => None,
            (knock, _) => Some(knock.as_deref().unwrap_or_default()),
        };
        lines.extend(knock.map(|knock| self.line("INFO").pair("knock", knock)));
        let private = options.private.as_deref();
        lines.push(
            self.line("INFO")
                .pair("key", peer.key_tag())
                .pair("current-key", peer.key_tag()),
        );
        lines.push(
            self.line("INFO")
                .pair("private-key", private.unwrap_or("(default)"))
                .pair(
                    "current-private-key",
                    private.unwrap_or(&self.config.own_key),
                ),
        );
        lines.push(self.line("INFO").pair("keepalive", options.keepalive));
        lines.push(
            self.line("INFO")
                .pair("corked", boolean(peer.kx.is_corked()))
                .pair("mobile", boolean(options.mobile))
                .pair("ephemeral", boolean(options.ephemeral)),
        );
        for line in lines {
            self.send(client, line.finish());
        }
        Ok(Done::Ok)
    }

    pub(super) fn servinfo(&mut self, client: ClientId) -> Outcome {
        let identity = self.config.identity.clone();
        let daemon = boolean(self.daemon);
        self.info(client, |line| {
            line.pair("implementation", &identity.implementation)
                .pair("version", &identity.version)
                .pair("daemon", daemon)
        });
        Ok(Done::Ok)
    }

    pub(super) fn version(&mut self, client: ClientId) -> Outcome {
        let identity = self.config.identity.clone();
        self.info(client, |line| {
            line.word(&identity.name).word(&identity.version)
        });
        Ok(Done::Ok)
    }

    pub(super) fn show_port(&mut self, client: ClientId, args: &Args<'_>) -> Outcome {
        let family = match args.get(0) {
            None => Family::Any,
            Some(word) => {
                Family::find(word).ok_or_else(|| Fail::UnknownAddressFamily(word.into()))?
            }
        };
        let Some(port) = self
            .udp
            .iter()
            .find(|addr| family.covers(addr.ip()))
            .map(std::net::SocketAddr::port)
        else {
            return Err(match self.config.switches.disabled_family {
                DisabledFamily::Named => Fail::DisabledAddressFamily(family.name()),
                DisabledFamily::Unknown => Fail::UnknownAddressFamily(family.name().into()),
            });
        };
        self.info(client, |line| line.word(&port.to_string()));
        Ok(Done::Ok)
    }

    pub(super) fn show_tunnels(&mut self, client: ClientId) -> Outcome {
        for tunnel in self.config.tunnels.clone() {
            self.info(client, |line| line.word(tunnel.name()));
        }
        Ok(Done::Ok)
    }

    pub(super) fn help(&mut self, client: ClientId) -> Outcome {
        for keyword in Keyword::ALL {
            if *keyword == Keyword::Trace && !self.config.tracing {
                continue;
            }
            self.info(client, |line| {
                let line = line.word(keyword.name());
                if keyword.usage().is_empty() {
                    line
                } else {
                    line.raw(keyword.usage())
                }
            });
        }
        Ok(Done::Ok)
    }
}
