// SPDX-License-Identifier: GPL-3.0-or-later
//! The commands, one file or folder each, except for the short ones in [`shortcuts`].

pub(crate) mod admin;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod db;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod metrics;
pub(crate) mod no_database;
pub(crate) mod not_at_server;
pub(crate) mod ping;
pub(crate) mod reload;
pub(crate) mod remote;
pub(crate) mod script;
pub(crate) mod shortcuts;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod top;
mod wait;
pub(crate) mod words;
