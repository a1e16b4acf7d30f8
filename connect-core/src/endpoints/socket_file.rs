// SPDX-License-Identifier: GPL-3.0-or-later
//! The file of a socket that we serve: whether it is still the same file, and its removal at the
//! end.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Which file it is. Inode numbers are reused, so the time at which the file was made is part of
/// it, if the file system has it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Identity {
    device: u64,
    inode: u64,
    made: Option<SystemTime>,
}

impl Identity {
    /// The identity of the socket at `path`; `None` if there is no socket.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(metadata.file_type().is_socket().then(|| Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            made: metadata.created().ok(),
        }))
    }
}

/// The path of a socket, and the file that was there when we began to serve it.
#[derive(Clone, Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl SocketFile {
    /// The file at `path`, which must be a socket.
    ///
    /// # Errors
    /// If it is not, or cannot be looked at.
    pub(super) fn at(path: PathBuf) -> io::Result<Self> {
        let identity = Identity::of(&path)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(SocketFile { path, identity })
    }

    /// Why clients no longer find the socket at its path; `None` if they do.
    pub(super) fn lost(&self) -> Option<String> {
        let path = self.path.display();
        match Identity::of(&self.path) {
            Ok(Some(identity)) if identity == self.identity => None,
            Ok(Some(_)) => Some(format!("another socket is at {path}")),
            Ok(None) => Some(format!("{path} is not a socket any more")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some(format!("{path} was removed"))
            }
            Err(error) => Some(format!("{path} cannot be reached ({error})")),
        }
    }

    /// Removes the file, but not what somebody else has put in its place.
    pub(super) fn remove(&self) {
        if self.lost().is_none() {
            // If that fails, the next start replaces the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn each_form_of_loss_is_seen_and_what_belongs_to_others_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        let path = inner.join("socket");
        fs::create_dir(&inner).unwrap();
        let _listener = UnixListener::bind(&path).unwrap();
        let file = SocketFile::at(path.clone()).unwrap();
        assert_eq!(file.lost(), None);
        fs::rename(&path, inner.join("moved")).unwrap();
        assert!(file.lost().unwrap().ends_with("was removed"));
        fs::write(&path, "a file").unwrap();
        assert!(file.lost().unwrap().ends_with("is not a socket any more"));
        file.remove();
        assert!(path.exists());
        assert!(SocketFile::at(path.clone()).is_err());
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        assert!(file.lost().unwrap().starts_with("another socket"));
        file.remove();
        assert!(path.exists());
        fs::rename(&inner, dir.path().join("away")).unwrap();
        fs::write(&inner, "in place of the directory").unwrap();
        assert!(file.lost().unwrap().contains("cannot be reached"));
        fs::remove_file(&inner).unwrap();
        fs::rename(dir.path().join("away"), &inner).unwrap();
        fs::rename(inner.join("moved"), &path).unwrap();
        assert_eq!(file.lost(), None);
        file.remove();
        assert!(!path.exists());
    }
}
