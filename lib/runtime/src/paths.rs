// SPDX-License-Identifier: GPL-3.0-or-later
//! Where things are: the server's socket, the configuration directory, our own sockets.

use std::path::{Path, PathBuf};

/// The configuration directory where neither `-d` nor `TRIPEDIR` names one: Debian's.
pub const DEFAULT_DIRECTORY: &str = "/etc/tripe";

/// The server's socket where neither `-a` nor `TRIPESOCK` names one: in the configuration
/// directory if there is one of that name, else here.
pub const DEFAULT_SOCKET: &str = "/var/run/tripesock";

/// The socket's name in the configuration directory.
const SOCKET_NAME: &str = "tripesock";

/// The variable that names the runtime directory for all our programs.
pub const RUNTIME_VARIABLE: &str = "TRIPE_CONNECT_DIR";

/// The runtime directory of the units that come with the packages, where an operator's tool looks
/// for a service that is not next to the server's socket.
pub const PACKAGED_RUNTIME: &str = "/run/tripe-connect";

/// Where the packaged unit of the script helper has its journal.
pub const PACKAGED_JOURNAL: &str = "/run/tripe-connect-ifscripts";

/// The directory of the script helper's journal, in that of the sockets.
const JOURNAL: &str = "scripts";

/// The file by which systemd makes [`PACKAGED_RUNTIME`] at boot.
const PACKAGED_TMPFILES: &str = "/usr/lib/tmpfiles.d/tripe-connect.conf";

/// Whether the packaged units' directory exists, or should exist since the package is installed. In
/// both cases no other place is searched.
fn is_packaged() -> bool {
    let exists = |path| Path::new(path).exists();
    exists(PACKAGED_RUNTIME) || exists("/run/systemd/system") && exists(PACKAGED_TMPFILES)
}

/// `PATH` of scripts with a clean environment: where the system's programs are, and its
/// administrator's. A service manager gives the same to the script helper, as a rule.
pub const SCRIPTS_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Our sockets, all in one runtime directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuntimeDir {
    path: PathBuf,
}

impl RuntimeDir {
    /// The directory given by option, else by [`RUNTIME_VARIABLE`], else by systemd's
    /// `RUNTIME_DIRECTORY`, else next to the server's socket with `.connect` after its name: there
    /// is one service for one server, so their paths belong together.
    #[must_use]
    pub fn find(option: Option<&Path>, admin_socket: &Path) -> Self {
        let path = named(option, RUNTIME_VARIABLE)
            .or_else(|| named(None, "RUNTIME_DIRECTORY"))
            .unwrap_or_else(|| Self::next_to(admin_socket));
        RuntimeDir { path }
    }

    /// As [`RuntimeDir::find`], to find a service that is running already: if nothing names the
    /// directory and none is next to the server's socket, it is that of the packaged units.
    #[must_use]
    pub fn find_service(option: Option<&Path>, admin_socket: &Path) -> Self {
        let named = Self::find(option, admin_socket);
        let default = Self::next_to(admin_socket);
        let packaged = Path::new(PACKAGED_RUNTIME);
        if option.is_none() && named.path == default && !default.exists() && is_packaged() {
            return RuntimeDir {
                path: packaged.to_owned(),
            };
        }
        named
    }

    fn next_to(admin_socket: &Path) -> PathBuf {
        let mut name = admin_socket.as_os_str().to_owned();
        name.push(".connect");
        name.into()
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal of the script helper that `connect` starts.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path().join(JOURNAL)
    }

    /// Where helpers connect.
    #[must_use]
    pub fn helpers_socket(&self) -> PathBuf {
        self.path.join("helpers.sock")
    }

    /// Where observers connect, which may only read.
    #[must_use]
    pub fn observe_socket(&self) -> PathBuf {
        self.path.join("observe.sock")
    }

    /// Where operators connect.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }
}

/// The configuration directory: option, else `TRIPEDIR`, else [`DEFAULT_DIRECTORY`].
#[must_use]
pub fn directory(option: Option<&Path>) -> PathBuf {
    named(option, "TRIPEDIR").unwrap_or_else(|| DEFAULT_DIRECTORY.into())
}

