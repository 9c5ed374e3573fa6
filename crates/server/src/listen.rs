//! Listening sockets: TCP, and TLS over it with handshakes that cannot hold up anyone else.
//!
//! A handshake runs beside the others, has a time limit, and only a bounded number are under way.
//! Established connections have places ([`Places`]), and those of strangers end soon. What is done
//! with a connection is not known here.

mod connection;

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    server::{ResolvesServerCert, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{authority::Authority, config::TlsFiles, metrics::Metrics};
pub(crate) use connection::{Connection, Places, Term, network_of};

/// Handshakes under way: each costs a signature and some memory.
const HANDSHAKES_MAX: usize = 256;
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Consoles and programs at once: each person has a few, each costs some 50 KiB and a file
/// descriptor.
const HTTP_CONNECTIONS_MAX: usize = 1_024;
/// Of them from one network: a whole office behind one address.
const HTTP_PER_NETWORK_MAX: usize = 128;
/// A connection to console or API to which nothing was written for this long ends: whatever it
/// sends, it is no request. The slowest answer, of the largest import, is far below; live events
/// are written to every ten seconds.
const HTTP_ANSWER_MAX: Duration = Duration::from_secs(120);
/// Agents at once, each with one connection and sometimes a second.
const AGENT_CONNECTIONS_MAX: usize = 10_000;
/// Of them from one network: a region's agents behind one address.
const AGENTS_PER_NETWORK_MAX: usize = 2_000;
/// Connections without a client certificate, of those that enrol. They have their own places, so
/// that strangers keep no agent out.
const STRANGERS_MAX: usize = 256;
const STRANGERS_PER_NETWORK_MAX: usize = 32;
/// An enrolment is one call; a stranger needs no longer.
const STRANGER_AGE_MAX: Duration = Duration::from_secs(30);
/// Connections that are through and wait to be taken.
const ACCEPTED_MAX: usize = 64;
/// After an accept that failed, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{address}, the address of {purpose}, is taken by another program: stop that one, or \
         choose another address by {} (`{}` in the configuration)", purpose.flag(), purpose.key()
    )]
    Taken { address: SocketAddr, purpose: Purpose },
    #[error(
        "cannot listen on {address} for {purpose}: choose another address by {} (`{}` in the \
         configuration)", purpose.flag(), purpose.key()
    )]
    Bind {
        address: SocketAddr,
        purpose: Purpose,
        #[source]
        source: io::Error,
    },
    #[error("cannot read `{}` as PEM: {reason}", path.display())]
    Pem { path: std::path::PathBuf, reason: String },
    #[error("cannot use the certificate for TLS")]
    Tls(#[from] rustls::Error),
    #[error("cannot use the authority to verify agents: {reason}")]
    Verifier { reason: String },
    #[error("cannot write `{}`, by which commands on this machine know the server", path.display())]
    Leave {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Console,
    Agents,
}

impl Purpose {
    fn flag(self) -> &'static str {
        match self {
            Purpose::Console => "--http-listen",
            Purpose::Agents => "--agent-listen",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Purpose::Console => "http.listen",
            Purpose::Agents => "agents.listen",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Purpose::Console => "console and API",
            Purpose::Agents => "the agents",
        })
    }
}

pub(crate) async fn bind(
    address: SocketAddr,
    purpose: Purpose,
) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            ListenError::Taken { address, purpose }
        } else {
            ListenError::Bind { address, purpose, source }
        }
    })
}

fn versions() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

/// TLS for agents: a client certificate of the authority, or none at all.
pub(crate) fn agents_tls(
    authority: &Authority,
    certificate: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, ListenError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der().clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| ListenError::Verifier { reason: error.to_string() })?;
    let mut config =
        versions()?.with_client_cert_verifier(verifier).with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// TLS for the console and the API, from the operator's files.
pub(crate) fn http_tls(files: &TlsFiles) -> Result<ServerConfig, ListenError> {
    let pem = |path: &std::path::Path, error: rustls_pki_types::pem::Error| ListenError::Pem {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem(&files.certificate, error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| pem(&files.key, error))?;
    let mut config = versions()?.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Who may come through a listener, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    places: Arc<Places>,
    term: Term,
    /// Places and term of those without a client certificate, where others have one.
    strangers: Option<(Arc<Places>, Term)>,
}

impl Door {
    /// The door for people and programs.
    pub(crate) fn http() -> Door {
        Door {
            places: Places::new(HTTP_CONNECTIONS_MAX, HTTP_PER_NETWORK_MAX),
            term: Term::Answered(HTTP_ANSWER_MAX),
            strangers: None,
        }
    }

    /// The door for agents, at which strangers may knock to become one.
    pub(crate) fn agents() -> Door {
        let strangers = Places::new(STRANGERS_MAX, STRANGERS_PER_NETWORK_MAX);
        Door {
            places: Places::new(AGENT_CONNECTIONS_MAX, AGENTS_PER_NETWORK_MAX),
            term: Term::Open,
            strangers: Some((strangers, Term::Age(STRANGER_AGE_MAX))),
        }
    }

    /// Lets a connection in; `None`, counted, if there is no place for it.
    fn admit<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        has_certificate: bool,
        metrics: &Metrics,
    ) -> Option<Connection<S>> {
        let (places, term) = match &self.strangers {
            Some((places, term)) if !has_certificate => (places, *term),
            Some(_) | None => (&self.places, self.term),
        };
        let Some(place) = places.take(peer.ip()) else {
            metrics.connections_refused.inc();
            tracing::debug!(%peer, "no place for another connection");
            return None;
        };
        Some(Connection::new(stream, term, place))
    }
}

