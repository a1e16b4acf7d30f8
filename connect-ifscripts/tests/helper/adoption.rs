// SPDX-License-Identifier: GPL-3.0-or-later
//! A helper is killed, and the next one continues with its scripts.

use std::collections::BTreeSet;

use anyhow::Result;
use connect_ipc::RunId;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::scripts::{Child, Ended, FromScripts, Run, ToScripts, UnderWay};
use rustix::process::Signal;

use crate::support::{Connection, Core, Gate, Helper, alive, shell, under_way};

/// A helper that takes the place of one which was killed while it ran a script.
struct Successor {
    _core: Core,
    _helper: Helper,
    connection: Connection,
    /// Where the script waits.
    gate: Gate,
    run: Run,
    child: Child,
}

impl Successor {
    async fn new() -> Result<Self> {
        let (core, mut helper, mut connection) = Core::with_helper(&[]).await?;
        let gate = core.gate("gate")?;
        let run = shell(1, "a", gate.wait());
        connection.run(run.clone())?;
        let child = connection.started(1).await?;
        assert!(child.start_time > 0);
        helper.signal(Signal::KILL)?;
        helper.ended().await?;
        drop(connection);
        let helper = core.helper(&[])?;
        let (connection, resumed) = core.accept().await?;
        assert_eq!(resumed, []);
        Ok(Successor {
            _core: core,
            _helper: helper,
            connection,
            gate,
            run,
            child,
        })
    }

    fn adopt(&self, child: Option<Child>) -> Result<()> {
        let list = vec![under_way(&self.run, child)];
        self.connection.tell(&ToScripts::Adopt(list))
    }
}

#[tokio::test]
async fn an_adopted_script_holds_its_peer_until_it_ends() -> Result<()> {
    let mut next = Successor::new().await?;
    next.adopt(Some(next.child))?;
    next.connection.tell(&ToScripts::Ready {})?;
    let runs = vec![shell(2, "a", ":"), shell(3, "b", ":")];
    next.connection.tell(&ToScripts::Run(runs))?;
    assert_eq!(next.connection.end(3).await?, Ended::Exited(0));
    assert!(alive(next.child));
    next.gate.open().await?;
    let FromScripts::Ended { run, end } = next.connection.next_but_eof().await? else {
        panic!("the second did not wait");
    };
    assert_eq!((run, end), (RunId(1), Ended::Lost));
    assert_eq!(next.connection.end(2).await?, Ended::Exited(0));
    Ok(())
}

#[tokio::test]
async fn a_script_that_is_gone_is_lost_at_once() -> Result<()> {
    let mut next = Successor::new().await?;
    // The number is in use, but not by the child that was meant.
    let mut other = next.child;
    other.start_time += 1;
    next.adopt(Some(other))?;
    assert_eq!(next.connection.end(1).await?, Ended::Lost);
    assert!(alive(next.child), "a stranger is left alone");
    next.run.run = RunId(2);
    let nobody = Child {
        pid: i32::MAX,
        start_time: 1,
    };
    next.adopt(Some(nobody))?;
    assert_eq!(next.connection.end(2).await?, Ended::Lost);
    next.run.run = RunId(3);
    next.adopt(None)?;
    assert!(matches!(
        next.connection.next_but_eof().await?,
        FromScripts::Error(_)
    ));
    next.gate.open().await?;
    Ok(())
}

#[tokio::test]
async fn an_adopted_script_can_be_stopped() -> Result<()> {
    let mut next = Successor::new().await?;
    next.adopt(Some(next.child))?;
    next.connection.tell(&ToScripts::Stop(RunId(1)))?;
    assert_eq!(next.connection.end(1).await?, Ended::Stopped);
    assert!(!alive(next.child));
    Ok(())
}

#[tokio::test]
async fn an_adopted_script_keeps_its_time_limit() -> Result<()> {
    let mut next = Successor::new().await?;
    next.run.limit = Some(1);
    next.adopt(Some(next.child))?;
    assert_eq!(next.connection.end(1).await?, Ended::TimedOut);
    assert!(!alive(next.child));
    Ok(())
}

#[tokio::test]
async fn more_scripts_than_fit_into_one_message_are_adopted() -> Result<()> {
    const COUNT: u64 = 2_005;
    let core = Core::new().await?;
    let _helper = core.helper(&[])?;
    let (mut connection, _) = core.accept().await?;
    let nobody = Child {
        pid: i32::MAX,
        start_time: 1,
    };
    let list: Vec<UnderWay> = (1..=COUNT)
        .map(|number| under_way(&shell(number, &format!("{number:x>255}"), ""), Some(nobody)))
        .collect();
    for some in list.chunks(ITEMS_PER_FRAME) {
        connection.tell(&ToScripts::Adopt(some.to_vec()))?;
    }
    connection.tell(&ToScripts::Ready {})?;
    let mut lost = BTreeSet::new();
    while lost.len() < list.len() {
        let message = connection.next_but_eof().await?;
        let FromScripts::Ended { run, end } = message else {
            panic!("{message:?}");
        };
        assert_eq!(end, Ended::Lost);
        lost.insert(run.0);
    }
    assert!(lost.into_iter().eq(1..=COUNT));
    Ok(())
}
