//! Tells the service manager how a process fares: ready, alive, stopping.
//!
//! The protocol of systemd's `sd_notify`: one datagram to the socket that the environment names.
//! Without such a socket nothing is told and nothing fails, so a program need not know whether it
//! runs under a manager. What *alive* means is for the program to say: it calls [`Notifier::alive`]
//! only while its own work goes on.
//!
//! A crate of its own because the agent must not build server code, nor the server the agent's.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

/// Signs of life in the time after which the manager would end the process: one may be late.
const SIGNS_PER_PATIENCE: u32 = 3;

/// The way to the manager, if there is one.
#[derive(Debug, Default)]
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
    patience: Option<Duration>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    ///
    /// # Errors
    ///
    /// If a socket is named that cannot be used: then the manager would wait in vain.
    pub fn from_environment() -> io::Result<Notifier> {
        #[expect(clippy::disallowed_methods, reason = "the manager speaks through it, nobody else")]
        let variable = |name: &str| std::env::var(name).ok();
        Notifier::new(&variable, std::process::id())
    }

    /// The part of [`Notifier::from_environment`] that knows no environment.
    ///
    /// A watchdog that is meant for another process than `pid` is not ours to feed.
    ///
    /// # Errors
    ///
    /// As [`Notifier::from_environment`].
    pub fn new(variable: &dyn Fn(&str) -> Option<String>, pid: u32) -> io::Result<Notifier> {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Notifier::default());
        };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold us up.
        socket.set_nonblocking(true)?;
        let is_ours = variable("WATCHDOG_PID").is_none_or(|text| text.parse() == Ok(pid));
        let patience = variable("WATCHDOG_USEC").and_then(|text| text.parse().ok());
        let patience = patience.filter(|us| is_ours && *us != 0).map(Duration::from_micros);
        Ok(Notifier { manager: Some((socket, address)), patience })
    }

    /// How often [`Notifier::alive`] is to be called; `None` if nobody watches.
    pub fn alive_interval(&self) -> Option<Duration> {
        self.patience.map(|patience| patience / SIGNS_PER_PATIENCE)
    }

    /// Started, and able to do its work; `status` is for people.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
    }

    /// Its work goes on.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Told to stop, and about to.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// What is not heard shows: the manager gives up on a process that it hears nothing from.
    fn tell(&self, words: &str) {
        if let Some((socket, address)) = &self.manager {
            socket.send_to_addr(words.as_bytes(), address).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifier(variables: &[(&str, &str)]) -> Notifier {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Notifier::new(&variable, 7).unwrap()
    }

    fn heard(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes.get(..length).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_manager_hears_of_the_life_of_a_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("sdnotify-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_name).unwrap();
        for (manager, socket) in
            [(by_path, path.to_str().unwrap().to_owned()), (by_name, format!("@{name}"))]
        {
            let notifier = notifier(&[("NOTIFY_SOCKET", &socket)]);
            notifier.ready("console at\nhttp://[::1]");
            notifier.alive();
            notifier.stopping();
            assert_eq!(heard(&manager), "READY=1\nSTATUS=console at http://[::1]");
            assert_eq!(heard(&manager), "WATCHDOG=1");
            assert_eq!(heard(&manager), "STOPPING=1");
        }
    }

    #[test]
    fn without_a_manager_nothing_is_told_and_nothing_fails() {
        let notifier = notifier(&[]);
        notifier.ready("");
        notifier.alive();
        assert_eq!(notifier.alive_interval(), None);
    }

    #[test]
    fn only_the_watchdog_of_this_process_is_fed() {
        let us = ("WATCHDOG_USEC", "30000000");
        let interval = |variables: &[(&str, &str)]| {
            notifier(&[variables, &[("NOTIFY_SOCKET", "@x")]].concat()).alive_interval()
        };
        assert_eq!(interval(&[us]), Some(Duration::from_secs(10)));
        assert_eq!(interval(&[us, ("WATCHDOG_PID", "7")]), Some(Duration::from_secs(10)));
        assert_eq!(interval(&[us, ("WATCHDOG_PID", "8")]), None);
        assert_eq!(interval(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(interval(&[("WATCHDOG_USEC", "soon")]), None);
    }
}
