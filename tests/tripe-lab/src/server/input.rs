// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything that can happen to the server: the one way into it. Inputs can be written as JSON, so
//! that a run can be recorded and repeated.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client::Watch;
use super::interference::Control;
use crate::as_text::{base64, line};

/// Time since the server was started.
pub type Now = Duration;

/// Number of an admin connection, counted from 1 over all runs of a lab.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ClientId(pub u32);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Names a device within a server; never used twice.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct DeviceId(pub u64);

/// Something that happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input<'a> {
    /// A client connected; it starts with these broadcasts.
    Connect(ClientId, Watch),
    /// A client sent a line, given without its newline. Not to be handed in while
    /// [`Server::is_blocked`](super::Server::is_blocked).
    Line(ClientId, #[serde(with = "line")] Cow<'a, [u8]>),
    /// A client will send no more.
    Eof(ClientId),
    /// Both directions to a client are closed.
    HangUp(ClientId),
    /// Nothing can be written to a client, because of this system error.
    Gone(ClientId, i32),
    /// We have closed a client's connection ourselves.
    Closed(ClientId),
    /// A datagram arrived.
    Datagram(SocketAddr, #[serde(with = "base64")] Cow<'a, [u8]>),
    /// A datagram could not be sent, because of this system error.
    SendFailed(SocketAddr, i32),
    /// A device was made, and has this name.
    DeviceOpened(DeviceId, String),
    /// A device could not be made, because of this system error.
    DeviceFailed(DeviceId, i32),
    /// A packet came out of a device.
    FromDevice(DeviceId, #[serde(with = "base64")] Cow<'a, [u8]>),
    /// A deadline may have passed.
    Tick,
    /// A test interferes with the server; it is answered with
    /// [`Output::Controlled`](super::Output::Controlled) or
    /// [`Output::ControlFailed`](super::Output::ControlFailed).
    Control(Control),
    /// The process was asked to end; the words say how in the warning.
    Quit(Vec<String>),
}
