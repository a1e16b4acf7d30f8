// SPDX-License-Identifier: GPL-3.0-or-later
//! The processes and files of one run: a directory, a lab server, a service, and what ends it all.

pub(crate) mod database;
pub(crate) mod descriptors;
pub(crate) mod guard;
pub(crate) mod lab;
pub(crate) mod leftovers;
pub(crate) mod logs;
pub(crate) mod processes;
pub(crate) mod service;
pub(crate) mod site;
pub(crate) mod status;
pub(crate) mod unit;
pub(crate) mod volume;
