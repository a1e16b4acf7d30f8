// SPDX-License-Identifier: GPL-3.0-or-later
//! The programs of docs/reference/write-your-own-client.md, run as they stand there.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use scenarios::{Outcome, Service, Site};

const PAGE: &str = "../../docs/reference/write-your-own-client.md";

/// A program of the page, at a site.
struct Client<'a> {
    interpreter: &'static str,
    program: PathBuf,
    service: &'a Service,
}

impl<'a> Client<'a> {
    /// The one block of the page that is in this language.
    fn of(
        language: &str,
        interpreter: &'static str,
        site: &Site,
        service: &'a Service,
    ) -> anyhow::Result<Self> {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        let page = fs::read_to_string(page)?;
        let (_, rest) = page
            .split_once(&format!("```{language}\n"))
            .context("the page has no such block")?;
        let (block, _) = rest.split_once("```\n").context("it has no end")?;
        let program = site.path(&format!("client.{language}"));
        fs::write(&program, block)?;
        Ok(Client {
            interpreter,
            program,
            service,
        })
    }

    /// Ends with all its processes when it takes longer than any test may, or is ended itself.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        let directory = self.service.control().with_file_name("");
        command
            .args(["60", self.interpreter])
            .arg(&self.program)
            .args(words)
            .env("TRIPE_CONNECT_DIR", directory)
            .stdin(Stdio::null());
        command
    }

    /// What it prints.
    fn prints(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.command(words).output()?;
        assert!(output.status.success(), "{words:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What it says when it fails.
    fn fails(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.command(words).output()?;
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        Ok(String::from_utf8(output.stderr)?)
    }
}

/// A program that follows events. Dropping it ends it.
struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn begin(client: &Client<'_>) -> anyhow::Result<Self> {
        let mut child = client.command(&["follow"]).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("it has no output")?;
        let lines = BufReader::new(output).lines();
        Ok(Following { child, lines })
    }

    /// Waits for a line.
    fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> Outcome {
        for line in self.lines.by_ref() {
            if wanted(&line?) {
                return Ok(());
            }
        }
        anyhow::bail!("it has ended without the line")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Whether these programs are installed; says which is not.
fn installed(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let found = Command::new(program).arg("--version").output().is_ok();
        if !found {
            eprintln!("SKIPPED: {program} is not installed");
        }
        found
    })
}

fn reads_follows_and_commands(language: &str, interpreter: &'static str) -> Outcome {
    let site = Site::new()?
        .with_answering_peers()
        .peer("p", &[("peer", "INET 198.18.0.1 4070"), ("watch", "t")])
        .peer("passive", &[("peer", "PASSIVE")])
        .user("u", "passive")
        .build()?;
    let service = site.connect(&[])?;
    let client = Client::of(language, interpreter, &site, &service)?;

    let status = client.prints(&["status"])?;
    assert!(status.contains("p absent\n"), "{status}");
    assert!(status.contains("passive waiting\n"), "{status}");

    let mut following = Following::begin(&client)?;
    following.wait_for(|line| line.starts_with("live "))?;
    assert_eq!(client.prints(&["active", "p"])?, "");
    following.wait_for(|line| line.ends_with(" p adopted"))?;
    assert_eq!(client.prints(&["adopted"])?, "p\n");
    following.wait_for(|line| line.ends_with(" - command"))?;

    let error = client.fails(&["kick", "nobody"])?;
    assert!(error.contains("nobody"), "{error}");

    // Where there is no service, each program says so, whatever it was asked for.
    for words in [&["status"][..], &["follow"], &["adopted"]] {
        let mut command = client.command(words);
        let output = command
            .env("TRIPE_CONNECT_DIR", site.path("none"))
            .output()?;
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{words:?}: {output:?}");
    }
    Ok(())
}

#[test]
fn a_client_in_python_reads_the_state_follows_events_and_gives_commands() -> Outcome {
    if !installed(&["python3"]) {
        return Ok(());
    }
    reads_follows_and_commands("python", "python3")
}

#[test]
fn a_client_in_shell_reads_the_state_follows_events_and_gives_commands() -> Outcome {
    if !installed(&["socat", "jq"]) {
        return Ok(());
    }
    reads_follows_and_commands("sh", "sh")
}
