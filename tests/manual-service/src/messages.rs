// SPDX-License-Identifier: GPL-3.0-or-later
//! Children, and notifications and warnings about them.

use std::collections::BTreeMap;
use std::mem::replace;

use crate::Service;
use crate::io::{Child, ChildOrder, Kind, Output, Stream};
use crate::server::Purpose;

impl Service {
    /// The manual, "Child process identifiers": a child is spawned for a peer.
    pub(crate) fn spawn(
        &mut self,
        kind: Kind,
        peer: &str,
        argv: Vec<String>,
        environment: BTreeMap<String, String>,
    ) {
        let order = ChildOrder {
            id: self.next_number(),
            kind,
            peer: peer.to_owned(),
            argv,
            environment,
        };
        self.out.push(Output::Start(order.clone()));
        self.children.push((order, false));
    }

    /// The manual, "Notifications" and "Warnings": what a child writes and how it ends.
    /// The manual, "Dynamic connection": what a `connect` child writes first is a challenge. The
    /// connect service reads it, and submits the command `GREET`.
    pub(crate) fn child(&mut self, id: u64, what: &Child) {
        let place = self.children.iter().position(|(order, _)| order.id == id);
        let Some(place) = place else {
            return;
        };
        let (order, greeted) = &mut self.children[place];
        let (is_connect, peer) = (order.kind == Kind::Connect, order.peer.clone());
        let process = [order.kind.name(), &peer];
        let (what_it_did, detail) = match what {
            Child::Wrote(Stream::Stdout, line) if is_connect && !replace(greeted, true) => {
                return self.command(&["GREET", &peer, line], Purpose::Nothing);
            }
            Child::Wrote(Stream::Stdout, line) => {
                return self.notify(&[&process[..], &["stdout", line]].concat());
            }
            Child::Wrote(Stream::Stderr, line) => ("stderr", line.clone()),
            Child::Exited(code) => ("exit-nonzero", code.to_string()),
            Child::Signalled(signal) => ("exit-signal", format!("S{signal}")),
            Child::Unknown(status) => ("exit-unknown", format!("{status:#x}")),
        };
        if !matches!(what, Child::Wrote(..)) {
            self.children.remove(place);
        }
        if *what != Child::Exited(0) {
            self.warn(&[&process[..], &[what_it_did, &detail]].concat());
        }
    }

    /// The manual, "Notifications": all notifications begin with the tokens `USER connect`. The
    /// server puts the first, see tripe-admin(5), `NOTIFY`.
    pub(crate) fn notify(&mut self, words: &[&str]) {
        self.command(&[&["NOTIFY", "connect"], words].concat(), Purpose::Nothing);
    }

    /// The manual, "Warnings": all warnings begin with the tokens `USER connect`.
    pub(crate) fn warn(&mut self, words: &[&str]) {
        self.command(&[&["WARN", "connect"], words].concat(), Purpose::Nothing);
    }
}

impl Kind {
    /// The manual, "Child process identifiers": also the key of the record that has the script.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Connect => "connect",
            Kind::Disconnect => "disconnect",
            Kind::Ifdown => "ifdown",
            Kind::Ifup => "ifup",
        }
    }
}
