// SPDX-License-Identifier: GPL-3.0-or-later
//! The commands, one file each.

pub mod active;
pub mod admin;
pub mod adopted;
pub mod completions;
pub mod db;
pub mod doctor;
pub mod events;
pub mod info;
pub mod kick;
pub mod kill;
pub mod list_active;
pub mod metrics;
pub mod passive;
pub mod quit;
pub mod reload;
pub mod report;
pub mod sabotage;
pub mod status;
pub mod submit;
pub mod top;
pub mod userpeer;
pub mod wait;

use clap::Subcommand;
use connect_runtime::exit::Exit;

use crate::context::Context;
use crate::error::Error;

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each one's text is that of the type it holds")]
pub enum Noun {
    Status(status::Status),
    Info(info::Info),
    Top(top::Top),
    Events(events::Events),
    Active(active::Active),
    Kick(kick::Kick),
    Kill(kill::Kill),
    Passive(passive::Passive),
    Userpeer(userpeer::Userpeer),
    Adopted(adopted::Adopted),
    ListActive(list_active::ListActive),
    Sabotage(sabotage::Sabotage),
    Reload(reload::Reload),
    Quit(quit::Quit),
    Submit(submit::Submit),
    Admin(admin::Admin),
    Metrics(metrics::Metrics),
    Db(db::Db),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

/// Runs one command.
///
/// # Errors
/// [`Error`], whose text is for the operator and which knows its exit code.
pub async fn run(noun: Noun, context: &mut Context) -> Result<Exit, Error> {
    match noun {
        Noun::Status(status) => status.run(context).await,
        Noun::Info(info) => info.run(context).await,
        Noun::Top(top) => top.run(context).await,
        Noun::Events(events) => events.run(context).await,
        Noun::Active(active) => active.run(context).await,
        Noun::Kick(kick) => kick.run(context).await,
        Noun::Kill(kill) => kill.run(context).await,
        Noun::Passive(passive) => passive.run(context).await,
        Noun::Userpeer(userpeer) => userpeer.run(context).await,
        Noun::Adopted(adopted) => adopted.run(context).await,
        Noun::ListActive(list_active) => list_active.run(context).await,
        Noun::Sabotage(sabotage) => sabotage.run(context).await,
        Noun::Reload(reload) => reload.run(context).await,
        Noun::Quit(quit) => quit.run(context).await,
        Noun::Submit(submit) => submit.run(context).await,
        Noun::Admin(admin) => admin.run(context).await,
        Noun::Metrics(metrics) => metrics.run(context).await,
        Noun::Db(db) => db.run(context),
        Noun::Doctor(doctor) => doctor.run(context).await,
        Noun::Completions(completions) => completions.run(context),
    }
}
