// SPDX-License-Identifier: GPL-3.0-or-later
//! Who may use our own sockets, by the options.

use std::path::Path;

use anyhow::Context as _;
use connect_ipc::hello::Role;
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
    /// The helpers' socket's group; `None` for the process's own.
    pub helpers_group: Option<Group>,
    /// Users whose processes may be the pinger.
    pingers: Admitted,
    /// Users whose processes may be the script helper.
    script_helpers: Admitted,
    /// Users whose operators and observers are trusted.
    observers: Admitted,
}

/// To which kind of user a connection belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// Root's, our own user's, a helper's, or that of a user named by `--observer-user`.
    Trusted,
    /// Any other user, with the number if the system gives it.
    Other(Option<u32>),
}

/// A group, by name and number.
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
        let group = |name: &Option<String>, option| {
            let name = name.as_deref();
            name.map(|name| find_group(name, option)).transpose()
        };
        Ok(Access {
            control_mode: options.control_mode,
            control_group: group(&options.control_group, "--control-group")?,
            observe_mode: options.observe_mode,
            helpers_mode: options.helpers_mode,
            helpers_group: group(&options.helpers_group, "--helpers-group")?,
            pingers: Admitted::new(&options.pinger_users, "--pinger-user")?,
            script_helpers: Admitted::new(&options.ifscripts_users, "--ifscripts-user")?,
            observers: Admitted::new(&options.observer_users, "--observer-user")?,
        })
    }

    /// Which helpers a process may be. The permissions of the helpers' socket keep out a process
    /// that may be none; this is for the case that somebody has widened them.
    pub(super) fn roles(&self, client: Client) -> Vec<Role> {
        let pinger = self.pingers.contains(client.uid).then_some(Role::Pinger);
        let scripts = self.script_helpers.contains(client.uid);
        let scripts = scripts.then_some(Role::Ifscripts);
        pinger.into_iter().chain(scripts).collect()
    }

    /// To which kind of user the connection of an operator or observer belongs.
    pub(super) fn owner(&self, client: Client) -> Owner {
        let uid = client.uid;
        if !self.roles(client).is_empty() || self.observers.contains(uid) {
            Owner::Trusted
        } else {
            Owner::Other(uid)
        }
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

fn find_group(name: &str, option: &str) -> anyhow::Result<Group> {
    let id = match name.parse() {
        Ok(number) => number,
        Err(_) => nix::unistd::Group::from_name(name)
            .with_context(|| format!("cannot look up the group {name}"))?
            .with_context(|| format!("there is no group {name}; see {option}"))?
            .gid
            .as_raw(),
    };
    Ok(Group {
        name: name.to_owned(),
        id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ConnectOptions;
    use clap::Parser as _;

    #[test]
    fn a_user_is_what_the_options_name_it_for_and_nothing_else() {
        let line = [
            "connect",
            "--pinger-user",
            "4001",
            "--ifscripts-user",
            "4002",
        ];
        let access = Access::new(&ConnectOptions::parse_from(line).core).unwrap();
        let roles = |uid| {
            access.roles(Client {
                uid,
                ..Client::default()
            })
        };
        let own = rustix::process::geteuid().as_raw();
        for trusted in [0, own] {
            assert_eq!(roles(Some(trusted)), [Role::Pinger, Role::Ifscripts]);
        }
        assert_eq!(roles(Some(4001)), [Role::Pinger]);
        assert_eq!(roles(Some(4002)), [Role::Ifscripts]);
        assert_eq!(roles(Some(4003)), []);
        assert_eq!(roles(None), []);
    }
}
