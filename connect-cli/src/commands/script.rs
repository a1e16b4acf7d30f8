// SPDX-License-Identifier: GPL-3.0-or-later
//! `ifup` and `ifdown`: a script of a peer that is up, run again, or only shown.
//!
//! ```text
//!   us --run-script--> core --waiting, started, output...--> shown as they come
//!                           --ended--> our own exit code
//! ```

use clap::Args;
use connect_ipc::control::{Reply, Request, RunProgress, ScriptPlan, WaitsFor};
use connect_ipc::scripts::{Command, Ended, InterfaceScript, ScriptKind, Stream};
use connect_runtime::exit::Exit;

use crate::client::connection::{Control, ControlError};
use crate::common::{Common, Pace};
use crate::completing;
use crate::error::{Error, ScriptEnd};
use crate::output::event_text;
use crate::output::paint::Paint;
use crate::output::script_report::{OutputLine, ScriptPlanReport, ScriptRunReport};
use crate::output::{text, to_stderr, to_stderr_bare};

/// What `ifup` and `ifdown` take.
#[derive(Args, Debug)]
struct ScriptOptions {
    /// Show the command and its environment, and run nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON, once the script has ended.
    #[arg(long)]
    json: bool,
    /// The peer's name.
    #[arg(add = completing::peers())]
    peer: String,
}

/// Run a peer's ifup script again
#[derive(Args, Debug)]
#[command(after_help = "\
    The server must have the peer; its tunnel is not changed. The script gets the arguments and \
    the environment that it would get now, and waits for other scripts of the peer. It counts \
    like every other run: if it succeeds, `status' no longer says that it failed. Its output is \
    printed as it comes. If this program is interrupted, the script goes on. At most 64 scripts \
    that operators requested can be pending.\n\n\
    The exit code is the exit status of the script; 128 plus the number of the signal that \
    killed it; 124 if it reached its time limit; 126 if it could not be started; 1 if nobody \
    knows how it ended, or if the service refused. With --json, `end' and `code' say which it \
    was.\n\n\
    Examples:\n\
    \x20 connect-cli ifup alice\n\
    \x20 connect-cli ifup --dry-run alice")]
pub(crate) struct Ifup {
    #[command(flatten)]
    options: ScriptOptions,
}

/// Run a peer's ifdown script while it is up
#[derive(Args, Debug)]
#[command(after_help = "\
    Like connect-cli ifup, but with the peer's ifdown: the peer stays at the server, and the \
    script removes what it configures at the interface. connect-cli ifup configures it again. \
    The exit codes are those of connect-cli ifup.\n\n\
    Examples:\n\
    \x20 connect-cli ifdown alice && connect-cli ifup alice\n\
    \x20 connect-cli ifdown --dry-run alice")]
pub(crate) struct Ifdown {
    #[command(flatten)]
    options: ScriptOptions,
}

impl Ifup {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        self.options.run(InterfaceScript::Ifup, common).await
    }
}

impl Ifdown {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        self.options.run(InterfaceScript::Ifdown, common).await
    }
}

impl ScriptOptions {
    async fn run(self, script: InterfaceScript, common: &mut Common) -> Result<Exit, Error> {
        let mut control = common.control(Pace::Slow).await?;
        let (peer, kind) = (self.peer.clone(), ScriptKind::from(script));
        if self.dry_run {
            control.ask(Request::ShowScript { peer, script })?;
            return match control.reply().await? {
                Reply::Script(plan) => self.show(kind, &plan, common),
                Reply::Failed(words) => self.fail(kind, words, common),
                _ => Err(ControlError::Unexpected.into()),
            };
        }
        let subject = format!("{}: {}", text::clean(&peer), kind.name());
        control.ask(Request::RunScript { peer, script })?;
        let mut told = Told::new(subject);
        match told.follow(&mut control, self.json, common).await? {
            Outcome::Refused(words) => self.fail(kind, words, common),
            Outcome::Ended(end) => self.end(kind, &told, end, common),
        }
    }

    /// The service refuses.
    fn fail(
        &self,
        kind: ScriptKind,
        words: Vec<String>,
        common: &mut Common,
    ) -> Result<Exit, Error> {
        if self.json {
            let report = ScriptRunReport::refused(&self.peer, kind, &words);
            common.out.json(&report)?;
        }
        Err(Error::Failed(words))
    }

    /// The script has ended.
    fn end(
        &self,
        kind: ScriptKind,
        told: &Told,
        end: Ended,
        common: &mut Common,
    ) -> Result<Exit, Error> {
        if self.json {
            let report = ScriptRunReport::ended(&self.peer, kind, told.pid, &told.output, &end);
            common.out.json(&report)?;
        }
        let peer = text::clean(&self.peer).into_owned();
        if end.failure().is_some() {
            let end = ScriptEnd { peer, kind, end };
            return Err(Error::Script(end));
        }
        if !self.json {
            let (words, paint) = event_text::script_end(&end);
            let line = format!("{peer}: {}: {words}", kind.name());
            common.out.painted(paint, &line)?;
        }
        Ok(Exit::Success)
    }

