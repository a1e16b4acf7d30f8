// SPDX-License-Identifier: GPL-3.0-or-later
//! Compiling sources of peers.in(5), with a resolver that knows a few hosts and asks nobody.

use std::cell::RefCell;
use std::fmt::Write;
use std::net::IpAddr;

use peerdb::source::{Compilation, ResolveError, Resolver, Source};
use peerdb::{Database, Record, Severity};
use proptest::prelude::*;

const EXAMPLE: [(&str, &str); 2] = [
    (
        "peers.d/10base",
        "[@GLOBAL]
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
",
    ),
    (
        "peers.d/20local",
        "[hub]
@inherit = @ACTIVE
host = hub.example.com
auto = t
watch = t
every = 30s
knock = gate

[laptop]
@inherit = @PASSIVE
",
    ),
];

/// A resolver that knows the hosts of the table and remembers what it was asked.
#[derive(Default)]
struct Table {
    asked: RefCell<Vec<Vec<String>>>,
}

const HOSTS: [(&str, &[&str]); 6] = [
    (
        "gate.example.com",
        &["192.0.2.9", "192.0.2.1", "2001:db8::2", "2001:db8::1"],
    ),
    ("hub.example.com", &["192.0.2.2"]),
    ("six.example.com", &["2001:db8::6"]),
    ("twice.example.com", &["192.0.2.3", "192.0.2.3"]),
    ("none.example.com", &[]),
    ("192.0.2.2.rev.example.com", &["192.0.2.77"]),
];

impl Resolver for Table {
    fn resolve(&self, hosts: &[String]) -> Vec<Result<Vec<IpAddr>, ResolveError>> {
        self.asked.borrow_mut().push(hosts.to_vec());
        let unknown = || Err(ResolveError::Failed("no such host".into()));
        hosts
            .iter()
            .map(|host| {
                let known = HOSTS.iter().find(|(name, _)| name == host);
                known.map_or_else(unknown, |(_, addresses)| {
                    Ok(addresses
                        .iter()
                        .filter_map(|text| text.parse().ok())
                        .collect())
                })
            })
            .collect()
    }
}

/// Which keys programs read, for the compiler.
fn is_known(key: &str) -> bool {
    matches!(key, "every" | "ifup" | "peer" | "watch")
}

fn compile(text: &str) -> Compilation {
    Source::parse([("peers.in", text)], is_known).compile(&Table::default())
}

/// The value of `key` in the record of `peer`; nothing, which no test expects, without one.
fn value(text: &str, peer: &str, key: &str) -> String {
    let compilation = compile(text);
    assert_eq!(compilation.findings(), [], "{text}");
    let mut records = compilation.records();
    let record = records.find(|record| record.name() == peer);
    record
        .and_then(|record| record.get(key))
        .unwrap_or_default()
        .to_owned()
}

/// The messages for a text, one a line.
fn messages(text: &str) -> Vec<String> {
    compile(text)
        .findings()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_worked_example_comes_out_record_for_record() {
    let compilation = Source::parse(EXAMPLE, is_known).compile(&Table::default());
    assert_eq!(compilation.findings(), []);
    let writer = compilation.writer();
    let entries: Vec<(&str, &str)> = writer
        .entries()
        .map(|(key, data)| (str::from_utf8(key).unwrap(), str::from_utf8(data).unwrap()))
        .collect();
    assert_eq!(
        entries,
        [
            (
                "Phub",
                "auto=t;domain=vpn.example.com;every=30s;host=hub.example.com;ifname=vpn-hub;\
                 ifup=%2fusr%2fsbin%2ftripe-ifup;knock=gate;myhost=gate;\
                 peer=INET+hub.example.com+4070;port=4070;watch=t"
            ),
            (
                "Plaptop",
                "domain=vpn.example.com;every=5m;ifname=vpn-laptop;\
                 ifup=%2fusr%2fsbin%2ftripe-ifup;mobile=t;myhost=gate;peer=PASSIVE;user=laptop;\
                 watch=t"
            ),
            ("Ulaptop", "laptop"),
            ("%AUTO", "hub"),
        ]
    );
}

#[test]
fn the_compiled_example_is_the_file_that_tinycdb_makes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    let compilation = Source::parse(EXAMPLE, is_known).compile(&Table::default());
    compilation.writer().write(&path).unwrap();
    assert!(std::fs::read(&path).unwrap() == include_bytes!("fixtures/sample.cdb"));
}

