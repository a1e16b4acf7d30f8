// SPDX-License-Identifier: GPL-3.0-or-later
//! `db dump`: everything in a database.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use clap::Args;
use connect_runtime::exit::Exit;
use peerdb::{Database, Record};
use serde::Serialize;

use super::findings;
use super::input::{self, Input};
use crate::common::Common;
use crate::error::Error;
use crate::output::paint::Paint;
use crate::output::text;
use crate::output::{Output, SCHEMA};

/// Show everything in a database
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints the peers sorted by name, in the format of peers.in(5) and without inheritance. Then \
    come, as comments, the users and the peers that are added at start-up. Sources are compiled \
    first, without writing anything.\n\n\
    Examples:\n\
    \x20 connect-cli db dump peers.cdb\n\
    \x20 connect-cli db dump /etc/tripe/peers.d --json | jq .peers.hub")]
pub(crate) struct Dump {
    /// A database, or a file or directory of sources [default: the service's database].
    file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

type Pairs<'a> = BTreeMap<&'a str, &'a str>;

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DumpReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The file.
    file: String,
    /// The record of each peer: keys and values.
    peers: BTreeMap<&'a str, Pairs<'a>>,
    /// The peer that each user stands for.
    users: Pairs<'a>,
    /// Peers to be added at start-up, in this order.
    auto: &'a [String],
    /// Records of sections whose names start with `$`.
    locals: BTreeMap<&'a str, Pairs<'a>>,
    /// What is wrong with single records.
    faults: Vec<String>,
}

impl Dump {
    pub(crate) fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let file = input::or_default(self.file, common);
        let input = Input::read(&file, common)?;
        if let Input::Source(compilation) = &input {
            findings::to_stderr(&findings::of_compiler(compilation));
        }
        let broken = input.broken().is_some();
        let database = input.into_database();
        if self.json {
            common.out.json(&DumpReport {
                schema: SCHEMA,
                file: file.display().to_string(),
                peers: records(database.sorted_peers()),
                users: database.users().collect(),
                auto: database.auto(),
                locals: records(database.locals()),
                faults: database.faults().iter().map(ToString::to_string).collect(),
            })?;
        } else {
            show(&database, &mut common.out)?;
            for fault in database.faults() {
                crate::output::to_stderr(&format!("warning: {fault}"));
            }
        }
        // What could be compiled was shown.
        Ok(if broken { Exit::Data } else { Exit::Success })
    }
}

fn records(records: &[Record]) -> BTreeMap<&str, Pairs<'_>> {
    records
        .iter()
        .map(|record| (record.name(), record.iter().collect()))
        .collect()
}

fn show(database: &Database, out: &mut Output) -> io::Result<()> {
    let mut locals: Vec<&Record> = database.locals().iter().collect();
    locals.sort_by_key(|local| local.name());
    for record in database.sorted_peers().iter().chain(locals) {
        out.painted(Paint::Heading, &format!("[{}]", text::clean(record.name())))?;
        for (key, value) in record.iter() {
            for line in assignment(key, value).lines() {
                out.line(line)?;
            }
        }
        out.line("")?;
    }
    for (user, peer) in database.users() {
        out.line(&format!(
            "# user {} is peer {}",
            text::clean(user),
            text::clean(peer)
        ))?;
    }
    for peer in database.auto() {
        out.line(&format!("# added at start-up: {}", text::clean(peer)))?;
    }
    Ok(())
}

/// One key and its value; further lines of the value are indented, as the compiler reads them.
fn assignment(key: &str, value: &str) -> String {
    let lines: Vec<_> = value.split('\n').map(text::clean).collect();
    format!("{} = {}", text::clean(key), lines.join("\n    "))
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_several_lines_reads_back() {
        assert_eq!(assignment("nets", "a\nb"), "nets = a\n    b");
        assert_eq!(assignment("auto", ""), "auto =");
        assert_eq!(assignment("x", "a\x1bb"), "x = a\\u{1b}b");
    }
}
