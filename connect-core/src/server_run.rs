// SPDX-License-Identifier: GPL-3.0-or-later
//! Which server it is: what distinguishes one run of tripe from the next at the same path.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use connect_ipc::setup::ServerRun;

/// The server whose socket is at `path` now.
#[must_use]
pub fn at(path: &Path) -> Option<ServerRun> {
    let file = std::fs::metadata(path).ok()?;
    Some(ServerRun {
        device: file.dev(),
        inode: file.ino(),
        made: (file.mtime(), file.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_socket_made_again_is_another_server_and_one_that_is_used_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tripesock");
        assert_eq!(at(&path), None);
        let listener = UnixListener::bind(&path).unwrap();
        let first = at(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660)).unwrap();
        assert_eq!(at(&path), Some(first));
        drop(listener);
        assert_eq!(at(&path), Some(first));
        // Kept under another name, so that its inode cannot be given out again.
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        let _listener = UnixListener::bind(&path).unwrap();
        assert_ne!(at(&path), Some(first));
    }
}
