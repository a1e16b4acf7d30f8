// SPDX-License-Identifier: GPL-3.0-or-later
//! The command line: the options that every command takes, and the list of commands.

use std::path::PathBuf;

use clap::{Args, Parser};
use tripe_admin::Interval;

use crate::nouns::Noun;

/// The exit codes, as every help text lists them.
const EXIT_CODES: &str = "\
    Exit codes:\n\
    \x20  0  all went well\n\
    \x20  1  the request failed, or a check found faults\n\
    \x20  2  the command line is wrong\n\
    \x20 65  the input, such as a peer database or its sources, is faulty\n\
    \x20 69  the service or the server is not there, or does not answer\n\
    \x20 70  a fault of this program\n\
    \x20 71  the system refused something, such as a file\n\
    \x20 76  the other side is of another version\n\
    \x20 77  permission is denied\n\
    \x20 124  what --wait waited for has not come in time\n\n\
    Examples:\n\
    \x20 connect-cli status\n\
    \x20 connect-cli info alice --json\n\
    \x20 connect-cli kick alice";

/// Look at the connect service, command it, and tend its peer database
#[derive(Debug, Parser)]
#[command(
    name = "connect-cli",
    version,
    after_help = EXIT_CODES,
    infer_long_args = true,
    args_override_self = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub noun: Noun,
}

/// Where the service is, and how long to wait for it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The tripe server's administration socket [default: $TRIPESOCK, else tripesock in the
    /// configuration directory].
    #[arg(
        short = 'a',
        long = "admin-socket",
        value_name = "SOCKET",
        global = true
    )]
    pub admin_socket: Option<PathBuf>,
    /// The configuration directory, where the server's socket and the service's database are found
    /// [default: $TRIPEDIR, else /etc/tripe].
    #[arg(short = 'd', long, value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// The directory of the service's own sockets [default: $TRIPE_CONNECT_DIR, else the name of
    /// the administration socket with .connect after it, else /run/tripe-connect].
    #[arg(long, value_name = "DIR", global = true)]
    pub runtime_dir: Option<PathBuf>,
    /// The service's control socket [default: control.sock in the runtime directory].
    #[arg(long, value_name = "SOCKET", global = true)]
    pub control: Option<PathBuf>,
    /// Give up when nothing is heard for so long; 0 waits for ever [default: 10s, but no limit for
    /// commands whose outcome takes its time].
    #[arg(long, value_name = "TIME", global = true)]
    pub timeout: Option<Interval>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_are_taken_before_and_after_the_command() {
        for line in [
            "connect-cli -a s -d d --runtime-dir r --control c --timeout 5m status",
            "connect-cli status -as -dd --runtime-dir=r --control=c --timeout=5m",
            "connect-cli --admin-socket s status --dir d --runtime r --cont c --time 300",
        ] {
            let common = Cli::try_parse_from(line.split(' ')).unwrap().common;
            assert_eq!(common.admin_socket.unwrap(), PathBuf::from("s"), "{line}");
            assert_eq!(common.directory.unwrap(), PathBuf::from("d"), "{line}");
            assert_eq!(common.runtime_dir.unwrap(), PathBuf::from("r"), "{line}");
            assert_eq!(common.control.unwrap(), PathBuf::from("c"), "{line}");
            assert_eq!(common.timeout.unwrap().seconds(), 300, "{line}");
        }
    }
}
