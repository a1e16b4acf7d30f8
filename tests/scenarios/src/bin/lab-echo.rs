// SPDX-License-Identifier: GPL-3.0-or-later
//! `lab-echo serve ADDR` sends every UDP datagram back; `lab-echo ask ADDR TEXT` sends TEXT until
//! it comes back, and fails if it does not. So a test sees whether packets cross a tunnel without a
//! network tool that may not be installed.

use std::env::args;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::bail;

/// How long to wait for an answer before asking again.
const WAIT: Duration = Duration::from_millis(200);

/// How often to ask: for half a minute.
const TRIES: u32 = 150;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = args().skip(1).collect();
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["serve", addr] => {
            let socket = UdpSocket::bind(addr)?;
            println!("ready");
            let mut buffer = [0; 2048];
            loop {
                let (length, from) = socket.recv_from(&mut buffer)?;
                socket.send_to(&buffer[..length], from)?;
            }
        }
        ["ask", addr, text] => {
            let any = if addr.starts_with('[') {
                "[::]:0"
            } else {
                "0.0.0.0:0"
            };
            let socket = UdpSocket::bind(any)?;
            socket.set_read_timeout(Some(WAIT))?;
            let mut buffer = [0; 2048];
            for _ in 0..TRIES {
                // No route yet, or nobody there yet: ask again.
                let _ = socket.send_to(text.as_bytes(), addr);
                if let Ok((length, from)) = socket.recv_from(&mut buffer)
                    && &buffer[..length] == text.as_bytes()
                {
                    println!("{text} came back from {from}");
                    return Ok(());
                }
            }
            bail!("{text} did not come back from {addr}")
        }
        _ => bail!("usage: lab-echo serve ADDR | lab-echo ask ADDR TEXT"),
    }
}
