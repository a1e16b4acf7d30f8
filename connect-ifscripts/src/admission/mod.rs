// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts may run, and with which environment, as the options say.

mod environment;
mod trust;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process;

use rustix::fs::{Access, access};
use rustix::thread::{CapabilitySet, capabilities};

use crate::options::Options;
use environment::Environment;
pub(crate) use trust::Distrust;
use trust::Trusted;

/// The rules, fixed at the start of the program.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    environment: Environment,
    /// Who may be able to change a script; `None` if anybody may.
    trusted: Option<Trusted>,
}

impl Admission {
    /// The rules that the options ask for.
    pub(crate) fn new(options: &Options) -> Self {
        Admission {
            environment: Environment::new(options.clean_environment),
            trusted: (is_privileged() && !options.allow_unsafe_scripts).then(Trusted::ourselves),
        }
    }

    /// Gives a command the environment that all scripts have.
    pub(crate) fn apply(&self, command: &mut process::Command) {
        self.environment.apply(command);
    }

    /// Where scripts are looked for whose name has no slash.
    pub(crate) fn path(&self) -> OsString {
        self.environment.path()
    }

    /// The file that is run for `program`, if it is safe. `None` if the system is to find it.
    pub(crate) fn locate(&self, program: &str) -> Result<Option<PathBuf>, Distrust> {
        let Some(trusted) = self.trusted else {
            return Ok(None);
        };
        let file = if program.contains('/') {
            Some(PathBuf::from(program))
        } else {
            env::split_paths(&self.path())
                .map(|directory| directory.join(program))
                // The system, too, passes over what is not executable.
                .find(|file| file.is_file() && access(file, Access::EXEC_OK).is_ok())
        };
        if let Some(file) = &file {
            trusted.check(file)?;
        }
        Ok(file)
    }
}

/// Whether scripts would have more rights than anybody has: we are root, or have a capability.
fn is_privileged() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    // If the system does not tell, we may have some.
    capabilities(None).map_or(true, |sets| sets.permitted != CapabilitySet::empty())
}
