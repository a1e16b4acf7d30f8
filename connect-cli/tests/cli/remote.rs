// SPDX-License-Identifier: GPL-3.0-or-later
//! `-H`: through a real ssh and a real sshd on the loopback interface, with keys of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use connect_ipc::control::{PeerState, Reply};
use serde_json::Value;

use crate::support::{Outcome, PROGRAM, Place, Result, Script, peer, present, rows, service};

/// The ssh server, which wants to be started by its whole path.
const SSHD: &str = "/usr/sbin/sshd";

/// An address that nobody else has: of this process alone, and with a port of its own. A port that
/// was free a moment ago could be somebody else's now.
fn own_address() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(9_786);
    // The highest process number is below 2^22.
    let own = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + 0x40_0000 + std::process::id());
    SocketAddr::from((own, PORT.fetch_add(1, Relaxed)))
}

/// An ssh server, and an ssh that knows its hosts: `one`, `two` and `three`, each with a directory
/// of its own for a service, `bare` without our program, and `down`, where nothing listens.
struct Site {
    place: Place,
    sshd: Child,
}

fn run(command: &mut Command) -> Result {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

impl Site {
    /// `None`, with a note, where a program of OpenSSH is missing.
    fn new() -> Result<Option<Self>> {
        let client = ["ssh", "ssh-keygen"].map(|name| present(name, "openssh-client"));
        if !present(SSHD, "openssh-server") || client.contains(&false) {
            return Ok(None);
        }
        let place = Place::new()?;
        let dir = place.path("");
        // sshd trusts no key in a directory that others could change.
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o700))?;
        for key in ["host", "user"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(place.path(key)))?;
        }
        fs::copy(place.path("user.pub"), place.path("authorized"))?;
        // Which service is meant is the server's business: each name of a host is a user's command.
        place.write(
            "there",
            &format!(
                "#!/bin/sh\n\
                 host=$SSH_HOST_OF_TEST\n\
                 case $host in bare) PATH=/nowhere;; *) PATH={}:/usr/bin:/bin;; esac\n\
                 TRIPEDIR={dir}/$host TRIPESOCK={dir}/$host/tripesock \
                 TRIPE_CONNECT_DIR={dir}/$host\n\
                 export PATH TRIPEDIR TRIPESOCK TRIPE_CONNECT_DIR\n\
                 exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
                Path::new(PROGRAM).parent().ok_or("no directory")?.display(),
                dir = dir.display(),
            ),
        )?;
        let address = own_address();
        let (ip, port) = (address.ip(), address.port());
        place.write(
            "sshd_config",
            &format!(
                "Port {port}\nListenAddress {ip}\nHostKey {dir}/host\nPidFile none\n\
             AuthorizedKeysFile {dir}/authorized\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n\
             AcceptEnv SSH_HOST_OF_TEST\nForceCommand /bin/sh {dir}/there\n\
             # The user's own shell reads and says nothing.\nSetEnv HOME={dir}\n",
                dir = dir.display(),
            ),
        )?;
        let user = String::from_utf8(Command::new("id").arg("-un").output()?.stdout)?;
        let mut config = String::new();
        for host in ["one", "two", "three", "bare", "down"] {
            // Nothing listens on the first of all ports.
            let (ip, port) = match host {
                "down" => (IpAddr::from(Ipv4Addr::LOCALHOST), 1),
                _ => (ip, port),
            };
            config += &format!(
                "Host {host}\n HostName {ip}\n Port {port}\n User {}\n \
                 IdentityFile {dir}/user\n IdentitiesOnly yes\n UserKnownHostsFile {dir}/known\n \
                 StrictHostKeyChecking accept-new\n LogLevel ERROR\n \
                 SetEnv SSH_HOST_OF_TEST={host}\n",
                user.trim(),
                dir = dir.display(),
            );
            fs::create_dir(place.path(host))?;
        }
        place.write("ssh_config", &config)?;
        let ssh = format!(
            "#!/bin/sh\nexec ssh -F {}/ssh_config \"$@\"\n",
            dir.display()
        );
        let ssh = place.write("ssh", &ssh)?;
        fs::set_permissions(&ssh, PermissionsExt::from_mode(0o755))?;
        if rustix::process::geteuid().is_root() {
            // Where sshd of root puts those who are not logged in yet.
            fs::create_dir_all("/run/sshd")?;
        }
        let sshd = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(place.path("sshd_config"))
            .stderr(Stdio::piped())
            .spawn()?;
        let mut site = Site { place, sshd };
        site.wait(address)?;
        Ok(Some(site))
    }

    /// Waits until sshd says that it listens.
    fn wait(&mut self, address: SocketAddr) -> Result {
        let stderr = self.sshd.stderr.take().ok_or("no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        for line in lines.by_ref() {
            if line?.contains("Server listening") {
                // What it says from now on is read, so that it never waits for us.
                std::thread::spawn(move || lines.count());
                TcpStream::connect(address)?;
                return Ok(());
            }
        }
        Err("sshd has not begun to listen".into())
    }

    fn run(&self, arguments: &str) -> Result<Outcome> {
        let mut command = self.place.command();
        command
            .env("CONNECT_CLI_SSH", self.place.path("ssh"))
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .args(arguments.split_whitespace());
        self.place.finish(&mut command)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

fn script(name: &str, checksum: &str) -> Result<Script> {
    let mut status = service()?;
    status.database.checksum = Some(checksum.to_owned());
    let mut down = peer("hub", &[])?;
    (down.state, down.wanted) = (PeerState::Down, true);
    let mut up = peer(name, &[1.25])?;
    up.wanted = true;
    Ok(Script::replies([
        Reply::Service(Box::new(status)),
        rows(vec![up, down]),
        Reply::Done {},
    ]))
}

const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn several_hosts_give_one_table_even_if_one_of_them_is_down() -> Result {
    let Some(site) = Site::new()? else {
        return Ok(());
    };
    let one = site
        .place
        .core_on("one/control.sock", 0o600, script("oslo", SUM)?)?;
    let two = site
        .place
        .core_on("two/control.sock", 0o600, script("bergen", SUM)?)?;
    let outcome = site.run("-H one,down,two status -H three,bare,one")?;
    // What is given after the command counts, as for every option.
    assert!(outcome.stdout.contains("three"), "{outcome}");
    assert!(!outcome.stdout.contains("two"), "{outcome}");
    one.asked()?;
    let one = site
        .place
        .core_on("one/control.sock", 0o600, script("oslo", SUM)?)?;
    let outcome = site.run("status -H one -H down,two,three,bare")?;
    one.asked()?;
    two.asked()?;
    assert_eq!(outcome.code, Some(69), "{outcome}");
    insta::assert_snapshot!(outcome);
    Ok(())
}

#[test]
fn json_has_what_each_host_has_printed() -> Result {
    let Some(site) = Site::new()? else {
        return Ok(());
    };
    let one = site
        .place
        .core_on("one/control.sock", 0o600, script("oslo", SUM)?)?;
    let outcome = site.run("--host one,down,three status --json")?;
    one.asked()?;
    let json: Value = serde_json::from_str(&outcome.stdout)?;
    assert_eq!(json["schema"], 1);
    let [first, down, third] = [0, 1, 2].map(|number| &json["hosts"][number]);
    assert_eq!(first["host"], "one");
    assert_eq!(first["ok"], true);
    assert_eq!(first["output"]["service"]["database"]["checksum"], SUM);
    assert_eq!(first["output"]["peers"][1]["name"], "oslo");
    assert_eq!(
        (&down["ok"], &down["exit"], &down["output"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
    assert!(
        down["error"]
            .as_str()
            .is_some_and(|why| why.contains("refused")),
        "{down}"
    );
    assert_eq!(third["exit"], 69, "no service runs there");
    Ok(())
}

#[test]
fn one_host_is_as_if_the_command_was_given_there() -> Result {
    let Some(site) = Site::new()? else {
        return Ok(());
    };
    let core = site
        .place
        .core_on("one/control.sock", 0o600, script("oslo", SUM)?)?;
    let here = site.run("-H one")?;
    core.asked()?;
    assert_eq!(here.code, Some(0), "{here}");
    assert!(here.stdout.contains("PEER  STATE"), "{here}");
    // Its exit code is ours, and words reach it whole.
    let core = site.place.core_on(
        "one/control.sock",
        0o600,
        Script::replies([Reply::Failed(vec!["no".into()])]),
    )?;
    let mut command = site.place.command();
    command
        .env("CONNECT_CLI_SSH", site.place.path("ssh"))
        .env("PATH", "/usr/bin:/bin")
        .args(["submit", "-H", "one", "kick", "it's $HOME; a  b"]);
    let outcome = site.place.finish(&mut command)?;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(core.submitted()?, ["kick", "it's $HOME; a  b"]);
    for (host, said) in [
        ("down", "ssh cannot reach it"),
        ("bare", "its PATH has no connect-cli"),
    ] {
        let outcome = site.run(&format!("-H {host} status"))?;
        assert_eq!(outcome.code, Some(69), "{outcome}");
        assert!(outcome.stderr.contains(said), "{outcome}");
    }
    Ok(())
}

#[test]
fn the_doctor_says_that_a_forwarded_socket_is_of_another_host() -> Result {
    let Some(site) = Site::new()? else {
        return Ok(());
    };
    let mut status = service()?;
    status.pinger.connected = false;
    let core = site.place.core_on(
        "one/control.sock",
        0o600,
        Script::replies([Reply::Service(Box::new(status)), Reply::Done {}]),
    )?;
    let forwarded = site.place.path("forwarded.sock");
    let sockets = format!(
        "{}:{}",
        forwarded.display(),
        site.place.path("one/control.sock").display()
    );
    let mut ssh = Command::new(site.place.path("ssh"))
        .args([
            "-o",
            "PermitLocalCommand=yes",
            "-o",
            "ExitOnForwardFailure=yes",
            "-N",
        ])
        .args(["-o", "LocalCommand=echo connected", "-L", &sockets, "one"])
        .stdout(Stdio::piped())
        .spawn()?;
    // It listens before it says this.
    let mut said = String::new();
    BufReader::new(ssh.stdout.take().ok_or("no output")?).read_line(&mut said)?;
    let outcome = site.run("doctor --control forwarded.sock")?;
    core.asked()?;
    // The server of this host is another one.
    let core = site
        .place
        .core_on("one/control.sock", 0o600, Script::replies([]))?;
    let killed = site.run("kill --control forwarded.sock p")?;
    assert_eq!(core.asked()?, None);
    ssh.kill()?;
    ssh.wait()?;
    assert_eq!(killed.code, Some(69), "{killed}");
    assert!(killed.stderr.contains("with -H HOST"), "{killed}");
    insta::assert_snapshot!(outcome);
    Ok(())
}

#[test]
fn other_commands_give_lines_that_begin_with_the_host() -> Result {
    let Some(site) = Site::new()? else {
        return Ok(());
    };
    let core = |host: &str, names: &[&str]| {
        let lines = names
            .iter()
            .map(|name| Reply::Line(vec![(*name).to_owned()]));
        let replies = lines.chain([Reply::Done {}]).collect::<Vec<_>>();
        site.place.core_on(
            &format!("{host}/control.sock"),
            0o600,
            Script::replies(replies),
        )
    };
    let cores = [core("one", &["alice", "bob"])?, core("two", &["carol"])?];
    let outcome = site.run("-H two,one adopted")?;
    for core in cores {
        core.asked()?;
    }
    assert_eq!(
        outcome.to_string(),
        "exit code 0\n--- standard output\ntwo: carol\none: alice\none: bob\n"
    );
    for line in [
        "-H one,two top",
        "-H one,two status --watch",
        "-H -oX status",
        "-H one,, status",
    ] {
        assert_eq!(site.run(line)?.code, Some(2), "{line}");
    }
    Ok(())
}
