// SPDX-License-Identifier: GPL-3.0-or-later
//! Which service the user means, and whether the one that answers is that one.
//!
//! A service belongs to one server. So whoever names a server, or the directory that it is in,
//! means its service, and no other may be shown or commanded in its place.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use connect_runtime::paths;

/// How many symbolic links to a missing file are followed: more than anybody has, and an end for
/// those that lead in a circle.
const LINKS: usize = 16;

/// What says where something is. The later outranks the earlier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum By {
    /// Nothing: it is where it usually is.
    Default,
    /// A variable of the environment.
    Variable(&'static str),
    /// An option.
    Option(&'static str),
}

impl By {
    /// The rank; two variables have the same.
    const fn rank(self) -> u8 {
        match self {
            By::Default => 0,
            By::Variable(_) => 1,
            By::Option(_) => 2,
        }
    }

    /// Whether this is stronger than the other.
    pub(crate) const fn outranks(self, other: By) -> bool {
        self.rank() > other.rank()
    }

    /// The stronger one of the two; of two that are equally strong, this.
    const fn or(self, other: By) -> By {
        if other.outranks(self) { other } else { self }
    }

    /// Its name; `None` for the default.
    const fn name(self) -> Option<&'static str> {
        match self {
            By::Default => None,
            By::Variable(name) | By::Option(name) => Some(name),
        }
    }
}

/// A service, as it says itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    /// The socket on which it answers.
    pub(crate) path: PathBuf,
    /// The socket of its server; an older service does not say it.
    pub(crate) socket: Option<String>,
    /// Its configuration directory.
    pub(crate) directory: Option<String>,
}

/// The server that the user means, and by what it was named.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    /// The server's socket.
    pub(crate) socket: PathBuf,
    /// What names it.
    pub(crate) socket_by: By,
    /// The configuration directory.
    pub(crate) directory: PathBuf,
    /// What names it.
    pub(crate) directory_by: By,
    /// What names the sockets of the service.
    pub(crate) service_by: By,
}

impl Meant {
    /// What names the server: its socket, or the directory that it is in.
    fn server_by(&self) -> By {
        self.socket_by.or(self.directory_by)
    }

    /// Whether the service was named in a way that counts more than how the server was named.
    pub(crate) fn service_outranks_server(&self) -> bool {
        self.service_by.outranks(self.server_by())
    }

    /// Whether a directory was named in which there is no server's socket, so that the server's
    /// socket is the usual one, which may be another server's.
    pub(crate) fn is_directory_without_socket(&self) -> bool {
        self.socket_by == By::Default && self.directory_by != By::Default && !self.is_inside()
    }

    /// Whether the directory that was named is the usual one.
    pub(crate) fn is_usual_directory(&self) -> bool {
        leads_to_same(&self.directory, Path::new(paths::DEFAULT_DIRECTORY))
    }

    fn is_inside(&self) -> bool {
        self.socket.starts_with(&self.directory)
    }

    /// Checks that the service which answers is the one that is meant.
    pub(crate) fn check(&self, served: &Served) -> Result<(), OtherService> {
        if self.server_by() == By::Default || self.service_outranks_server() {
            return Ok(());
        }
        let directory_outranks = self.directory_by.outranks(self.socket_by);
        if !self.is_directory_without_socket() {
            self.check_socket(served, self.server_by())?;
        }
        if directory_outranks && !self.is_inside() {
            self.check_directory(served)?;
        }
        Ok(())
    }

    /// Checks that the service is that of the server to which a command would go.
    pub(crate) fn check_used_server(&self, served: &Served) -> Result<(), OtherService> {
        self.check_socket(served, By::Default)
    }

    /// Checks that the service is that of the server which was named by this.
    fn check_socket(&self, served: &Served, by: By) -> Result<(), OtherService> {
        let Some(theirs) = &served.socket else {
            return Ok(());
        };
        if is_at(theirs, &self.socket) {
            return Ok(());
        }
        Err(other(served, by, Named::Socket(self.socket.clone())))
    }

    fn check_directory(&self, served: &Served) -> Result<(), OtherService> {
        let Some(theirs) = &served.directory else {
            return Ok(());
        };
        if is_at(theirs, &self.directory) {
            return Ok(());
        }
        let named = Named::Directory {
            ours: self.directory.clone(),
            theirs: theirs.clone(),
        };
        Err(other(served, self.directory_by, named))
    }
}

/// What the user has named.
#[derive(Clone, Debug)]
enum Named {
    /// The socket of a server.
    Socket(PathBuf),
    /// A directory, and that of the service which answers.
    Directory { ours: PathBuf, theirs: String },
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, kind) = match self {
            Named::Socket(path) => (path, "server on"),
            Named::Directory { ours, .. } => (ours, "directory"),
        };
        write!(f, "the {kind} {}", path.display())?;
        if !path.exists() {
            write!(f, ", which does not exist")?;
        }
        Ok(())
    }
}

/// A service that is not the one which the user means.
#[derive(Clone, Debug)]
pub(crate) struct OtherService {
    /// The socket on which it answers.
    path: PathBuf,
    /// The socket of its server.
    socket: String,
    /// The option or variable that names what we look for; `None` if nothing does.
    by: Option<&'static str>,
    named: Named,
}

impl std::error::Error for OtherService {}

impl fmt::Display for OtherService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OtherService {
            path,
            socket,
            by,
            named,
        } = self;
        write!(
            f,
            "the service that answers on {} uses the server on {socket}",
            path.display()
        )?;
        if let Named::Directory { theirs, .. } = named {
            write!(f, " and the directory {theirs}")?;
        }
        match by {
            Some(by) => write!(
                f,
                ", but {by} names {named}: correct {by}, or name the service that answers, with \
                 `-a {socket}\' in place of {by}"
            ),
            None => write!(
                f,
                ", but this command would go to {named}: name the server, with `-a {socket}\' for \
                 that of this service"
            ),
        }
    }
}

/// The error for a service that is not the one which this names.
fn other(served: &Served, by: By, named: Named) -> OtherService {
    OtherService {
        path: served.path.clone(),
        socket: served.socket.clone().unwrap_or_default(),
        by: by.name(),
        named,
    }
}

/// Whether a path that the service has named is the one that we look for.
fn is_at(theirs: &str, ours: &Path) -> bool {
    ours.display().to_string() == theirs || leads_to_same(Path::new(theirs), ours)
}

/// Whether two paths are the same, or lead to the same file, or to the same place for a file that
/// does not exist.
pub(crate) fn leads_to_same(one: &Path, other: &Path) -> bool {
    // The same file may have two paths without any link, by a mount.
    if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
        return (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    place(one) == place(other)
}

/// Where a path leads, also if there is nothing yet.
fn place(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if let Ok(found) = path.canonicalize() {
            return found;
        }
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return path,
        };
        let Ok(parent) = parent.canonicalize() else {
            return path;
        };
        match fs::read_link(&path) {
            Ok(target) => path = parent.join(target),
            Err(_) => {
                return path
                    .file_name()
                    .map_or(parent.clone(), |name| parent.join(name));
            }
        }
    }
    path
}
