// SPDX-License-Identifier: GPL-3.0-or-later
//! `db`.

use insta::assert_snapshot;

use crate::support::{Place, Result};

/// The worked example of the databases' description, in one file.
const EXAMPLE: &str = "\
[@GLOBAL]
domain = vpn.example.com
myhost = gate
ifname = vpn-$(name)
ifup = /usr/sbin/tripe-ifup

[@ACTIVE]
port = 4070
peer = INET $(host) $(port)

[@PASSIVE]
peer = PASSIVE
watch = t
mobile = t
every = 5m
user = $(name)

[hub]
@inherit = @ACTIVE
host = hub.example.com
auto = t
watch = t
every = 30s
knock = gate

[laptop]
@inherit = @PASSIVE
";

/// A place with the example compiled as peers.cdb.
fn example() -> Result<Place> {
    let place = Place::new()?;
    place.write("peers.in", EXAMPLE)?;
    let outcome = place.run("db compile peers.in -o peers.cdb")?;
    assert_eq!(
        outcome.to_string(),
        "exit code 0\n--- standard output\n\
         peers.cdb: 2 peers, 1 user, 1 to be added at start-up\n"
    );
    Ok(place)
}

#[test]
fn what_was_compiled_is_shown_again() -> Result {
    let place = example()?;
    let text = place.run("db dump peers.cdb")?;
    // The database of the service is the default, and the source gives the same.
    assert_eq!(place.run("db dump")?.stdout, text.stdout);
    assert_eq!(place.run("db dump peers.in")?.stdout, text.stdout);
    let json = place.run("db dump --json")?;
    assert_snapshot!(format!("{text}{json}"));

    // What is shown can be compiled again.
    place.write("again.in", &text.stdout)?;
    let outcome = place.run("db diff peers.cdb again.in")?;
    assert_eq!(outcome.to_string(), "exit code 0\n");
    Ok(())
}

#[test]
fn faulty_sources_leave_the_database_alone() -> Result {
    let place = example()?;
    let before = std::fs::read(place.path("peers.cdb"))?;
    std::fs::create_dir(place.path("peers.d"))?;
    place.write("peers.d/10base", EXAMPLE)?;
    place.write(
        "peers.d/20local",
        "[hub]\n@inherit = @ACTVE\n\n[x]\npeer = $(nothing)\nbad\n",
    )?;
    let text = place.run("db compile peers.d -o peers.cdb")?;
    let json = place.run("db compile peers.d missing -o peers.cdb --json")?;
    assert_eq!((text.code, json.code), (Some(65), Some(65)));
    assert_eq!(std::fs::read(place.path("peers.cdb"))?, before);
    assert_snapshot!(format!("{text}{json}"));
    Ok(())
}

#[test]
fn doubtful_sources_are_compiled_unless_strict() -> Result {
    let place = Place::new()?;
    place.write(
        "peers.in",
        "[hub]\npeer = INET 192.0.2.1\nwatch = t\nretires = 3\n",
    )?;
    let strict = place.run("db compile peers.in -o peers.cdb --strict")?;
    assert_eq!(strict.code, Some(65), "{strict}");
    assert!(!place.path("peers.cdb").exists());
    let lenient = place.run("db compile peers.in -o peers.cdb")?;
    assert_eq!(lenient.code, Some(0), "{lenient}");
    let json = place.run("db compile peers.in -o peers.cdb --json")?;
    assert_snapshot!(format!("{strict}{lenient}{json}"));
    Ok(())
}

#[test]
fn with_no_arguments_the_services_sources_become_its_database() -> Result {
    let place = Place::new()?;
    std::fs::create_dir(place.path("peers.d"))?;
    place.write("peers.d/10base", EXAMPLE)?;
    place.write("peers.d/10base.bak", "[old]\npeer = INET 192.0.2.1\n")?;
    let outcome = place.run("db compile")?;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert!(
        outcome
            .stdout
            .ends_with("peers.cdb: 2 peers, 1 user, 1 to be added at start-up\n")
    );
    assert!(
        outcome.stderr.contains("10base.bak: hint: it is skipped"),
        "{outcome}"
    );
    assert_eq!(
        place.run("db dump")?.stdout,
        place.run("db dump peers.cdb")?.stdout
    );
    Ok(())
}

