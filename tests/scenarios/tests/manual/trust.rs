// SPDX-License-Identifier: GPL-3.0-or-later
//! connect-ifscripts(8), "Rights of scripts", the environment of scripts, and `--core-user`.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{XattrFlags, setxattr};
use rustix::io::Errno;
use rustix::process::Signal;
use scenarios::manager::{core_command, helper_command};
use scenarios::{Expect as _, Outcome, Service, Site};

use crate::support::{ANSWERING, cli, said};

/// A site whose peer has an `ifup` script that others can change.
fn open_to_others() -> anyhow::Result<Site> {
    let site = Site::new()?
        .with_answering_peers()
        .script("up", "echo ran")?
        .peer("p", &[("peer", ANSWERING), ("ifup", "./up")])
        .build()?;
    std::fs::set_permissions(site.path("up"), Permissions::from_mode(0o777))?;
    Ok(site)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_script_that_others_can_change_is_not_run_with_privileges() -> Outcome {
    let site = open_to_others()?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    if !is_root() {
        // Without privileges there is nothing to be had by it.
        events.stdout("ifup p")?;
        return Ok(());
    }
    let told = events.line("WARN USER connect ifup p not-started ")?;
    assert!(told.contains("not running `./up'"), "{told}");
    assert!(told.contains("can be written to by others"), "{told}");
    assert_eq!(said(&site, "NOTE USER connect ifup p"), [""; 0]);
    let directory = site.path("").display().to_string();
    let doctor = cli(&site, &["doctor", "-d", &directory])?.output()?;
    let doctor = String::from_utf8(doctor.stdout)?;
    assert!(doctor.contains("is not run: "), "{doctor}");
    // The remedy that the sentence names is one.
    std::fs::set_permissions(site.path("up"), Permissions::from_mode(0o755))?;
    site.submit("active p")?;
    events.stdout("ifup p")?;
    Ok(())
}

#[test]
fn allow_unsafe_scripts_has_it_run() -> Outcome {
    let site = open_to_others()?;
    let _service = site.connect(&["--allow-unsafe-scripts"])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    events.stdout("ifup p")?;
    Ok(())
}

/// The variables that a script has left in a file.
fn variables(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file)?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// The environment of an `ifup` script of a service that has an odd environment itself.
fn environment(options: &[&str]) -> anyhow::Result<(Site, BTreeMap<String, String>)> {
    let site = Site::new()?
        .with_answering_peers()
        .script("up", "env > env.ifup; echo saved")?
        .peer("p", &[("peer", ANSWERING), ("ifup", "./up")])
        .build()?;
    let mut command = Service::command(&site)?;
    command
        .args(options)
        .env("ODD", "inherited")
        .env("LC_TIME", "C.UTF-8")
        .env("TRIPE_SLIPIF", "kept");
    let mut service = Service::run(&site, command)?;
    site.lab.wait_for_broadcast("NOTE SVCCLAIM connect")?;
    service.wait_until_settled(&site)?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    service.explain(events.stdout("ifup p"))?;
    let variables = variables(&site.path("env.ifup"))?;
    Ok((site, variables))
}

#[test]
fn the_environment_is_inherited_as_the_original_has_it() -> Outcome {
    let (_site, variables) = environment(&[])?;
    assert_eq!(variables["ODD"], "inherited");
    assert_eq!(variables["PATH"], std::env::var("PATH")?);
    assert_eq!(variables["P_IFUP"], "./up");
    Ok(())
}

#[test]
fn clean_environment_leaves_what_the_manual_lists_and_a_safe_path() -> Outcome {
    let (site, variables) = environment(&["--clean-environment"])?;
    assert_eq!(variables.get("ODD"), None);
    assert_eq!(
        variables["PATH"],
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
    let socket = site.lab.socket_path().display().to_string();
    assert_eq!(variables["TRIPESOCK"], socket);
    assert_eq!(variables["TRIPE_SLIPIF"], "kept");
    assert_eq!(variables["LC_TIME"], "C.UTF-8");
    assert_eq!(variables["P_IFUP"], "./up");
    assert!(variables.contains_key("A_CIPHER"), "{variables:?}");
    // Nothing else, but for what the shell and env set themselves.
    let known = |name: &str| {
        [
            "PATH", "HOME", "LANG", "LANGUAGE", "LOGNAME", "SHELL", "TZ", "USER",
        ]
        .contains(&name)
            || ["LC_", "TRIPE", "P_", "A_"]
                .iter()
                .any(|p| name.starts_with(p))
            || ["PWD", "OLDPWD", "SHLVL", "_"].contains(&name)
    };
    let strange: Vec<_> = variables.keys().filter(|name| !known(name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    Ok(())
}

/// A user that nobody is.
const STRANGER: u32 = 54_321;

/// A core that runs as another user, as if that user had put it in the place of ours.
fn core_of_a_stranger(site: &Site) -> anyhow::Result<Service> {
    for (path, mode) in [
        (site.directory(), 0o755),
        (site.lab.socket_path(), 0o666),
        (&site.path("peers.cdb"), 0o644),
    ] {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    let runtime = site.path("tripesock.connect");
    std::fs::create_dir(&runtime)?;
    chown(&runtime, Some(STRANGER), Some(STRANGER))?;
    // The program where the stranger can reach it. Another process copies it, so that no child of
    // another test has it open for writing when it is executed.
    let program = site.path("connect-core");
    let mut copying = Command::new("cp");
    copying.arg(scenarios::program("connect-core")?);
    anyhow::ensure!(copying.arg(&program).status()?.success(), "no copy");
    let ours = core_command(site)?;
    let mut command = Command::new(program);
    command.args(ours.get_args()).uid(STRANGER).gid(STRANGER);
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(directory) = ours.get_current_dir() {
        command.current_dir(directory);
    }
    let core = Service::run(site, command)?;
    site.lab.wait_for_broadcast("NOTE SVCCLAIM connect")?;
    Ok(core)
}

#[test]
fn a_helper_serves_no_core_of_another_user_unless_it_is_named() -> Outcome {
    if !is_root() {
        eprintln!("only root can show this: nothing was tested");
        return Ok(());
    }
    let site = Site::new()?.build()?;
    let core = core_of_a_stranger(&site)?;
    let helper = |options: &[&str]| {
        let mut command = helper_command(&site, "connect-ifscripts")?;
        command.args(options);
        Service::run(&site, command)
    };
    let mut refusing = helper(&[])?;
    refusing.wait_for_log(&format!(
        "belongs to a process of the user {STRANGER}, who may not be core; --core-user names who may"
    ))?;
    let state = core.status()?;
    assert_eq!(state[0]["service"]["scripts"]["connected"], false);
    refusing.signal(Signal::TERM)?;
    refusing.wait()?;
    // Root may be its helper, so nothing else was in the way.
    let _serving = helper(&["--core-user", &STRANGER.to_string()])?;
    core.wait_for_log("serving core")?;
    let state = core.status()?;
    assert_eq!(state[0]["service"]["scripts"]["connected"], true);
    Ok(())
}

#[test]
fn a_core_user_that_is_not_there_is_named_at_the_start() -> Outcome {
    let site = Site::new()?.build()?;
    for name in ["connect-pinger", "connect-ifscripts"] {
        let mut command = helper_command(&site, name)?;
        command.args(["--core-user", "nobody-of-this-name"]);
        let mut helper = Service::run(&site, command)?;
        assert_eq!(helper.wait()?.code(), Some(71));
        let sentence = "there is no user nobody-of-this-name; see --core-user";
        assert!(helper.log().contains(sentence), "{}", helper.log());
    }
    Ok(())
}

/// What core says of a peer's `ifup` that root's helper does not run.
fn refused_ifup(place: impl FnOnce(&Site) -> Outcome) -> anyhow::Result<Option<String>> {
    if !is_root() {
        eprintln!("only root can show this: nothing was tested");
        return Ok(None);
    }
    let site = open_to_others()?;
    std::fs::set_permissions(site.path("up"), Permissions::from_mode(0o755))?;
    place(&site)?;
    let _service = site.connect(&[])?;
    let mut events = site.lab.follow();
    site.submit("active p")?;
    let told = events.line("WARN USER connect ifup p not-started ")?;
    assert_eq!(said(&site, "NOTE USER connect ifup p"), [""; 0]);
    Ok(Some(told))
}

#[test]
fn a_script_in_a_sticky_directory_is_not_run_with_privileges() -> Outcome {
    let told = refused_ifup(|site| {
        std::fs::set_permissions(site.directory(), Permissions::from_mode(0o1777))?;
        Ok(())
    })?;
    let refused = |told: String| told.contains("can be written to by others");
    assert!(told.is_none_or(refused), "the directory is not named");
    Ok(())
}

#[test]
fn a_script_that_a_list_lets_others_write_is_not_run_with_privileges() -> Outcome {
    let mut has_lists = true;
    let told = refused_ifup(|site| {
        // Version 2; then the owner, the user 54321, the group, the mask, everybody.
        let entries = [
            (1, 7, 0),
            (2, 7, STRANGER),
            (4, 5, 0),
            (16, 7, 0),
            (32, 5, 0),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, allowed, id) in entries {
            list.extend(u16::to_le_bytes(tag));
            list.extend(u16::to_le_bytes(allowed));
            list.extend(id.to_le_bytes());
        }
        let attribute = "system.posix_acl_access";
        let set = setxattr(site.path("up"), attribute, &list, XattrFlags::empty());
        has_lists = set != Err(Errno::OPNOTSUPP);
        if !has_lists {
            // Refused by its mode, so that the rest holds.
            std::fs::set_permissions(site.path("up"), Permissions::from_mode(0o777))?;
            eprintln!("this file system has no access control lists: nothing was tested");
            return Ok(());
        }
        Ok(set?)
    })?;
    if let Some(told) = told.filter(|_| has_lists) {
        assert!(told.contains("as its access control list says"), "{told}");
    }
    Ok(())
}