/// Leaves the certificate that console and API show where commands on this machine look for it:
/// it is for the name that people type, and they come by the loopback address.
pub(crate) fn leave_certificate(path: &Path, files: Option<&TlsFiles>) -> Result<(), ListenError> {
    let unfinished = path.with_added_extension("new");
    let left = match files {
        Some(files) => {
            let certificate = CertificateDer::from_pem_file(&files.certificate);
            let certificate = certificate.map_err(|error| ListenError::Pem {
                path: files.certificate.clone(),
                reason: error.to_string(),
            })?;
            fs::write(&unfinished, certificate).and_then(|()| fs::rename(&unfinished, path))
        }
        None => match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
    };
    left.map_err(|source| ListenError::Leave { path: path.to_owned(), source })
}

/// Connections without TLS.
#[derive(Debug)]
pub(crate) struct PlainListener {
    listener: TcpListener,
    door: Door,
    metrics: Arc<Metrics>,
}

impl PlainListener {
    pub(crate) fn new(listener: TcpListener, door: Door, metrics: Arc<Metrics>) -> PlainListener {
        PlainListener { listener, door, metrics }
    }
}

impl axum::serve::Listener for PlainListener {
    type Io = Connection<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection<TcpStream>, SocketAddr) {
        loop {
            let (stream, peer) = axum::serve::Listener::accept(&mut self.listener).await;
            if let Some(connection) = self.door.admit(stream, peer, false, &self.metrics) {
                return (connection, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

type TlsConnection = Connection<TlsStream<TcpStream>>;

/// Connections whose handshake is through.
#[derive(Debug)]
pub(crate) struct TlsListener {
    address: SocketAddr,
    accepted: mpsc::Receiver<(TlsConnection, SocketAddr)>,
}

impl TlsListener {
    /// Makes a listener, and the task that accepts for it until `stop`.
    pub(crate) fn new(
        listener: TcpListener,
        config: ServerConfig,
        door: Door,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> io::Result<(TlsListener, impl Future<Output = ()> + Send + 'static)> {
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(ACCEPTED_MAX);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let task = async move {
            let accepting = accept(&listener, &acceptor, &door, &sender, &metrics);
            stop.run_until_cancelled(accepting).await.unwrap_or(());
        };
        Ok((TlsListener { address, accepted }, task))
    }

    /// The streams alone, as tonic takes them.
    pub(crate) fn into_streams(
        self,
    ) -> impl futures_util::Stream<Item = io::Result<TlsConnection>> {
        futures_util::stream::unfold(self.accepted, |mut accepted| async move {
            let (stream, _) = accepted.recv().await?;
            Some((Ok(stream), accepted))
        })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsConnection, SocketAddr) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The accepting task has ended because the server stops.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
    door: &Door,
    sender: &mpsc::Sender<(TlsConnection, SocketAddr)>,
    metrics: &Arc<Metrics>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        while HANDSHAKES_MAX <= handshakes.len() {
            handshakes.join_next().await;
        }
        while handshakes.try_join_next().is_some() {}
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                metrics.handshakes_failed.inc();
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, door, sender) = (acceptor.clone(), door.clone(), sender.clone());
        let metrics = Arc::clone(metrics);
        handshakes.spawn(async move {
            // Latency matters more than the bytes of a few small segments.
            stream.set_nodelay(true).unwrap_or(());
            match timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                    if let Some(admitted) = door.admit(stream, address, has_certificate, &metrics) {
                        sender.send((admitted, address)).await.unwrap_or(());
                    }
                }
                Ok(Err(error)) => {
                    metrics.handshakes_failed.inc();
                    tracing::debug!(%error, %address, "a TLS handshake failed");
                }
                Err(_) => {
                    metrics.handshakes_failed.inc();
                    tracing::debug!(%address, "a TLS handshake took too long");
                }
            }
        });
    }
}
