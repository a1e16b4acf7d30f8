// SPDX-License-Identifier: GPL-3.0-or-later
//! The first message of either side: the role of the sender, and the protocol it speaks.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::foreign::{self, Foreign};

/// The version of all messages between processes, which each side states in its hello. It is raised
/// if one version would misunderstand or cannot read a message that both have. It is not raised for
/// new fields and new messages.
pub const PROTOCOL: u32 = 1;

/// The part a process plays.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// `connect-core`, the one that listens.
    Core,
    /// `connect-pinger`.
    Pinger,
    /// `connect-ifscripts`.
    Ifscripts,
    /// A tool of an operator, such as `connect-cli`.
    Operator,
}

/// The name of the program.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Core => "connect-core",
            Role::Pinger => "connect-pinger",
            Role::Ifscripts => "connect-ifscripts",
            Role::Operator => "connect-cli",
        })
    }
}

/// What core sends to one kind of helper.
pub trait ToHelper: DeserializeOwned {
    /// The helper's role.
    const ROLE: Role;

    /// What core says is wrong with a message of the helper, if this message says so.
    fn error(&self) -> Option<&str>;
}

/// The first line in each direction.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Hello {
    /// What the sender is.
    pub role: Role,
    /// The [`PROTOCOL`] it speaks.
    pub protocol: u32,
    /// The sender's program version, for people; cut and escaped when it is read.
    #[serde(deserialize_with = "foreign::deserialize")]
    pub version: String,
    /// The server's socket that core uses, so that a client can see whether this is the service
    /// that it means; only in core's hello to operators and observers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// Core's configuration directory, for the same purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

impl Hello {
    /// The hello of this build in the given role.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Hello {
            role,
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            socket: None,
            directory: None,
        }
    }

    /// Checks that the other side speaks our protocol and has one of the roles expected.
    ///
    /// # Errors
    /// [`HelloError`], whose text can be sent back as it is.
    pub fn check(&self, expected: &[Role]) -> Result<(), HelloError> {
        if self.protocol != PROTOCOL {
            return Err(HelloError::Protocol {
                theirs: self.protocol,
                version: Foreign::new(&self.version),
            });
        }
        if !expected.contains(&self.role) {
            return Err(HelloError::Role { role: self.role });
        }
        Ok(())
    }
}

/// Why a hello was not accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HelloError {
    /// Another version of the message set.
    Protocol {
        /// What the other side speaks.
        theirs: u32,
        /// Its program version.
        version: Foreign,
    },
    /// A role that is not served on this socket.
    Role {
        /// The role that was claimed.
        role: Role,
    },
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HelloError::Protocol { theirs, version } => write!(
                f,
                "the other side (version {version}) speaks protocol {theirs}, this one {PROTOCOL}: \
                 install the same version of both"
            ),
            HelloError::Role { role } => {
                write!(f, "the role {role:?} is not served on this socket")
            }
        }
    }
}

impl std::error::Error for HelloError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    #[test]
    fn a_version_that_is_read_is_short_and_on_one_line() {
        let read = |version: &str| {
            let hello = serde_json::json!({
                "role": "operator", "protocol": 99, "version": version
            });
            frame::decode::<Hello>(&hello.to_string()).unwrap()
        };
        assert_eq!(read("2.0.0").version, "2.0.0");
        let long = read(&("2\nERROR \u{1b}[2J".to_owned() + &"A".repeat(1 << 20)));
        assert!(long.version.len() < 100, "{}", long.version.len());
        let error = long.check(&[Role::Operator]).unwrap_err().to_string();
        assert!(
            error.starts_with("the other side (version 2\\nERROR \\u{1b}[2JAAAA"),
            "{error}"
        );
        assert!(error.len() < 250, "{error}");
    }
}
