// SPDX-License-Identifier: GPL-3.0-or-later
//! `lab-submit SOCKET LINE...`: gives command lines to an administration socket, one after the
//! other, prints what stands after `INFO` as it comes, and fails as the first command that fails.
//! Scripts of tests use it where an operator's would use tripectl.

use std::env::args;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = args().skip(1);
    let socket = arguments.next().unwrap_or_default();
    let mut stream = UnixStream::connect(socket)?;
    let mut answers = BufReader::new(stream.try_clone()?).lines();
    for line in arguments {
        stream.write_all(format!("{line}\n").as_bytes())?;
        loop {
            let Some(answer) = answers.next().transpose()? else {
                anyhow::bail!("the server closed the connection");
            };
            let (word, rest) = answer.split_once(' ').unwrap_or((&answer, ""));
            match word {
                "INFO" => {
                    let mut stdout = std::io::stdout();
                    writeln!(stdout, "{rest}")?;
                    stdout.flush()?;
                }
                "OK" => break,
                "FAIL" => {
                    eprintln!("{rest}");
                    return Ok(ExitCode::FAILURE);
                }
                _ => {}
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