#[test]
fn other_sources_do_not_become_the_services_database_unless_it_is_named() -> Result {
    let place = Place::new()?;
    std::fs::create_dir(place.path("peers.d"))?;
    place.write("peers.d/10base", EXAMPLE)?;
    place.write("other.in", "[new]\npeer = INET 192.0.2.9\n")?;
    for sources in ["other.in", "peers.d/10base", "peers.d other.in", "missing"] {
        let outcome = place.run(&format!("db compile {sources}"))?;
        assert_eq!(outcome.code, Some(2), "{sources}: {outcome}");
        let remedy = "add `-o FILE', or `-o DIR/peers.cdb' to put it into use";
        assert!(outcome.stderr.contains(remedy), "{outcome}");
        assert!(!place.path("peers.cdb").exists(), "{sources}");
    }
    for same in ["peers.d", "./peers.d/", "peers.d peers.d/../peers.d"] {
        let outcome = place.run(&format!("db compile {same}"))?;
        assert_eq!(outcome.code, Some(0), "{same}: {outcome}");
        assert!(place.path("peers.cdb").exists(), "{same}");
        std::fs::remove_file(place.path("peers.cdb"))?;
    }
    Ok(())
}

#[test]
fn an_equal_database_is_left_alone() -> Result {
    let place = example()?;
    let long_ago =
        std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let file = std::fs::File::options()
        .write(true)
        .open(place.path("peers.cdb"))?;
    file.set_modified(long_ago)?;
    let outcome = place.run("db compile peers.in -o peers.cdb")?;
    assert_eq!(
        outcome.to_string(),
        "exit code 0\n--- standard output\n\
         peers.cdb: 2 peers, 1 user, 1 to be added at start-up; unchanged, so not written again\n"
    );
    let json = place.run("db compile peers.in -o peers.cdb --json")?;
    assert!(json.stdout.contains("\"unchanged\": true"), "{json}");
    assert_eq!(
        std::fs::metadata(place.path("peers.cdb"))?.modified()?,
        long_ago
    );
    place.write("peers.in", &EXAMPLE.replace("30s", "31s"))?;
    place.run("db compile peers.in -o peers.cdb")?;
    assert_ne!(
        std::fs::metadata(place.path("peers.cdb"))?.modified()?,
        long_ago
    );
    Ok(())
}

#[test]
fn sources_without_peers_replace_none() -> Result {
    let place = example()?;
    let before = std::fs::read(place.path("peers.cdb"))?;
    place.write("empty.in", "# nothing\n")?;
    let outcome = place.run("db compile empty.in -o peers.cdb")?;
    assert_eq!(
        outcome.to_string(),
        "exit code 65\n--- standard error\n\
         connect-cli: peers.cdb: not written: the sources have 0 peers, and the database has 2: \
         name the right sources, or remove the peers with --force\n"
    );
    assert_eq!(std::fs::read(place.path("peers.cdb"))?, before);
    let forced = place.run("db compile empty.in -o peers.cdb --force")?;
    assert_eq!(forced.code, Some(0), "{forced}");
    assert_ne!(std::fs::read(place.path("peers.cdb"))?, before);
    // Where there were none, none are missed.
    for name in ["peers.cdb", "new.cdb"] {
        let outcome = place.run(&format!("db compile empty.in -o {name}"))?;
        assert_eq!(outcome.code, Some(0), "{outcome}");
    }
    Ok(())
}

