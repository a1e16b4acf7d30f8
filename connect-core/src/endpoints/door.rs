// SPDX-License-Identifier: GPL-3.0-or-later
//! The three sockets of the service, named after their users.

use std::path::PathBuf;

use connect_runtime::paths::RuntimeDir;

/// Which socket a connection comes through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Door {
    Helpers,
    Operators,
    Observers,
}

impl Door {
    pub(super) const ALL: [Door; 3] = [Door::Helpers, Door::Operators, Door::Observers];

    /// The name with which a service manager hands its socket over.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Door::Helpers => "helpers",
            Door::Operators => "control",
            Door::Observers => "observe",
        }
    }

    /// The file of its socket.
    pub(super) fn path(self, runtime: &RuntimeDir) -> PathBuf {
        match self {
            Door::Helpers => runtime.helpers_socket(),
            Door::Operators => runtime.control_socket(),
            Door::Observers => runtime.observe_socket(),
        }
    }
}
