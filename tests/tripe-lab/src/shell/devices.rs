// SPDX-License-Identifier: GPL-3.0-or-later
//! Real tun devices: made when the server asks for one, read by a task each.
//!
//! ```text
//!   Shell --Output::OpenDevice--> device, and its task --Input::DeviceOpened--> Shell
//!   device --packet--> task --Input::FromDevice--> Shell
//!   Shell --Output::ToDevice--> device
//!   Shell --Output::CloseDevice--> task aborted, device gone
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::{Rc, Weak};

use tokio::task::AbortHandle;
use tokio_tun::Tun;

use super::Shell;
use crate::server::{DeviceId, Input};

/// The devices of one run.
pub(super) struct TunDevices {
    shell: Weak<Shell>,
    open: RefCell<BTreeMap<DeviceId, Device>>,
}

struct Device {
    tun: Rc<Tun>,
    reader: AbortHandle,
}

impl TunDevices {
    pub(super) fn new(shell: Weak<Shell>) -> Self {
        TunDevices {
            shell,
            open: RefCell::default(),
        }
    }

    /// Puts a packet into a device. It is lost if the interface is down or busy.
    pub(super) fn send(&self, device: DeviceId, packet: &[u8]) {
        if let Some(device) = self.open.borrow().get(&device) {
            let _ = device.tun.try_send(packet);
        }
    }

    /// Makes a device whose name begins with `prefix` and gives its name.
    pub(super) fn open(&self, device: DeviceId, prefix: &str) -> io::Result<String> {
        // The system puts the smallest free number in the place of "%d".
        let built = Tun::builder().name(&format!("{prefix}%d")).build();
        let tun = built
            .map_err(|error| match error {
                tokio_tun::Error::IoError(error) => error,
                tokio_tun::Error::NixError(errno) => errno.into(),
            })?
            .pop()
            .ok_or(io::ErrorKind::NotFound)?;
        let name = tun.name().to_owned();
        let tun = Rc::new(tun);
        let reader = tokio::task::spawn_local(read(self.shell.clone(), Rc::clone(&tun), device));
        let reader = reader.abort_handle();
        self.open
            .borrow_mut()
            .insert(device, Device { tun, reader });
        Ok(name)
    }

    /// Removes a device.
    pub(super) fn close(&self, device: DeviceId) {
        if let Some(device) = self.open.borrow_mut().remove(&device) {
            device.reader.abort();
        }
    }
}

/// The largest packet a device gives.
const LARGEST: usize = 65_536;

/// Reads a device until it is closed.
async fn read(shell: Weak<Shell>, tun: Rc<Tun>, device: DeviceId) {
    let mut buffer = vec![0; LARGEST];
    while let Ok(length) = tun.recv(&mut buffer).await {
        let Some(shell) = shell.upgrade() else {
            return;
        };
        let packet = buffer.get(..length).unwrap_or_default();
        shell.feed(Input::FromDevice(device, packet.into()));
    }
}
