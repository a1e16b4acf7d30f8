// SPDX-License-Identifier: GPL-3.0-or-later
//! A small world of one peer, searched through every order in which its parts can move: what is
//! promised of scripts holds in each of its states.
//!
//! The server and the processes of scripts are played here. Core and the script helper are the
//! product's own machines, each of whose outputs is one step, so that a death can come between any
//! two.

mod checks;
mod core;
mod helper;
pub mod scope;
pub mod search;
mod server;
mod shared;
pub mod world;
