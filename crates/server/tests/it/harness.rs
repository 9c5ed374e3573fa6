//! A server in this process with its own directory, and a scripted agent over real mutual TLS.

use std::{path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper_util::rt::TokioIo;
use journal::{Disk, Journal, Options};
use model::{Confirm, NotAsked, Outcome, ProbeId, RoundFlags, Rtt, Subject, Tick};
use rcgen::KeyPair;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::{Value, json};
use server::{Config, Overrides, Ready, clock::Clock};
use sha2::{Digest as _, Sha256};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};
use wire::{rounds::RoundRow, v1};

/// The client half of the service, which the agent owns.
#[expect(clippy::allow_attributes_without_reason, unreachable_pub, reason = "generated")]
mod stub {
    include!("../../../agent/src/generated/faultline.agent.v1.rs");
}

use stub::agent_link_client::AgentLinkClient;

/// Nothing here takes long; without an end a failure would hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it did not come")
}

/// A running server.
pub(crate) struct Server {
    pub(crate) ready: Ready,
    stop: CancellationToken,
    task: JoinHandle<Result<(), server::ServeError>>,
    key: String,
    http: reqwest::Client,
}

impl Server {
    pub(crate) async fn start(dir: &Path) -> Server {
        Server::start_by(dir, Clock::system()).await
    }

    /// Starts one that goes by another clock.
    pub(crate) async fn start_by(dir: &Path, clock: Clock) -> Server {
        Server::start_with(dir, "", clock).await
    }

