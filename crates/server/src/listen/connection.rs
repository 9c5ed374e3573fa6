//! Connections that are established: how many there may be, and for how long one that brings
//! nothing.
//!
//! It knows no protocol. What a peer sends proves nothing, since a byte now and then costs it
//! nothing; what it is answered does, for a request must be whole before it is answered.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tonic::transport::server::Connected;

/// What counts as one address: of IPv6 a /64, all of which one host may have.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

/// Places for connections, of all peers and of one network.
#[derive(Debug)]
pub(crate) struct Places {
    total_max: usize,
    per_network_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_network: BTreeMap<IpAddr, usize>,
}

impl Places {
    pub(crate) fn new(total_max: usize, per_network_max: usize) -> Arc<Places> {
        Arc::new(Places { total_max, per_network_max, taken: Mutex::default() })
    }

    /// Takes a place; `None` if there is none left for this peer. This machine itself counts among
    /// all, not as a network: a proxy on it brings everybody.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let network = (!peer.is_loopback()).then(|| network_of(peer));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total == self.total_max {
            return None;
        }
        if let Some(network) = network {
            let count = taken.by_network.entry(network).or_default();
            if *count == self.per_network_max {
                return None;
            }
            *count += 1;
        }
        taken.total += 1;
        Some(Place { places: Arc::clone(self), network })
    }
}

/// One place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    network: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        let Some(network) = self.network else {
            return;
        };
        if let Some(count) = taken.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                taken.by_network.remove(&network);
            }
        }
    }
}

/// How long a connection may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// As long as its protocol lets it.
    Open,
    /// This long, whatever it does.
    Age(Duration),
    /// As long as something is written to it within each such time.
    Answered(Duration),
}

/// A connection in its place, cut off when its term is over.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    term: Term,
    over: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl<S> Connection<S> {
    pub(crate) fn new(stream: S, term: Term, place: Place) -> Connection<S> {
        let over = match term {
            Term::Open => None,
            Term::Age(time) | Term::Answered(time) => Some(Box::pin(sleep(time))),
        };
        Connection { stream, term, over, _place: place }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(over) = &mut self.over else {
            return Ok(());
        };
        match over.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(1..)), Term::Answered(time), Some(over)) =
            (&written, self.term, &mut self.over)
        {
            over.set(sleep(time));
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What tonic tells of a connection is what the stream says of itself.
impl<S: Connected> Connected for Connection<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const TERM: Duration = Duration::from_millis(50);

    fn place() -> Place {
        Places::new(1, 1).take(Ipv4Addr::LOCALHOST.into()).expect("a free place")
    }

    #[test]
    fn places_are_bounded_by_network_and_in_all_and_come_back() {
        let places = Places::new(4, 2);
        let take = |peer: &str| places.take(peer.parse().expect("an address"));
        let one = [take("2001:db8::1"), take("2001:db8::ffff:2")];
        assert!(one.iter().all(Option::is_some));
        assert!(take("2001:db8::3").is_none());
        let here = [take("127.0.0.1"), take("::ffff:127.0.0.1")];
        assert!(here.iter().all(Option::is_some));
        assert!(take("192.0.2.1").is_none());
        drop(one);
        assert!(take("2001:db8::3").is_some());
        drop(here);
        let taken = places.taken.lock().expect("not poisoned");
        assert_eq!((taken.total, taken.by_network.len()), (0, 0));
    }

    #[tokio::test]
    async fn who_sends_a_byte_now_and_then_and_is_never_answered_is_cut_off() {
        let (mut peer, ours) = duplex(64);
        let mut ours = Connection::new(ours, Term::Answered(TERM), place());
        let mut byte = [0];
        let error = loop {
            peer.write_all(b"G").await.expect("goes through");
            if let Err(error) = ours.read_exact(&mut byte).await {
                break error;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_nothing_of_what_is_written_is_cut_off() {
        let (_peer, ours) = duplex(64);
        let mut ours = Connection::new(ours, Term::Answered(TERM), place());
        let error = loop {
            if let Err(error) = ours.write_all(b"event").await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_answer_prolongs_a_term_and_not_an_age() {
        for (term, is_prolonged) in [(Term::Answered(TERM), true), (Term::Age(TERM), false)] {
            let (_peer, ours) = duplex(1 << 20);
            let mut ours = Connection::new(ours, term, place());
            let mut answers = 0;
            let begun = sleep(TERM * 3);
            tokio::pin!(begun);
            let is_cut = loop {
                tokio::select! {
                    biased;
                    () = &mut begun => break false,
                    written = ours.write_all(b".") => if written.is_err() { break true },
                }
                answers += 1;
                tokio::task::yield_now().await;
                if answers == 1 << 20 {
                    break false;
                }
            };
            assert_eq!(is_cut, !is_prolonged, "{term:?} after {answers}");
        }
    }
}
