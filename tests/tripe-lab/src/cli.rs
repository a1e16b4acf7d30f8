// SPDX-License-Identifier: GPL-3.0-or-later
//! The program `tripe-lab`: its options, and running until it is told to end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Host, Identity, KeySet, LabConfig, LogConfig, Reflect, Tunnel};
use crate::switches::Switches;
use crate::{BANNER, Lab, LabHandle, What};

/// A playground in a few lines, for the end of the help.
const PLAYGROUND: &str = "\
A playground of two servers, each with the other as a peer:

  tripe-lab -a /tmp/left  -u 127.0.0.2:4070 &
  tripe-lab -a /tmp/right -u 127.0.0.3:4070 &

  $ socat - UNIX-CONNECT:/tmp/right
  ADD left INET 127.0.0.2 4070
  OK
  $ socat - UNIX-CONNECT:/tmp/left
  WATCH -A+n
  OK
  ADD right INET 127.0.0.3 4070
  NOTE ADD right tripe0 INET 127.0.0.3 4070
  NOTE KXSTART right
  OK
  NOTE KXDONE right
  EPING right
  INFO ping-ok 0.3
  OK
  LAB NET loss=100
  OK
  EPING right
  INFO ping-timeout
  OK

LAB HELP lists all that can be done to a running server; --lab does the same on start. \
--list-switches lists the doubtful points of the protocol and the readings of each. \
Names are resolved from --host alone, localhost, and never-answers.example, which never is; \
the network is not asked.";

/// A lab server for TrIPE's administration protocol. It ENCRYPTS NOTHING.
///
/// It speaks the protocol of tripe(8) on its admin socket and exchanges real datagrams with other
/// lab servers, but protects nothing: it is for tests, demonstrations and trying things out.
#[derive(Debug, Parser)]
#[command(version, after_long_help = PLAYGROUND, max_term_width = 80)]
struct Options {
    /// Go to this directory first.
    #[arg(short, long, value_name = "DIR", env = "TRIPEDIR")]
    directory: Option<PathBuf>,
    /// Where to make the admin socket.
    #[arg(
        short,
        long,
        value_name = "SOCKET",
        env = "TRIPESOCK",
        default_value = "tripesock"
    )]
    admin_socket: PathBuf,
    /// Permissions of the admin socket, in octal.
    #[arg(short = 'm', long, value_name = "MODE", default_value = "600", value_parser = mode)]
    socket_mode: u32,
    /// UDP address to bind; once for each family, a family without one is disabled.
    #[arg(
        short,
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:4070"
    )]
    udp: Vec<SocketAddr>,
    /// Make standard input and output an admin client; its end is the server's.
    #[arg(long)]
    stdio: bool,
    /// Tunnel driver of peers that ask for none: `lab` (no device) or `tun` (a real device).
    #[arg(long, value_name = "DRIVER", default_value = "lab", value_parser = driver)]
    tunnel: Tunnel,
    /// What interface names begin with.
    #[arg(long, value_name = "PREFIX", default_value = "tripe")]
    interface_prefix: String,
    /// Send datagrams to addresses beyond the loopback interface.
    #[arg(long)]
    allow_remote: bool,
    /// What a name resolves to, `never`, or after so many seconds `SECONDS@ADDR`.
    #[arg(long = "host", value_name = "NAME=ADDR", value_parser = host)]
    hosts: Vec<(String, Host)>,
    /// A public key that is not in the keyring; all others are.
    #[arg(long = "missing-key", value_name = "TAG", conflicts_with = "keys")]
    missing_keys: Vec<String>,
    /// A public key that is in the keyring; no others are.
    #[arg(long = "key", value_name = "TAG")]
    keys: Vec<String>,
    /// Tag of the server's own private key.
    #[arg(long, value_name = "TAG", default_value = "tripe")]
    own_key: String,
    /// Exchange keys only with a server whose own key has the peer's tag.
    #[arg(long)]
    check_identity: bool,
    /// Answer peers with addresses in this network in process, without datagrams.
    #[arg(long, value_name = "NETWORK/BITS")]
    reflect: Option<Reflect>,
    /// How long those answers take, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "reflect")]
    reflect_delay: u64,
    /// Set a doubtful point of the protocol; may be given often.
    #[arg(long = "switch", value_name = "NAME=VALUE")]
    switches: Vec<String>,
    /// List the doubtful points and their readings, the default first.
    #[arg(long)]
    list_switches: bool,
    /// Carry out a LAB command on start, such as 'NET loss=10'; may be given often.
    #[arg(long = "lab", value_name = "COMMAND")]
    commands: Vec<String>,
    /// Do not take LAB commands from clients.
    #[arg(long)]
    no_control: bool,
    /// Call the server `tripe` 1.5.0 in VERSION and SERVINFO.
    #[arg(long)]
    impersonate: bool,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many protocol seconds pass in a second.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    time_scale: u32,
    /// Print everything that happens.
    #[arg(short, long)]
    verbose: bool,
}

fn driver(name: &str) -> Result<Tunnel, String> {
    Tunnel::find(name).ok_or_else(|| String::from("the drivers are `lab` and `tun`"))
}

fn host(text: &str) -> Result<(String, Host), String> {
    let parse = || {
        let (name, value) = text.split_once('=')?;
        let host = match value.split_once('@') {
            _ if value == "never" => Host::Never,
            Some((seconds, addr)) => Host::Slow(seconds.parse().ok()?, vec![ip(addr)?]),
            None => Host::Is(vec![ip(value)?]),
        };
        Some((name.to_owned(), host))
    };
    parse().ok_or_else(|| {
        String::from("expected NAME=ADDR, NAME=never or NAME=SECONDS@ADDR, with a numeric address")
    })
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(String::from("expected octal permissions, such as 660")),
    }
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

