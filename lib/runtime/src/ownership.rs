// SPDX-License-Identifier: GPL-3.0-or-later
//! Whether a file or directory is safe from others: only root and this process's user may be able
//! to change it, or to put something else in its place.
//!
//! Every name in the path is checked, also links and their targets: it must exist and belong to
//! root or to us, and nobody else may be able to write to it, by its mode or by an access control
//! list. Then others cannot change anything between this check and the use of the file either.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::access_list::{self, Writer};

/// The most links in a path, as in the system's own look-up.
const MAX_LINKS: usize = 40;

/// The bit of the mode of a directory whose entries only their owners can replace.
const STICKY: u32 = 0o1000;

/// Who may be able to change what is checked, beside root: a user, and the members of a group.
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    uid: u32,
    gid: u32,
}

/// What is checked, and so how strictly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strictness {
    /// A file that is to be executed. No directory of the path may let others write, sticky or not:
    /// in a sticky directory others may make a name that was missing.
    Script,
    /// A directory for our own use. Those above it may be sticky, as `/tmp` is, since the next name
    /// exists and nobody else can replace it; the directory itself may not.
    Directory,
}

/// Why something is not safe from others.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// By its mode.
    #[error("{} can be written to by others", path.display())]
    Writable {
        /// What they can write to.
        path: PathBuf,
    },
    /// By an access control list.
    #[error("{} can be written to by others, as its access control list says", path.display())]
    WritableByList {
        /// What they can write to.
        path: PathBuf,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to the user {uid}", path.display())]
    Foreign {
        /// What belongs to them.
        path: PathBuf,
        /// The user.
        uid: u32,
    },
    /// A name does not exist. All names before it are safe, so nobody else can make it.
    #[error("there is no {}", path.display())]
    Missing {
        /// The name.
        path: PathBuf,
    },
    /// It is not known whether it is safe.
    #[error("cannot look at {}: {source}", path.display())]
    Unreadable {
        /// What cannot be looked at.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Distrust {
    /// Why the directory `what` is not used: its names are not safe, so that others could do what
    /// `danger` says; and the remedies, of which `option` is one.
    #[must_use]
    pub fn refusal(&self, what: &str, danger: &str, option: &str) -> String {
        format!(
            "{what} is not safe, since others could {danger}: {self}; {}, or choose another \
             directory with {option}",
            self.remedy()
        )
    }

    /// What makes it safe, as a command where there is one.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Distrust::Writable { path } => format!("chmod go-w {}", path.display()),
            Distrust::WritableByList { path } => format!("setfacl -b {}", path.display()),
            Distrust::Foreign { path, .. } => format!("chown root {}", path.display()),
            Distrust::Missing { path } | Distrust::Unreadable { path, .. } => {
                format!("make {} and let this user look at it", path.display())
            }
        }
    }
}

impl Ownership {
    /// Root and another process's user, with its group.
    #[must_use]
    pub const fn of(uid: u32, gid: u32) -> Self {
        Ownership { uid, gid }
    }

    /// Root and the user of this process, with its group.
    #[must_use]
    pub fn ourselves() -> Self {
        Ownership {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// Checks a file or directory, and every name of its path.
    ///
    /// # Errors
    /// If others can change it, or it is not proved that they cannot.
    pub fn check(self, path: &Path, strictness: Strictness) -> Result<(), Distrust> {
        let way = std::path::absolute(path).map_err(|error| unreadable(path, error))?;
        self.walk(PathBuf::from("/"), &way, strictness)
    }

    /// Checks every name of a path that begins here.
    fn walk(self, mut here: PathBuf, way: &Path, strictness: Strictness) -> Result<(), Distrust> {
        let sticky_helps = strictness == Strictness::Directory;
        let mut rest: VecDeque<OsString> = names(way);
        self.check_entry(&here, sticky_helps)?;
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(name);
            let Some(target) = self.check_entry(&next, sticky_helps)? else {
                here = next;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(unreadable(way, Errno::LOOP.into()));
            }
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            let mut way = names(&target);
            way.append(&mut rest);
            rest = way;
        }
        // The file at the end of the path, which is known only after all links were followed.
        self.check_entry(&here, false).map(|_| ())
    }

    /// Checks one name; returns its target if it is a link.
    fn check_entry(self, path: &Path, sticky_helps: bool) -> Result<Option<PathBuf>, Distrust> {
        let entry = fs::symlink_metadata(path).map_err(|error| unreadable(path, error))?;
        if !self.is_own_user(entry.uid()) {
            let (path, uid) = (path.to_owned(), entry.uid());
            return Err(Distrust::Foreign { path, uid });
        }
        if entry.is_symlink() {
            // A link has no permissions of its own.
            let target = fs::read_link(path).map_err(|error| unreadable(path, error))?;
            return Ok(Some(target));
        }
        if sticky_helps && entry.is_dir() && entry.mode() & STICKY != 0 {
            return Ok(None);
        }
        let list = access_list::writers(path).map_err(|error| unreadable(path, error))?;
        for writer in list.unwrap_or_else(|| by_mode(entry.mode())) {
            let path = || path.to_owned();
            match writer {
                Writer::User(uid) if !self.is_own_user(uid) => {
                    return Err(Distrust::WritableByList { path: path() });
                }
                Writer::Group(gid) if !self.is_own_group(gid) => {
                    return Err(Distrust::WritableByList { path: path() });
                }
                Writer::OwningGroup if !self.is_own_group(entry.gid()) => {
                    return Err(Distrust::Writable { path: path() });
                }
                Writer::Everybody => return Err(Distrust::Writable { path: path() }),
                Writer::User(_) | Writer::Group(_) | Writer::OwningGroup => {}
            }
        }
        Ok(None)
    }

    fn is_own_user(self, uid: u32) -> bool {
        [0, self.uid].contains(&uid)
    }

    fn is_own_group(self, gid: u32) -> bool {
        [0, self.gid].contains(&gid)
    }
}

/// Who may write according to a mode.
fn by_mode(mode: u32) -> Vec<Writer> {
    let writers = [(0o020, Writer::OwningGroup), (0o002, Writer::Everybody)];
    let writers = writers.into_iter().filter(|(bit, _)| mode & bit != 0);
    writers.map(|(_, writer)| writer).collect()
}

/// For a path that cannot be examined.
fn unreadable(path: &Path, source: io::Error) -> Distrust {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => Distrust::Missing { path },
        _ => Distrust::Unreadable { path, source },
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
mod tests;
