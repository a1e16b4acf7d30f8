// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts may run, and with which environment, according to the options.

mod environment;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process;

use connect_runtime::ownership::{Distrust, Ownership, Strictness};
use rustix::fs::{Access, access};
use rustix::thread::{CapabilitySet, capabilities};

use crate::options::Options;
use environment::Environment;

/// The rules. They do not change after the program has started.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    environment: Environment,
    /// Who is allowed to have the right to change a script; `None` if everybody is.
    trusted: Option<Ownership>,
}

/// Why there is no file to be run.
#[derive(Debug)]
pub(crate) enum NotLocated {
    /// No directory of `PATH` has it.
    NotInPath,
    /// Directories of `PATH` have it, but none where it is executable.
    NotExecutable,
    /// Others could make us run another file, or we could not prove that they cannot.
    Distrusted(Distrust),
}

impl Admission {
    /// The rules that the options ask for.
    pub(crate) fn new(options: &Options) -> Self {
        Admission {
            environment: Environment::new(options.clean_environment),
            trusted: (is_privileged() && !options.allow_unsafe_scripts).then(Ownership::ourselves),
        }
    }

    /// Gives a command the environment that all scripts have.
    pub(crate) fn apply(&self, command: &mut process::Command) {
        self.environment.apply(command);
    }

    /// Where a script is looked for if its name has no slash.
    pub(crate) fn path(&self) -> OsString {
        self.environment.path()
    }

    /// The file that is run for `program`. It exists, and others cannot replace it. `None` if the
    /// system is to find it, because another file would give nobody more rights.
    ///
    /// Everything that can prevent the file from being run is checked here. A file that is missing
    /// is not left to the system to find: by then anybody might have put it there.
    pub(crate) fn locate(&self, program: &str) -> Result<Option<PathBuf>, NotLocated> {
        let Some(trusted) = self.trusted else {
            return Ok(None);
        };
        let file = if program.contains('/') {
            PathBuf::from(program)
        } else {
            self.search(trusted, program)?
        };
        trusted.check(&file, Strictness::Script)?;
        Ok(Some(file))
    }

    /// Looks for a program in the directories of `PATH`. Each directory up to the one that has it
    /// is checked: a user who can write to one of them could make scripts, and this program, run
    /// other programs.
    fn search(&self, trusted: Ownership, program: &str) -> Result<PathBuf, NotLocated> {
        let mut found_unfit = false;
        for directory in env::split_paths(&self.path()) {
            // An empty name is the working directory. With the name ".", the path of what is found
            // there has a slash, so the system does not search again.
            let directory = if directory.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                directory
            };
            match trusted.check(&directory, Strictness::Script) {
                // Nobody else can create it.
                Err(Distrust::Missing { .. }) => continue,
                checked => checked?,
            }
            let file = directory.join(program);
            // The system, too, passes over what is not executable.
            if !file.is_file() {
                continue;
            }
            if access(&file, Access::EXEC_OK).is_ok() {
                return Ok(file);
            }
            found_unfit = true;
        }
        Err(if found_unfit {
            NotLocated::NotExecutable
        } else {
            NotLocated::NotInPath
        })
    }
}

impl From<Distrust> for NotLocated {
    fn from(distrust: Distrust) -> Self {
        NotLocated::Distrusted(distrust)
    }
}

/// Whether scripts would have more rights than other users: we are root, or have a capability.
fn is_privileged() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    // If the system does not say, we assume that we have some.
    capabilities(None).map_or(true, |sets| sets.permitted != CapabilitySet::empty())
}
