// SPDX-License-Identifier: GPL-3.0-or-later
//! Messages between the processes: encoding and decoding of each kind.

use std::hint::black_box;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::{
    Answer, ConnectionStatus, Envelope, PeerRows, PeerState, PeerStatus, Reply, Request,
};
use connect_ipc::frame;
use connect_ipc::pinger::{
    EndedPing, FromPinger, PingOrder, PingPhase, PingPlan, PingResult, Remembered, ToPinger,
    Watched,
};
use connect_ipc::scripts::{
    Child, Command, Ended, FromScripts, Run, ScriptKind, Stream, ToScripts, UnderWay,
};
use connect_ipc::statistics::PingStatistics;
use connect_ipc::{PeerId, RunId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Listed;

pub(super) const PATHS: &[Listed] = &[
    ("encode watch, 1 peer", 300, |n| encode(n, &watch())),
    ("decode watch, 1 peer", 300, |n| decode(n, &watch())),
    ("encode results, 10 replies", 300, |n| encode(n, &results())),
    ("decode results, 10 replies", 300, |n| decode(n, &results())),
    ("encode forget", 600, |n| encode(n, &forget())),
    ("decode forget", 600, |n| decode(n, &forget())),
    ("encode check-now", 600, |n| encode(n, &check_now())),
    ("decode check-now", 600, |n| decode(n, &check_now())),
    ("encode ping, 10 orders", 300, |n| encode(n, &ping())),
    ("decode ping, 10 orders", 300, |n| decode(n, &ping())),
    ("encode resume, 1 peer", 300, |n| encode(n, &resume())),
    ("decode resume, 1 peer", 300, |n| decode(n, &resume())),
    ("encode adopt, 1 run", 300, |n| encode(n, &adopt())),
    ("decode adopt, 1 run", 300, |n| decode(n, &adopt())),
    ("encode run", 300, |n| encode(n, &run())),
    ("decode run", 300, |n| decode(n, &run())),
    ("encode stop", 600, |n| {
        encode(n, &ToScripts::Stop(RunId(1)))
    }),
    ("decode stop", 600, |n| {
        decode(n, &ToScripts::Stop(RunId(1)))
    }),
    ("encode started", 600, |n| encode(n, &started())),
    ("decode started", 600, |n| decode(n, &started())),
    ("encode output", 600, |n| encode(n, &output())),
    ("decode output", 600, |n| decode(n, &output())),
    ("encode ended", 600, |n| encode(n, &ended())),
    ("decode ended", 600, |n| decode(n, &ended())),
    ("encode a request", 600, |n| encode(n, &request())),
    ("decode a request", 600, |n| decode(n, &request())),
    ("encode peers, 1 peer", 300, |n| encode(n, &peers())),
    ("decode peers, 1 peer", 300, |n| decode(n, &peers())),
];

fn encode<M: Serialize>(times: u32, message: &M) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    for _ in 0..times {
        bytes.clear();
        frame::encode(black_box(message), &mut bytes)?;
        black_box(&bytes);
    }
    Ok(())
}

fn decode<M: Serialize + DeserializeOwned>(times: u32, message: &M) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    frame::encode(message, &mut bytes)?;
    let text = String::from_utf8(bytes)?;
    for _ in 0..times {
        black_box(frame::decode::<M>(black_box(text.trim_end()))?);
    }
    Ok(())
}

const PLAN: PingPlan = PingPlan {
    every: 30,
    timeout: 10,
    retries: 5,
    backoff: 30,
    backoff_max: 120,
};

/// An instant as it is after a day.
const NOW: Monotonic = Monotonic(86_400_123_456_789);

fn statistics() -> PingStatistics {
    let mut statistics = PingStatistics::default();
    for millis in [12.5, 13.1, 11.9] {
        statistics.record_reply(millis);
    }
    statistics
}

fn phase() -> PingPhase {
    PingPhase {
        due: NOW,
        last_seq: 1000,
        ..PingPhase::default()
    }
}

fn watch() -> ToPinger {
    let watched = Watched {
        peer: PeerId(1),
        name: "peer-00001".to_owned(),
        plan: PLAN,
        phase: Some(phase()),
        statistics: statistics(),
    };
    ToPinger::Watch {
        at: NOW,
        peers: vec![watched],
    }
}

fn results() -> ToPinger {
    let result = |peer| EndedPing {
        peer: PeerId(peer),
        seq: 1000,
        result: PingResult::Reply(12.5),
    };
    ToPinger::Results {
        at: NOW,
        ended: (1000..1010).map(result).collect(),
    }
}

fn forget() -> ToPinger {
    ToPinger::Forget(vec![PeerId(1000)])
}

fn check_now() -> ToPinger {
    ToPinger::CheckNow {
        at: Monotonic(1),
        peers: vec![PeerId(1000)],
    }
}

fn ping() -> FromPinger {
    let order = |peer| PingOrder {
        peer: PeerId(peer),
        seq: 1000,
        due: NOW,
    };
    FromPinger::Ping((1000..1010).map(order).collect())
}

fn resume() -> FromPinger {
    FromPinger::Resume(vec![Remembered {
        name: "peer-00001".to_owned(),
        phase: phase(),
        statistics: statistics(),
    }])
}

const CHILD: Child = Child {
    pid: 12_345,
    start_time: 8_640_012,
};

fn adopt() -> ToScripts {
    ToScripts::Adopt(vec![UnderWay {
        run: RunId(1),
        peer: "peer-00001".to_owned(),
        kind: ScriptKind::Connect,
        child: Some(CHILD),
        limit: Some(60),
    }])
}

fn run() -> ToScripts {
    let variable = |n| (format!("P_KEY_{n}"), format!("value {n}"));
    ToScripts::Run(vec![Run {
        run: RunId(1),
        peer: "peer-00001".to_owned(),
        kind: ScriptKind::Ifup,
        command: Command::Exec(vec!["/etc/tripe/ifup".to_owned(), "peer-00001".to_owned()]),
        environment: (0..10).map(variable).collect(),
        limit: None,
        setup: None,
        undoes: Vec::new(),
    }])
}

fn started() -> FromScripts {
    FromScripts::Started {
        run: RunId(1),
        child: CHILD,
    }
}

fn output() -> FromScripts {
    FromScripts::Output {
        run: RunId(1),
        stream: Stream::Stderr,
        line: "a line as scripts write them".to_owned(),
    }
}

fn ended() -> FromScripts {
    FromScripts::Ended {
        run: RunId(1),
        end: Ended::Exited(0),
    }
}

fn request() -> Envelope {
    Envelope {
        id: 7,
        request: Request::Info {
            peer: "peer-00001".to_owned(),
        },
    }
}

fn peers() -> Answer {
    Answer {
        id: 7,
        reply: Reply::Peers(PeerRows {
            seq: 8,
            list: vec![PeerStatus {
                name: "peer-00001".to_owned(),
                state: PeerState::Up,
                wanted: true,
                address: Some("INET 192.0.2.1 4070".to_owned()),
                interface: Some("tripe1".to_owned()),
                failures: 0,
                failed_checks: 0,
                next_ping_ms: Some(1234),
                age: 86_400,
                connection: ConnectionStatus::default(),
                statistics: statistics(),
                scripts: connect_ipc::control::PeerScripts::default(),
            }],
        }),
    }
}
