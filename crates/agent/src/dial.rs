//! One connection to the server: TCP, TLS for the server's own name, HTTP/2.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};
use wire::limits;

use crate::generated::agent_link_client::AgentLinkClient;

/// One address gets this long for TCP and as long again for TLS.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error(
        "the server cannot be reached at {address}: check that it runs, that this address leads to \
         it, and that a firewall between lets TCP through"
    )]
    Unreachable {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{address} answers, but not as our server does: check that this is the address its agents \
         connect to (port 7481 by default, not the console's 7480) and that nothing between \
         answers in its place"
    )]
    Tls {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("{address} accepted TLS, but not HTTP/2")]
    Http {
        address: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("no address of the server is known: enrol this agent anew")]
    NoAddress,
}

/// Dials the addresses in their order; the first that answers is taken.
///
/// The second value is its address.
pub(crate) async fn dial(
    addresses: &[String],
    config: &Arc<ClientConfig>,
) -> Result<(AgentLinkClient<Channel>, String), DialError> {
    let mut failure = DialError::NoAddress;
    for address in addresses {
        match dial_one(address, config).await {
            Ok(client) => return Ok((client, address.clone())),
            Err(error) => {
                tracing::debug!(%address, error = %crate::chain(&error), "address failed");
                failure = error;
            }
        }
    }
    Err(failure)
}

async fn dial_one(
    address: &str,
    config: &Arc<ClientConfig>,
) -> Result<AgentLinkClient<Channel>, DialError> {
    let stream = connect(address, config).await?;
    // The connection is already there; when it ends, the agent dials anew itself.
    let once = Arc::new(Mutex::new(Some(TokioIo::new(stream))));
    let connector = tower::service_fn(move |_| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let http = |source| DialError::Http { address: address.to_owned(), source };
    // The scheme says nothing here: TLS is below, and always on.
    let endpoint = Endpoint::from_shared(format!("http://{}", limits::SERVER_NAME));
    let endpoint = endpoint
        .map_err(http)?
        .connect_timeout(STEP_TIMEOUT)
        .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect_with_connector(connector).await;
    Ok(AgentLinkClient::new(channel.map_err(http)?)
        .max_decoding_message_size(limits::FRAME_BYTES_MAX)
        .max_encoding_message_size(limits::FRAME_BYTES_MAX))
}

async fn connect(
    address: &str,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, DialError> {
    let unreachable = |source| DialError::Unreachable { address: address.to_owned(), source };
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let tcp = timeout(STEP_TIMEOUT, TcpStream::connect(address)).await;
    let tcp = tcp.map_err(late).flatten().map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let tls = |source| DialError::Tls { address: address.to_owned(), source };
    let name = ServerName::try_from(limits::SERVER_NAME);
    let name = name.map_err(|e| tls(io::Error::other(e)))?;
    let stream = TlsConnector::from(config.clone()).connect(name, tcp);
    timeout(STEP_TIMEOUT, stream).await.map_err(late).flatten().map_err(tls)
}
