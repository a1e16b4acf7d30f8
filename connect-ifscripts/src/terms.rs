// SPDX-License-Identifier: GPL-3.0-or-later
//! The terms on which scripts are run: with which environment, and whom they have to be safe from.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process;

use connect_runtime::notifier::PRIVATE_VARIABLES;
use connect_runtime::paths;
use rustix::fs::{Access, access};
use rustix::thread::{CapabilitySet, capabilities};

use crate::options::Options;
use crate::trust::{Distrust, Trusted};

/// `PATH` of scripts with a clean environment: where the system's programs are, and its
/// administrator's.
const SAFE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a clean environment keeps: who one is, and which language and time one has.
const KEPT: [&str; 7] = ["HOME", "LANG", "LANGUAGE", "LOGNAME", "SHELL", "TZ", "USER"];

/// What it keeps besides: locale categories, and what belongs to TrIPE.
const KEPT_PREFIXES: [&str; 2] = ["LC_", "TRIPE"];

/// The terms, settled at the start.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    environment: Environment,
    /// Whose hands a script may be in; `None` if it may be in any.
    trusted: Option<Trusted>,
}

/// Which variables scripts are given beside those of their run.
#[derive(Clone, Debug)]
enum Environment {
    /// Our own, with these set where we have none.
    Inherited(Vec<(OsString, OsString)>),
    /// These alone.
    Clean(Vec<(OsString, OsString)>),
}

impl Terms {
    /// What the options say.
    pub(crate) fn new(options: &Options) -> Self {
        let directory = paths::directory(None);
        let socket = paths::admin_socket(None, &directory);
        let tripe = [
            ("TRIPEDIR", directory.into_os_string()),
            ("TRIPESOCK", socket.into_os_string()),
        ];
        let missing = tripe
            .into_iter()
            .filter(|(name, _)| env::var_os(name).is_none_or(|value| value.is_empty()))
            .map(|(name, value)| (name.into(), value));
        let environment = if options.clean_environment {
            let kept = env::vars_os().filter(|(name, _)| is_kept(name));
            let path = [("PATH".into(), SAFE_PATH.into())];
            Environment::Clean(kept.chain(missing).chain(path).collect())
        } else {
            Environment::Inherited(missing.collect())
        };
        let trusted = (is_privileged() && !options.allow_unsafe_scripts).then(Trusted::ourselves);
        Terms {
            environment,
            trusted,
        }
    }

    /// Gives a command the environment that all scripts have.
    pub(crate) fn apply(&self, command: &mut process::Command) {
        match &self.environment {
            Environment::Inherited(missing) => {
                command.envs(missing.iter().map(|(name, value)| (name, value)));
                // Scripts have nothing to tell our service manager.
                for variable in PRIVATE_VARIABLES {
                    command.env_remove(variable);
                }
            }
            Environment::Clean(all) => {
                command.env_clear();
                command.envs(all.iter().map(|(name, value)| (name, value)));
            }
        }
    }

    /// Where scripts are looked for whose name has no slash.
    pub(crate) fn path(&self) -> OsString {
        match self.environment {
            Environment::Inherited(_) => env::var_os("PATH").unwrap_or_default(),
            Environment::Clean(_) => SAFE_PATH.into(),
        }
    }

    /// The file that is run for `program`, if it is safe. `None` if it is to be left to the system
    /// to find it, or not to.
    pub(crate) fn locate(&self, program: &str) -> Result<Option<PathBuf>, Distrust> {
        let Some(trusted) = self.trusted else {
            return Ok(None);
        };
        let file = if program.contains('/') {
            Some(PathBuf::from(program))
        } else {
            env::split_paths(&self.path())
                .map(|directory| directory.join(program))
                // What is not executable is passed over by the system as well.
                .find(|file| file.is_file() && access(file, Access::EXEC_OK).is_ok())
        };
        if let Some(file) = &file {
            trusted.check(file)?;
        }
        Ok(file)
    }
}

fn is_kept(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether scripts would have more rights than anybody has: we are root, or have a capability.
fn is_privileged() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    // A system that does not tell may have given us some.
    capabilities(None).map_or(true, |sets| sets.permitted != CapabilitySet::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_environment_keeps_what_the_manual_says() {
        for name in ["HOME", "LANG", "LC_TIME", "TZ", "TRIPESOCK", "TRIPE_SLIPIF"] {
            assert!(is_kept(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "LD_PRELOAD", "IFS", "ENV", "NOTIFY_SOCKET", "HOMER"] {
            assert!(!is_kept(OsStr::new(name)), "{name}");
        }
        assert!(!is_kept(OsStr::new("LISTEN_FDS")));
    }
}
