// SPDX-License-Identifier: GPL-3.0-or-later
//! What a lab server is made of: every option of a [`Lab`](crate::Lab) in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::faults::Faults;
use crate::switches::Switches;

/// The UDP port of the protocol's manual, used where `ADD` names none.
pub const DEFAULT_PORT: u16 = 4070;

/// A name that is known to the lab's own resolver and never answers: `ADD` of it ends with
/// `resolve-timeout`.
pub const NAME_WITHOUT_ANSWER: &str = "never-answers.example";

/// Everything that can be set about a lab server.
///
/// ```
/// use tripe_lab::LabConfig;
///
/// let config = LabConfig {
///     seed: 42,
///     time_scale: 10,
///     ..LabConfig::new("/tmp/lab/tripesock")
/// };
/// assert_eq!(config.udp, ["127.0.0.1:0".parse().unwrap()]);
/// ```
#[derive(Clone, Debug)]
pub struct LabConfig {
    /// Where the admin socket is made.
    pub socket: PathBuf,
    /// Mode of the admin socket.
    pub socket_mode: u32,
    /// UDP addresses, at most one of each family; port 0 lets the system choose. A family without
    /// an address is disabled.
    pub udp: Vec<SocketAddr>,
    /// Also send datagrams to addresses beyond the loopback interface. Without it they are lost,
    /// as on a network without a route back.
    pub allow_remote: bool,
    /// Seed of every random choice.
    pub seed: u64,
    /// How many protocol seconds pass in a second: 10 makes `-timeout 5` last half a second. It
    /// speeds up the protocol's own timers only (ping timeouts, key exchange, resolving,
    /// keepalives); the faults' delays and the measured ping times are real time.
    pub time_scale: u32,
    /// How the server names itself.
    pub identity: Identity,
    /// The doubtful points.
    pub switches: Switches,
    /// Faults from the start on.
    pub faults: Faults,
    /// Public keys in the keyring.
    pub public_keys: KeySet,
    /// Private keys in the keyring.
    pub private_keys: KeySet,
    /// Tag of the default private key.
    pub own_key: String,
    /// Have key exchange succeed only where the peer's private key has the tag that was given as
    /// its public key. Without it any lab server may stand in for any peer, which is handy.
    pub check_identity: bool,
    /// The names the resolver knows beyond `localhost`. The network is never asked.
    pub hosts: BTreeMap<String, Host>,
    /// Service names for ports.
    pub ports: BTreeMap<String, u16>,
    /// Addresses that are answered in process.
    pub reflect: Option<Reflect>,
    /// Tunnel drivers, the default first.
    pub tunnels: Vec<Tunnel>,
    /// What interface names begin with.
    pub interface_prefix: String,
    /// Answer `TRACE` at all; the real server can be built without.
    pub tracing: bool,
    /// Answer the `LAB` control command.
    pub control: bool,
    /// Longest command line, in bytes.
    pub line_limit: usize,
    /// How many jobs a provider may owe before `provider-overloaded`.
    pub max_provider_jobs: usize,
    /// How many jobs a client may have outstanding; beyond, `too-many-jobs`, which no real server
    /// says.
    pub max_client_jobs: usize,
    /// How many services may be claimed; beyond, `too-many-services`, which no real server says.
    pub max_services: usize,
    /// How many bytes may wait for a client that does not read; beyond, it is cut off.
    pub max_output: usize,
    /// How many clients may be connected; beyond, new ones are closed at once.
    pub max_clients: usize,
    /// How many peers may exist; beyond, `peer-create-fail`.
    pub max_peers: usize,
    /// What the event log keeps.
    pub log: LogConfig,
}

impl LabConfig {
    /// The defaults, with the admin socket at `socket`.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        LabConfig {
            socket: socket.into(),
            socket_mode: 0o600,
            udp: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            allow_remote: false,
            seed: 1,
            time_scale: 1,
            identity: Identity::default(),
            switches: Switches::default(),
            faults: Faults::default(),
            public_keys: KeySet::Any,
            private_keys: KeySet::Any,
            own_key: String::from("tripe"),
            check_identity: false,
            hosts: BTreeMap::new(),
            ports: BTreeMap::from([(String::from("tripe"), DEFAULT_PORT)]),
            reflect: None,
            tunnels: vec![Tunnel::Lab],
            interface_prefix: String::from("tripe"),
            tracing: true,
            control: true,
            // 255 characters, tripe-admin.md, 1.2.
            line_limit: 255,
            // The size of the real server's table, tripe-admin.md, 3.10.
            max_provider_jobs: 65_535,
            // Room for a LIST of as many peers as there may be, with the longest names.
            max_output: 32 << 20,
            // As many as there may be peers, so that one client can ping them all at once.
            max_client_jobs: 100_000,
            // No test needs nearly so many.
            max_services: 10_000,
            // Far more than any test opens, far fewer than the usual limit of open files.
            max_clients: 500,
            // Five times the scale asked of the lab.
            max_peers: 100_000,
            log: LogConfig::default(),
        }
    }
}

/// How the server names itself in `VERSION` and `SERVINFO`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// First word of `VERSION`.
    pub name: String,
    /// `implementation` of `SERVINFO`.
    pub implementation: String,
    /// Version in both.
    pub version: String,
}

