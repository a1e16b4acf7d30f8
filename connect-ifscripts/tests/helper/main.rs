// SPDX-License-Identifier: GPL-3.0-or-later
//! The real program, with the test in the part of core on a real socket.

mod adoption;
mod descriptors;
mod ending;
mod journal;
mod kept_output;
mod lookups;
mod order;
mod output;
mod reconnect;
mod start;
mod stopping;
mod succession;
mod support;
mod trust;