    /// Shows what would be executed.
    fn show(
        &self,
        kind: ScriptKind,
        plan: &ScriptPlan,
        common: &mut Common,
    ) -> Result<Exit, Error> {
        if self.json {
            let report = ScriptPlanReport::new(&self.peer, kind, plan);
            common.out.json(&report)?;
            return Ok(Exit::Success);
        }
        for (line, paint) in plan_lines(kind, plan) {
            common.out.painted(paint, &line)?;
        }
        Ok(Exit::Success)
    }
}

/// What would be executed, in lines.
pub(crate) fn plan_lines(kind: ScriptKind, plan: &ScriptPlan) -> Vec<(String, Paint)> {
    let plain = |line: String| (line, Paint::Plain);
    let command = match &plan.command {
        Command::Exec(words) => text::shell_words(words),
        Command::Shell(line) => line.clone(),
    };
    let limit = plan.limit.filter(|limit| *limit > 0);
    let limit = limit.map_or_else(
        || "without a time limit".to_owned(),
        |limit| format!("for at most {}", text::span(limit.into())),
    );
    let mut lines = vec![
        (
            format!("{} would run, {limit}", kind.name()),
            Paint::Heading,
        ),
        plain(format!("  {}", text::clean(&command))),
        plain(String::new()),
        (
            "with these variables in addition to those of the script helper".to_owned(),
            Paint::Heading,
        ),
    ];
    lines.extend(plan.environment.iter().map(|(name, value)| {
        let value = text::shell_words([value]);
        plain(format!("  {name}={}", text::clean(&value)))
    }));
    lines
}

/// What a script waits for, after its name.
pub(crate) fn waiting(waits_for: &WaitsFor) -> String {
    let (script, pid, seconds) = match waits_for {
        WaitsFor::Run {
            script,
            pid,
            seconds,
        } => (script.name(), pid, text::span(*seconds)),
        WaitsFor::Place {} => {
            return "waits for a place: as many scripts as are allowed are under way".to_owned();
        }
    };
    match pid {
        Some(pid) => format!(
            "waits for the {script} of this peer that has been under way for {seconds} (process \
             {pid})"
        ),
        None => format!("waits for an {script} of this peer that has itself waited for {seconds}"),
    }
}

/// How a request for a script ended.
enum Outcome {
    /// The service refused it, in these words.
    Refused(Vec<String>),
    /// The script has ended.
    Ended(Ended),
}

/// What the service has sent about the script so far.
struct Told {
    /// The peer and the script.
    subject: String,
    /// What it does or waits for; `None` as long as nothing has come.
    doing: Option<String>,
    pid: Option<i32>,
    /// Its output, kept only for JSON.
    output: Vec<OutputLine>,
}

impl Told {
    const fn new(subject: String) -> Self {
        Told {
            subject,
            doing: None,
            pid: None,
            output: Vec::new(),
        }
    }

    /// The next message. If none comes in time after the first one, the script takes long, and not
    /// the service.
    async fn next(&self, control: &mut Control) -> Result<Reply, Error> {
        control
            .reply()
            .await
            .map_err(|error| match (error, &self.doing) {
                (ControlError::Timeout(limit), Some(doing)) => Error::ScriptSilent {
                    what: format!("{} {doing}", self.subject),
                    limit,
                },
                (error, _) => error.into(),
            })
    }

    /// Shows what happens until the end.
    async fn follow(
        &mut self,
        control: &mut Control,
        json: bool,
        common: &mut Common,
    ) -> Result<Outcome, Error> {
        loop {
            match self.next(control).await? {
                Reply::Run(RunProgress::Waiting(waits_for)) => {
                    let doing = waiting(&waits_for);
                    to_stderr(&format!("{} {doing}", self.subject));
                    self.doing = Some(doing);
                }
                Reply::Run(RunProgress::Started { pid }) => {
                    self.pid = Some(pid);
                    self.doing = Some(format!("is under way as process {pid}"));
                }
                Reply::Run(RunProgress::Output { stream, line }) if json => {
                    self.output.push(OutputLine { stream, line });
                }
                Reply::Run(RunProgress::Output { stream, line }) => match stream {
                    Stream::Stdout => common.out.line_flushed(&text::clean(&line))?,
                    Stream::Stderr => to_stderr_bare(&line),
                },
                Reply::Run(RunProgress::Ended(end)) => return Ok(Outcome::Ended(end)),
                Reply::Failed(words) => return Ok(Outcome::Refused(words)),
                _ => return Err(ControlError::Unexpected.into()),
            }
        }
    }
}
