// SPDX-License-Identifier: GPL-3.0-or-later
//! What every command uses: the common options, the paths and time limits that follow from them,
//! and the output.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use connect_runtime::paths::{self, PACKAGED_RUNTIME, RUNTIME_VARIABLE, RuntimeDir};
use tokio::time::{Instant, sleep};
use tripe_admin::Interval;
use tripe_admin::client::Client;

use crate::client::admin::{self, AdminError};
use crate::client::connection::{Control, ControlError};
use crate::client::meant::{By, Meant};
use crate::error::Error;
use crate::output::Output;

/// How long a running service may take for an answer that it has at once.
const QUICK: Duration = Duration::from_secs(10);

/// How long an observer waits for the socket of a service whose directory is there: longer than a
/// restart of core takes.
const RESTART: Duration = Duration::from_secs(2);

/// How long until the socket is looked for again.
const RETRY: Duration = Duration::from_millis(100);

/// How long a command can take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// The answer is known at once.
    Quick,
    /// The answer may wait for a name to be looked up, for a peer, or for a person.
    Slow,
}

/// Where the service is, and how long to wait for it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Common options")]
pub(crate) struct CommonOptions {
    /// Run the command on this host, by ssh; may be given several times, or with commas between the
    /// hosts.
    #[arg(
        short = 'H',
        long = "host",
        value_name = "HOST",
        value_delimiter = ',',
        global = true
    )]
    pub(crate) hosts: Vec<String>,
    /// The tripe server's administration socket [default: $TRIPESOCK, else tripesock in the
    /// configuration directory if that is there, else /var/run/tripesock].
    #[arg(short, long, value_name = "SOCKET", global = true)]
    pub(crate) admin_socket: Option<PathBuf>,
    /// The configuration directory, where the server's socket and the service's database are found
    /// [default: $TRIPEDIR, else /etc/tripe].
    #[arg(short = 'd', long, value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// The directory of the service's own sockets [default: $TRIPE_CONNECT_DIR, else the name of
    /// the administration socket with .connect after it, else /run/tripe-connect].
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// The service's control socket [default: control.sock in the runtime directory].
    #[arg(long, value_name = "SOCKET", global = true)]
    pub(crate) control: Option<PathBuf>,
    /// Give up when nothing is heard for this time; 0 waits for ever [default: 10s; metrics 8s; no
    /// limit for commands whose outcome takes its time, and for the next event].
    #[arg(long, value_name = "TIME", global = true)]
    pub(crate) timeout: Option<Interval>,
}

/// What every command uses.
#[derive(Debug)]
pub(crate) struct Common {
    options: CommonOptions,
    /// The output for the result.
    pub(crate) out: Output,
}

impl Common {
    /// The options of this process, and its standard output.
    pub(crate) fn new(options: CommonOptions) -> Self {
        Common {
            options,
            out: Output::stdout(),
        }
    }

    /// A copy for a task of its own.
    pub(crate) fn duplicate(&self) -> Self {
        Common::new(self.options.clone())
    }

    /// How this program is called with the options that name the service, for commands that are
    /// shown to be copied.
    pub(crate) fn program(&self) -> Vec<String> {
        let given = [
            ("-a", &self.options.admin_socket),
            ("-d", &self.options.directory),
            ("--runtime-dir", &self.options.runtime_dir),
            ("--control", &self.options.control),
        ];
        let mut words = vec!["connect-cli".to_owned()];
        for (option, path) in given {
            if let Some(path) = path {
                words.extend([option.to_owned(), path.display().to_string()]);
            }
        }
        words
    }

    /// The configuration directory.
    pub(crate) fn directory(&self) -> PathBuf {
        paths::directory(self.options.directory.as_deref())
    }

    /// Whether the user has said which server is meant, but not where its configuration is.
    pub(crate) fn names_only_server(&self) -> bool {
        let meant = self.meant();
        meant.socket_by != By::Default && meant.directory_by == By::Default
    }

    /// Which service the user means.
    pub(crate) fn meant(&self) -> Meant {
        let CommonOptions {
            admin_socket,
            directory,
            runtime_dir,
            control,
            ..
        } = &self.options;
        let service = [("--control", control), ("--runtime-dir", runtime_dir)];
        Meant {
            socket: self.admin_socket(),
            socket_by: named_by([("-a", admin_socket)], &["TRIPESOCK"]),
            directory: self.directory(),
            directory_by: named_by([("-d", directory)], &["TRIPEDIR"]),
            service_by: named_by(service, &[RUNTIME_VARIABLE, "RUNTIME_DIRECTORY"]),
        }
    }

