//! Long answers on their way to whoever asked: made piece by piece, as fast as they are taken.
//!
//! A reader holds one piece that is being made and some that wait, however long the answer is. What
//! breaks off is told as broken: nobody takes a part for the whole.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::{App, AppError, Panics};

/// Answers under way at once: each may hold tens of megabytes and keep a core busy.
const AT_ONCE_MAX: usize = 4;
/// The longest that one waits for its turn before it is told to come back.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Pieces of an answer that wait for the one who reads.
const PIECES_MAX: usize = 4;
/// Bytes of one piece. What is made at once is cut into as many: a piece that waits is small.
const PIECE_BYTES_MAX: usize = 256 * 1024;
/// Who takes nothing for as long has gone.
const STALL_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct Exports {
    turns: Arc<Semaphore>,
    tasks: TaskTracker,
    turn_wait: Duration,
    stall: Duration,
}

impl Default for Exports {
    fn default() -> Exports {
        Exports {
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            tasks: TaskTracker::new(),
            turn_wait: TURN_WAIT_MAX,
            stall: STALL_MAX,
        }
    }
}

/// Why an answer did not come to its end.
#[derive(Debug)]
pub(crate) enum ExportError {
    /// Nobody takes it any more.
    Gone,
    App(AppError),
}

impl From<AppError> for ExportError {
    fn from(error: AppError) -> ExportError {
        ExportError::App(error)
    }
}

/// An answer as its reader takes it.
pub(crate) type Taken = BoxStream<'static, io::Result<Bytes>>;

enum Piece {
    Bytes(Bytes),
    /// It was the last: without it, the answer broke off.
    End,
}

/// Where the pieces of an answer go.
#[derive(Debug)]
pub(crate) struct Pieces {
    to: mpsc::Sender<Piece>,
    stall: Duration,
}

impl Pieces {
    /// Hands on what is ready, and waits while too much waits to be taken.
    ///
    /// # Errors
    ///
    /// [`ExportError::Gone`] if the reader hung up, or took nothing for [`STALL_MAX`].
    pub(crate) async fn send(&self, bytes: Vec<u8>) -> Result<(), ExportError> {
        let mut rest = Bytes::from(bytes);
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES_MAX));
            self.hand_on(Piece::Bytes(piece)).await?;
        }
        Ok(())
    }

    async fn hand_on(&self, piece: Piece) -> Result<(), ExportError> {
        match timeout(self.stall, self.to.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ExportError::Gone),
        }
    }
}

impl App {
    /// Begins an answer; see [`Exports::begin`].
    pub(crate) async fn export<F>(&self, make: impl FnOnce(Pieces) -> F) -> Result<Taken, AppError>
    where
        F: Future<Output = Result<Pieces, ExportError>> + Send + 'static,
    {
        self.exports.begin(self.panics(), make).await
    }
}

impl Exports {
    /// Begins an answer: `make` makes it, hands its pieces on and gives them back at its end.
    ///
    /// The stream ends with an error if `make` fails, or panics. When its reader hangs up, `make`
    /// fails at its next piece, and others have the turn.
    ///
    /// # Errors
    ///
    /// [`AppError::Unavailable`] if [`AT_ONCE_MAX`] others are under way for too long.
    async fn begin<F>(
        &self,
        panics: Panics,
        make: impl FnOnce(Pieces) -> F,
    ) -> Result<Taken, AppError>
    where
        F: Future<Output = Result<Pieces, ExportError>> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = timeout(self.turn_wait, turn).await.map_err(|_| AppError::Unavailable {
            detail: format!(
                "{AT_ONCE_MAX} long answers are being made: try again when one has ended"
            ),
            source: None,
        })?;
        let turn = turn.map_err(AppError::internal)?;
        let (pieces, taken) = mpsc::channel(PIECES_MAX);
        let made = make(Pieces { to: pieces, stall: self.stall });
        self.tasks.spawn(async move {
            let _turn = turn;
            match panics.catch("a long answer", made).await {
                // A reader that hangs up at the very end has everything.
                Some(Ok(pieces)) => pieces.hand_on(Piece::End).await.unwrap_or(()),
                Some(Err(ExportError::Gone)) => tracing::debug!("a reader hung up"),
                Some(Err(ExportError::App(error))) => {
                    tracing::warn!(?error, "a long answer broke off");
                }
                None => {}
            }
        });
        Ok(taken_from(taken))
    }
}

