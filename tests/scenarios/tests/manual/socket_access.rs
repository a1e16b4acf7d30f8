// SPDX-License-Identifier: GPL-3.0-or-later
//! `man/connect.8`, the options on our own sockets: who may reach each, and what may be done there.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use scenarios::{Outcome, Service, Site, request};
use serde_json::json;

/// A user that nobody is.
const STRANGER: u32 = 54_321;

#[test]
fn each_socket_has_the_permissions_that_the_options_say() -> Outcome {
    let options = [
        "--control-mode",
        "620",
        "--observe-mode",
        "604",
        "--helpers-mode",
        "660",
    ];
    for (options, expected) in [
        (&[][..], [0o660, 0o666, 0o600]),
        (&options[..], [0o620, 0o604, 0o660]),
    ] {
        let site = Site::new()?.build()?;
        let service = site.connect(options)?;
        let names = ["control.sock", "observe.sock", "helpers.sock"];
        for (name, expected) in names.into_iter().zip(expected) {
            let file = std::fs::metadata(service.control().with_file_name(name))?;
            assert_eq!(file.mode() & 0o777, expected, "{name} with {options:?}");
        }
    }
    Ok(())
}

/// Whether this kernel can refuse descriptors, which is so from Linux 6.16 on.
fn kernel_can_refuse() -> anyhow::Result<bool> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut parts = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    Ok((parts.next(), parts.next()) >= (Some(6), Some(16)))
}

#[test]
fn no_socket_takes_a_descriptor() -> Outcome {
    let site = Site::new()?.build()?;
    let service = site.connect(&[])?;
    let expected = match kernel_can_refuse()? {
        true => Err(Errno::PERM),
        false => Ok(1),
    };
    for name in ["control.sock", "observe.sock", "helpers.sock"] {
        let stream = UnixStream::connect(service.control().with_file_name(name))?;
        let fds = [stream.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let words = [IoSlice::new(b"x")];
        let sent = sendmsg(&stream, &words, &mut control, SendFlags::empty());
        assert_eq!(sent, expected, "{name}");
    }
    Ok(())
}

#[test]
fn the_control_socket_is_given_to_the_group_named() -> Outcome {
    let site = Site::new()?.build()?;
    // The group that this process may give it to in any case: its own.
    let own = rustix::process::getegid().as_raw();
    let service = site.connect(&["--control-group", &own.to_string()])?;
    assert_eq!(std::fs::metadata(service.control())?.gid(), own);
    let mut other = Service::start(&site, &["--control-group", "no-group-of-this-name"])?;
    assert_eq!(other.wait()?.code(), Some(71));
    let log = other.log();
    assert!(
        log.contains("there is no group no-group-of-this-name"),
        "{log}"
    );
    Ok(())
}

#[test]
fn observers_may_look_but_not_command() -> Outcome {
    let site = Site::new()?.build()?;
    let service = site.connect(&[])?;
    let observe = service.control().with_file_name("observe.sock");
    let status = request(&observe, &json!({ "status": {} }))?;
    assert!(status[0]["service"].is_object(), "{status:?}");
    for wish in [
        json!({ "submit": { "words": ["quit"] } }),
        json!({ "reload": {} }),
    ] {
        let answer = request(&observe, &wish)?;
        assert!(answer[0]["error"].is_string(), "{answer:?}");
    }
    // It has not quit.
    service.status()?;
    Ok(())
}

/// Starts the service on a site and expects it to refuse its runtime directory with these words.
fn refused(site: &Site, words: &str) -> Outcome {
    let mut service = Service::start(site, &[])?;
    assert_eq!(service.wait()?.code(), Some(71));
    let log = service.log();
    assert!(log.contains("is not safe") && log.contains(words), "{log}");
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Outcome {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

#[test]
fn a_directory_that_everybody_may_write_to_is_refused() -> Outcome {
    let site = Site::new()?.build()?;
    let directory = site.path("tripesock.connect");
    std::fs::create_dir(&directory)?;
    // That it is sticky does not help: while core is away, anybody can make a socket in it.
    for mode in [0o777, 0o1777] {
        set_mode(&directory, mode)?;
        refused(&site, "tripesock.connect can be written to by others")?;
    }
    // The remedy that the sentence names is one.
    set_mode(&directory, 0o1755)?;
    let _service = site.connect(&[])?;
    Ok(())
}

#[test]
fn a_directory_below_one_that_others_can_change_is_refused() -> Outcome {
    let site = Site::new()?.build()?;
    set_mode(site.directory(), 0o777)?;
    let open = format!("{} can be written to by others", site.directory().display());
    // Also of a directory that core makes: they could exchange it.
    refused(&site, &open)?;
    // In a sticky one they cannot.
    set_mode(site.directory(), 0o1777)?;
    let _service = site.connect(&[])?;
    Ok(())
}

#[test]
fn a_directory_of_another_user_is_refused() -> Outcome {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can show this: nothing was tested");
        return Ok(());
    }
    let site = Site::new()?.build()?;
    let directory = site.path("tripesock.connect");
    std::fs::create_dir(&directory)?;
    std::os::unix::fs::chown(&directory, Some(STRANGER), None)?;
    let belongs = format!("tripesock.connect belongs to the user {STRANGER}");
    refused(&site, &belongs)?;
    // A link of theirs to a directory of ours is as bad.
    std::fs::remove_dir(&directory)?;
    std::fs::create_dir(site.path("ours"))?;
    std::os::unix::fs::symlink("ours", &directory)?;
    std::os::unix::fs::lchown(&directory, Some(STRANGER), None)?;
    refused(&site, &belongs)
}
