// SPDX-License-Identifier: GPL-3.0-or-later
//! Starting the child of a run.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Stdio};

use connect_ipc::scripts::{Child, Command, Run};
use connect_runtime::ownership::Distrust;
use connect_runtime::pidfd::Watched;
use connect_runtime::start_time;
use rustix::io::Errno;
use rustix::process::Pid;
use tokio::net::unix::pipe::Receiver;

use crate::admission::{Admission, NotLocated};
use crate::marks;
use crate::pipes::{Held, Pipes};

/// The shell of [`Command::Shell`].
const SHELL: &str = "/bin/sh";

/// How much of a program's name is shown in a message.
const SHOWN: usize = 200;

/// A child that was started.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) child: process::Child,
    pub(crate) name: Child,
    pub(crate) watched: Watched,
    pub(crate) stdout: Receiver,
    pub(crate) stderr: Receiver,
    pub(crate) held: Held,
}

/// Why a run could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("the command is empty: name a program in the peer's record")]
    Empty,
    #[error(
        "cannot run `{program}': there is no such file; correct the name, or the interpreter in \
         the file's first line if the file is there"
    )]
    NoFile { program: String },
    #[error(
        "cannot run `{program}': no directory of PATH ({path}) has it; write the whole path, or add \
         its directory to the PATH of connect-ifscripts"
    )]
    NotInPath { program: String, path: String },
    #[error(
        "cannot run `{program}': permission denied; make the file executable (chmod +x) and its \
         directories searchable for the user of connect-ifscripts"
    )]
    NotExecutable { program: String },
    #[error(
        "cannot run `{program}': it is neither a program for this machine nor a script; begin its \
         first line with #! and the interpreter, such as #!/bin/sh"
    )]
    BadFormat { program: String },
    #[error("cannot run `{program}': its arguments and variables are too long; shorten the record")]
    TooLong { program: String },
    #[error(
        "cannot run `{program}': the command or a variable contains a NUL character; remove it \
         from the record"
    )]
    Nul { program: String },
    #[error(
        "not running `{program}': {distrust}, so others could use the rights of \
         connect-ifscripts; {}, move the script to a directory that only root can write to, or \
         use --allow-unsafe-scripts",
        distrust.remedy()
    )]
    Unsafe { program: String, distrust: Distrust },
    #[error(
        "cannot run `{program}': {source}; free some of it, or raise the limits of \
         connect-ifscripts"
    )]
    Exhausted { program: String, source: io::Error },
    #[error("cannot run `{program}': {source}")]
    Other { program: String, source: io::Error },
}

/// Starts a run: in a process group of its own, so that it can be ended together with what it
/// starts; nothing to read on standard input; standard output and standard error as pipes.
///
/// # Errors
/// [`SpawnError`], whose text is for the operator.
pub(crate) fn spawn(
    run: &Run,
    admission: &Admission,
    pipes: &Pipes,
) -> Result<Spawned, SpawnError> {
    let (program, mut command) = command(&run.command, admission)?;
    admission.apply(&mut command);
    command.envs(run.environment.iter().map(|(name, value)| (name, value)));
    command.env(marks::VARIABLE, run.run.0.to_string());
    let failed = |error: io::Error| SpawnError::from_system(program, error, admission);
    let mut stdout = pipes.make().map_err(failed)?;
    let mut stderr = pipes.make().map_err(failed)?;
    let held = Held::of([&mut stdout, &mut stderr]);
    command
        .process_group(0)
        // Our own standard input is empty, and it is the mark of a script: see `stdin`.
        .stdin(Stdio::inherit())
        .stdout(stdout.for_child)
        .stderr(stderr.for_child);
    let before = start_time::now();
    let mut child = command.spawn().map_err(failed)?;
    // This closes our copies of the child's ends; while they are open, the output has no end.
    drop(command);
    match watch(&child, before) {
        Ok((watched, name)) => Ok(Spawned {
            child,
            name,
            watched,
            stdout: stdout.ours,
            stderr: stderr.ours,
            held,
        }),
        Err(error) => {
            // A child that cannot be watched must not run. Only the kernel has to act before this
            // returns.
            let _ = child.kill();
            let _ = child.wait();
            Err(failed(error))
        }
    }
}

