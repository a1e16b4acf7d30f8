// SPDX-License-Identifier: GPL-3.0-or-later
//! The machine, played by hand: what commands and messages do, and what no real server or child can
//! be made to do, or not in time.

mod absence;
mod adopted_output;
mod another_peer;
mod asked;
mod awaited_lost;
mod backlog;
mod changes;
mod complaints;
mod edges;
mod failures;
mod first_database;
mod hand_played;
mod helperless;
mod hooks;
mod kicked;
mod knocks;
mod manual;
mod mixed_past;
mod moved_undecided;
mod moved_unsent;
mod observing;
mod one_peer;
mod option_names;
mod overdue;
mod properties;
mod recovery;
mod released;
mod renumbered;
mod resolving;
mod revivals;
mod rig;
mod script_machines;
mod script_world;
mod scripts;
mod stopped_first;
mod two_machines;
mod undecided;
mod undecided_commands;
mod unfinished;
mod up_down;
mod upgrade;
