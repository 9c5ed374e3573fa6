//! A second `up` in the same data directory is no mistake: it rings at the one that runs, which
//! brings up what is not, and both say so.
//!
//! The bell is a socket in the data directory, which only its owner may enter. It carries one line
//! of JSON and takes nothing, so nobody can ask for more than `up` does anyhow.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::local_agent::Found;

/// The one that runs answers between two of its turns.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// Two addresses and a few words.
const ANSWER_BYTES_MAX: u64 = 4096;

/// What the `up` that runs says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) pid: u32,
    pub(super) http_url: String,
    /// What is listened on, as it was bound.
    pub(super) http_listen: SocketAddr,
    pub(super) agent_listen: SocketAddr,
    pub(super) agent: Found,
}

#[derive(Debug)]
pub(super) struct Bell {
    listener: UnixListener,
    path: PathBuf,
}

fn path_of(data_dir: &Path) -> PathBuf {
    data_dir.join("up.sock")
}

impl Bell {
    /// Hangs it up. To be called only while the server of this data directory is ours: then a
    /// socket that is there was left by a crash.
    pub(super) fn hang(data_dir: &Path) -> io::Result<Bell> {
        let path = path_of(data_dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => (),
        }
        Ok(Bell { listener: UnixListener::bind(&path)?, path })
    }

    /// Waits until somebody rings.
    pub(super) async fn rung(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // Left behind, it only makes the next `up` knock in vain.
        fs::remove_file(&self.path).ok();
    }
}

/// Answers one that rang. One that has gone does not need to know.
pub(super) async fn answer(mut stream: UnixStream, answer: &Answer) {
    let line = serde_json::to_string(answer).unwrap_or_default();
    let said = timeout(ANSWER_WAIT_MAX, stream.write_all(line.as_bytes())).await;
    if !matches!(said, Ok(Ok(()))) {
        tracing::debug!("a second `up` did not wait for the answer");
    }
}

/// Rings at an `up` that runs in this data directory; `None` if none does.
pub(super) async fn ring(data_dir: &Path) -> Option<Answer> {
    let stream = UnixStream::connect(path_of(data_dir)).await.ok()?;
    let mut text = String::new();
    let mut limited = stream.take(ANSWER_BYTES_MAX);
    timeout(ANSWER_WAIT_MAX, limited.read_to_string(&mut text)).await.ok()?.ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bell_answers_and_one_left_by_a_crash_does_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ring(dir.path()).await.is_none());
        let bell = Bell::hang(dir.path()).unwrap();
        let http_url = "http://[::1]:1".to_owned();
        let listen = SocketAddr::from(([127, 0, 0, 1], 1));
        let (http_listen, agent_listen) = (listen, listen);
        let agent = Found::Running;
        let found = Answer { pid: 7, http_url, http_listen, agent_listen, agent };
        let answered = async { answer(bell.rung().await.unwrap(), &found).await };
        let (heard, ()) = tokio::join!(ring(dir.path()), answered);
        let heard = heard.unwrap();
        assert_eq!((heard.pid, heard.agent), (7, Found::Running));
        // As after a crash: the file is there and nobody listens.
        drop(bell);
        drop(std::os::unix::net::UnixListener::bind(path_of(dir.path())).unwrap());
        assert!(ring(dir.path()).await.is_none());
        assert!(Bell::hang(dir.path()).is_ok());
    }
}
