// SPDX-License-Identifier: GPL-3.0-or-later
//! What every program of the connect service does on start: places, logging, exit codes, how a
//! helper ends with the program that started it, and how all of them talk to a service manager.

pub mod activation;
pub mod exit;
pub mod flood;
pub mod logging;
pub mod manual;
pub mod notifier;
pub mod parent;
pub mod places;
