// SPDX-License-Identifier: GPL-3.0-or-later
//! The protocol trace of `--debug`: every line in both directions on standard output, with
//! challenges masked.

use connect_runtime::streams::Stream;

use crate::secrets::Secrets;

/// A line from the server, or for it. A challenge in the line is learnt first.
pub(crate) fn print(direction: Direction, line: &str, secrets: &mut Secrets) {
    secrets.learn_from_line(line);
    let mark = match direction {
        Direction::Received => '<',
        Direction::Sent => '>',
    };
    Stream::Out.line(format!("{mark} {}", secrets.hide(line)));
}

/// Which way a line goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    /// From the server.
    Received,
    /// To the server.
    Sent,
}