#[test]
fn files_and_directories_are_compiled_together() {
    let dir = tempfile::tempdir().unwrap();
    let peers = dir.path().join("peers.d");
    std::fs::create_dir(&peers).unwrap();
    for (name, text) in EXAMPLE {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let more = dir.path().join("more");
    std::fs::write(&more, "[hub]\nevery = 1m\n").unwrap();
    let compilation = Source::read([&peers, &more], is_known).compile(&Table::default());
    assert_eq!(compilation.findings(), []);
    let database = compilation.database();
    let hub = database.peer("hub").unwrap();
    assert_eq!(hub.get("every"), Some("1m"));
    assert_eq!(hub.get("ifname"), Some("vpn-hub"));
    let location = compilation.location("hub", "every").unwrap();
    assert_eq!((&*location.file, location.line), (more.as_path(), 2));
    let location = compilation.location("hub", "ifname").unwrap();
    assert_eq!(
        (location.file.file_name(), location.line),
        (Some("10base".as_ref()), 4)
    );
    assert_eq!(compilation.section("hub").unwrap().line, 1);
    assert!(compilation.location("hub", "missing").is_none());
    assert!(compilation.location("missing", "every").is_none());
    assert!(compilation.is_used("host"));
    assert!(!compilation.is_used("myhost"));
}

#[test]
fn the_database_without_a_file_is_the_one_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    let compilation = compile(
        "[$x]\na = 1\n[b]\nuser = u\nauto = y\n[a]\nx = $(name)\nauto = 1\n[@c]\nauto = t\n",
    );
    compilation.writer().write(&path).unwrap();
    let read = Database::load(&path).unwrap();
    let made = compilation.database();
    assert_eq!(made.sorted_peers(), read.sorted_peers());
    assert!(made.peers().eq(read.peers()));
    assert!(made.users().eq(read.users()));
    assert_eq!(made.auto(), ["a", "b"]);
    assert_eq!(made.auto(), read.auto());
    assert_eq!(made.locals(), read.locals());
    assert_eq!(made.locals()[0].name(), "$x");
}

#[test]
fn an_empty_source_gives_an_empty_list_and_nothing_else() {
    let writer = compile("# nothing\n").writer();
    assert!(writer.entries().eq([(&b"%AUTO"[..], &b""[..])]));
}

#[test]
fn substitution_is_seen_from_the_section_compiled() {
    let text = "[@BASE]\nwhere = $(site)-$(name)\nsite = base\n[@MID]\n@inherit = @BASE\n\
                site = mid\n[a]\n@inherit = @MID\nsite = a\n[b]\n@inherit = @MID\nname = bee\n";
    assert_eq!(value(text, "a", "where"), "a-a");
    assert_eq!(value(text, "b", "where"), "mid-bee");
    assert_eq!(value(text, "b", "name"), "bee");
}

#[test]
fn substitutions_may_be_nested_and_built() {
    let text = "[a]\nwhich = one\nhost-one = first\nhost-two = second\n\
                x = $(host-$(which)) $( HOST-TWO )\n@hidden = h\ny = $(@hidden)$\n";
    assert_eq!(value(text, "a", "x"), "first second");
    assert_eq!(value(text, "a", "y"), "h$");
    let compilation = compile(text);
    let record = compilation.records().next().unwrap();
    assert_eq!(record.get("@hidden"), None);
}

