// SPDX-License-Identifier: GPL-3.0-or-later
//! How a script is started: its arguments, its environment, and what can prevent it.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use connect_ipc::scripts::Ended;

use crate::support::{Core, exec, shell};

#[tokio::test]
async fn a_program_gets_its_words_as_they_are() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let script = r#"printf '<%s>\n' "$@""#;
    connection.run(exec(
        1,
        "a",
        &["sh", "-c", script, "x", "a b", "", "$HOME;*"],
    ))?;
    let story = connection.story(1).await?;
    assert_eq!(story.stdout, ["<a b>", "<>", "<$HOME;*>"]);
    assert_eq!(story.end, Some(Ended::Exited(0)));
    Ok(())
}

#[tokio::test]
async fn a_script_has_the_variables_nothing_to_read_and_a_group_of_its_own() -> Result<()> {
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let mut run = shell(
        1,
        "a",
        r#"printf '%s\n' "$P_X" "$A_Y" "${PATH:+path}"; read line || echo nothing
        set -- $(cat /proc/$$/stat); [ "$5" = $$ ] && echo leader
"#,
    );
    run.environment = vec![
        ("P_X".to_owned(), "two words".to_owned()),
        ("A_Y".to_owned(), "\u{e9}'\"".to_owned()),
    ];
    connection.run(run)?;
    let story = connection.story(1).await?;
    let expected = ["two words", "\u{e9}'\"", "path", "nothing", "leader"];
    assert_eq!(story.stdout, expected);
    assert_eq!(story.stderr, [""; 0]);
    assert_eq!(story.eofs, 2);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_started_is_told_and_the_next_goes_on() -> Result<()> {
    let (core, _helper, mut connection) = Core::with_helper(&[]).await?;
    let file = |name: &str, text: &str, mode| -> Result<String> {
        let path = core.path(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        Ok(path.to_string_lossy().into_owned())
    };
    let cases = [
        ("/nonesuch/ifup".to_owned(), "there is no such file"),
        ("nonesuch-ifup".to_owned(), "PATH"),
        (file("plain", "#!/bin/sh\n", 0o644)?, "chmod +x"),
        (file("bare", "echo hello\n", 0o755)?, "#!"),
        (file("lost", "#!/nonesuch/sh\n", 0o755)?, "interpreter"),
        (String::new(), "empty"),
        ("/bin/s\0h".to_owned(), "NUL"),
    ];
    for (run, (program, advice)) in (1..).zip(&cases) {
        connection.run(exec(run, "a", &[program]))?;
        let story = connection.story(run).await?;
        let Some(Ended::NotStarted(why)) = &story.end else {
            panic!("{program}: {story:?}");
        };
        assert!(why.contains(advice), "{program}: {why}");
        assert_eq!(story.eofs, 0);
    }
    connection.run(exec(100, "a", &[]))?;
    assert!(matches!(connection.end(100).await?, Ended::NotStarted(_)));
    connection.run(shell(101, "a", ":"))?;
    assert_eq!(connection.end(101).await?, Ended::Exited(0));
    Ok(())
}

#[tokio::test]
async fn a_script_inherits_no_descriptor_of_ours() -> Result<()> {
    // One that the helper inherits, as from a shell.
    let inherited = std::fs::File::open("/dev/null")?;
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty())?;
    let (_core, _helper, mut connection) = Core::with_helper(&[]).await?;
    connection.run(shell(1, "a", "ls /proc/$$/fd"))?;
    let story = connection.story(1).await?;
    assert_eq!(story.stdout, ["0", "1", "2"]);
    Ok(())
}

#[tokio::test]
async fn a_script_finds_the_number_of_its_run() -> Result<()> {
    for options in [&[][..], &["--clean-environment"]] {
        let (_core, _helper, mut connection) = Core::with_helper(options).await?;
        let mut run = shell(77, "a", "echo $TRIPE_CONNECT_RUN");
        run.environment = vec![("TRIPE_CONNECT_RUN".to_owned(), "5".to_owned())];
        connection.run(run)?;
        assert_eq!(connection.story(77).await?.stdout, ["77"]);
    }
    Ok(())
}
