// SPDX-License-Identifier: GPL-3.0-or-later
//! Users by name or number, and which of them are admitted to something.

use std::sync::Arc;

use anyhow::Context as _;
use nix::unistd::User;

/// Users who are admitted: root, the user of this process, and those whom an option names.
#[derive(Clone, Debug)]
pub struct Admitted(Arc<[u32]>);

impl Admitted {
    /// With those that this option names.
    ///
    /// # Errors
    /// If there is no such user; the error names the option.
    pub fn new(named: &[String], option: &str) -> anyhow::Result<Self> {
        let named = named.iter().map(|name| find(name, option));
        let mut users = named.collect::<anyhow::Result<Vec<u32>>>()?;
        users.extend([rustix::process::geteuid().as_raw(), 0]);
        Ok(Admitted(users.into()))
    }

    /// Whether this user is one of them. One whom the system does not tell is not.
    #[must_use]
    pub fn contains(&self, uid: Option<u32>) -> bool {
        uid.is_some_and(|uid| self.0.contains(&uid))
    }
}

fn find(name: &str, option: &str) -> anyhow::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let user = User::from_name(name)
        .with_context(|| format!("cannot look up the user {name}"))?
        .with_context(|| format!("there is no user {name}; see {option}"))?;
    Ok(user.uid.as_raw())
}

/// The name of a user, or its number if the system knows no name.
#[must_use]
pub fn user_name(uid: u32) -> String {
    user(uid).map_or_else(|| uid.to_string(), |user| user.name)
}

/// The primary group of a user, if the system knows that user.
#[must_use]
pub fn primary_group(uid: u32) -> Option<u32> {
    user(uid).map(|user| user.gid.as_raw())
}

fn user(uid: u32) -> Option<User> {
    User::from_uid(uid.into()).ok().flatten()
}

/// The name of a group, or its number if the system knows no name.
#[must_use]
pub fn group_name(gid: u32) -> String {
    let group = nix::unistd::Group::from_gid(gid.into());
    group
        .ok()
        .flatten()
        .map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_without_a_name_are_called_by_their_number() {
        assert_eq!(
            (user_name(0), group_name(0)),
            ("root".into(), "root".into())
        );
        let nobody = 4_000_000_001;
        assert_eq!(user_name(nobody), nobody.to_string());
        assert_eq!(group_name(nobody), nobody.to_string());
    }

    #[test]
    fn root_ourselves_and_those_named_are_admitted() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Admitted::new(&names, "--some-user")
        };
        let admitted = named(&["4321"]).unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert!(
            [0, own, 4321]
                .map(Some)
                .iter()
                .all(|uid| admitted.contains(*uid))
        );
        assert!(!admitted.contains(Some(4322)));
        assert!(!admitted.contains(None));
        assert!(named(&["root"]).is_ok());
        let error = named(&["nobody-of-this-name"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no user nobody-of-this-name; see --some-user"
        );
    }
}