#[test]
fn what_is_sound_is_written_if_forced() -> Result {
    let place = Place::new()?;
    place.write(
        "peers.in",
        "[good]\npeer = INET 192.0.2.1\n[bad]\npeer = $(nothing)\n",
    )?;
    let refused = place.run("db compile peers.in -o peers.cdb")?;
    assert_eq!(refused.code, Some(65), "{refused}");
    let end = "connect-cli: peers.cdb: not written: 1 error; correct the sources and compile them \
               again, or write what is sound with --force\n";
    assert!(refused.stderr.ends_with(end), "{refused}");
    let forced = place.run("db compile peers.in -o peers.cdb --force")?;
    assert_eq!(forced.code, Some(0), "{forced}");
    assert!(forced.stdout.starts_with("peers.cdb: 1 peer,"), "{forced}");
    let both = place.run("db compile peers.in -o peers.cdb --force --strict")?;
    assert_eq!(both.code, Some(2), "{both}");
    Ok(())
}

#[test]
fn scripts_that_are_not_there_are_found_by_the_check() -> Result {
    let place = Place::new()?;
    let missing = place.path("ifup");
    let text = format!(
        "[hub]\npeer = INET 192.0.2.1\nifup = {} -v\n",
        missing.display()
    );
    place.write("peers.in", &text)?;
    let compiled = place.run("db compile peers.in -o peers.cdb")?;
    assert_eq!(compiled.code, Some(0), "{compiled}");
    assert_eq!(compiled.stderr, "");
    for (file, start) in [
        ("peers.in", "peers.in:3: warning"),
        ("peers.cdb", "warning"),
    ] {
        let checked = place.run(&format!("db check {file}"))?;
        let words =
            format!("{start}: peer hub: ifup names the script DIR/ifup, which does not exist here");
        assert!(checked.stdout.starts_with(&words), "{checked}");
        assert_eq!(checked.code, Some(0), "{checked}");
    }
    Ok(())
}

#[test]
fn what_is_no_text_is_still_a_source() -> Result {
    let place = Place::new()?;
    for bytes in [b"[hub]\nx = a\0b\n".as_slice(), b"\xff\xfe[\0h\0]\0"] {
        std::fs::write(place.path("peers.in"), bytes)?;
        let checked = place.run("db check peers.in")?;
        assert_eq!(checked.code, Some(1), "{checked}");
        assert!(checked.stdout.contains("not a text file"), "{checked}");
    }
    Ok(())
}

#[test]
fn a_place_that_cannot_be_written_is_told() -> Result {
    let place = example()?;
    let outcome = place.run("db compile peers.in -o nowhere/peers.cdb")?;
    assert_eq!(outcome.code, Some(71), "{outcome}");
    let start = "connect-cli: nowhere/peers.cdb could not be written";
    assert!(outcome.stderr.starts_with(start), "{outcome}");
    Ok(())
}

#[test]
fn mistakes_are_found_in_sources_and_databases() -> Result {
    let place = Place::new()?;
    let text = "[@A]\nwatch = t\nevery = soon\nretires = 3\n[hub]\n@inherit = @A\n\
                peer = INET 192.0.2.1\n[lap]\n@inherit = @A\npeer = Passive\n";
    place.write("peers.in", text)?;
    let source = place.run("db check peers.in")?;
    assert_eq!(source.code, Some(1), "{source}");
    // What the checks find is an error to the compiler as well.
    let refused = place.run("db compile peers.in -o peers.cdb")?;
    assert_eq!(refused.code, Some(65), "{refused}");
    assert!(
        refused.stderr.contains("peers.cdb: not written: 2 errors"),
        "{refused}"
    );
    assert!(!place.path("peers.cdb").exists());
    let forced = place.run("db compile peers.in -o peers.cdb --force")?;
    assert_eq!(forced.code, Some(0), "{forced}");
    let database = place.run("db check")?;
    assert_eq!(database.code, Some(1), "{database}");
    let json = place.run("db check peers.in --json")?;
    assert_eq!(json.code, Some(1), "{json}");
    assert_snapshot!(format!("{source}{database}{json}"));
    Ok(())
}

