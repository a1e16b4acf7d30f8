// SPDX-License-Identifier: GPL-3.0-or-later
//! Whether a script can be trusted with our rights: only root and this process's user may be able
//! to change it, or to put something else in its place.
//!
//! Every name on the way to the script is checked, links and their targets included: it must belong
//! to root or to us, and nobody else may write to it. A directory that everybody may write to
//! passes if it is sticky, as `/tmp` is, since there only the owner of an entry can replace it. So
//! others cannot change a script between this check and its start either.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// The most links on the way, as in the system's own look-up.
const MAX_LINKS: usize = 40;

/// Why a script is not trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Distrust {
    #[error("{} can be written to by others", path.display())]
    Writable { path: PathBuf },
    #[error("{} belongs to the user {uid}", path.display())]
    Foreign { path: PathBuf, uid: u32 },
}

/// The user and the group that may be able to change a script, beside root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trusted {
    uid: u32,
    gid: u32,
}

/// What a name stands for.
enum Entry {
    Link,
    Other,
}

impl Trusted {
    /// Root and the user of this process.
    pub(super) fn ourselves() -> Self {
        Trusted {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// Checks a script and every name on the way to it. A name that does not exist passes: the
    /// attempt to run the script reports that.
    pub(super) fn check(self, script: &Path) -> Result<(), Distrust> {
        let start = if script.is_absolute() {
            script.to_owned()
        } else {
            let Ok(here) = std::env::current_dir() else {
                return Ok(());
            };
            here.join(script)
        };
        let mut rest: VecDeque<OsString> = names(&start);
        let mut here = PathBuf::from("/");
        self.check_entry(&here)?;
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(name);
            // Only of a link is it asked where it leads: most names are none.
            let target = match self.check_entry(&next)? {
                Entry::Link => fs::read_link(&next).ok(),
                Entry::Other => None,
            };
            let Some(target) = target else {
                here = next;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Ok(());
            }
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            let mut way = names(&target);
            way.append(&mut rest);
            rest = way;
        }
        Ok(())
    }

    fn check_entry(self, path: &Path) -> Result<Entry, Distrust> {
        let Ok(entry) = fs::symlink_metadata(path) else {
            return Ok(Entry::Other);
        };
        let path = || path.to_owned();
        if ![0, self.uid].contains(&entry.uid()) {
            let uid = entry.uid();
            return Err(Distrust::Foreign { path: path(), uid });
        }
        if entry.is_symlink() {
            // A link has no permissions of its own.
            return Ok(Entry::Link);
        }
        let mode = entry.mode();
        let sticky = entry.is_dir() && mode & 0o1000 != 0;
        let by_group = mode & 0o020 != 0 && ![0, self.gid].contains(&entry.gid());
        if !sticky && (by_group || mode & 0o002 != 0) {
            return Err(Distrust::Writable { path: path() });
        }
        Ok(Entry::Other)
    }
}

/// The names in a path, one after the other.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// A directory that is ours alone, and a script in it.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Place(tempfile::tempdir().unwrap());
            fs::create_dir(place.path("dir")).unwrap();
            fs::write(place.path("dir/script"), "#!/bin/sh\n").unwrap();
            place.set("dir/script", 0o755);
            place.set("dir", 0o755);
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            // The way to the temporary directory may lead over links of the system.
            self.0.path().canonicalize().unwrap().join(name)
        }

        fn set(&self, name: &str, mode: u32) {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn check(&self, name: &str) -> Result<(), String> {
            let trusted = Trusted::ourselves();
            trusted
                .check(&self.path(name))
                .map_err(|error| error.to_string())
        }

        fn writable(&self, name: &str) -> Result<(), String> {
            Err(format!(
                "{} can be written to by others",
                self.path(name).display()
            ))
        }
    }

    #[test]
    fn a_script_that_others_can_change_is_not_trusted() {
        let place = Place::new();
        assert_eq!(place.check("dir/script"), Ok(()));
        place.set("dir/script", 0o757);
        assert_eq!(place.check("dir/script"), place.writable("dir/script"));
        place.set("dir/script", 0o755);
        place.set("dir", 0o777);
        assert_eq!(place.check("dir/script"), place.writable("dir"));
        // In a sticky directory an entry is its owner's.
        place.set("dir", 0o1777);
        assert_eq!(place.check("dir/script"), Ok(()));
        // What is not there is somebody else's to say.
        assert_eq!(place.check("dir/nothing"), Ok(()));
    }

    #[test]
    fn every_link_on_the_way_is_looked_at() {
        let place = Place::new();
        fs::create_dir(place.path("open")).unwrap();
        symlink("../dir/script", place.path("open/second")).unwrap();
        symlink("open/second", place.path("first")).unwrap();
        assert_eq!(place.check("first"), Ok(()));
        place.set("open", 0o777);
        assert_eq!(place.check("first"), place.writable("open"));
        assert_eq!(place.check("dir/script"), Ok(()));
        symlink("loop", place.path("loop")).unwrap();
        assert_eq!(place.check("loop"), Ok(()));
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_trusted() {
        let place = Place::new();
        let stranger = Trusted {
            uid: u32::MAX - 1,
            gid: u32::MAX - 1,
        };
        let own = rustix::process::geteuid().as_raw();
        let result = stranger.check(&place.path("dir/script"));
        if own == 0 {
            // Root's is anybody's to trust.
            assert!(result.is_ok(), "{result:?}");
            let script = place.path("dir/script");
            std::os::unix::fs::chown(&script, Some(4_321), None).unwrap();
            let said = format!("{} belongs to the user 4321", script.display());
            assert_eq!(place.check("dir/script"), Err(said));
        } else {
            assert!(
                matches!(result, Err(Distrust::Foreign { uid, .. }) if uid == own),
                "{result:?}"
            );
        }
    }

    #[test]
    fn a_group_may_write_only_if_it_is_roots_or_ours() {
        let place = Place::new();
        place.set("dir/script", 0o775);
        assert_eq!(place.check("dir/script"), Ok(()), "our own group");
        let others = Trusted {
            gid: u32::MAX - 1,
            ..Trusted::ourselves()
        };
        let result = others.check(&place.path("dir/script"));
        let roots = rustix::process::getegid().as_raw() == 0;
        assert_eq!(result.is_ok(), roots, "{result:?}");
    }
}