    /// Starts one with a configuration of its own.
    pub(crate) async fn start_with(dir: &Path, config: &str, clock: Clock) -> Server {
        let overrides = Overrides {
            data_dir: Some(dir.to_owned()),
            http_listen: Some("127.0.0.1:0".to_owned()),
            agent_listen: Some("127.0.0.1:0".to_owned()),
        };
        let config = Config::resolve(config, &|_| None, &overrides).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        // Another test of this process may have installed it.
        provider.install_default().unwrap_or(());
        let (ready, is_ready) = oneshot::channel();
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "`stop` waits for it")]
        let task = tokio::spawn(server::serve_with(config, clock, stop.clone(), ready));
        let Ok(ready) = soon(is_ready).await else {
            panic!("the server did not start: {:?}", task.await)
        };
        let key = std::fs::read_to_string(dir.join("keys/local-api.key")).unwrap();
        let http = reqwest::Client::new();
        Server { ready, stop, task, key: key.trim().to_owned(), http }
    }

    /// Starts a server where one was killed: that one may hold the log for a moment longer.
    pub(crate) async fn start_again(dir: &Path) -> Server {
        Server::start_again_by(dir, Clock::system()).await
    }

    pub(crate) async fn start_again_by(dir: &Path, clock: Clock) -> Server {
        soon(async {
            while Journal::open(dir.join("log"), Options::default(), Disk).is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Server::start_by(dir, clock).await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap();
    }

    /// Ends it without any of what a stop brings to disk.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(soon(self.task).await.is_err_and(|error| error.is_cancelled()));
        // What it left running in this process lets go of the directory.
        self.stop.cancel();
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("{}/api/v1{path}", self.ready.http_url);
        let answer = self.http.get(url).bearer_auth(&self.key).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/api/v1{path}", self.ready.http_url);
        let text = body.to_string();
        let request = self.http.post(url).bearer_auth(&self.key);
        let request = request.header("content-type", "application/json").body(text);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// As [`Server::post`], whatever comes of it.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/api/v1{path}", self.ready.http_url);
        let request = self.http.post(url).bearer_auth(&self.key);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) {
        let url = format!("{}/api/v1{path}", self.ready.http_url);
        let request = self.http.patch(url).bearer_auth(&self.key);
        let request = request.header("content-type", "application/json").body(body.to_string());
        request.send().await.unwrap().error_for_status().unwrap();
    }

    pub(crate) async fn delete(&self, path: &str) {
        let url = format!("{}/api/v1{path}", self.ready.http_url);
        let answer = self.http.delete(url).bearer_auth(&self.key).send().await.unwrap();
        answer.error_for_status().unwrap();
    }

    /// Signs in and returns the status of the answer.
    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> u16 {
        let url = format!("{}/api/v1/session", self.ready.http_url);
        let body = json!({ "name": name, "password": password }).to_string();
        let request = self.http.post(url).header("content-type", "application/json").body(body);
        request.send().await.unwrap().status().as_u16()
    }

    /// Asks for something that is not always JSON, or not always there.
    pub(crate) async fn ask(&self, method: reqwest::Method, path: &str) -> reqwest::Response {
        let url = format!("{}/api/v1{path}", self.ready.http_url);
        self.http.request(method, url).bearer_auth(&self.key).send().await.unwrap()
    }

    /// Sends a body of another kind than JSON.
    pub(crate) async fn send_form(
        &self,
        path: &str,
        kind: &str,
        body: String,
    ) -> reqwest::Response {
        let url = format!("{}/api/v1{path}", self.ready.http_url);
        let request = self.http.post(url).bearer_auth(&self.key).header("content-type", kind);
        request.body(body).send().await.unwrap()
    }

    /// What `/readyz` says, with its status.
    pub(crate) async fn readyz(&self) -> (u16, String) {
        let answer = self.http.get(format!("{}/readyz", self.ready.http_url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// One line of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let url = format!("{}/metrics", self.ready.http_url);
        let answer = self.http.get(url).bearer_auth(&self.key).send().await.unwrap();
        let text = answer.error_for_status().unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
    }

    /// Creates an agent; returns its id and the token.
    pub(crate) async fn new_agent(&self, name: &str) -> (u64, Token) {
        let made = self.post("/agents", &json!({ "name": name })).await;
        let id = made["agent"]["id"].as_u64().unwrap();
        (id, Token::parse(made["token"].as_str().unwrap()))
    }

    /// Creates a target; returns its id and its probe's.
    pub(crate) async fn new_target(&self, name: &str, address: &str) -> (u64, ProbeId) {
        let made = self.post("/targets", &json!({ "name": name, "address": address })).await;
        let probe = made["probe_id"].as_u64().unwrap();
        (made["id"].as_u64().unwrap(), ProbeId(u32::try_from(probe).unwrap()))
    }

    /// The rounds of a target that can be read.
    pub(crate) async fn rounds(&self, target: u64) -> Vec<Value> {
        let page = self.get(&format!("/targets/{target}/rounds?limit=500")).await;
        page["items"].as_array().unwrap().clone()
    }

    /// Waits until that many rounds of a target can be read.
    pub(crate) async fn rounds_reach(&self, target: u64, count: usize) -> Vec<Value> {
        soon(async {
            loop {
                let rounds = self.rounds(target).await;
                if count <= rounds.len() {
                    return rounds;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// What an enrolment token says.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) address: String,
    pub(crate) fingerprint: String,
    pub(crate) secret: String,
}

impl Token {
    fn parse(text: &str) -> Token {
        let body = URL_SAFE_NO_PAD.decode(text.strip_prefix("flt1.").unwrap()).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Token {
            address: text(&body["a"][0]),
            fingerprint: text(&body["f"]),
            secret: text(&body["s"]),
        }
    }
}

/// An enrolled agent: key, certificate, whom it trusts.
#[derive(Clone)]
pub(crate) struct Identity {
    address: String,
    authority: CertificateDer<'static>,
    certificate: Vec<u8>,
    key: Vec<u8>,
    boot: [u8; 16],
    spool: [u8; 16],
    instance: [u8; 16],
    last_epoch: u64,
    capabilities: Vec<i32>,
}

async fn connect(
    address: &str,
    authority: Option<&CertificateDer<'static>>,
    identity: Option<(&[u8], &[u8])>,
) -> Result<(AgentLinkClient<Channel>, Vec<CertificateDer<'static>>), String> {
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match authority {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.clone()).unwrap();
            builder.with_root_certificates(roots)
        }
        // The first look at the chain: the caller compares the fingerprint.
        None => {
            let verifier = Arc::new(trust::Anyone(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    let mut config = match identity {
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from(certificate.to_vec())];
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec()));
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(wire::limits::SERVER_NAME).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().unwrap().to_vec();
    let mut once = Some(TokioIo::new(stream));
    let dial = tower::service_fn(move |_| {
        let stream = once.take().ok_or_else(|| std::io::Error::other("dialled twice"));
        async move { stream }
    });
    let endpoint = Endpoint::from_static("http://server.faultline.internal");
    let channel = endpoint.connect_with_connector(dial).await.map_err(|e| e.to_string())?;
    Ok((AgentLinkClient::new(channel), chain))
}

mod trust {
    use std::sync::Arc;

    use rustls::{
        DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::CryptoProvider,
    };
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    #[derive(Debug)]
    pub(super) struct Anyone(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

/// Enrols as an agent does: trusts only the authority of the token.
pub(crate) async fn enrol(token: &Token) -> Result<Identity, Status> {
    let key = KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    let (_, chain) = connect(&token.address, None, None).await.unwrap();
    let hex = |der: &[u8]| {
        let digest = Sha256::digest(der);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let authority = chain.iter().find(|der| token.fingerprint == hex(der));
    let authority = authority.expect("the chain has the pinned authority").clone();
    let (mut client, _) = connect(&token.address, Some(&authority), None).await.unwrap();
    let request = v1::EnrollRequest {
        secret: token.secret.clone(),
        csr_der: csr.der().to_vec(),
        software_version: "0".to_owned(),
    };
    let reply = soon(client.enroll(request)).await?.into_inner();
    assert_eq!(reply.authority_der, authority.to_vec());
    Ok(Identity {
        address: token.address.clone(),
        authority,
        certificate: reply.certificate_der,
        key: key.serialize_der(),
        boot: [1; 16],
        spool: [u8::try_from(reply.agent_id).unwrap(); 16],
        instance: [1; 16],
        last_epoch: 0,
        capabilities: Vec::new(),
    })
}

impl Identity {
    /// The same agent, after its server came back on another port.
    pub(crate) fn at(mut self, server: &Server) -> Identity {
        self.address = server.ready.agents.to_string();
        self
    }

    /// Another process with the same identity: a restart, or a copy, as its epoch says.
    pub(crate) fn process(&self, number: u8, last_epoch: u64) -> Identity {
        Identity { instance: [number; 16], last_epoch, ..self.clone() }
    }

    /// The same agent after its host was started again: its ticks begin anew.
    pub(crate) fn booted(self) -> Identity {
        Identity { boot: self.boot.map(|byte| byte.wrapping_add(1)), ..self }
    }

    /// The same agent with a new spool.
    pub(crate) fn wiped(&self) -> Identity {
        Identity { spool: [0xEE; 16], ..self.process(2, 0) }
    }

    /// Opens the stream once it is let in: a server takes a moment to see that another has ended.
    pub(crate) async fn link_once_free(&self) -> Link {
        soon(async {
            loop {
                match self.link().await {
                    Ok(link) => return link,
                    Err(status) => assert_eq!(status.code(), tonic::Code::AlreadyExists),
                }
            }
        })
        .await
    }

    /// The same agent, whose host lets it ask these.
    pub(crate) fn able(mut self, capabilities: &[v1::Capability]) -> Identity {
        self.capabilities = capabilities.iter().copied().map(i32::from).collect();
        self
    }

    /// Opens the stream and says hello.
    pub(crate) async fn link(&self) -> Result<Link, Status> {
        let identity = (self.certificate.as_slice(), self.key.as_slice());
        let connected = connect(&self.address, Some(&self.authority), Some(identity)).await;
        let (mut client, _) = connected.map_err(Status::unavailable)?;
        let (frames, outbound) = mpsc::channel(64);
        let hello = v1::Hello {
            protocol_version: 1,
            boot_id: self.boot.to_vec(),
            spool_id: self.spool.to_vec(),
            software_version: "0".to_owned(),
            os: "test".to_owned(),
            hostname: "test".to_owned(),
            capabilities: self.capabilities.clone(),
            clock: Some(clock(NOW_S)),
            instance_id: self.instance.to_vec(),
            last_epoch: self.last_epoch,
            ..v1::Hello::default()
        };
        let boot = self.boot;
        let (parts, have) = (Vec::new(), Vec::new());
        let mut link = Link { frames, inbound: None, boot, epoch: 0, have, parts };
        link.send(v1::agent_frame::Kind::Hello(hello)).await;
        let opened = soon(client.session(ReceiverStream::new(outbound))).await?;
        link.inbound = Some(opened.into_inner());
        let v1::server_frame::Kind::Welcome(welcome) = link.next().await? else {
            panic!("the first frame is not a welcome")
        };
        link.epoch = welcome.epoch;
        link.have = welcome.have.iter().map(|mark| (mark.epoch, mark.seq)).collect();
        Ok(link)
    }
}

/// The agent's tick when it says hello, in seconds; rounds of it lie before.
pub(crate) const NOW_S: u64 = 10_000;

pub(crate) fn clock(tick_s: u64) -> v1::Clock {
    v1::Clock { tick_us: tick_s * 1_000_000, wall_us: 0 }
}

/// An open stream.
pub(crate) struct Link {
    frames: mpsc::Sender<v1::AgentFrame>,
    inbound: Option<Streaming<v1::ServerFrame>>,
    boot: [u8; 16],
    pub(crate) epoch: u64,
    /// What the server said it has: epoch, seq.
    pub(crate) have: Vec<(u64, u64)>,
    /// Assignment parts that came while something else was waited for.
    parts: Vec<v1::AssignmentPart>,
}

impl Link {
    pub(crate) async fn send(&self, kind: v1::agent_frame::Kind) {
        // A server that has ended the stream says so to the next reader.
        self.frames.send(v1::AgentFrame { kind: Some(kind) }).await.unwrap_or(());
    }

    /// The next frame.
    async fn next(&mut self) -> Result<v1::server_frame::Kind, Status> {
        let inbound = self.inbound.as_mut().unwrap();
        match soon(inbound.message()).await? {
            Some(frame) => Ok(frame.kind.unwrap()),
            None => Err(Status::ok("the stream ended")),
        }
    }

    /// The next frame that is no assignment.
    pub(crate) async fn answer(&mut self) -> Result<v1::server_frame::Kind, Status> {
        loop {
            let frame = self.next().await?;
            let v1::server_frame::Kind::Assignment(part) = frame else {
                return Ok(frame);
            };
            self.parts.push(part);
        }
    }

    /// Only what comes from now on counts.
    pub(crate) fn forget_assignments(&mut self) {
        self.parts.clear();
    }

    /// Waits for an assignment that asks exactly these probes.
    pub(crate) async fn assigned(&mut self, probes: &[ProbeId]) -> v1::AssignmentPart {
        loop {
            let ids = |part: &v1::AssignmentPart| {
                part.probes.iter().map(|p| ProbeId(p.probe_id)).collect::<Vec<_>>()
            };
            if let Some(part) = self.parts.iter().find(|part| ids(part) == probes) {
                return part.clone();
            }
            let v1::server_frame::Kind::Assignment(part) = self.next().await.unwrap() else {
                panic!("not an assignment")
            };
            self.parts.push(part);
        }
    }

    /// Sends a batch of rounds.
    pub(crate) async fn send_rounds(&self, seq: u64, rows: &[RoundRow]) {
        self.send_again(self.epoch, seq, rows).await;
    }

    /// Sends rounds of an earlier epoch once more.
    pub(crate) async fn send_again(&self, epoch: u64, seq: u64, rows: &[RoundRow]) {
        let rounds = v1::payload::Kind::Rounds(wire::rounds::encode_rounds(rows));
        let payload = wire::seal(&v1::Payload { kind: Some(rounds) }).unwrap();
        self.send_payload(epoch, seq, payload).await;
    }

    pub(crate) async fn send_payload(&self, epoch: u64, seq: u64, payload_zstd: Vec<u8>) {
        self.send_with_drops(epoch, seq, payload_zstd, Vec::new()).await;
    }

    /// Sends a batch that tells what was lost before it.
    pub(crate) async fn send_with_drops(
        &self,
        epoch: u64,
        seq: u64,
        payload_zstd: Vec<u8>,
        drops: Vec<v1::Drop>,
    ) {
        let batch = v1::Batch {
            epoch,
            seq,
            boot_id: self.boot.to_vec(),
            closed: Some(clock(NOW_S)),
            payload_zstd,
            drops,
        };
        self.send(v1::agent_frame::Kind::Batch(batch)).await;
    }

    /// Waits until everything up to `seq` of the present epoch is acknowledged.
    pub(crate) async fn acknowledged(&mut self, epoch: u64, seq: u64) {
        loop {
            let answer = self.answer().await.unwrap();
            let v1::server_frame::Kind::Ack(ack) = answer else {
                panic!("not an acknowledgement: {answer:?}")
            };
            if ack.epoch == epoch && seq <= ack.seq {
                return;
            }
        }
    }

    /// Waits for the end of the stream and returns why.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}

/// A fully answered round, `ago_s` seconds before the hello.
pub(crate) fn answered(probe: ProbeId, ago_s: u64) -> RoundRow {
    let rtt = Rtt { us_min: 900, us_mean: 1_000, us_max: 1_100 };
    let outcome =
        Outcome::Asked { sent: 5, received: 5, rtt: Some(rtt), confirm: Confirm::default() };
    row(probe, ago_s, outcome)
}

/// The agent's gateway answers: whoever else does not is not beyond it.
pub(crate) fn of_gateway(ago_s: u64) -> RoundRow {
    RoundRow { subject: Subject::Gateway, ..answered(ProbeId(1), ago_s) }
}

/// A round that nobody answered, and its confirm burst neither.
pub(crate) fn lost(probe: ProbeId, ago_s: u64) -> RoundRow {
    let confirm = Confirm { sent: 3, received: 0 };
    row(probe, ago_s, Outcome::Asked { sent: 5, received: 0, rtt: None, confirm })
}

/// A round that could not ask.
pub(crate) fn not_asked(probe: ProbeId, ago_s: u64) -> RoundRow {
    row(probe, ago_s, Outcome::NotAsked(NotAsked::NoRoute))
}

fn row(probe: ProbeId, ago_s: u64, outcome: Outcome) -> RoundRow {
    RoundRow {
        subject: Subject::Probe(probe),
        due_tick: Tick((NOW_S - ago_s) * 1_000_000),
        outcome,
        flags: RoundFlags::default(),
        icmp_error: None,
        address: None,
    }
}