#[test]
fn warnings_count_when_checking_strictly() -> Result {
    let place = Place::new()?;
    place.write("ok.in", "[hub]\npeer = INET 192.0.2.1\nwatch = t\n")?;
    place.write("odd.in", "[hub]\nretires = 3\n")?;
    let good = place.run("db check --strict ok.in")?;
    assert_eq!(
        (good.code, &*good.stdout),
        (Some(0), "ok.in (sources): no findings\n")
    );
    // Several sources make one database.
    let lenient = place.run("db check ok.in odd.in")?;
    assert_eq!(lenient.code, Some(0), "{lenient}");
    let end = "2 files (sources): 1 warning\n";
    assert!(lenient.stdout.ends_with(end), "{lenient}");
    let strict = place.run("db check ok.in odd.in --strict")?;
    assert_eq!(strict.code, Some(1), "{strict}");
    Ok(())
}

#[test]
fn without_a_file_the_sources_are_checked_that_would_be_compiled() -> Result {
    let place = example()?;
    let database = "DIR/peers.cdb (compiled database): ";
    // Only the sample of the package is there, so the database comes from elsewhere.
    std::fs::create_dir(place.path("peers.d"))?;
    place.write("peers.d/50-sample", "# [hub]\n")?;
    let checked = place.run("db check")?;
    assert!(checked.stdout.contains(database), "{checked}");
    let sources = [
        ("[hub]\nretires = 3\n", 0, "2 warnings\n"),
        ("[hub\n", 1, "1 error\n"),
    ];
    for (source, code, found) in sources {
        place.write("peers.d/10hub", source)?;
        let checked = place.run("db check")?;
        assert_eq!(checked.code, Some(code), "{checked}");
        let end = format!("DIR/peers.d (sources): {found}");
        assert!(checked.stdout.ends_with(&end), "{checked}");
        let named = place.run("db check peers.cdb")?;
        let words = "peers.cdb (compiled database): ";
        assert!(named.stdout.contains(words), "{named}");
        let json = place.run("db check --json")?;
        assert!(json.stdout.contains("\"DIR/peers.d\""), "{json}");
    }
    std::fs::remove_file(place.path("peers.d/10hub"))?;
    std::fs::remove_file(place.path("peers.cdb"))?;
    let checked = place.run("db check")?;
    assert!(
        checked.stdout.ends_with("peers.d (sources): no findings\n"),
        "{checked}"
    );
    Ok(())
}

#[test]
fn differences_are_told_peer_by_peer() -> Result {
    let place = example()?;
    let changed = EXAMPLE
        .replace("every = 30s", "every = 1m")
        .replace("auto = t\n", "")
        .replace(
            "[laptop]",
            "[tablet]\n@inherit = @PASSIVE\n[$site]\nx = 1\n[phone]\nuser = laptop",
        )
        .replace("mobile = t\n", "");
    place.write("new.in", &changed)?;
    let text = place.run("db diff peers.cdb new.in")?;
    let json = place.run("db diff peers.cdb new.in --json")?;
    assert_eq!((text.code, json.code), (Some(1), Some(1)));
    assert_snapshot!(format!("{text}{json}"));
    // The database of the service and the sources that are compiled by default.
    assert_eq!(place.run("db diff new.in")?.stdout, text.stdout);
    std::fs::create_dir(place.path("peers.d"))?;
    place.write("peers.d/all", &changed)?;
    assert_eq!(place.run("db diff")?.stdout, text.stdout);
    place.run("db compile")?;
    let same = place.run("db diff")?;
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""), "{same}");
    Ok(())
}

#[test]
fn what_would_be_done_with_a_peer_is_explained() -> Result {
    let place = example()?;
    let mut all = String::new();
    for peer in ["hub", "laptop", "hob"] {
        all += &place.run(&format!("db explain {peer}"))?.to_string();
    }
    // Sources serve as well, and everything that is not as usual is shown.
    place.write(
        "odd.in",
        "[-odd]\nwatch = t\nconnect = ssh hub 'a b'\ndisconnect = true\nifdown = down \"x y\"\n\
         ping = encrypted\nevery = soon\nifdown-timeout = 90\nconnect-timeout = x\n\
         [still]\npeer = INET 192.0.2.1\n",
    )?;
    for arguments in ["-- -odd odd.in", "still odd.in", "hub --json"] {
        all += &place.run(&format!("db explain {arguments}"))?.to_string();
    }
    assert_snapshot!(all);
    Ok(())
}

