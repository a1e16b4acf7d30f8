// SPDX-License-Identifier: GPL-3.0-or-later
//! Command lines of `connect` and `connect-core` (the manual, "Command line").

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;
use connect_runtime::logging::LogOptions;
use connect_runtime::paths::{self, RuntimeDir};
use tripe_admin::{Interval, Words};

use crate::replay::ReplayOptions;

/// The version for `SVCCLAIM` and `--version`.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The kinds of ping, as chosen by `--ping`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum PingChoice {
    /// PING: tests only the transport.
    #[default]
    Transport,
    /// EPING: tests the session keys as well.
    Encrypted,
}

impl From<PingChoice> for PingKind {
    fn from(choice: PingChoice) -> PingKind {
        match choice {
            PingChoice::Transport => PingKind::Transport,
            PingChoice::Encrypted => PingKind::Encrypted,
        }
    }
}

/// What core itself needs to know.
#[derive(Args, Clone, Debug)]
pub struct CoreOptions {
    /// The tripe server's administration socket [default: $TRIPESOCK, else tripesock in the
    /// configuration directory if that is there, else /var/run/tripesock].
    #[arg(short = 'a', long = "admin-socket", value_name = "SOCKET")]
    pub socket: Option<PathBuf>,
    /// Change to this directory first; other file names are relative to it [default: $TRIPEDIR,
    /// else /etc/tripe].
    #[arg(short = 'd', long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// The peer database in CDB format [default: $TRIPEPEERDB, else peers.cdb].
    #[arg(short = 'p', long, value_name = "FILE")]
    pub peerdb: Option<PathBuf>,
    /// Trace every line of the administration protocol on standard output.
    #[arg(long)]
    pub debug: bool,
    /// The service is started together with the server: configure interfaces, make connections, and
    /// add the peers that have `auto`.
    // --st has always meant --startup, so it must not become ambiguous because of --stop-wait.
    #[arg(long, alias = "st")]
    pub startup: bool,
    /// The directory of the service's own sockets [default: $TRIPE_CONNECT_DIR, else the name of
    /// the administration socket with .connect after it].
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// Who may command: permissions of control.sock, in octal.
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = parse_mode)]
    pub control_mode: u32,
    /// Who may look: permissions of observe.sock, in octal.
    #[arg(long, value_name = "MODE", default_value = "666", value_parser = parse_mode)]
    pub observe_mode: u32,
    /// The group that control.sock belongs to [default: that of the process].
    #[arg(long, value_name = "GROUP")]
    pub control_group: Option<String>,
    /// Who may reach helpers.sock, in octal; --pinger-user and --ifscripts-user say who may use it.
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = parse_mode)]
    pub helpers_mode: u32,
    /// A user whose processes may be the pinger, in addition to our own and root; may be repeated.
    #[arg(long = "pinger-user", value_name = "USER")]
    pub pinger_users: Vec<String>,
    /// The same for the script helper; may be repeated.
    #[arg(long = "ifscripts-user", value_name = "USER")]
    pub ifscripts_users: Vec<String>,
    /// The group that helpers.sock belongs to [default: that of the process].
    #[arg(long, value_name = "GROUP")]
    pub helpers_group: Option<String>,
    /// A user who always finds a place on control.sock and observe.sock and is not limited, in
    /// addition to our own, root and those of the helpers; may be repeated.
    #[arg(long = "observer-user", value_name = "USER")]
    pub observer_users: Vec<String>,
    /// Keep statistics, and which peers are configured, in this directory, so that a later core
    /// goes on where this one stopped [default: $STATE_DIRECTORY, else nothing is kept].
    #[arg(long = "keep-state", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How long to wait for the server at the start [default: not at all].
    #[arg(long, value_name = "TIME")]
    pub server_wait: Option<Interval>,
    /// The ping for peers whose record does not choose one.
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    pub ping: PingChoice,
    /// End scripts that take longer than this, unless the peer's record sets another time [default:
    /// no limit].
    #[arg(long, value_name = "TIME")]
    pub script_timeout: Option<Interval>,
    #[command(flatten)]
    /// Hooks for all peers.
    pub hooks: HookOptions,
    /// Record everything that happens to core in this new file, for a bug report; see
    /// connect-core(8), "Recordings", for what it reveals.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// End when the connection to the server is lost; without this option, wait and connect again.
    #[arg(long)]
    pub exit_on_disconnect: bool,
    #[command(flatten)]
    /// Logging.
    pub log: LogOptions,
}