fn taken_from(pieces: mpsc::Receiver<Piece>) -> Taken {
    let taken = stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(pieces))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::other("the answer broke off")), None)),
        }
    });
    // Who compresses a body asks it once more after its end.
    taken.fuse().boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until so many may begin.
    async fn turns(exports: &Exports, count: usize) {
        let all = u32::try_from(count).expect("a few");
        let turns = timeout(TURN_WAIT_MAX, exports.turns.acquire_many(all)).await;
        drop(turns.expect("they are given back").expect("it is open"));
    }

    #[tokio::test]
    async fn a_reader_that_hangs_up_gives_its_turn_back() {
        let exports = Exports::default();
        let mut readers = Vec::new();
        for _ in 0..AT_ONCE_MAX {
            let endless = |pieces: Pieces| async move {
                loop {
                    pieces.send(b"more".to_vec()).await?;
                }
            };
            let begun = exports.begin(Panics::default(), endless).await.expect("a turn");
            let mut reader = Box::pin(begun);
            assert_eq!(reader.next().await.expect("a piece").expect("bytes"), "more");
            readers.push(reader);
        }
        assert_eq!(exports.turns.available_permits(), 0);
        readers.pop();
        turns(&exports, 1).await;
        readers.clear();
        turns(&exports, AT_ONCE_MAX).await;
    }

    #[tokio::test]
    async fn who_gets_no_turn_is_told_to_come_back() {
        let exports = Exports { turn_wait: Duration::from_millis(10), ..Exports::default() };
        let _held = Arc::clone(&exports.turns).acquire_many_owned(4).await.expect("it is open");
        let nothing = |pieces: Pieces| async move { Ok(pieces) };
        let refused = exports.begin(Panics::default(), nothing).await.err().expect("no turn");
        assert!(matches!(refused, AppError::Unavailable { .. }), "{refused:?}");
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_loses_its_turn() {
        let exports = Exports { stall: Duration::from_millis(10), ..Exports::default() };
        let endless = |pieces: Pieces| async move {
            loop {
                pieces.send(b"more".to_vec()).await?;
            }
        };
        let mut idle = Vec::new();
        for _ in 0..AT_ONCE_MAX {
            idle.push(exports.begin(Panics::default(), endless).await.expect("a turn"));
        }
        turns(&exports, AT_ONCE_MAX).await;
    }

    #[tokio::test]
    async fn who_asks_after_the_end_hears_that_it_is_the_end() {
        let exports = Exports::default();
        let nothing = |pieces: Pieces| async move { Ok(pieces) };
        let mut taken = exports.begin(Panics::default(), nothing).await.expect("a turn");
        assert!(taken.next().await.is_none());
        assert!(taken.next().await.is_none());
    }

    #[tokio::test]
    async fn what_breaks_off_does_not_look_whole() {
        let exports = Exports::default();
        let read = async |end: fn() -> Result<(), ExportError>| {
            let make = |pieces: Pieces| async move {
                pieces.send(vec![b'a'; PIECE_BYTES_MAX + 1]).await?;
                end()?;
                Ok(pieces)
            };
            let begun = exports.begin(Panics::default(), make).await.expect("a turn");
            let pieces: Vec<_> =
                begun.map(|piece| piece.map(|bytes| bytes.len()).ok()).collect().await;
            pieces
        };
        let whole = [Some(PIECE_BYTES_MAX), Some(1)];
        assert_eq!(read(|| Ok(())).await, whole);
        let cut = [Some(PIECE_BYTES_MAX), Some(1), None];
        assert_eq!(read(|| Err(AppError::internal("the disk is gone").into())).await, cut);
        assert_eq!(read(|| panic!("a defect")).await, cut);
        turns(&exports, AT_ONCE_MAX).await;
    }
}