impl Default for Identity {
    /// The lab under its own name.
    fn default() -> Self {
        Identity {
            name: String::from("tripe-lab"),
            implementation: String::from("tripe-lab"),
            version: String::from(env!("CARGO_PKG_VERSION")),
        }
    }
}

impl Identity {
    /// The original server, for clients that look. The name is reserved for it, so this is for
    /// tests alone.
    #[must_use]
    pub fn impersonated() -> Self {
        Identity {
            name: String::from("tripe"),
            implementation: String::from("edgeware-tripe"),
            version: String::from("1.5.0"),
        }
    }
}

/// The tags of a keyring.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum KeySet {
    /// Every tag is there.
    #[default]
    Any,
    /// Just these.
    Only(BTreeSet<String>),
    /// All but these.
    AllBut(BTreeSet<String>),
}

impl KeySet {
    /// Whether the keyring has `tag`.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        match self {
            KeySet::Any => true,
            KeySet::Only(tags) => tags.contains(tag),
            KeySet::AllBut(tags) => !tags.contains(tag),
        }
    }
}

/// What the resolver says of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// It has these addresses, the preferred first.
    Is(Vec<IpAddr>),
    /// The same, told after so many protocol seconds.
    Slow(u32, Vec<IpAddr>),
    /// It never answers.
    Never,
}

impl LabConfig {
    /// What the resolver says of `name`; `None` if it knows nothing.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<Host> {
        if let Some(host) = self.hosts.get(name) {
            return Some(host.clone());
        }
        match name {
            "localhost" => Some(Host::Is(vec![
                Ipv4Addr::LOCALHOST.into(),
                Ipv6Addr::LOCALHOST.into(),
            ])),
            NAME_WITHOUT_ANSWER => Some(Host::Never),
            _ => None,
        }
    }
}

/// Addresses whose peers live in the lab server itself: they exchange keys, answer pings and
/// swallow data without a socket or a datagram, so that very many of them cost little.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reflect {
    /// Network address.
    pub network: IpAddr,
    /// How many leading bits count.
    pub bits: u8,
    /// How long an answer takes, in real time.
    pub delay: Duration,
}

impl Reflect {
    /// Whether `ip` lies within.
    #[must_use]
    pub fn covers(&self, ip: IpAddr) -> bool {
        match (self.network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let differing = u32::from(network) ^ u32::from(ip);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let differing = u128::from(network) ^ u128::from(ip);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

/// A text that is no `NETWORK/BITS`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a network such as 198.18.0.0/15, not `{0}`")]
pub struct ReflectError(String);

impl std::str::FromStr for Reflect {
    type Err = ReflectError;

    /// Reads `NETWORK/BITS`; answers come without delay.
    fn from_str(text: &str) -> Result<Self, ReflectError> {
        let parse = || {
            let (network, bits) = text.split_once('/')?;
            let network: IpAddr = network.parse().ok()?;
            let bits: u8 = bits.parse().ok()?;
            let most = if network.is_ipv4() { 32 } else { 128 };
            (bits <= most).then_some(Reflect {
                network,
                bits,
                delay: Duration::ZERO,
            })
        };
        parse().ok_or_else(|| ReflectError(text.into()))
    }
}

/// A tunnel driver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tunnel {
    /// No device at all: packets come from and go to the test.
    Lab,
    /// A real tun device for each peer, named by the system. It takes the right to make one.
    Tun,
}

impl Tunnel {
    /// Its name in `TUNNELS` and `ADD -tunnel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Tunnel::Lab => "lab",
            Tunnel::Tun => "tun",
        }
    }

    /// The driver of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        [Tunnel::Lab, Tunnel::Tun]
            .into_iter()
            .find(|tunnel| tunnel.name() == name)
    }
}

/// What the event log keeps. Recording costs a copy of each line, so a load test may want less.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogConfig {
    /// Keep command lines received.
    pub commands: bool,
    /// Keep lines sent, client by client.
    pub lines: bool,
    /// Keep a mark of each datagram sent and received.
    pub datagrams: bool,
    /// How many events are kept; older ones are forgotten.
    pub capacity: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            commands: true,
            lines: true,
            datagrams: true,
            // Enough for minutes of a scenario; a few tens of megabytes at worst.
            capacity: 200_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_its_addresses() {
        let reflect: Reflect = "198.18.0.0/15".parse().unwrap();
        for (ip, inside) in [
            ("198.18.0.1", true),
            ("198.19.255.255", true),
            ("198.20.0.0", false),
            ("::1", false),
        ] {
            assert_eq!(reflect.covers(ip.parse().unwrap()), inside, "{ip}");
        }
        let all: Reflect = "::/0".parse().unwrap();
        assert!(all.covers("2001:db8::1".parse().unwrap()));
        for text in ["", "198.18.0.0", "198.18.0.0/33", "x/8", "::/129", "::/-1"] {
            assert!(text.parse::<Reflect>().is_err(), "{text}");
        }
    }

    #[test]
    fn keyrings() {
        let one = BTreeSet::from([String::from("a")]);
        assert!(KeySet::Any.contains("x"));
        assert!(
            KeySet::Only(one.clone()).contains("a") && !KeySet::Only(one.clone()).contains("b")
        );
        assert!(!KeySet::AllBut(one.clone()).contains("a") && KeySet::AllBut(one).contains("b"));
    }
}
