// SPDX-License-Identifier: GPL-3.0-or-later
//! Which file is run for a program whose name has no slash, if scripts have root's rights.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use connect_ipc::scripts::{Ended, ToScripts};

use crate::support::{Core, exec};

/// The end of a program that is looked for in these directories, of which `PLACE` is the test's.
/// The working directory has it.
async fn end_with_path(path: &str) -> Result<Ended> {
    let core = Core::new().await?;
    for (directory, mode, program) in [
        ("safe", 0o755, Some(0o755)),
        ("unfit", 0o755, Some(0o644)),
        ("open", 0o777, None),
        ("sticky", 0o1777, None),
    ] {
        fs::create_dir(core.path(directory))?;
        fs::set_permissions(core.path(directory), Permissions::from_mode(mode))?;
        if let Some(mode) = program {
            let file = core.path(directory).join("program");
            fs::write(&file, "#!/bin/sh\n")?;
            fs::set_permissions(&file, Permissions::from_mode(mode))?;
        }
    }
    let path = path.replace("PLACE", &core.path("").display().to_string());
    let _helper = core.helper_in(&core.path("safe"), &path)?;
    let (mut connection, _) = core.accept().await?;
    connection.tell(&ToScripts::Ready {})?;
    connection.run(exec(1, "a", &["program"]))?;
    connection.end(1).await
}

#[tokio::test]
async fn each_directory_of_path_up_to_the_one_that_has_the_program_must_be_safe() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can show this: nothing was tested");
        return Ok(());
    }
    for path in [
        "PLACE/safe",
        "PLACE/missing:PLACE/safe",
        "PLACE/unfit:PLACE/safe",
        "PLACE/safe:PLACE/open",
        // The working directory.
        "PLACE/missing:",
        "PLACE/missing:.",
    ] {
        assert_eq!(end_with_path(path).await?, Ended::Exited(0), "{path}");
    }
    for (path, words) in [
        ("PLACE/open:PLACE/safe", "open can be written to by others"),
        (
            "PLACE/sticky:PLACE/safe",
            "sticky can be written to by others",
        ),
        ("PLACE/unfit", "chmod +x"),
        ("PLACE/missing", "no directory of PATH"),
        // Nobody can say who may write there.
        (
            "PLACE/safe/program:PLACE/safe/program/none:PLACE/safe",
            "Not a directory",
        ),
    ] {
        let end = end_with_path(path).await?;
        let told = matches!(&end, Ended::NotStarted(why) if why.contains(words));
        assert!(told, "{path}: {end:?}");
    }
    Ok(())
}
