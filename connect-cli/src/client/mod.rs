// SPDX-License-Identifier: GPL-3.0-or-later
//! Connections to the service and to the tripe server, and what is asked on them.

pub(crate) mod admin;
pub(crate) mod connection;
pub(crate) mod limit;
pub(crate) mod meant;
pub(crate) mod requests;
pub(crate) mod state;
pub(crate) mod subscription;