/// The hooks of all peers.
#[derive(Args, Clone, Debug)]
pub struct HookOptions {
    /// Run this program, with its arguments, when a watched peer has come to be connected, where
    /// the peer's record has no on-up; see connect(8), "HOOKS".
    #[arg(long, value_name = "COMMAND", value_parser = parse_command)]
    pub on_up: Option<String>,
    /// The same when such a peer is not connected any more, where the record has no on-down.
    #[arg(long, value_name = "COMMAND", value_parser = parse_command)]
    pub on_down: Option<String>,
}

impl HookOptions {
    /// The hooks of peers whose record names none.
    pub(crate) fn defaults(&self) -> DefaultHooks {
        DefaultHooks {
            on_up: self.on_up.clone(),
            on_down: self.on_down.clone(),
        }
    }
}

/// Checks that there is a program in a command.
fn parse_command(text: &str) -> Result<String, String> {
    match Words::new(text).next() {
        Some(program) if !program.is_empty() => Ok(text.to_owned()),
        _ => Err("expected a program and its arguments".to_owned()),
    }
}

/// Reads permissions written in octal.
fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected octal permissions from 0 to 777, such as 660".to_owned()),
    }
}

/// All paths, from options and variables. They are absolute or relative to the configuration
/// directory.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The configuration directory.
    pub directory: PathBuf,
    /// The server's socket.
    pub socket: PathBuf,
    /// The peer database.
    pub database: PathBuf,
    /// Our own sockets.
    pub runtime: RuntimeDir,
    /// Where state is kept, if it is.
    pub state: Option<PathBuf>,
}

impl CoreOptions {
    /// Finds all paths.
    ///
    /// # Errors
    /// If the configuration directory cannot be entered or has no absolute name.
    pub fn paths(&self) -> anyhow::Result<Paths> {
        use anyhow::Context as _;
        let directory = paths::directory(self.directory.as_deref());
        let directory = directory.canonicalize().with_context(|| {
            format!(
                "cannot change to the directory {}; name the right one with -d or TRIPEDIR",
                directory.display()
            )
        })?;
        let socket = paths::admin_socket(self.socket.as_deref(), &directory);
        let database = paths::database(self.peerdb.as_deref(), &directory);
        let runtime = RuntimeDir::find(self.runtime_dir.as_deref(), &socket);
        let state = paths::state_directory(self.state_dir.as_deref(), &directory);
        Ok(Paths {
            directory,
            socket,
            database,
            runtime,
            state,
        })
    }
}

/// tripe service to handle addition and removal of peers: core, liveness and script helpers in one
#[derive(Debug, Parser)]
#[command(name = "connect", version = VERSION, infer_long_args = true, args_override_self = true,
    max_term_width = 80)]
pub(crate) struct ConnectOptions {
    /// Options shared with connect-core.
    #[command(flatten)]
    pub core: CoreOptions,
    /// Become a background process once the service is ready.
    #[arg(long)]
    pub daemon: bool,
    /// Where connect-pinger and connect-ifscripts are [default: the directory of this program, else
    /// /usr/lib/tripe-connect].
    #[arg(long, value_name = "DIR", env = "TRIPE_CONNECT_HELPERS")]
    pub helper_dir: Option<PathBuf>,
    /// Give scripts a clean environment, see connect-ifscripts(8).
    #[arg(long)]
    pub clean_environment: bool,
    /// Run scripts as root even if others can change them, see connect-ifscripts(8).
    #[arg(long)]
    pub allow_unsafe_scripts: bool,
    /// How long to wait for scripts when this program ends.
    // As the unit of connect-ifscripts has it.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub stop_wait: Interval,
}

