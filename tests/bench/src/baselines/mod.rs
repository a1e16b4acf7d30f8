// SPDX-License-Identifier: GPL-3.0-or-later
//! What the service is measured beside: other programs, and the least that a program of its kind
//! could do. Those of our own run as processes of their own, like the service.

pub(crate) mod bfd;
pub(crate) mod canned;
pub(crate) mod echo;
pub(crate) mod floor;
pub(crate) mod fping;
pub(crate) mod player;
pub(crate) mod provider;
pub(crate) mod schedule;
pub(crate) mod wheel;
