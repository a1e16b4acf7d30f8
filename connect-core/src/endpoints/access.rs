// SPDX-License-Identifier: GPL-3.0-or-later
//! Who may use our own sockets, as the options say it.

use std::path::Path;

use anyhow::Context as _;
use connect_runtime::transport::Client;
use connect_runtime::users::Admitted;

use crate::options::CoreOptions;

/// Who may use the sockets.
#[derive(Clone, Debug)]
pub struct Access {
    /// Permissions of the control socket.
    pub control_mode: u32,
    /// The control socket's group; `None` for the process's own.
    pub control_group: Option<Group>,
    /// Permissions of the observers' socket.
    pub observe_mode: u32,
    /// Permissions of the helpers' socket.
    pub helpers_mode: u32,
    /// Users whose processes may be helpers.
    helpers: Admitted,
}

/// A group by both its names.
#[derive(Clone, Debug)]
pub struct Group {
    /// As it was given.
    name: String,
    id: u32,
}

impl Access {
    /// What the options say; names are looked up.
    ///
    /// # Errors
    /// If there is no such user or group.
    pub fn new(options: &CoreOptions) -> anyhow::Result<Self> {
        let group = options
            .control_group
            .as_deref()
            .map(find_group)
            .transpose()?;
        Ok(Access {
            control_mode: options.control_mode,
            control_group: group,
            observe_mode: options.observe_mode,
            helpers_mode: options.helpers_mode,
            helpers: Admitted::new(&options.helper_users, "--helper-user")?,
        })
    }

    /// Whether a process may be a helper. Others are kept out by the socket's permissions, and here
    /// in case those were widened.
    #[must_use]
    pub fn may_help(&self, client: Client) -> bool {
        self.helpers.contains(client.uid)
    }
}

impl Group {
    /// Gives a file to the group.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn owns(&self, path: &Path) -> anyhow::Result<()> {
        std::os::unix::fs::chown(path, None, Some(self.id))
            .with_context(|| format!("cannot give {} to the group {}", path.display(), self.name))
    }
}

fn find_group(name: &str) -> anyhow::Result<Group> {
    let id = match name.parse() {
        Ok(number) => number,
        Err(_) => nix::unistd::Group::from_name(name)
            .with_context(|| format!("cannot look up the group {name}"))?
            .with_context(|| format!("there is no group {name}; see --control-group"))?
            .gid
            .as_raw(),
    };
    Ok(Group {
        name: name.to_owned(),
        id,
    })
}