/// Core of the connect service, for helpers that are started separately
#[derive(Debug, Parser)]
#[command(name = "connect-core", version = VERSION, infer_long_args = true, args_override_self = true,
    max_term_width = 80, args_conflicts_with_subcommands = true)]
pub(crate) struct CoreOnlyOptions {
    /// Options shared with connect.
    #[command(flatten)]
    pub core: CoreOptions,
    /// What to do instead of providing the service.
    #[command(subcommand)]
    pub command: Option<CoreCommand>,
}

/// What connect-core can do instead of providing the service.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CoreCommand {
    /// Replay a recording that --record has made, and compare the outputs
    Replay(ReplayOptions),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use house::manual::disagreements;

    #[test]
    fn the_command_lines_are_sound() {
        ConnectOptions::command().debug_assert();
        CoreOnlyOptions::command().debug_assert();
    }

    #[test]
    fn every_option_of_the_manual_is_taken_in_every_form() {
        for line in [
            "connect -a s -d d -p f --daemon --debug --startup",
            "connect --admin-socket=s --directory=d --peerdb=f --daemon --debug --startup",
            "connect --admin-socket s --directory d --peerdb f --dae --deb --st",
            "connect -as -dd -pf --daemon --debug --startup",
            "connect --admin-socket s --directory d --peerdb f --dae --deb --sta",
        ] {
            let options = ConnectOptions::try_parse_from(line.split(' ')).unwrap();
            assert!(
                options.daemon && options.core.debug && options.core.startup,
                "{line}"
            );
            let path = |option: &Option<PathBuf>| option.clone().unwrap().display().to_string();
            let core = &options.core;
            assert_eq!(
                (
                    path(&core.socket),
                    path(&core.directory),
                    path(&core.peerdb)
                ),
                ("s".to_owned(), "d".to_owned(), "f".to_owned()),
                "{line}"
            );
        }
        let twice = ConnectOptions::try_parse_from(["connect", "-a", "one", "-a", "two"]).unwrap();
        assert_eq!(twice.core.socket, Some("two".into()), "the last one counts");
        assert!(ConnectOptions::try_parse_from(["connect", "positional"]).is_err());
        assert!(
            ConnectOptions::try_parse_from(["connect", "--d"]).is_err(),
            "ambiguous"
        );
    }

    #[test]
    fn the_manual_pages_name_every_option_and_no_other() {
        let page = include_str!("../../man/connect.8");
        let command = ConnectOptions::command();
        assert_eq!(disagreements(command, page, &[]), [""; 0]);
        // This page names the options that it does not have.
        let page = include_str!("../../man/connect-core.8");
        let command = CoreOnlyOptions::command();
        assert_eq!(
            disagreements(
                command,
                page,
                &[
                    "daemon",
                    "helper-dir",
                    "clean-environment",
                    "allow-unsafe-scripts",
                    "stop-wait",
                    // Those of `replay`.
                    "until",
                    "quiet"
                ]
            ),
            [""; 0]
        );
    }

    #[test]
    fn the_manual_page_names_every_option_of_replay_and_no_other() {
        let page = include_str!("../../man/connect-core.8");
        let (_, rest) = page.split_once("\n.Cm replay\nrepeats").unwrap();
        let (section, _) = rest.split_once("\n.Pp\nTo send a recording").unwrap();
        // The page has --help once, for the whole program.
        let mut command = CoreOnlyOptions::command()
            .mut_subcommand("replay", |replay| replay.disable_help_flag(true));
        command.build();
        let replay = command.find_subcommand("replay").unwrap().clone();
        assert_eq!(disagreements(replay, section, &[]), [""; 0]);
    }
}