#[test]
fn what_is_substituted_is_not_looked_at_again() {
    let text = "[a]\ndollar = $\nconnect = ssh $(name) 'echo $(dollar)(hostname) $HOME'\n";
    assert_eq!(
        value(text, "a", "connect"),
        "ssh a 'echo $(hostname) $HOME'"
    );
}

#[test]
fn a_hidden_key_that_nobody_needs_may_be_unfinished() {
    let text = "[@P]\n@peer = $(host)\n[a]\n@inherit = @P\nx = 1\n";
    assert_eq!(value(text, "a", "x"), "1");
}

#[test]
fn addresses_are_substituted_by_kind() {
    for (spelling, expected) in [
        ("$[gate.example.com]", "192.0.2.1"),
        ("$4[gate.example.com]", "192.0.2.1"),
        ("$6[gate.example.com]", "2001:db8::1"),
        (
            "$*[gate.example.com]",
            "192.0.2.1 192.0.2.9 2001:db8::1 2001:db8::2",
        ),
        ("$4*[gate.example.com]", "192.0.2.1 192.0.2.9"),
        ("$*6[gate.example.com]", "2001:db8::1 2001:db8::2"),
        (
            "$46*[gate.example.com]",
            "192.0.2.1 192.0.2.9 2001:db8::1 2001:db8::2",
        ),
        ("$[six.example.com]", "2001:db8::6"),
        ("$*[twice.example.com]", "192.0.2.3"),
        ("$[192.0.2.200]/24", "192.0.2.200/24"),
        ("$6[2001:DB8:0::1]", "2001:db8::1"),
        ("$[$(h).$(d)]", "192.0.2.2"),
        ("$[$[hub.example.com].rev.example.com]", "192.0.2.77"),
    ] {
        let text = format!("[a]\nh = hub\nd = example.com\nx = {spelling}\n");
        assert_eq!(value(&text, "a", "x"), expected, "{spelling}");
    }
}

#[test]
fn all_hosts_are_asked_for_once_and_together() {
    let table = Table::default();
    let text = "[@G]\nladdr = $[gate.example.com]\nraddr = $[$(name).example.com]\n\
                [hub]\n@inherit = @G\n[six]\n@inherit = @G\n[c]\nx = $[10.0.0.1]\n";
    let compilation = Source::parse([("f", text)], is_known).compile(&table);
    assert_eq!(compilation.findings(), []);
    assert_eq!(
        *table.asked.borrow(),
        [["gate.example.com", "hub.example.com", "six.example.com"]]
    );
}

#[test]
fn a_resolver_that_answers_too_little_is_survived() {
    struct Silent;
    impl Resolver for Silent {
        fn resolve(&self, _: &[String]) -> Vec<Result<Vec<IpAddr>, ResolveError>> {
            Vec::new()
        }
    }
    let compilation = Source::parse([("f", "[a]\nx = $[h]\n")], is_known).compile(&Silent);
    assert!(compilation.has_errors());
}