    /// Whether the service was looked for where the packaged units have it, since there is none
    /// beside the server's socket and none was named.
    pub(crate) fn uses_packaged_service(&self) -> bool {
        let named = RuntimeDir::find(self.options.runtime_dir.as_deref(), &self.admin_socket());
        self.options.control.is_none() && self.runtime() != named
    }

    /// The tripe server's socket.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        paths::admin_socket_of_service(self.options.admin_socket.as_deref(), &self.directory())
    }

    /// The directory of the service's sockets.
    pub(crate) fn runtime(&self) -> RuntimeDir {
        RuntimeDir::find_service(self.options.runtime_dir.as_deref(), &self.admin_socket())
    }

    /// The service's control socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        let given = self.options.control.clone();
        given.unwrap_or_else(|| self.runtime().control_socket())
    }

    /// How long to wait for an answer; `None` means without limit.
    pub(crate) fn limit(&self, pace: Pace) -> Option<Duration> {
        let default = (pace == Pace::Quick).then_some(QUICK);
        self.given_limit().unwrap_or(default)
    }

    /// The limit that `--timeout` gives, if it is given; `Some(None)` means without limit.
    pub(crate) fn given_limit(&self) -> Option<Option<Duration>> {
        let given = self.options.timeout?;
        Some((given.seconds() != 0).then(|| given.duration()))
    }

    /// Connects to the service, if it is the one that is meant.
    pub(crate) async fn control(&self, pace: Pace) -> Result<Control, ControlError> {
        self.checked(self.open(pace).await?)
    }

    async fn open(&self, pace: Pace) -> Result<Control, ControlError> {
        // A running service sends its hello at once, whatever the command is.
        let hello = self.limit(Pace::Quick);
        let opened = Control::open(&self.control_socket(), hello, self.limit(pace)).await;
        opened.map_err(|error| self.with_places(error))
    }

    /// Connects to the tripe server, whichever that is.
    pub(crate) async fn admin(&self) -> Result<Client, AdminError> {
        admin::connect(&self.admin_socket()).await
    }

    /// Connects to the tripe server for a command, if it is the one that is meant.
    pub(crate) async fn server(&self) -> Result<Client, Error> {
        self.check_server().await?;
        Ok(self.admin().await?)
    }

    /// Checks that the server's socket is not that of another server than the user means. If only
    /// the service or a directory was named, the service knows.
    async fn check_server(&self) -> Result<(), Error> {
        let meant = self.meant();
        if !meant.service_outranks_server() && !meant.is_directory_without_socket() {
            return Ok(());
        }
        match self.observe().await {
            Ok(control) => match control.relay() {
                Some(program) => Err(AdminError::Elsewhere { program }.into()),
                None => Ok(meant
                    .check_used_server(control.served())
                    .map_err(ControlError::from)?),
            },
            Err(other @ ControlError::Other(_)) => Err(other.into()),
            Err(unknown) if meant.service_outranks_server() => match meant.service_by {
                // The option must not be ignored.
                By::Option(_) => Err(unknown.into()),
                By::Variable(_) | By::Default => Ok(()),
            },
            Err(_) if meant.is_usual_directory() => Ok(()),
            Err(_) => Err(AdminError::NotInDirectory {
                directory: meant.directory,
                socket: meant.socket,
            }
            .into()),
        }
    }

    /// Connects to the service to read its state, which more users may do than may command it.
    pub(crate) async fn observe(&self) -> Result<Control, ControlError> {
        self.checked(self.observe_any().await?)
    }

    /// As [`Common::observe`], whichever service answers.
    pub(crate) async fn observe_any(&self) -> Result<Control, ControlError> {
        let denied = match self.open(Pace::Quick).await {
            Err(denied @ ControlError::Denied { .. }) if self.options.control.is_none() => denied,
            other => return other,
        };
        match open_again(&self.runtime(), self.limit(Pace::Quick)).await {
            // Without a socket for observers there is no other way to use the service.
            Err(ControlError::NoService { .. }) => Err(denied),
            other => other,
        }
    }

    /// As [`Common::observe`], but never starts core: if core is stopped, systemd starts it as soon
    /// as somebody connects to the control socket.
    pub(crate) async fn observe_if_running(&self) -> Result<Control, ControlError> {
        if self.options.control.is_some() {
            return self.observe().await;
        }
        match open_again(&self.runtime(), self.limit(Pace::Quick)).await {
            // This socket is core's own: as long as it is there, core runs, or was killed just now.
            Err(ControlError::Denied { .. }) => self.observe().await,
            other => self.checked(other.map_err(|error| self.with_places(error))?),
        }
    }

    fn checked(&self, control: Control) -> Result<Control, ControlError> {
        self.meant().check(control.served())?;
        Ok(control)
    }

    /// Adds to the error where else the service was looked for.
    fn with_places(&self, error: ControlError) -> ControlError {
        let ControlError::NoService { path, source, .. } = error else {
            return error;
        };
        let meant = self.meant();
        let mut also = String::new();
        if meant.service_by == By::Default {
            let beside = RuntimeDir::find(None, &meant.socket);
            let packaged = Path::new(PACKAGED_RUNTIME);
            let places = [beside.path(), packaged];
            for missing in places.into_iter().filter(|place| !place.exists()) {
                if !path.starts_with(missing) {
                    also += &format!(", and there is no directory {}", missing.display());
                }
            }
        }
        if let By::Option(name) | By::Variable(name) = meant.directory_by
            && !meant.directory.is_dir()
        {
            let directory = meant.directory.display();
            also += &format!("; {name} names {directory}, which is no directory");
        }
        ControlError::NoService { path, source, also }
    }
}

