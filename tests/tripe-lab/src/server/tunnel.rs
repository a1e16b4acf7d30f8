// SPDX-License-Identifier: GPL-3.0-or-later
//! Tunnels: the devices behind peers, where there are any, and the packets that go through them.

use std::fmt;
use std::io;

use super::peer::PeerKey;
use super::{Output, Server};
use crate::config::Tunnel;
use crate::datagram::Datagram;

/// Names a device within a server; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeviceId(pub u64);

/// Makes devices. What it does is the one thing the server cannot leave for later: whether a peer
/// comes to be, and what its interface is called, depends on it.
pub trait Devices: fmt::Debug {
    /// Makes a device whose name begins with `prefix` and gives its name.
    ///
    /// # Errors
    ///
    /// If the system does not let it.
    fn open(&mut self, device: DeviceId, prefix: &str) -> io::Result<String>;

    /// Does away with a device.
    fn close(&mut self, device: DeviceId);
}

/// A server's devices where there are none to be had.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDevices;

impl Devices for NoDevices {
    fn open(&mut self, _: DeviceId, _: &str) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn close(&mut self, _: DeviceId) {}
}

impl PeerKey {
    /// The name of the peer's device, if it has one.
    pub(super) const fn device(self) -> DeviceId {
        DeviceId(self.0)
    }
}

impl Server {
    /// Has real devices made by `devices`.
    #[must_use]
    pub fn with_devices(mut self, devices: Box<dyn Devices>) -> Self {
        self.devices = devices;
        self
    }

    /// Makes the interface of a peer to be: its name, and its number if it is only a name. `None`
    /// if it cannot be made; a warning tells why.
    pub(super) fn open_tunnel(
        &mut self,
        key: PeerKey,
        tunnel: Tunnel,
    ) -> Option<(String, Option<u32>)> {
        if tunnel == Tunnel::Lab {
            let (number, name) = self.interfaces.take();
            return Some((name, Some(number)));
        }
        match self
            .devices
            .open(key.device(), &self.config.interface_prefix)
        {
            Ok(name) => Some((name, None)),
            Err(error) => {
                /// "Function not implemented", where the error has no number.
                const ENOSYS: i32 = 38;
                let line =
                    self.warn_line("TUN")
                        .words(["-", tunnel.name(), "open-error", "/dev/net/tun"]);
                let errno = error.raw_os_error().unwrap_or(ENOSYS);
                self.warn(super::net::system_error(line, errno));
                None
            }
        }
    }

    /// Gives back what [`Server::open_tunnel`] made.
    pub(super) fn close_tunnel(&mut self, key: PeerKey, interface: Option<u32>) {
        match interface {
            Some(number) => self.interfaces.give_back(number),
            None => self.devices.close(key.device()),
        }
    }

    /// A packet came out of a peer's device, to be sent to the peer.
    pub(super) fn packet_from_device(&mut self, device: DeviceId, packet: &[u8]) {
        self.tunnel_packet(PeerKey(device.0), packet);
    }

    /// A packet came from a peer, to go into its device.
    pub(super) fn packet_from_peer(&mut self, key: PeerKey, packet: Vec<u8>) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        if peer.options.tunnel == Tunnel::Tun {
            self.out
                .push(Output::ToDevice(key.device(), packet.clone()));
        }
        self.out.push(Output::Packet(peer.name.clone(), packet));
    }

    /// Sends a packet into a peer's tunnel, if it has keys.
    pub(super) fn tunnel_packet(&mut self, key: PeerKey, packet: &[u8]) -> bool {
        let session = self
            .peers
            .get(&key)
            .and_then(|peer| peer.keys.first().copied());
        if let Some(session) = session {
            self.transmit(key, &Datagram::Data(session, packet.to_vec()));
        }
        session.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LabConfig;
    use crate::server::{ClientId, Input, Watch};
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::{Duration, SystemTime};

    /// Devices that note what becomes of them; the third cannot be made.
    #[derive(Debug, Default)]
    struct Fake(Rc<RefCell<Vec<String>>>);

    impl Devices for Fake {
        fn open(&mut self, device: DeviceId, prefix: &str) -> io::Result<String> {
            if device.0 == 2 {
                return Err(io::Error::from_raw_os_error(1));
            }
            let name = format!("{prefix}-x{}", device.0);
            self.0.borrow_mut().push(format!("open {name}"));
            Ok(name)
        }

        fn close(&mut self, device: DeviceId) {
            self.0.borrow_mut().push(format!("close {}", device.0));
        }
    }

    #[test]
    fn a_device_is_made_with_its_peer_and_goes_with_it() {
        let fake = Fake::default();
        let noted = Rc::clone(&fake.0);
        let config = LabConfig {
            tunnels: vec![Tunnel::Tun, Tunnel::Lab],
            reflect: "192.0.2.0/24".parse().ok(),
            ..LabConfig::new("/nonexistent")
        };
        let udp = vec![([127, 0, 0, 1], 1).into()];
        let mut server =
            Server::new(config, udp, 0, SystemTime::UNIX_EPOCH).with_devices(Box::new(fake));
        let client = ClientId(1);
        let watch = Watch {
            notes: true,
            warnings: true,
            traces: false,
        };
        let mut lines = |input: Input<'_>| {
            let mut outputs = Vec::new();
            server.handle(Duration::from_secs(1), input, &mut outputs);
            let line = |output| match output {
                Output::Line(_, line) => Some(line),
                _ => None,
            };
            outputs.into_iter().filter_map(line).collect::<Vec<_>>()
        };
        lines(Input::Connect(client, watch));
        let mut say = |line: &str| lines(Input::Line(client, line.as_bytes()));
        assert_eq!(say("TUNNELS"), ["INFO tun", "INFO lab", "OK"]);
        assert_eq!(
            say("ADD -cork a 192.0.2.1"),
            ["NOTE ADD a tripe-x0 INET 192.0.2.1 4070", "OK"]
        );
        assert_eq!(
            say("ADD -cork -tunnel lab b 192.0.2.2"),
            ["NOTE ADD b tripe0 INET 192.0.2.2 4070", "OK"]
        );
        assert_eq!(
            say("ADD -cork c 192.0.2.3"),
            [
                r#"WARN TUN - tun open-error /dev/net/tun E1 "Operation not permitted""#,
                "FAIL peer-create-fail c",
            ]
        );
        say("KILL a");
        say("KILL b");
        assert_eq!(*noted.borrow(), ["open tripe-x0", "close 0"]);
    }
}