#[test]
fn every_fault_is_told_with_its_place_and_the_remedy() {
    let table: &[(&str, &str)] = &[
        (
            "[a]\nx = $(hsot)\nhost = h\n",
            "peers.in:2: error: section [a]: $(hsot) has no value (was host meant?): assign hsot in \
             the section or a parent, or, if the $( is meant for a shell, see peers.in(5)",
        ),
        (
            "[a]\nx = $(y)\ny = $(z)\nz = 1$(x)\n",
            "peers.in:4: error: section [a]: the value refers to itself (x needs y needs z needs \
             x): remove one of these references",
        ),
        (
            "[a]\nx = $(x)\n",
            "peers.in:2: error: section [a]: the value refers to itself (x needs x): remove one of these references",
        ),
        (
            "[a]\nx = $[lost.example.com]\n",
            "peers.in:2: error: section [a]: no address of \"lost.example.com\" is known (no such \
             host): correct the name, or write the address itself",
        ),
        (
            "[a]\nx = $6[hub.example.com]\n",
            "peers.in:2: error: section [a]: hub.example.com has no IPv6 address: ask for another \
             kind of address, or write it itself",
        ),
        (
            "[a]\nx = $4[::1]\n",
            "peers.in:2: error: section [a]: ::1 has no IPv4 address: ask for another kind of \
             address, or write it itself",
        ),
        (
            "[a]\nx = $[none.example.com]\n",
            "peers.in:2: error: section [a]: none.example.com has no usable address: ask for \
             another kind of address, or write it itself",
        ),
        (
            "[a]\nx = $[$(e)]\ne =\n",
            "peers.in:2: error: section [a]: no address of \"\" is known (the name is empty): \
             correct the name, or write the address itself",
        ),
        (
            "[@P]\nk = 1\n[@Q]\nk = 2\n[a]\n@inherit = @P @Q\n",
            "peers.in:2: error: section [a]: the parents disagree about k: \"1\" here, but \"2\" at \
             peers.in:4; assign k in the section itself, or in only one of them",
        ),
        (
            "[a]\nuser = u\n[b]\nuser = u\n",
            "peers.in:4: warning: section [b]: the user u already belongs to the peer a: give \
             one of the two peers another user",
        ),
        (
            "[a]\nuser =\n",
            "peers.in:2: warning: section [a]: user is empty, so no user record is made: name the \
             user, or remove the key",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(messages(text), [*expected]);
    }
}

#[test]
fn parents_that_say_the_same_agree() {
    let text = "[@P]\nk = $(v)\nv = 1\n[@Q]\nk = 1\n[a]\n@inherit = @P, @Q\n";
    assert_eq!(value(text, "a", "k"), "1");
    let text = "[@P]\nk = $[hub.example.com]\n[@Q]\nk = 192.0.2.2\n[a]\n@inherit = @P, @Q\n";
    assert_eq!(value(text, "a", "k"), "192.0.2.2");
    // What is overridden need not agree.
    let text = "[@P]\nk = 1\n[@Q]\nk = 2\n[a]\n@inherit = @P, @Q\nk = 3\n";
    assert_eq!(value(text, "a", "k"), "3");
}

#[test]
fn one_fault_inherited_by_many_is_told_once() {
    let mut text = String::from("[@GLOBAL]\npeer = INET $(host) 4070\n");
    for n in 0..100 {
        writeln!(text, "[p{n:02}]").unwrap();
    }
    text.push_str("host = known\n");
    let compilation = compile(&text);
    let [finding] = compilation.findings() else {
        unreachable!("{:?}", compilation.findings());
    };
    assert_eq!(finding.others, 98);
    assert!(
        finding
            .to_string()
            .contains("section [p00] and 98 others: $(host)")
    );
    assert!(compilation.has_errors());
    // The correct one is there.
    assert!(compilation.records().map(Record::name).eq(["p99"]));
}

#[test]
fn all_faults_of_a_section_are_told_not_only_the_first() {
    let text = "[a]\nx = $(one) $[lost] $(two)\ny = $(three)\n[b]\nz = $(four)\n";
    let lines: Vec<u32> = compile(text)
        .findings()
        .iter()
        .map(|d| d.location.as_ref().unwrap().line)
        .collect();
    assert_eq!(lines, [2, 2, 2, 3, 5]);
}

#[test]
fn of_several_peers_for_a_user_the_first_keeps_it() {
    let compilation = compile("[b]\nuser = u\n[a]\nuser = u\n[$l]\nuser = u\n");
    let database = compilation.database();
    assert_eq!(database.user("u"), Some("a"));
    assert_eq!(database.faults(), []);
    assert_eq!(
        compilation
            .writer()
            .entries()
            .filter(|(key, _)| key[0] == b'U')
            .count(),
        1
    );
}

#[test]
fn values_that_grow_beyond_reason_are_errors() {
    // Each value is twice the one before it: 2 to the 40th letters.
    let mut text = String::from("[a]\nx0 = yy\n");
    for n in 1..40 {
        writeln!(text, "x{n} = $(x{})$(x{})", n - 1, n - 1).unwrap();
    }
    let compilation = compile(&text);
    assert!(compilation.findings().iter().any(|finding| {
        finding
            .message
            .contains("longer than 65536 bytes after substitution")
    }));
    // Each value needs the one before it, which comes later in the order of the keys.
    let mut text = String::from("[a]\nx1000 = 1\n");
    for n in 0..1000 {
        writeln!(text, "x{n} = $(x{})", n + 1).unwrap();
    }
    let compilation = compile(&text);
    assert!(
        compilation
            .findings()
            .iter()
            .any(|finding| finding.message.contains("nested deeper than 50"))
    );
}

#[test]
fn warnings_do_not_keep_the_database_back() {
    let compilation = compile("[a]\nx = 1\nx = 2\n");
    assert_eq!(compilation.findings()[0].severity, Severity::Warning);
    assert!(!compilation.has_errors());
}

#[test]
fn ten_thousand_peers_are_compiled() {
    let mut text = String::from(EXAMPLE[0].1);
    for n in 0..10_000 {
        writeln!(
            text,
            "[peer{n:05}]\n@inherit = @ACTIVE\nhost = h{n}.example.com\nwatch = t"
        )
        .unwrap();
    }
    let compilation = compile(&text);
    assert_eq!(compilation.findings(), []);
    let database = compilation.database();
    assert_eq!(database.peers().len(), 10_000);
    let last = database.peer("peer09999").unwrap();
    assert_eq!(last.get("peer"), Some("INET h9999.example.com 4070"));
}

/// A small language of sections that refer to each other at random.
fn sources() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["@GLOBAL", "@P", "@Q", "a", "b", "$c"]);
    let key = prop::sample::select(vec!["k", "l", "name", "user", "auto", "@h"]);
    let piece = prop::sample::select(vec![
        "t",
        "x ",
        "$(k)",
        "$(l)",
        "$(name)",
        "$($(k))",
        "$[hub.example.com]",
        "$6*[$(l)]",
        "$",
        "\u{e9}",
    ]);
    let value = proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat());
    let line = prop_oneof![
        4 => (key, value).prop_map(|(key, value)| format!("{key} = {value}\n")),
        1 => proptest::collection::vec(name.clone(), 0..3)
            .prop_map(|names| format!("@inherit = {}\n", names.join(", "))),
        1 => Just("  more\n".to_owned()),
    ];
    let section = (name, proptest::collection::vec(line, 0..5))
        .prop_map(|(name, lines)| format!("[{name}]\n{}", lines.concat()));
    proptest::collection::vec(section, 0..7).prop_map(|sections| sections.concat())
}

proptest! {
    // Each case waits for the disk twice, which takes seconds if the disk is busy.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_compiled_is_written_and_read_again(text in sources()) {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("peers.cdb");
        let compilation = compile(&text);
        compilation.writer().write(&path)?;
        let (made, read) = (compilation.database(), Database::load(&path)?);
        prop_assert_eq!(made.faults(), &[]);
        prop_assert_eq!(read.faults(), &[]);
        prop_assert!(made.peers().eq(read.peers()));
        prop_assert!(made.users().eq(read.users()));
        prop_assert_eq!(made.auto(), read.auto());
        prop_assert_eq!(made.locals(), read.locals());
        for record in compilation.records() {
            for (key, _) in record.iter() {
                prop_assert!(compilation.location(record.name(), key).is_some());
            }
        }
        for finding in connect_policy::check::compilation(&compilation) {
            prop_assert!(!finding.to_string().contains(char::is_control));
        }
        for finding in compilation.findings() {
            prop_assert!(!finding.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(text in "\\PC{0,200}") {
        let _ = compile(&text).writer();
    }
}