/// Connects to the observers' socket. If nobody answers there but the directory is there, core may
/// be being restarted, and makes the socket again.
async fn open_again(
    runtime: &RuntimeDir,
    limit: Option<Duration>,
) -> Result<Control, ControlError> {
    let ends = Instant::now() + RESTART;
    loop {
        match Control::open(&runtime.observe_socket(), limit, limit).await {
            Err(ControlError::NoService { .. })
                if Instant::now() < ends && runtime.path().is_dir() =>
            {
                sleep(RETRY).await;
            }
            other => return other,
        }
    }
}

/// Whether a variable has a value.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// What names a thing, if anything does: one of the options, else one of the variables.
fn named_by<const N: usize>(
    options: [(&'static str, &Option<PathBuf>); N],
    variables: &[&'static str],
) -> By {
    let given = options.into_iter().find(|(_, path)| path.is_some());
    if let Some((option, _)) = given {
        return By::Option(option);
    }
    let set = variables.iter().find(|variable| is_set(variable));
    set.map_or(By::Default, |variable| By::Variable(variable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::hello::{Hello, Role};
    use connect_runtime::transport::{self, CLIENT_BACKLOG, Limits};

    #[test]
    fn a_limit_that_is_given_holds_for_every_command() {
        let limits = |timeout: Option<&str>| {
            let timeout = timeout.map(|text| text.parse().unwrap());
            let common = Common::new(CommonOptions {
                timeout,
                ..CommonOptions::default()
            });
            (common.limit(Pace::Quick), common.limit(Pace::Slow))
        };
        assert_eq!(limits(None), (Some(QUICK), None));
        assert_eq!(limits(Some("0")), (None, None));
        let minute = Some(Duration::from_secs(60));
        assert_eq!(limits(Some("1m")), (minute, minute));
    }

    #[test]
    fn the_control_socket_is_the_one_named_or_in_the_runtime_directory() {
        let socket = |control: Option<&str>, runtime: Option<&str>| {
            Common::new(CommonOptions {
                control: control.map(PathBuf::from),
                runtime_dir: runtime.map(PathBuf::from),
                ..CommonOptions::default()
            })
            .control_socket()
        };
        assert_eq!(socket(Some("/x/c"), Some("/run/x")), Path::new("/x/c"));
        assert_eq!(
            socket(None, Some("/run/x")),
            Path::new("/run/x/control.sock")
        );
    }

    // The clock of this test is the runtime's, which moves on when nothing else can.
    #[tokio::test(start_paused = true)]
    async fn an_observer_waits_for_a_core_that_is_being_restarted() {
        let place = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::find(Some(place.path()), Path::new("tripesock"));
        let core = async {
            sleep(RESTART / 2).await;
            let listener = transport::listen(&runtime.observe_socket(), 0o600).await;
            let (stream, _) = transport::accept(&listener.unwrap()).await.unwrap();
            let limits = Limits::of_backlog(CLIENT_BACKLOG);
            let (mut receiver, sender) = transport::split_within(stream, limits);
            sender.send(&Hello::new(Role::Core)).unwrap();
            receiver.next::<Hello>().await.unwrap();
        };
        let (opened, ()) = tokio::join!(open_again(&runtime, None), core);
        assert!(opened.is_ok(), "{opened:?}");
        // After that time, or where there is not even the directory, it is told at once.
        for waits in [true, false] {
            let began = Instant::now();
            let missing = open_again(&runtime, None).await;
            assert!(matches!(missing, Err(ControlError::NoService { .. })));
            assert_eq!(began.elapsed() >= RESTART, waits);
            std::fs::remove_dir_all(runtime.path()).unwrap_or_default();
        }
    }
}
