// SPDX-License-Identifier: GPL-3.0-or-later
//! `db check` and `db compile` with what would otherwise go wrong without a word.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use crate::support::{Place, Result};

const HUB: &str = "[hub]\npeer = INET 192.0.2.1 4070\n";

/// A place with a sound source.
fn place() -> Result<Place> {
    let place = Place::new()?;
    place.write("hub.in", HUB)?;
    Ok(place)
}

#[test]
fn what_is_no_file_in_a_directory_of_sources_is_told() -> Result {
    let place = place()?;
    fs::create_dir(place.path("peers.d"))?;
    place.write("peers.d/10base", HUB)?;
    fs::create_dir(place.path("peers.d/20sites"))?;
    symlink("../hub.in", place.path("peers.d/30link"))?;
    let socket = UnixListener::bind(place.path("peers.d/40socket"))?;
    symlink("/nowhere", place.path("peers.d/.#10base"))?;
    let made = std::process::Command::new("mkfifo")
        .arg(place.path("peers.d/50fifo"))
        .status()?;
    assert!(made.success());
    let checked = place.run("db check peers.d --strict")?;
    assert_eq!(
        checked.to_string(),
        "exit code 1\n\
         --- standard output\n\
         peers.d/20sites: warning: it is skipped, since it is a directory: move its files into \
         the directory of sources, or name it as well\n\
         peers.d/40socket: warning: it is skipped, since it is a socket: remove it\n\
         peers.d/50fifo: warning: it is skipped, since it is a FIFO: remove it\n\
         peers.d (sources): 3 warnings\n"
    );
    drop(socket);

    symlink("../away.in", place.path("peers.d/60away"))?;
    symlink("70b", place.path("peers.d/70a"))?;
    symlink("70a", place.path("peers.d/70b"))?;
    let refused = place.run("db compile peers.d -o peers.cdb")?;
    assert_eq!(refused.code, Some(65), "{refused}");
    assert!(!place.path("peers.cdb").exists());
    for words in [
        "peers.d/60away: error: it is a link to ../away.in, which does not exist, so its peers would \
         be missing: remove it, or correct its target\n",
        "peers.d/70a: error: it is a link to 70b, which leads in a circle",
        "not written: 3 errors",
    ] {
        assert!(refused.stderr.contains(words), "{refused}");
    }
    Ok(())
}

#[test]
fn a_file_that_looks_like_a_copy_is_read_and_told() -> Result {
    let place = Place::new()?;
    fs::create_dir(place.path("peers.d"))?;
    for name in ["10a", "10a copy", "10a (1)", "Kopie von 10a"] {
        place.write(&format!("peers.d/{name}"), HUB)?;
    }
    let checked = place.run("db check peers.d")?;
    for name in ["10a copy", "10a (1)", "Kopie von 10a"] {
        let words = format!(
            "peers.d/{name}: hint: it is read, although its name looks like that of a copy: if \
             it is one, remove it, otherwise rename it\n"
        );
        assert!(checked.stdout.contains(&words), "{checked}");
    }
    assert!(
        checked.stdout.ends_with("peers.d (sources): 3 hints\n"),
        "{checked}"
    );
    Ok(())
}

#[test]
fn no_source_is_overwritten_with_the_database() -> Result {
    let place = place()?;
    fs::create_dir(place.path("peers.d"))?;
    fs::hard_link(place.path("hub.in"), place.path("peers.d/hard"))?;
    symlink("hub.in", place.path("soft"))?;
    for arguments in [
        "hub.in -o hub.in",
        "hub.in -o hub.in --force",
        "soft -o hub.in --force",
        "hub.in -o soft --force",
        "hub.in -o peers.d/hard --force",
        "peers.d -o hub.in --force",
        "peers.d -o ./peers.d/hard --force",
    ] {
        let outcome = place.run(&format!("db compile {arguments}"))?;
        assert_eq!(outcome.code, Some(2), "{arguments}: {outcome}");
        let words = "is one of the sources, which the database would replace: name another file \
                     with -o\n";
        assert!(outcome.stderr.ends_with(words), "{outcome}");
        assert_eq!(fs::read_to_string(place.path("hub.in"))?, HUB);
    }
    // There, the database would be taken for a source the next time.
    let outcome = place.run("db compile peers.d -o peers.d/peers.cdb --force")?;
    assert_eq!(outcome.code, Some(2), "{outcome}");
    let words = "peers.d/peers.cdb: not written: it is in the directory of sources peers.d, and \
                 would be read as a source the next time: name a file elsewhere with -o\n";
    assert!(outcome.stderr.ends_with(words), "{outcome}");
    assert!(!place.path("peers.d/peers.cdb").exists());
    Ok(())
}