/// The server's socket: option, else `TRIPESOCK`, else `tripesock` in the configuration directory
/// where that exists, else [`DEFAULT_SOCKET`]. Relative names are relative to `directory`.
#[must_use]
pub fn admin_socket(option: Option<&Path>, directory: &Path) -> PathBuf {
    match named(option, "TRIPESOCK") {
        Some(path) => directory.join(path),
        None if directory.join(SOCKET_NAME).exists() => directory.join(SOCKET_NAME),
        None => DEFAULT_SOCKET.into(),
    }
}

/// As [`admin_socket`], to find a service that is running already: its server may have ended, and
/// have removed its socket from `directory`, but the service still has its own beside that.
#[must_use]
pub fn admin_socket_of_service(option: Option<&Path>, directory: &Path) -> PathBuf {
    let found = admin_socket(option, directory);
    let usual = directory.join(SOCKET_NAME);
    let is_named = named(option, "TRIPESOCK").is_some();
    if !is_named && RuntimeDir::next_to(&usual).exists() {
        return usual;
    }
    found
}

/// The peer database: option, else `TRIPEPEERDB`, else `peers.cdb`; relative names are relative to
/// `directory`, which is the current directory after `-d` (the manual, "Command line").
#[must_use]
pub fn database(option: Option<&Path>, directory: &Path) -> PathBuf {
    directory.join(named(option, "TRIPEPEERDB").unwrap_or_else(|| "peers.cdb".into()))
}

/// Where state is kept between one core and the next: option, else systemd's `STATE_DIRECTORY`,
/// else nowhere. Relative names are relative to `directory`.
#[must_use]
pub fn state_directory(option: Option<&Path>, directory: &Path) -> Option<PathBuf> {
    named(option, "STATE_DIRECTORY").map(|named| directory.join(named))
}

/// The path that an option names, else one that a variable names. An empty variable names none.
fn named(option: Option<&Path>, variable: &str) -> Option<PathBuf> {
    let from_variable = || std::env::var_os(variable).filter(|value| !value.is_empty());
    option
        .map(Path::to_path_buf)
        .or_else(|| from_variable().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_first_and_are_relative_to_the_directory() {
        let dir = Path::new("/srv/tripe");
        assert_eq!(
            admin_socket(Some(Path::new("sock")), dir),
            Path::new("/srv/tripe/sock")
        );
        assert_eq!(
            admin_socket(Some(Path::new("/run/s")), dir),
            Path::new("/run/s")
        );
        assert_eq!(
            database(Some(Path::new("x.cdb")), dir),
            Path::new("/srv/tripe/x.cdb")
        );
        assert_eq!(directory(Some(dir)), dir);
    }

    #[test]
    fn a_tool_takes_what_is_beside_the_socket_before_anything_packaged() {
        let dir = std::env::temp_dir();
        let socket = dir.join(format!("paths-test-{}", std::process::id()));
        let named = RuntimeDir::find_service(Some(Path::new("/run/x")), &socket);
        assert_eq!(named.path(), Path::new("/run/x"));
        let default = RuntimeDir::next_to(&socket);
        std::fs::create_dir(&default).unwrap();
        let found = RuntimeDir::find_service(None, &socket);
        std::fs::remove_dir(&default).unwrap();
        assert_eq!(found.path(), default);
        let found = RuntimeDir::find_service(None, &socket);
        let packaged = Path::new(PACKAGED_RUNTIME);
        let expected = if is_packaged() { packaged } else { &default };
        assert_eq!(found.path(), expected);
    }

    #[test]
    fn the_runtime_directory_stands_beside_the_socket() {
        let chosen = RuntimeDir::find(Some(Path::new("/run/x")), Path::new("/run/tripesock"));
        assert_eq!(chosen.helpers_socket(), Path::new("/run/x/helpers.sock"));
        assert_eq!(chosen.control_socket(), Path::new("/run/x/control.sock"));
    }
}
