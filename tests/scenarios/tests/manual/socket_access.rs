// SPDX-License-Identifier: GPL-3.0-or-later
//! connect(8), the options on our own sockets: who may reach each, and what may be done there.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use scenarios::{Outcome, Service, Site, request};
use serde_json::json;

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

#[test]
fn a_directory_that_everybody_may_write_to_is_refused() -> Outcome {
    let site = Site::new()?.build()?;
    let directory = site.path("tripesock.connect");
    std::fs::create_dir(&directory)?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))?;
    let mut service = Service::start(&site, &[])?;
    assert_eq!(service.wait()?.code(), Some(71));
    service.wait_for_log("is writable by everybody")?;
    Ok(())
}
