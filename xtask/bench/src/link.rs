//! One agent's session: mutual TLS, hello, assignment, heartbeats, batches, acknowledgements.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint};
use wire::{
    limits,
    v1::{self, agent_frame, server_frame},
};

use crate::{
    fleet::{Chance, Fleet, TICK_BEGIN_US},
    now,
};

#[expect(unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated")]
mod generated {
    include!("../../../crates/agent/src/generated/faultline.agent.v1.rs");
}

/// Frames on their way out; the server's own flow control does the rest.
const FRAMES_MAX: usize = 16;
/// Longer than a healthy server is silent while something is due.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// One batch of so many is sent twice, as after a lost acknowledgement.
const RESENT_ONE_IN: u64 = 100;

/// An open session.
#[derive(Debug)]
pub struct Link {
    frames: mpsc::Sender<v1::AgentFrame>,
    answers: Streaming<v1::ServerFrame>,
    epoch: u64,
    boot_id: Vec<u8>,
    /// When the agent's tick was [`TICK_BEGIN_US`].
    begun: Instant,
}

impl Link {
    /// Opens a session. The agent's tick was [`TICK_BEGIN_US`] when it had `begun`; `last_epoch` is
    /// the newest that its sessions before were granted, 0 if this is the first.
    ///
    /// # Errors
    ///
    /// If nobody listens, or whoever does refuses the session.
    pub async fn open(
        identity: &Identity,
        begun: Instant,
        last_epoch: u64,
    ) -> anyhow::Result<Link> {
        let mut client = dial(identity).await?;
        let (frames, outgoing) = mpsc::channel(FRAMES_MAX);
        let boot_id: Vec<u8> = (0..16).map(|byte| identity.number as u8 ^ byte).collect();
        let hello = v1::Hello {
            protocol_version: limits::PROTOCOL_VERSION,
            spool_id: boot_id.clone(),
            boot_id: boot_id.clone(),
            instance_id: boot_id.clone(),
            last_epoch,
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            os: "bench".to_owned(),
            hostname: "bench".to_owned(),
            capabilities: vec![v1::Capability::IcmpV4.into(), v1::Capability::IcmpV6.into()],
            clock: Some(clock(begun)),
            ..v1::Hello::default()
        };
        frames.send(frame(agent_frame::Kind::Hello(hello))).await.context("hello")?;
        let answers = client.session(ReceiverStream::new(outgoing)).await;
        let answers = answers.context("the server refused the session")?.into_inner();
        let mut link = Link { frames, answers, epoch: 0, boot_id, begun };
        let server_frame::Kind::Welcome(welcome) = link.answer().await? else {
            bail!("the server does not welcome an agent");
        };
        link.epoch = welcome.epoch;
        Ok(link)
    }

    /// The epoch that the server granted to this session.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Sends a batch by its name; one that was made in an earlier session keeps its epoch.
    ///
    /// # Errors
    ///
    /// If the session ended.
    pub async fn send(&self, epoch: u64, seq: u64, payload_zstd: Vec<u8>) -> anyhow::Result<()> {
        let batch = v1::Batch {
            epoch,
            seq,
            boot_id: self.boot_id.clone(),
            closed: Some(clock(self.begun)),
            payload_zstd,
            drops: Vec::new(),
        };
        self.say(agent_frame::Kind::Batch(batch)).await
    }

    /// Waits for the next acknowledgement: epoch and sequence number. May be given up at any time.
    ///
    /// # Errors
    ///
    /// If the session ended, or a batch was refused.
    pub async fn acknowledged(&mut self) -> anyhow::Result<(u64, u64)> {
        loop {
            match self.answer().await? {
                server_frame::Kind::Ack(ack) => return Ok((ack.epoch, ack.seq)),
                server_frame::Kind::Refusal(refusal) => {
                    bail!("a batch was refused: {}", refusal.reason)
                }
                server_frame::Kind::Welcome(_)
                | server_frame::Kind::Assignment(_)
                | server_frame::Kind::Pace(_)
                | server_frame::Kind::Command(_)
                | server_frame::Kind::CommandCancel(_) => (),
            }
        }
    }

    /// Waits for an assignment of so many probes.
    ///
    /// # Errors
    ///
    /// If the session ended.
    pub async fn assigned(&mut self, count: u32) -> anyhow::Result<Vec<u32>> {
        let mut probes: Vec<u32> = Vec::new();
        loop {
            let server_frame::Kind::Assignment(part) = self.answer().await? else {
                continue;
            };
            if part.part == 0 {
                probes.clear();
            }
            probes.extend(part.probes.iter().map(|probe| probe.probe_id));
            if part.part + 1 < part.parts {
                continue;
            }
            let applied = v1::AssignmentApplied {
                version: part.version,
                probes: u32::try_from(probes.len())?,
                refused: Vec::new(),
            };
            self.say(agent_frame::Kind::AssignmentApplied(applied)).await?;
            if probes.len() == count as usize {
                return Ok(probes);
            }
        }
    }

