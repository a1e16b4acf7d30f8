// SPDX-License-Identifier: GPL-3.0-or-later
//! The UDP sockets: one task for each receives, sending is done on the spot.
//!
//! ```text
//!   socket --bytes--> receive task --Input::Datagram--> Shell
//!   Shell --Output::Datagram--> socket (lost if the socket is busy, as on any network)
//! ```

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UdpSocket;

use super::{Shell, kind};
use crate::error::LabError;
use crate::log::What;
use crate::server::Input;

/// The UDP sockets, at most one of each family.
pub(super) struct Sockets(Vec<(SocketAddr, UdpSocket)>);

/// The largest datagram there can be.
const LARGEST: usize = 65_536;

/// How many datagrams are taken in one go before other tasks have their turn.
const BATCH: usize = 64;

/// How often binding is tried when the address is taken. A server that starts again may find its
/// own address so: a process that was forked while the old socket was open holds it until it
/// executes its program, which is a matter of moments.
const ATTEMPTS: u32 = 50;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

async fn bind(addr: SocketAddr) -> io::Result<(SocketAddr, UdpSocket)> {
    let mut attempt = 1;
    let socket = loop {
        match UdpSocket::bind(addr).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            bound => break bound?,
        }
    };
    Ok((socket.local_addr()?, socket))
}

impl Sockets {
    /// Binds a socket to each address and says which addresses they got.
    pub(super) async fn bind(addrs: &[SocketAddr]) -> Result<(Self, Vec<SocketAddr>), LabError> {
        let mut sockets = Vec::new();
        for addr in addrs {
            let bound = bind(*addr).await;
            sockets.push(bound.map_err(|error| LabError::Udp { addr: *addr, error })?);
        }
        let addrs = sockets.iter().map(|(addr, _)| *addr).collect();
        Ok((Sockets(sockets), addrs))
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends a datagram, or gives the number of the system's error.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> Result<(), i32> {
        let Some((_, socket)) = self.0.iter().find(|(own, _)| own.is_ipv4() == to.is_ipv4()) else {
            return Ok(());
        };
        match socket.try_send_to(bytes, to) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.raw_os_error().unwrap_or_default()),
        }
    }
}

/// Receives on one socket, for ever.
pub(super) async fn receive(shell: Rc<Shell>, index: usize) {
    let Some((_, socket)) = shell.sockets.0.get(index) else {
        return;
    };
    let mut buffer = vec![0; LARGEST];
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        for _ in 0..BATCH {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if shell.server.borrow().config().log.datagrams {
                        shell.record(What::Received(from, kind(bytes)));
                    }
                    shell.feed(Input::Datagram(from, bytes.into()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An error that came back from the network for something sent before: nothing that
                // concerns receiving.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}