impl Options {
    fn config(self) -> anyhow::Result<LabConfig> {
        let mut switches = Switches::default();
        for setting in &self.switches {
            switches.apply(setting)?;
        }
        let tags = |tags: Vec<String>| tags.into_iter().collect::<BTreeSet<_>>();
        let public_keys = match (self.keys, self.missing_keys) {
            (keys, _) if !keys.is_empty() => KeySet::Only(tags(keys)),
            (_, missing) if !missing.is_empty() => KeySet::AllBut(tags(missing)),
            _ => KeySet::Any,
        };
        let mut families = BTreeSet::new();
        for addr in &self.udp {
            if !families.insert(addr.is_ipv4()) {
                bail!("--udp can be given once for each address family, and {addr} is one more");
            }
        }
        let delay = Duration::from_millis(self.reflect_delay);
        let config = LabConfig {
            socket_mode: self.socket_mode,
            udp: self.udp,
            allow_remote: self.allow_remote,
            seed: self.seed,
            time_scale: self.time_scale,
            identity: if self.impersonate {
                Identity::impersonated()
            } else {
                Identity::default()
            },
            switches,
            public_keys,
            own_key: self.own_key,
            check_identity: self.check_identity,
            hosts: self.hosts.into_iter().collect(),
            reflect: self.reflect.map(|reflect| Reflect { delay, ..reflect }),
            tunnels: match self.tunnel {
                Tunnel::Lab => vec![Tunnel::Lab, Tunnel::Tun],
                Tunnel::Tun => vec![Tunnel::Tun, Tunnel::Lab],
            },
            interface_prefix: self.interface_prefix,
            control: !self.no_control,
            // Nobody looks at the log but --verbose, which keeps up.
            log: LogConfig {
                commands: self.verbose,
                lines: self.verbose,
                datagrams: self.verbose,
                capacity: 10_000,
            },
            ..LabConfig::new(self.admin_socket)
        };
        Ok(config)
    }
}

/// Runs the program.
///
/// # Errors
///
/// If the options make no sense or the server cannot be started.
pub fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.list_switches {
        for (name, values) in Switches::table() {
            println!("{name}={}", values.join("|"));
        }
        return Ok(());
    }
    if let Some(directory) = &options.directory {
        std::env::set_current_dir(directory)
            .with_context(|| format!("cannot go to the directory {}", directory.display()))?;
    }
    let (verbose, stdio) = (options.verbose, options.stdio);
    let commands = options.commands.clone();
    let config = options.config()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Before there is a socket: whoever can connect may also send a signal.
    let signals = {
        let _context = runtime.enter();
        Signals::catch().context("cannot catch signals")?
    };
    let lab = Lab::start(config)?;
    for command in &commands {
        for line in lab.control(command)? {
            eprintln!("{line}");
        }
    }
    eprintln!("{BANNER}");
    for addr in lab.udp_addrs() {
        eprintln!("UDP address: {addr}");
    }
    eprintln!("admin socket: {}", lab.socket_path().display());
    let written = if stdio {
        Some(serve_stdio(&lab)?)
    } else {
        None
    };
    run(&lab, verbose, &runtime, signals);
    if let Some(written) = written {
        /// Long enough for whoever reads; one who does not read is not waited for.
        const LAST_WORDS: Duration = Duration::from_secs(2);
        let _ = written.recv_timeout(LAST_WORDS);
    }
    Ok(())
}

/// The signals that the server answers.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches them from now on. Needs the context of a runtime.
    fn catch() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// Waits for a signal or for the server's own end.
fn run(lab: &LabHandle, verbose: bool, runtime: &Runtime, mut signals: Signals) {
    let (ended, mut wait) = tokio::sync::oneshot::channel();
    let watched = lab.clone();
    std::thread::spawn(move || {
        watch(&watched, verbose);
        // Nobody listens any more only if the program is about to end.
        let _ = ended.send(());
    });
    let caught = runtime.block_on(async {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break Some("SIGTERM"),
                _ = signals.interrupt.recv() => break Some("SIGINT"),
                _ = signals.hang_up.recv() => {
                    // It fails only if the server is ending, which `wait` reports.
                    let _ = lab.fake_broadcast("WARN SERVER ignore signal SIGHUP");
                }
                _ = &mut wait => break None,
            }
        }
    });
    if let Some(name) = caught {
        lab.shutdown_by(name);
    }
}

/// Watches the server until it ends, and prints what happens if that is wanted.
fn watch(lab: &LabHandle, verbose: bool) {
    let mut follower = lab.follow_from_start();
    loop {
        // In vain is only that nothing happened for a while.
        let Ok(event) = follower.next("anything", |_| true) else {
            continue;
        };
        if verbose {
            eprintln!("{}", event.what);
        }
        if event.what == What::Stopped {
            return;
        }
    }
}

/// Makes standard input and output a client, which starts with warnings and traces, as the real
/// server's does in the foreground. What is given back is told when all has been written.
///
/// ```text
///   stdin --lines--> admin socket --lines--> stdout
///   end of stdin --> the server's end
/// ```
fn serve_stdio(lab: &LabHandle) -> anyhow::Result<Receiver<()>> {
    let mut write = UnixStream::connect(lab.socket_path())?;
    let mut read = BufReader::new(write.try_clone()?);
    write.write_all(b"WATCH -A+tw\n")?;
    let mut answer = String::new();
    read.read_line(&mut answer)?;
    let (done, written) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        // However it ends, there is nobody left to tell but the one who waits for the end.
        let _ = std::io::copy(&mut read, &mut std::io::stdout());
        let _ = done.send(());
    });
    let lab = lab.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut write);
        lab.shutdown_at_eof();
    });
    Ok(written)
}
