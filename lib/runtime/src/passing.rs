// SPDX-License-Identifier: GPL-3.0-or-later
//! Has the kernel refuse descriptors that strangers send to a socket.
//!
//! A descriptor that was sent and not read is closed with the connection. If nobody else has it,
//! the kernel also ends what it refers to, which may take seconds for gigabytes of memory or for a
//! file of very many pieces. No signal interrupts that (`closing`), and a process that is killed
//! stays until it is over. From Linux 6.16 on the kernel can refuse to send one.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
// The macros below name it.
use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt};

/// The option's number, on sparc and on all others. The library of the system does not have it yet.
const SO_PASSRIGHTS: libc::c_int = if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
    92
} else {
    83
};

/// Whether descriptors may be sent to a socket.
#[derive(Clone, Copy, Debug)]
struct PassRights;

nix::setsockopt_impl!(
    PassRights,
    libc::SOL_SOCKET,
    SO_PASSRIGHTS,
    bool,
    nix::sys::socket::sockopt::SetBool
);
nix::getsockopt_impl!(
    PassRights,
    libc::SOL_SOCKET,
    SO_PASSRIGHTS,
    bool,
    nix::sys::socket::sockopt::GetBool
);

/// What the kernel does with descriptors that are sent to a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Descriptors {
    /// It refuses them.
    Refused,
    /// It takes them: it is older than Linux 6.16.
    Taken,
}

/// Has the kernel refuse descriptors sent to this socket, or to what is accepted on it: whoever
/// sends one is told that it is not permitted (`EPERM`). What was sent before stays.
///
/// # Errors
/// What the system says, except that it does not know the option.
pub fn refuse(socket: &impl AsFd) -> io::Result<Descriptors> {
    match setsockopt(socket, PassRights, &false) {
        Ok(()) => Ok(Descriptors::Refused),
        Err(Errno::ENOPROTOOPT) => Ok(Descriptors::Taken),
        Err(error) => Err(error.into()),
    }
}

/// Whether the kernel refuses descriptors sent to this socket. A connection has this from the
/// listener since it was made, not since it was accepted, so none can have come.
pub(crate) fn are_refused(socket: &impl AsFd) -> bool {
    matches!(getsockopt(socket, PassRights), Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use crate::closing::tests::send_with;

    /// Tries to send a descriptor.
    fn send_one(to: &UnixStream) -> rustix::io::Result<usize> {
        send_with(to, b"x", to, false)
    }

    #[test]
    fn nobody_can_send_a_descriptor_where_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let refused = refuse(&listener).unwrap();
        let mut waiting = UnixStream::connect(dir.path().join("s")).unwrap();
        let sent = send_one(&waiting);
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(are_refused(&accepted), refused == Descriptors::Refused);
        assert!(!are_refused(&waiting));
        match refused {
            Descriptors::Refused => {
                assert_eq!(sent, Err(rustix::io::Errno::PERM));
                assert_eq!(send_one(&waiting), Err(rustix::io::Errno::PERM));
            }
            Descriptors::Taken => assert_eq!(sent, Ok(1)),
        }
        waiting.write_all(b"words").unwrap();
    }

    #[test]
    fn who_has_connected_before_can_have_sent_one() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let waiting = UnixStream::connect(dir.path().join("s")).unwrap();
        assert_eq!(send_one(&waiting), Ok(1));
        refuse(&listener).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(!are_refused(&accepted));
    }
}
