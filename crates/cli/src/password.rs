//! Reads a new password: from a person at a terminal, unseen, or from a file or pipe.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use anyhow::Context;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// Longer than any password the server takes.
const BYTES_MAX: u64 = 1024;

/// Reads one line.
pub(crate) fn read(user: &str) -> anyhow::Result<String> {
    let stdin = io::stdin();
    let mut line = String::new();
    if stdin.is_terminal() {
        ask(user);
        let seen = tcgetattr(&stdin).context("cannot hide the password")?;
        let mut unseen = seen.clone();
        unseen.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&stdin, SetArg::TCSANOW, &unseen).context("cannot hide the password")?;
        let read = stdin.lock().take(BYTES_MAX).read_line(&mut line);
        tcsetattr(&stdin, SetArg::TCSANOW, &seen).context("cannot show what is typed again")?;
        read.context("cannot read the password")?;
    } else {
        stdin.lock().take(BYTES_MAX).read_line(&mut line).context("cannot read standard input")?;
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[expect(clippy::print_stderr, reason = "a question to the person at the terminal")]
fn ask(user: &str) {
    eprintln!("New password of `{user}` (it is not shown), then Enter:");
}
