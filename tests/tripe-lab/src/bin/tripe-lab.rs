// SPDX-License-Identifier: GPL-3.0-or-later
//! The lab server as a program.

fn main() -> anyhow::Result<()> {
    tripe_lab::cli::main()
}