#[test]
fn the_environment_of_hooks_is_named_wherever_there_are_hooks() -> Result {
    let place = Place::new()?;
    let peer = "peer = INET 192.0.2.1 4070\nwatch = t\n";
    let keys = ["ifup = /x/up", "on-up = /x/hook"];
    place.write(
        "peers.in",
        &format!(
            "[both]\n{peer}{}\n{}\n[hook]\n{peer}{}\n[plain]\n{peer}{}\n",
            keys[0], keys[1], keys[1], keys[0]
        ),
    )?;
    for (name, has_hooks) in [("both", true), ("hook", true), ("plain", false)] {
        let shown = place.run(&format!("db explain {name} peers.in"))?;
        assert_eq!(shown.stdout.contains("H_..."), has_hooks, "{shown}");
    }
    Ok(())
}

#[test]
fn a_static_peer_that_comes_back_is_explained_and_one_that_cannot_is_found() -> Result {
    let place = Place::new()?;
    place.write(
        "back.in",
        "[@GLOBAL]\nwatch = t\npeer = INET 192.0.2.$(last)\nwhen-dead = retry\n\
         [back]\nlast = 1\nauto = t\n[off-the-list]\nlast = 2\n",
    )?;
    let back = place.run("db explain back back.in")?.stdout;
    let then = "then: KILL, and added again after 2m; the pause doubles, up to 8m";
    assert!(back.contains(then), "{back}");
    let off = place.run("db explain off-the-list back.in")?.stdout;
    assert!(off.contains("then: KILL\n"), "{off}");
    let check = place.run("db check back.in")?;
    let told = format!("{}{}", check.stdout, check.stderr);
    assert_eq!(
        told.matches("when-dead = retry has no effect").count(),
        1,
        "{told}"
    );
    assert!(told.contains("off-the-list"), "{told}");
    Ok(())
}

#[test]
fn a_key_can_be_given_a_value_that_is_not_in_the_sources() -> Result {
    let place = Place::new()?;
    place.write(
        "site.in",
        "[@GLOBAL]\nrole = none\n[hub]\nifup = up $(role) $(zone)\n\
         [own]\n@inherit =\nifup = up $(zone)\n",
    )?;
    let compile = "db compile site.in -o site.cdb --force";
    let outcome = place.run(&format!("{compile} -D role=edge --define zone=a=b"))?;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let dump = place.run("db dump site.cdb")?.stdout;
    assert!(dump.contains("ifup = up edge a=b"), "{dump}");
    assert!(!dump.contains("[own]"), "it does not inherit: {dump}");
    let sources = place.run("db dump site.in")?;
    assert_ne!(sources.code, Some(0), "elsewhere the key stays undefined");
    // What is wrong with one is told as of a file of that name.
    let faulty = place.run(&format!("{compile} -D zone=$(nowhere)"))?;
    assert!(faulty.stderr.contains("--define:2"), "{faulty}");
    for wrong in ["role", "=x", "a:b=c", "@inherit=x"] {
        let outcome = place.run(&format!("{compile} -D {wrong}"))?;
        assert_eq!(outcome.code, Some(2), "{outcome}");
    }
    Ok(())
}

#[test]
fn files_that_are_no_database_are_told() -> Result {
    let place = example()?;
    let mut bytes = std::fs::read(place.path("peers.cdb"))?;
    bytes.truncate(2100);
    std::fs::write(place.path("short.cdb"), bytes)?;
    place.write("bad.in", "[x\n")?;
    let mut all = String::new();
    for arguments in [
        "db dump missing.cdb",
        "db dump short.cdb",
        "db check missing.cdb",
        "db diff peers.cdb short.cdb",
        "db diff peers.cdb bad.in",
        "db explain hub bad.in",
        "db dump bad.in",
    ] {
        all += &place.run(arguments)?.to_string();
    }
    assert_snapshot!(all);
    Ok(())
}
