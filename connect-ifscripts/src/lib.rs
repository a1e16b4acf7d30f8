// SPDX-License-Identifier: GPL-3.0-or-later
//! The script helper of the connect service: it runs the `ifup`, `ifdown`, `connect` and
//! `disconnect` scripts which core asks for, and tells core what becomes of them.
//!
//! `machine` decides which run starts when and how it ends, `queue` keeps the runs of each peer in
//! order, `outbox` keeps what core has not been told yet, and `lines` cuts output into lines. These
//! four do no I/O and read no clock. Around them, `service` owns the tasks that do; `terms` and `trust`
//! say which scripts are run at all, and with what.

mod adopted;
mod birth;
mod child;
mod lines;
mod link;
mod machine;
mod options;
mod outbox;
mod pidfd;
mod program;
mod queue;
mod service;
mod spawn;
mod terms;
mod trust;

pub use options::Options;
pub use program::{StartError, run};
