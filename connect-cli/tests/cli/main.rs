// SPDX-License-Identifier: GPL-3.0-or-later
//! Tests of the real program against a core and a tripe server that the tests play.

mod admin;
mod check;
mod completion;
mod connection;
mod db;
mod db_silent;
mod doctor;
mod events;
mod info;
mod large;
mod lookups;
mod manual;
mod meant;
mod metrics;
mod output;
mod pages;
mod ping;
mod reload;
mod remote;
mod script;
mod shortcuts;
mod status;
mod submit;
mod support;
mod top;
mod wait;
mod watch;
mod width;
