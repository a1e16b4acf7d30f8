// SPDX-License-Identifier: GPL-3.0-or-later
//! What tells one state of a file from another without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::load::LoadError;

/// The identity of a file's content as far as its metadata can tell: cheap to take, and different
/// after a rename over the file, a rewrite in place or a truncation.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FileIdentity {
    /// The device that holds the file.
    pub device: u64,
    /// The inode number on that device.
    pub inode: u64,
    /// The size in bytes.
    pub size: u64,
    /// The time of the last modification, in nanoseconds since 1970.
    pub modified: i128,
    /// The time of the last change of the inode, in nanoseconds since 1970. Nobody can set it back,
    /// so it shows a change that `modified` was made to hide.
    pub changed: i128,
}

impl FileIdentity {
    /// The identity of what `path` names now, symbolic links followed. It opens nothing and never
    /// waits, so it suits polling.
    ///
    /// # Errors
    ///
    /// The file is missing or may not be looked at.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Self::from(&metadata)),
            Err(error) => Err(LoadError::from_open(path, error)),
        }
    }
}

impl From<&Metadata> for FileIdentity {
    fn from(metadata: &Metadata) -> Self {
        const SECOND: i128 = 1_000_000_000;
        FileIdentity {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: i128::from(metadata.mtime()) * SECOND + i128::from(metadata.mtime_nsec()),
            changed: i128::from(metadata.ctime()) * SECOND + i128::from(metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_keeps_its_identity_until_it_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.cdb");
        fs::write(&path, "one").unwrap();
        let first = FileIdentity::of(&path).unwrap();
        assert_eq!(FileIdentity::of(&path).unwrap(), first);

        fs::write(&path, "longer").unwrap();
        let second = FileIdentity::of(&path).unwrap();
        assert_ne!(second, first);
        assert_eq!(second.inode, first.inode);

        // Same size, and the time of modification put back: the inode tells.
        let replacement = dir.path().join("new");
        fs::write(&replacement, "newest").unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::File::options()
            .write(true)
            .open(&replacement)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        fs::rename(&replacement, &path).unwrap();
        let third = FileIdentity::of(&path).unwrap();
        assert_eq!(third.modified, second.modified);
        assert_ne!(third, second);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = FileIdentity::of("/nonexistent/peers.cdb").unwrap_err();
        assert!(matches!(&error, LoadError::Missing { path } if path.ends_with("peers.cdb")));
        assert!(error.to_string().contains("/nonexistent/peers.cdb"));
    }
}