/// Watches a child that was created after `before`.
fn watch(child: &process::Child, before: u64) -> io::Result<(Watched, Child)> {
    let number = i32::try_from(child.id()).map_err(io::Error::other)?;
    let pid = Pid::from_raw(number).ok_or(Errno::SRCH)?;
    let watched = Watched::new(pid)?;
    let name = Child {
        pid: number,
        // A later helper takes a child without one for ended.
        start_time: start_time::of_new(number, before)?.unwrap_or(0),
    };
    Ok((watched, name))
}

/// The command to be executed, and how it is named in messages.
fn command<'a>(
    command: &'a Command,
    admission: &Admission,
) -> Result<(&'a str, process::Command), SpawnError> {
    match command {
        Command::Exec(words) => {
            let (program, arguments) = words.split_first().ok_or(SpawnError::Empty)?;
            if program.is_empty() {
                return Err(SpawnError::Empty);
            }
            let located = admission.locate(program);
            let located =
                located.map_err(|why| SpawnError::not_located(program, why, admission))?;
            let mut command = match located {
                // The file that was checked, under the name in the record.
                Some(file) => {
                    let mut command = process::Command::new(file);
                    command.arg0(program);
                    command
                }
                None => process::Command::new(program),
            };
            command.args(arguments);
            Ok((program, command))
        }
        Command::Shell(text) => {
            let mut command = process::Command::new(SHELL);
            command.arg("-c").arg(text);
            Ok((SHELL, command))
        }
    }
}

/// What is shown of a program's name.
fn shown(program: &str) -> String {
    program.chars().take(SHOWN).collect()
}

impl SpawnError {
    fn not_located(program: &str, why: NotLocated, admission: &Admission) -> Self {
        let source = match why {
            NotLocated::NotInPath => Errno::NOENT.into(),
            NotLocated::NotExecutable => Errno::ACCESS.into(),
            NotLocated::Distrusted(Distrust::Missing { .. }) => Errno::NOENT.into(),
            // The same error as the system's.
            NotLocated::Distrusted(Distrust::Unreadable { source, .. }) => source,
            NotLocated::Distrusted(distrust) => {
                let program = shown(program);
                return SpawnError::Unsafe { program, distrust };
            }
        };
        Self::from_system(program, source, admission)
    }

    fn from_system(program: &str, source: io::Error, admission: &Admission) -> Self {
        let program = shown(program);
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT) if program.contains('/') => SpawnError::NoFile { program },
            Some(Errno::NOENT) => SpawnError::NotInPath {
                program,
                path: admission.path().to_string_lossy().into_owned(),
            },
            Some(Errno::ACCESS | Errno::PERM) => SpawnError::NotExecutable { program },
            Some(Errno::NOEXEC) => SpawnError::BadFormat { program },
            Some(Errno::TOOBIG) => SpawnError::TooLong { program },
            Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
                SpawnError::Exhausted { program, source }
            }
            // The standard library reports a string with a NUL character in this way.
            None if source.kind() == io::ErrorKind::InvalidInput => SpawnError::Nul { program },
            _ => SpawnError::Other { program, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use clap::Parser as _;

    fn admission() -> Admission {
        Admission::new(&Options::parse_from(["connect-ifscripts"]))
    }

    fn sentence(program: &str, error: Errno) -> String {
        SpawnError::from_system(program, error.into(), &admission()).to_string()
    }

    #[test]
    fn what_went_wrong_is_a_sentence_that_names_the_program() {
        for error in [
            Errno::NOENT,
            Errno::ACCESS,
            Errno::NOEXEC,
            Errno::TOOBIG,
            Errno::NOMEM,
            Errno::AGAIN,
            Errno::MFILE,
            Errno::TXTBSY,
        ] {
            let text = sentence("/etc/tripe/ifup", error);
            assert!(text.starts_with("cannot run `/etc/tripe/ifup': "), "{text}");
        }
        assert!(sentence("ifup", Errno::NOENT).contains("PATH"));
        assert!(sentence("/ifup", Errno::ACCESS).contains("chmod +x"));
        assert!(sentence(&"x".repeat(100_000), Errno::NOENT).len() < 10_000);
    }

    #[test]
    fn a_command_that_cannot_be_is_refused() {
        for words in [vec![], vec![String::new()]] {
            assert!(matches!(
                command(&Command::Exec(words), &admission()),
                Err(SpawnError::Empty)
            ));
        }
    }
}
