// SPDX-License-Identifier: GPL-3.0-or-later
//! What every program of the connect service does on start: places, logging, exit codes, and
//! how a helper ends with the program that started it.

pub mod exit;
pub mod flood;
pub mod logging;
pub mod manual;
pub mod parent;
pub mod places;
