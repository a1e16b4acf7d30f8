// SPDX-License-Identifier: GPL-3.0-or-later
//! The first message of either side: the role of the sender, and the protocol it speaks.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of all messages between processes, which each side states in its hello. It is raised
/// when an old reader would misunderstand a new writer, not for new fields and new messages.
pub const PROTOCOL: u32 = 1;

/// The part a process plays.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
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
#[serde(rename_all = "kebab-case")]
pub struct Hello {
    /// What the sender is.
    pub role: Role,
    /// The [`PROTOCOL`] it speaks.
    pub protocol: u32,
    /// The sender's program version, for people.
    pub version: String,
}

impl Hello {
    /// The hello of this build in the given role.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Hello {
            role,
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
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
                version: self.version.clone(),
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
        version: String,
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