#[test]
fn what_is_no_database_is_overwritten_only_if_forced() -> Result {
    let place = place()?;
    // The second begins as an archive does, which has NULs where a database has them.
    let zip = b"PK\x03\x04\x14\0\0\0\x08\0\x41\x42\x43\x44\x01\0\0\0".to_vec();
    for bytes in [b"dear diary\n".to_vec(), zip, vec![0; 4096]] {
        fs::write(place.path("notes"), &bytes)?;
        let refused = place.run("db compile hub.in -o notes")?;
        assert_eq!(
            refused.to_string(),
            "exit code 65\n--- standard error\n\
             connect-cli: notes is not a database, so it is not overwritten: name another file \
             with -o, or overwrite it with --force\n"
        );
        assert_eq!(fs::read(place.path("notes"))?, bytes);
    }
    let forced = place.run("db compile hub.in -o notes --force")?;
    assert_eq!(forced.code, Some(0), "{forced}");
    // There is nothing to lose in an empty file, such as mktemp(1) makes.
    place.write("empty", "")?;
    let outcome = place.run("db compile hub.in -o empty")?;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    Ok(())
}

#[test]
fn a_damaged_database_is_replaced_by_peers_and_not_by_none() -> Result {
    let place = place()?;
    place.write("none.in", "# nothing\n")?;
    place.run("db compile hub.in -o peers.cdb")?;
    let sound = fs::read(place.path("peers.cdb"))?;
    fs::write(place.path("peers.cdb"), &sound[..sound.len() - 9])?;
    let refused = place.run("db compile none.in -o peers.cdb")?;
    assert_eq!(refused.code, Some(65), "{refused}");
    let words = "peers.cdb: not written: the sources have 0 peers, and the database is damaged, \
                 so that it is not known how many it has: name the right sources, or replace it \
                 with --force\n";
    assert!(refused.stderr.ends_with(words), "{refused}");
    let forced = place.run("db compile none.in -o peers.cdb --force")?;
    assert_eq!(forced.code, Some(0), "{forced}");
    for length in [sound.len() - 9, 2048, 300, 16] {
        fs::write(place.path("peers.cdb"), &sound[..length])?;
        let outcome = place.run("db compile hub.in -o peers.cdb")?;
        assert_eq!(outcome.code, Some(0), "{length}: {outcome}");
    }
    Ok(())
}

#[test]
fn whatever_damaged_the_database_it_is_replaced_unless_it_is_text() -> Result {
    let place = place()?;
    fs::create_dir(place.path("peers.d"))?;
    place.write("peers.d/10hub", HUB)?;
    place.run("db compile")?;
    let mut header = fs::read(place.path("peers.cdb"))?;
    // Each value of a byte, in an order without pattern.
    let random: Vec<u8> = (0..300_u32)
        .map(|i| (i * 167 + 89).to_le_bytes()[0])
        .collect();
    header[..300].copy_from_slice(&random);
    for bytes in [random, vec![0; 4096], header] {
        for arguments in ["", " hub.in -o other.cdb"] {
            for name in ["peers.cdb", "other.cdb"] {
                fs::write(place.path(name), &bytes)?;
            }
            let outcome = place.run(&format!("db compile{arguments}"))?;
            assert_eq!(outcome.code, Some(0), "{outcome}");
            let end = ".cdb: 1 peer, 0 users, 0 to be added at start-up; the damaged file was \
                       replaced\n";
            assert!(outcome.stdout.ends_with(end), "{outcome}");
        }
    }
    // What reads it says so, too, and does not take it for sources.
    for arguments in ["db check other.cdb", "db dump", "db explain hub"] {
        for name in ["peers.cdb", "other.cdb"] {
            fs::write(place.path(name), vec![0x1b; 300])?;
        }
        let outcome = place.run(arguments)?;
        assert_eq!(outcome.code, Some(65), "{outcome}");
        let end = "; compile it again from its sources with `connect-cli db compile`\n";
        assert!(outcome.stderr.ends_with(end), "{outcome}");
        assert!(outcome.stderr.contains("is damaged"), "{outcome}");
    }
    for text in ["dear diary\n", HUB] {
        place.write("peers.cdb", text)?;
        let refused = place.run("db compile")?;
        assert_eq!(refused.code, Some(65), "{refused}");
        let words = "DIR/peers.cdb is not a database, so it is not overwritten: name another file \
                     with -o, or overwrite it with --force\n";
        assert!(refused.stderr.ends_with(words), "{refused}");
        assert_eq!(fs::read_to_string(place.path("peers.cdb"))?, text);
    }
    Ok(())
}

