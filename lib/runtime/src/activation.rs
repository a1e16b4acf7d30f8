// SPDX-License-Identifier: GPL-3.0-or-later
//! Sockets that a service manager has opened for us (`sd_listen_fds(3)`), by name.

use std::collections::HashMap;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::socket_acceptconn;

/// What the service manager says: whom the sockets are for, how many they are, their names.
const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Sockets that were handed over and not taken yet.
#[derive(Debug, Default)]
pub struct HandedOver {
    listeners: HashMap<String, UnixListener>,
}

/// A socket that was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the service manager handed over the socket `{name}', which cannot be used: {why}")]
pub struct ActivationError {
    name: String,
    why: String,
}

impl HandedOver {
    /// Takes what was handed over; nothing if no service manager started us. To be called once,
    /// before there are threads.
    ///
    /// # Errors
    /// If something was handed over that is not a listening Unix socket, or two sockets have one
    /// name.
    pub fn take() -> Result<Self, ActivationError> {
        let names = std::env::var(VARIABLES[2]).unwrap_or_default();
        let mut handed_over = ListenFd::from_env();
        let mut names = names.split(':');
        let mut listeners = HashMap::new();
        for index in 0..handed_over.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let useless = |why: String| ActivationError {
                name: name.clone(),
                why,
            };
            let listener = handed_over
                .take_unix_listener(index)
                .map_err(|error| useless(error.to_string()))?
                .ok_or_else(|| useless("it is already in use".to_owned()))?;
            if socket_acceptconn(&listener).is_ok_and(|listens| !listens) {
                return Err(useless("nothing listens on it; set Accept=no".to_owned()));
            }
            // Our children must not inherit it.
            fcntl_setfd(&listener, FdFlags::CLOEXEC).map_err(|error| useless(error.to_string()))?;
            if listeners.insert(name.clone(), listener).is_some() {
                return Err(useless("another has the same name".to_owned()));
            }
        }
        Ok(HandedOver { listeners })
    }

    /// Takes the socket of that name, if there is one.
    pub fn named(&mut self, name: &str) -> Option<UnixListener> {
        self.listeners.remove(name)
    }

    /// The name of a socket that is not among `known`.
    #[must_use]
    pub fn strange(&self, known: &[&str]) -> Option<&str> {
        let mut names = self.listeners.keys().map(String::as_str);
        names.find(|name| !known.contains(name))
    }
}
