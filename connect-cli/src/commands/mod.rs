// SPDX-License-Identifier: GPL-3.0-or-later
//! The commands, one file or folder each.

pub(crate) mod active;
pub(crate) mod admin;
pub(crate) mod adopted;
pub(crate) mod completions;
pub(crate) mod db;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod kick;
pub(crate) mod kill;
pub(crate) mod list_active;
pub(crate) mod metrics;
pub(crate) mod passive;
pub(crate) mod quit;
pub(crate) mod reload;
pub(crate) mod sabotage;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod top;
pub(crate) mod userpeer;
mod wait;