    /// Sends everything at its time; ends when all of it is acknowledged.
    ///
    /// # Errors
    ///
    /// If the session ended, or a batch was refused.
    pub async fn play(mut self, fleet: Fleet, begun: Instant) -> anyhow::Result<()> {
        // Ticks of the payloads count from here.
        self.begun = begun;
        let last = fleet.parcels.len() as u64;
        let mut chance = Chance(last.max(1));
        let mut beat_at = begun;
        let mut heard = Heard::default();
        for (seq, parcel) in (1..).zip(fleet.parcels) {
            while now() < begun + parcel.at {
                self.beat(&mut beat_at).await?;
                let next = beat_at.min(begun + parcel.at);
                tokio::select! {
                    () = tokio::time::sleep_until(next.into()) => (),
                    answer = self.answers.message() => heard.hear(answer)?,
                }
            }
            if chance.one_in(RESENT_ONE_IN) {
                self.send(self.epoch, seq, parcel.payload_zstd.clone()).await?;
            }
            self.send(self.epoch, seq, parcel.payload_zstd).await?;
        }
        while heard.acknowledged < last {
            let answer = timeout(ANSWER_MAX, self.answers.message()).await;
            heard.hear(answer.context("the last batches were not acknowledged")?)?;
        }
        Ok(())
    }

    /// Says that it lives, when that is due.
    async fn beat(&mut self, beat_at: &mut Instant) -> anyhow::Result<()> {
        if now() < *beat_at {
            return Ok(());
        }
        *beat_at += HEARTBEAT;
        let heartbeat =
            v1::Heartbeat { clock: Some(clock(self.begun)), ..v1::Heartbeat::default() };
        self.say(agent_frame::Kind::Heartbeat(heartbeat)).await
    }

    async fn say(&self, kind: agent_frame::Kind) -> anyhow::Result<()> {
        self.frames.send(frame(kind)).await.ok().context("the session ended")
    }

    async fn answer(&mut self) -> anyhow::Result<server_frame::Kind> {
        let frame = timeout(ANSWER_MAX, self.answers.message()).await;
        let frame = frame.context("the server says nothing")?.context("the session broke")?;
        frame.and_then(|frame| frame.kind).context("the server ended the session")
    }
}

/// What the server said of the batches.
#[derive(Default)]
struct Heard {
    /// The newest sequence number that is durable.
    acknowledged: u64,
}

impl Heard {
    fn hear(
        &mut self,
        answer: Result<Option<v1::ServerFrame>, tonic::Status>,
    ) -> anyhow::Result<()> {
        let frame = answer.context("the session broke")?.context("the server ended the session")?;
        if let Some(server_frame::Kind::Refusal(refusal)) = &frame.kind {
            bail!("a batch was refused: {}", refusal.reason);
        }
        if let Some(server_frame::Kind::Ack(ack)) = frame.kind {
            self.acknowledged = ack.seq;
        }
        Ok(())
    }
}

fn frame(kind: agent_frame::Kind) -> v1::AgentFrame {
    v1::AgentFrame { kind: Some(kind) }
}

#[expect(clippy::disallowed_methods, reason = "the wall clock that an agent would have")]
fn clock(begun: Instant) -> v1::Clock {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    v1::Clock {
        tick_us: TICK_BEGIN_US + begun.elapsed().as_micros() as u64,
        wall_us: wall.as_micros() as i64,
    }
}

/// What enrolment left on disk.
#[derive(Debug)]
pub struct Identity {
    number: u32,
    address: String,
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads it from an agent's state directory; the server is dialled at `address`.
    ///
    /// # Errors
    ///
    /// If a file is missing or not readable.
    pub fn load(number: u32, address: &str, state_dir: &Path) -> anyhow::Result<Identity> {
        let folder = state_dir.join("identity");
        let certificate = |name: &str| {
            CertificateDer::from_pem_file(folder.join(name)).with_context(|| format!("no {name}"))
        };
        Ok(Identity {
            number,
            address: address.to_owned(),
            authority: certificate("authority.crt")?,
            certificate: certificate("agent.crt")?,
            key: PrivateKeyDer::from_pem_file(folder.join("agent.key")).context("no agent.key")?,
        })
    }
}

type Client = generated::agent_link_client::AgentLinkClient<tonic::transport::Channel>;

async fn dial(identity: &Identity) -> anyhow::Result<Client> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.authority.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(&identity.address).await.context("no server")?;
    let name = ServerName::try_from(limits::SERVER_NAME)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let once = Arc::new(Mutex::new(Some(TokioIo::new(stream.context("TLS failed")?))));
    let connector = tower::service_fn(move |_| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    // The scheme says nothing here: TLS is below, and always on.
    let endpoint = Endpoint::from_shared(format!("http://{}", limits::SERVER_NAME))?;
    let channel = endpoint.connect_with_connector(connector).await.context("no HTTP/2")?;
    Ok(Client::new(channel).max_decoding_message_size(limits::FRAME_BYTES_MAX))
}
