// SPDX-License-Identifier: GPL-3.0-or-later
//! Lookups of host names by a child that is the program again. The names here are numeric, so the
//! system's resolver asks no name server.

use anyhow::Result;
use connect_ipc::lookup::{Family, Found, LookedUp, Lookup};
use connect_ipc::scripts::{FromScripts, ToScripts};

use crate::support::{Connection, Core};

/// What core is told of a lookup.
async fn found(connection: &mut Connection, host: &str, family: Family) -> Result<Found> {
    let lookup = Lookup {
        number: 7,
        host: host.to_owned(),
        family,
    };
    connection.tell(&ToScripts::LookUp(lookup))?;
    match connection.next().await? {
        FromScripts::LookedUp(LookedUp { number: 7, found }) => Ok(found),
        other => anyhow::bail!("not a lookup: {other:?}"),
    }
}

#[tokio::test]
async fn the_program_looks_names_up_of_both_families() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    for (host, family, other) in [
        ("192.0.2.7", Family::Inet, Family::Inet6),
        ("2001:db8::7", Family::Inet6, Family::Inet),
    ] {
        let expected = Found::Addresses(vec![host.parse()?]);
        assert_eq!(found(&mut connection, host, family).await?, expected);
        assert_eq!(found(&mut connection, host, Family::Any).await?, expected);
        let none = found(&mut connection, host, other).await?;
        assert!(matches!(none, Found::Failed(_)), "{none:?}");
    }
    Ok(())
}
