// SPDX-License-Identifier: GPL-3.0-or-later
//! The directory of our sockets: makes it, and checks that nobody else can replace one of our
//! sockets.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use connect_runtime::ownership::{Distrust, Ownership, Strictness};

/// Everybody may reach the names of the sockets; the mode of each socket says who may connect.
const MODE: u32 = 0o755;

/// Makes the directory if it does not exist, and checks it.
pub(super) fn make(path: &Path) -> anyhow::Result<()> {
    let made = match fs::DirBuilder::new().mode(MODE).create(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => {
            return Err(error).with_context(|| {
                format!(
                    "cannot make the runtime directory {}: make the directory above it, writable \
                     for this user, or choose another with --runtime-dir",
                    path.display()
                )
            });
        }
    };
    let metadata = fs::metadata(path)
        .with_context(|| format!("cannot look at the runtime directory {}", path.display()))?;
    anyhow::ensure!(
        metadata.is_dir(),
        "{} is not a directory: move it away, or choose another with --runtime-dir",
        path.display()
    );
    // Also if it was just made: the directories above it may belong to anybody.
    Ownership::ourselves()
        .check(path, Strictness::Directory)
        .map_err(|distrust| refusal(path, &distrust))?;
    if made {
        // Sets the permissions in spite of the umask: the sockets have their own permissions.
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))
            .with_context(|| format!("cannot open {} to observers", path.display()))?;
    }
    Ok(())
}

fn refusal(path: &Path, distrust: &Distrust) -> anyhow::Error {
    let what = format!("the runtime directory {}", path.display());
    let danger = "put their own sockets into it";
    anyhow::Error::msg(distrust.refusal(&what, danger, "--runtime-dir"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_where_it_is_safe_and_refused_where_it_is_not() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("runtime");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        make(&path).unwrap();
        assert_eq!(mode(&path), MODE);
        // A mode that somebody has set is kept.
        set(&path, 0o700);
        make(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        for open in [0o777, 0o1777] {
            set(&path, open);
            let error = make(&path).unwrap_err().to_string();
            assert!(error.contains("can be written to by others"), "{error}");
            assert!(error.contains("chmod go-w"), "{error}");
        }
        fs::remove_dir(&path).unwrap();
        // If anybody may write to the directory above, anybody could replace it.
        set(above.path(), 0o777);
        let error = make(&path).unwrap_err().to_string();
        let directory = above.path().display().to_string();
        assert!(
            error.contains(&format!("{directory} can be written")),
            "{error}"
        );
        set(above.path(), 0o1777);
        make(&path).unwrap();
        let file = above.path().join("file");
        fs::write(&file, "").unwrap();
        let error = make(&file).unwrap_err().to_string();
        assert!(error.contains("is not a directory"), "{error}");
    }
}