#[test]
fn a_link_stays_whether_its_target_is_there_or_not() -> Result {
    let place = place()?;
    fs::create_dir(place.path("var"))?;
    symlink("var/second", place.path("first"))?;
    symlink("peers.cdb", place.path("var/second"))?;
    for _ in 0..2 {
        let outcome = place.run("db compile hub.in -o first --force")?;
        assert_eq!(outcome.code, Some(0), "{outcome}");
        for link in ["first", "var/second"] {
            assert!(fs::symlink_metadata(place.path(link))?.is_symlink());
        }
        let shown = place.run("db dump var/peers.cdb")?;
        assert!(shown.stdout.contains("[hub]"), "{shown}");
    }
    symlink("gone/peers.cdb", place.path("lost"))?;
    let outcome = place.run("db compile hub.in -o lost")?;
    assert_eq!(outcome.code, Some(71), "{outcome}");
    assert!(
        outcome
            .stderr
            .contains(": gone/peers.cdb could not be written"),
        "{outcome}"
    );
    symlink("circle", place.path("circle"))?;
    let outcome = place.run("db compile hub.in -o circle")?;
    assert_eq!(outcome.code, Some(71), "{outcome}");
    Ok(())
}

#[test]
fn every_hidden_mistake_of_a_value_is_found() -> Result {
    let place = Place::new()?;
    let address = "peer = INET 192.0.2.1 4070\nwatch = t";
    for (lines, words) in [
        (
            "peer = INET 192.0.2.1 4070\nnets = 10.0.0.0/8 no-such-net",
            "warning: peer hub: nets has \"no-such-net\", which is no prefix, and no name in \
             /etc/networks on this host",
        ),
        (
            "peer = INET 0xC0000201 4070",
            "warning: peer hub: peer has the host \"0xC0000201\", which is an old way to write \
             192.0.2.1: write 192.0.2.1",
        ),
        (
            "peer = INET 192.0.2.1 4070\nifup = /bin/true a\\",
            "warning: peer hub: ifup ends with a backslash",
        ),
        (
            "peer = INET 192.0.2.1 4070\ndisconnect = no-such-program x",
            "warning: peer hub: disconnect names the script no-such-program, which is in no \
             directory of the PATH that scripts get",
        ),
        (
            &format!("{address}\nconnect = no-such-program | cat"),
            "warning: peer hub: connect names the script no-such-program",
        ),
        (
            &format!("{address}\ntimeout = 10000d"),
            "warning: peer hub: timeout is 864000000 s, which is longer than",
        ),
        (
            &format!("{address}\nifup-timeout = 0"),
            "warning: peer hub: ifup-timeout is zero, so the script is ended at once: give it some \
             seconds, or remove the key for no limit",
        ),
    ] {
        place.write("hub.in", &format!("[hub]\n{lines}\n"))?;
        let checked = place.run("db check hub.in")?;
        assert!(checked.stdout.contains(words), "{checked}");
        assert!(
            checked.stdout.ends_with("\nhub.in (sources): 1 warning\n"),
            "{checked}"
        );
    }
    Ok(())
}

#[test]
fn names_that_look_alike_are_found() -> Result {
    let place = Place::new()?;
    for (first, second) in [
        ("caf\u{e9}", "cafe\u{301}"),
        ("papa", "\u{440}\u{430}\u{440}\u{430}"),
        ("@papa", "@\u{440}\u{430}\u{440}\u{430}"),
    ] {
        let text = format!("[{first}]\npeer = INET 192.0.2.1\n[{second}]\npeer = INET 192.0.2.2\n");
        place.write("peers.in", &text)?;
        let checked = place.run("db check peers.in")?;
        let words = format!("section [{second}]: its name looks like that of [{first}]");
        assert!(checked.stdout.contains(&words), "{checked}");
        if first.starts_with('@') {
            continue;
        }
        place.run("db compile peers.in -o peers.cdb")?;
        let checked = place.run("db check peers.cdb")?;
        let found = checked.stdout.contains("its name looks like that of");
        assert!(found, "{checked}");
    }
    let text = "[\u{440}\u{430}\u{440}\u{430}]\npeer = INET 192.0.2.1\n";
    place.write("peers.in", text)?;
    let checked = place.run("db check peers.in")?;
    let words =
        "its name looks like papa, but its letters are not Latin: write papa from the keyboard";
    assert!(checked.stdout.contains(words), "{checked}");
    Ok(())
}
