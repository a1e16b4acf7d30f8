// SPDX-License-Identifier: GPL-3.0-or-later
//! Who is at the other end of a local connection.

use std::fmt;

/// The process at the other end of a connection, as the kernel reports it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Client {
    /// The effective user, if the system reports it.
    pub uid: Option<u32>,
    /// The process, if the system reports it.
    pub pid: Option<i32>,
}

/// For the log and for observers.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<i64>| value.map_or_else(|| "?".to_owned(), |v| v.to_string());
        let (uid, pid) = (self.uid.map(i64::from), self.pid.map(i64::from));
        write!(f, "uid {} pid {}", number(uid), number(pid))
    }
}
