// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything the server can do: the one way out of it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::input::{ClientId, DeviceId};
use crate::as_text::base64;

/// Something to be done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Send a line, given without its newline.
    Line(ClientId, String),
    /// A broadcast was made: its line, once, whoever watches. For the record.
    Broadcast(String),
    /// Close the connection when everything before has been written.
    Close(ClientId),
    /// Read from this client again.
    Resume(ClientId),
    /// Send a datagram.
    Datagram(SocketAddr, #[serde(with = "base64")] Vec<u8>),
    /// Make a device whose name begins with this, and say what happened to it.
    OpenDevice(DeviceId, String),
    /// Remove a device.
    CloseDevice(DeviceId),
    /// Put a packet into a device.
    ToDevice(DeviceId, #[serde(with = "base64")] Vec<u8>),
    /// A packet came out of a peer's tunnel: the peer's name and the packet. For the record.
    Packet(String, #[serde(with = "base64")] Vec<u8>),
    /// The answer to an [`Input::Control`](super::Input::Control): it was done.
    Controlled(Vec<String>),
    /// The answer to an [`Input::Control`](super::Input::Control): it cannot be done, and why.
    ControlFailed(String),
    /// Write all, close all, end.
    Stop,
    /// Drop all as it stands, and start again.
    Restart,
    /// Drop all as it stands, and end.
    Crash,
    /// Harm connections.
    Harm(Target, Harm),
}

/// Which connections.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// This one.
    One(ClientId),
    /// All there are.
    All,
}

/// What is done to a connection that the server itself would never do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// Neither read nor write, or do so again.
    Stall(bool),
    /// Close at once.
    Cut,
    /// Close in the middle of the next line.
    CutInNextLine,
    /// Send these bytes as they stand.
    Send(#[serde(with = "base64")] Vec<u8>),
}
