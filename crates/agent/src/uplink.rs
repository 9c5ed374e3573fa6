//! The agent's one stream to the server: opening it, and the frames on it.

use std::{error::Error, io, ops::RangeInclusive, sync::Arc, time::Duration};

use model::Tick;
use rustls::ClientConfig;
use tokio::{
    sync::mpsc,
    time::{error::Elapsed, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use wire::{
    limits,
    v1::{self, AgentFrame, ServerFrame, agent_frame, server_frame},
};

use crate::{
    dial::{DialError, dial},
    generated::agent_link_client::AgentLinkClient,
    lanes::Lanes,
    spool::Key,
};

/// Frames between the agent and its connection: enough to keep it busy.
const OUTBOUND_MAX: usize = 32;
/// Of these, so many are kept for heartbeats and answers, which must not wait behind batches.
pub(crate) const OUTBOUND_RESERVE: usize = 8;
/// From the opened connection to `Welcome`.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);
/// What a server may ask for as the interval of heartbeats.
const HEARTBEAT_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// Why there is no stream, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Only a person can change it.
    #[error(
        "the server refuses this agent ({reason}): its certificate was revoked or has expired, or \
         the agent was deleted. If that is not wanted, make a new token and run `faultline-agent \
         enroll TOKEN --replace`"
    )]
    Refused { reason: String },
    /// Another process has this agent's certificate and is connected.
    #[error(
        "{reason}. If this state directory is a copy, make it an agent of its own: `faultline \
         agent create NAME` on the server, then `faultline-agent enroll TOKEN --replace` here"
    )]
    Held { reason: String },
    #[error("the stream failed: {}", crate::limited(status.message()))]
    Failed { status: Box<Status> },
    #[error("the server did not welcome this agent in time")]
    Silent,
    #[error("the server ended the stream")]
    Ended,
    #[error("the server did not begin with a welcome")]
    NoWelcome,
}

impl From<Status> for LinkError {
    fn from(status: Status) -> LinkError {
        if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) {
            let reason = crate::limited(status.message()).to_owned();
            return LinkError::Refused { reason };
        }
        if status.code() == Code::AlreadyExists {
            return LinkError::Held { reason: crate::limited(status.message()).to_owned() };
        }
        match certificate_alert(&status) {
            Some(reason) => LinkError::Refused { reason },
            None => LinkError::Failed { status: Box::new(status) },
        }
    }
}

impl From<Elapsed> for LinkError {
    fn from(_: Elapsed) -> LinkError {
        LinkError::Silent
    }
}

/// Finds the TLS alert by which a server refuses a client certificate: it comes only after the
/// handshake is done on our side.
fn certificate_alert(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner.and_then(|e| e.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            return Some(format!("TLS alert {alert:?}"));
        }
        next = error.source();
    }
    None
}

/// An open stream that was welcomed.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: AgentLinkClient<Channel>,
    pub(crate) address: String,
    outbound: mpsc::Sender<AgentFrame>,
    inbound: Streaming<ServerFrame>,
    pub(crate) lanes: Lanes,
}

/// Dials, says hello and waits to be welcomed.
pub(crate) async fn open(
    addresses: Vec<String>,
    config: Arc<ClientConfig>,
    hello: v1::Hello,
    now: Tick,
) -> Result<(Link, v1::Welcome), LinkError> {
    let (mut client, address) = dial(&addresses, &config).await?;
    let (outbound, frames) = mpsc::channel(OUTBOUND_MAX);
    let hello = AgentFrame { kind: Some(agent_frame::Kind::Hello(hello)) };
    outbound.try_send(hello).map_err(|_| LinkError::Ended)?;
    let session = client.session(ReceiverStream::new(frames));
    let mut inbound = timeout(WELCOME_TIMEOUT, session).await??.into_inner();
    let first = timeout(WELCOME_TIMEOUT, inbound.message()).await??;
    let Some(server_frame::Kind::Welcome(welcome)) = first.ok_or(LinkError::Ended)?.kind else {
        return Err(LinkError::NoWelcome);
    };
    let lanes = Lanes::new(&welcome, now);
    Ok((Link { client, address, outbound, inbound, lanes }, welcome))
}

/// The interval that the server asks for, within reason.
pub(crate) fn heartbeat_interval(welcome: &v1::Welcome) -> Duration {
    match welcome.heartbeat_interval_ms {
        0 => limits::HEARTBEAT_INTERVAL,
        ms => {
            Duration::from_millis(ms.into()).clamp(*HEARTBEAT_RANGE.start(), *HEARTBEAT_RANGE.end())
        }
    }
}

impl Link {
    /// Whether the connection takes another batch.
    pub(crate) fn has_room(&self) -> bool {
        OUTBOUND_RESERVE < self.outbound.capacity()
    }

    /// Sends a batch; nothing is lost if the connection is gone, for the spool has it.
    pub(crate) fn send_batch(&mut self, key: Key, bytes: u64, batch: v1::Batch) {
        self.lanes.note_sent(key, bytes);
        self.send(agent_frame::Kind::Batch(batch));
    }

    /// Sends a frame, or leaves it if the connection takes none: what is sent so is said again.
    pub(crate) fn send(&self, kind: agent_frame::Kind) {
        if !self.try_send(kind) {
            tracing::debug!("a frame was left out: the connection takes none");
        }
    }

    /// Sends a frame; returns whether the connection took it.
    pub(crate) fn try_send(&self, kind: agent_frame::Kind) -> bool {
        self.outbound.try_send(AgentFrame { kind: Some(kind) }).is_ok()
    }

    /// Waits for what the server says next.
    pub(crate) async fn next_frame(&mut self) -> Result<server_frame::Kind, LinkError> {
        loop {
            let frame = self.inbound.message().await?.ok_or(LinkError::Ended)?;
            match frame.kind {
                Some(kind) => return Ok(kind),
                // A kind that a later version of the contract has.
                None => tracing::debug!("the server sent a frame of an unknown kind"),
            }
        }
    }

    /// A handle to wait for room with.
    pub(crate) fn outbound(&self) -> mpsc::Sender<AgentFrame> {
        self.outbound.clone()
    }
}
