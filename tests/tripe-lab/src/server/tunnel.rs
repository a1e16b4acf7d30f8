// SPDX-License-Identifier: GPL-3.0-or-later
//! Tunnels: the devices behind peers, where there are any, and the packets that go through them.

use super::peer::PeerKey;
use super::{DeviceId, Output, Server};
use crate::config::Tunnel;
use crate::datagram::Datagram;

impl PeerKey {
    /// The name of the peer's device, if it has one.
    pub(super) const fn device(self) -> DeviceId {
        DeviceId(self.0)
    }

    /// The peer that a device was made for.
    pub(super) const fn of_device(device: DeviceId) -> Self {
        PeerKey(device.0)
    }
}

impl Server {
    /// Warns that a device could not be made.
    pub(super) fn warn_no_device(&mut self, tunnel: Tunnel, errno: i32) {
        let line = self
            .warn_line("TUN")
            .words(["-", tunnel.name(), "open-error", "/dev/net/tun"]);
        self.warn(super::net::system_error(line, errno));
    }

    /// Gives a peer's interface back: a number, or a device.
    pub(super) fn close_tunnel(&mut self, key: PeerKey, interface: Option<u32>) {
        match interface {
            Some(number) => self.interfaces.give_back(number),
            None => self.out.push(Output::CloseDevice(key.device())),
        }
    }

    /// A packet came out of a peer's device, to be sent to the peer.
    pub(super) fn packet_from_device(&mut self, device: DeviceId, packet: &[u8]) {
        self.tunnel_packet(PeerKey::of_device(device), packet);
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
    use std::time::{Duration, SystemTime};

    /// A server whose only client watches, and what it said and did with devices.
    struct Rig(Server);

    impl Rig {
        fn new() -> Self {
            let config = LabConfig {
                tunnels: vec![Tunnel::Tun, Tunnel::Lab],
                reflect: "192.0.2.0/24".parse().ok(),
                ..LabConfig::new("/nonexistent")
            };
            let udp = vec![([127, 0, 0, 1], 1).into()];
            let mut rig = Rig(Server::new(config, udp, 0, SystemTime::UNIX_EPOCH));
            let watch = Watch {
                notes: true,
                warnings: true,
                traces: false,
            };
            rig.feed(Input::Connect(ClientId(1), watch));
            rig
        }

        fn feed(&mut self, input: Input<'_>) -> Vec<String> {
            let mut outputs = Vec::new();
            self.0.handle(input, Duration::from_secs(1), &mut outputs);
            let told = |output| match output {
                Output::Line(_, line) => Some(line),
                Output::OpenDevice(device, prefix) => Some(format!("open {} {prefix}", device.0)),
                Output::CloseDevice(device) => Some(format!("close {}", device.0)),
                _ => None,
            };
            outputs.into_iter().filter_map(told).collect()
        }

        fn say(&mut self, line: &str) -> Vec<String> {
            self.feed(Input::Line(ClientId(1), line.as_bytes().into()))
        }

        fn opened(&mut self, device: u64, name: &str) -> Vec<String> {
            self.feed(Input::DeviceOpened(DeviceId(device), name.into()))
        }
    }

    #[test]
    fn a_device_is_made_with_its_peer_and_goes_with_it() {
        let mut rig = Rig::new();
        assert_eq!(rig.say("TUNNELS"), ["INFO tun", "INFO lab", "OK"]);
        assert_eq!(rig.say("ADD -cork a 192.0.2.1"), ["open 0 tripe"]);
        assert!(rig.0.is_blocked(ClientId(1)));
        assert_eq!(
            rig.opened(0, "tripe-x0"),
            ["NOTE ADD a tripe-x0 INET 192.0.2.1 4070", "OK"]
        );
        assert!(!rig.0.is_blocked(ClientId(1)));
        assert_eq!(
            rig.say("ADD -cork -tunnel lab b 192.0.2.2"),
            ["NOTE ADD b tripe0 INET 192.0.2.2 4070", "OK"]
        );
        assert_eq!(rig.say("ADD -cork c 192.0.2.3"), ["open 2 tripe"]);
        assert_eq!(
            rig.feed(Input::DeviceFailed(DeviceId(2), 1)),
            [
                r#"WARN TUN - tun open-error /dev/net/tun E1 "Operation not permitted""#,
                "FAIL peer-create-fail c",
            ]
        );
        assert_eq!(rig.say("KILL a"), ["NOTE KILL a", "close 0", "OK"]);
        assert_eq!(rig.say("KILL b"), ["NOTE KILL b", "OK"]);
    }

    #[test]
    fn a_device_for_which_nobody_waits_any_more_is_closed() {
        let mut rig = Rig::new();
        for name in ["a", "b"] {
            rig.say(&format!("ADD -background {name} -cork {name} 192.0.2.1"));
        }
        assert_eq!(rig.say("BGCANCEL a"), ["OK"]);
        assert_eq!(rig.opened(0, "x"), ["close 0"]);
        rig.say("ADD -cork -tunnel lab c 192.0.2.1");
        assert_eq!(
            rig.opened(1, "y"),
            ["close 1", "BGFAIL b peer-addr-exists INET 192.0.2.1 4070"]
        );
        assert_eq!(rig.opened(1, "y"), ["close 1"]);
    }
}
