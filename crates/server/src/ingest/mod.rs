//! The agents' door: enrolment, renewal, and one stream per agent.
//!
//! Its own listener with mutual TLS. Who an agent is comes from the SAN of its certificate and
//! from nowhere else; only `Enroll` may come without one. Everything that arrives is hostile until
//! it is parsed: what breaks a limit is refused with a reason and counted, and disturbs nobody
//! else. Nothing here judges what a round says.

mod assignment;
mod limits;
mod measures;
mod session;

use std::{
    collections::BTreeMap,
    fmt::Display,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{AgentId, UtcMicros};
use store::{CertificateStatus, NewCertificate, Scope, Store, StoreError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};
use wire::v1;

use crate::{
    app::App,
    authority::{AgentIdentity, AuthorityError, SignedCertificate, identity_of, token_hash},
    budget::Budget,
    config::AgentsConfig,
    listen::network_of,
    place::Placer,
};
use limits::{Bucket, Knocks};
use session::Door;

/// The service stub.
#[expect(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::default_trait_access,
    reason = "generated"
)]
pub(crate) mod stub {
    include!("../generated/faultline.agent.v1.rs");
}

/// A stream of an agent costs half a second, and half a minute may be owed: sixty at once, then two
/// a second. An agent that works dials far less often.
const GREETING_COST: Duration = Duration::from_millis(500);
const GREETING_BURST: Duration = Duration::from_secs(30);
/// Frames on their way to one agent.
const FRAMES_OUT_MAX: usize = 64;
/// One enrolment from a network costs six seconds, and a minute may be owed: ten at once, for a
/// network behind one address, then ten a minute.
const ENROL_COST: Duration = Duration::from_secs(6);
const ENROL_BURST: Duration = Duration::from_secs(60);
/// One renewal of an agent costs a minute, and three may be owed: it renews once in weeks, and
/// tries again if the answer was lost.
const RENEW_COST: Duration = Duration::from_secs(60);
const RENEW_BURST: Duration = Duration::from_secs(180);

/// What the service works with.
#[derive(Debug)]
pub(crate) struct Ingest {
    shared: Arc<Shared>,
    sessions: TaskTracker,
    stop: CancellationToken,
    /// Strangers, by network.
    enrolments: Mutex<Knocks<IpAddr>>,
    /// Agents with a certificate: a neighbour that enrols must not keep one from renewing.
    renewals: Mutex<Knocks<AgentId>>,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    app: App,
    /// Kept from stream to stream, so that a slow first reading does not move rounds.
    placers: Mutex<BTreeMap<AgentId, Placer>>,
    /// Room for what is accepted and not yet judged and stored.
    budget: Budget,
    /// Streams begun, by agent: only enrolled ones come this far.
    greetings: Mutex<BTreeMap<AgentId, Bucket>>,
}

impl Shared {
    fn now(&self) -> UtcMicros {
        self.app.clock.now()
    }

    /// Whether one more stream of this agent is heard.
    fn is_greeted(&self, agent: AgentId) -> bool {
        let now = self.now();
        let mut greetings = self.greetings.lock().unwrap_or_else(PoisonError::into_inner);
        greetings.entry(agent).or_default().try_take(GREETING_COST, GREETING_BURST, now)
    }

    fn limits(&self) -> &AgentsConfig {
        &self.app.config.agents
    }

    fn store(&self) -> &Store {
        &self.app.store
    }

    fn placer<T>(&self, agent: AgentId, act: impl FnOnce(&mut Placer) -> T) -> T {
        let mut placers = self.placers.lock().unwrap_or_else(PoisonError::into_inner);
        act(placers.entry(agent).or_default())
    }

    /// Whether this certificate still opens the door.
    async fn check_certificate(&self, identity: &AgentIdentity) -> Result<(), Status> {
        if identity.not_after < self.now() {
            return Err(Status::unauthenticated("the certificate has expired: enrol again"));
        }
        let status = self.store().certificate_status(&identity.serial).await;
        match status.map_err(unavailable)? {
            CertificateStatus::Active { org, agent }
                if org == identity.org && agent == identity.agent =>
            {
                Ok(())
            }
            CertificateStatus::Active { .. }
            | CertificateStatus::Revoked { .. }
            | CertificateStatus::Unknown => {
                Err(Status::permission_denied("the certificate is revoked: enrol again"))
            }
        }
    }
}

impl Ingest {
    /// `stop` ends every session.
    pub(crate) fn new(app: App, sessions: TaskTracker, stop: CancellationToken) -> Ingest {
        let shared = Shared {
            app,
            placers: Mutex::default(),
            budget: Budget::default(),
            greetings: Mutex::default(),
        };
        let (enrolments, renewals) = (Mutex::default(), Mutex::default());
        Ingest { shared: Arc::new(shared), sessions, stop, enrolments, renewals }
    }

    async fn enrol(&self, request: v1::EnrollRequest) -> Result<v1::EnrollReply, Status> {
        let app = &self.shared.app;
        if wire::limits::TEXT_BYTES_MAX < request.secret.len() {
            return Err(Status::invalid_argument("the secret is longer than any"));
        }
        // Before the token is used up: a broken request can be mended and sent again.
        app.authority.check_request(&request.csr_der).map_err(refusal)?;
        let now = self.shared.now();
        let redeemed = app.store.token_redeem(&token_hash(&request.secret), now).await;
        let Some((org, agent)) = redeemed.map_err(unavailable)? else {
            return Err(Status::permission_denied(
                "the token is unknown, expired or was used: make a new one",
            ));
        };
        let scope = Scope { org, actor: store::Actor::Agent(agent.id) };
        let reply = self.certify(&scope, agent.id, &request.csr_der, now).await?;
        tracing::info!(agent = %agent.name, "an agent is enrolled");
        Ok(reply)
    }

    /// Signs, stores and hands out a certificate.
    async fn certify(
        &self,
        scope: &Scope,
        agent: AgentId,
        csr_der: &[u8],
        now: UtcMicros,
    ) -> Result<v1::EnrollReply, Status> {
        let app = &self.shared.app;
        let signed = app.authority.sign_agent(csr_der, scope.org, agent, now).map_err(refusal)?;
        let SignedCertificate { der, serial, not_before, not_after } = signed;
        let new = NewCertificate { agent, serial, not_before, not_after };
        let (store, scope) = (app.store.clone(), scope.clone());
        let added = app.change(async move { store.certificate_add(&scope, &new, now).await });
        let row = added.await.map_err(|error| internal(format!("{error:?}")))?;
        Ok(v1::EnrollReply {
            agent_id: agent.0,
            agent_name: row.name.to_string(),
            certificate_der: der,
            authority_der: app.authority.certificate_der().to_vec(),
            not_after_unix_s: not_after.0.div_euclid(1_000_000),
        })
    }

    /// Whether one more enrolment from there is heard.
    fn may_enrol<T>(&self, request: &Request<T>) -> bool {
        let Some(from) = request.remote_addr() else {
            return false;
        };
        let network = network_of(from.ip().to_canonical());
        let mut knocks = self.enrolments.lock().unwrap_or_else(PoisonError::into_inner);
        knocks.is_heard(network, ENROL_COST, ENROL_BURST, self.shared.now())
    }

    /// Whether one more renewal of the agent is heard.
    fn may_renew(&self, agent: AgentId) -> bool {
        let mut knocks = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        knocks.is_heard(agent, RENEW_COST, RENEW_BURST, self.shared.now())
    }
}

#[tonic::async_trait]
impl stub::agent_link_server::AgentLink for Ingest {
    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollReply>, Status> {
        let metrics = self.shared.app.conductor.metrics();
        if !self.may_enrol(&request) {
            // Counted and not logged: who knocks a thousand times must not fill the log.
            metrics.enrolments_refused.inc();
            let reason = "too many enrolments from this address: wait a minute";
            return Err(Status::resource_exhausted(reason));
        }
        match self.enrol(request.into_inner()).await {
            Ok(reply) => {
                metrics.enrolments.inc();
                Ok(Response::new(reply))
            }
            Err(status) => {
                metrics.enrolments_refused.inc();
                tracing::warn!(reason = status.message(), "an enrolment is refused");
                Err(status)
            }
        }
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::EnrollReply>, Status> {
        let identity = identify(&request)?;
        self.shared.check_certificate(&identity).await?;
        if !self.may_renew(identity.agent) {
            return Err(Status::resource_exhausted("too many renewals: wait a minute"));
        }
        let scope = Scope { org: identity.org, actor: store::Actor::Agent(identity.agent) };
        let csr_der = request.into_inner().csr_der;
        let reply = self.certify(&scope, identity.agent, &csr_der, self.shared.now()).await?;
        Ok(Response::new(reply))
    }

    type SessionStream = ReceiverStream<Result<v1::ServerFrame, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentFrame>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let identity = identify(&request)?;
        if self.stop.is_cancelled() {
            return Err(Status::unavailable("the server is stopping"));
        }
        if let Some(reason) = &*self.shared.app.conductor.intake().borrow() {
            return Err(session::not_taken(reason));
        }
        // Before it is entered as the agent's: a revoked certificate must not end a good stream.
        self.shared.check_certificate(&identity).await?;
        if !self.shared.is_greeted(identity.agent) {
            return Err(Status::resource_exhausted(
                "this agent comes and goes too often: wait some seconds",
            ));
        }
        let from = request.remote_addr();
        let (frames, stream) = mpsc::channel(FRAMES_OUT_MAX);
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let door = Door { shared, identity, from, frames, stop };
        self.sessions.spawn(door.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Reads from the client's certificate who calls.
fn identify<T>(request: &Request<T>) -> Result<AgentIdentity, Status> {
    let certificates = request.peer_certs();
    let certificate = certificates.as_ref().and_then(|chain| chain.first());
    let Some(certificate) = certificate else {
        return Err(Status::unauthenticated("a client certificate is needed: enrol first"));
    };
    identity_of(certificate).map_err(|error| Status::unauthenticated(error.to_string()))
}

/// What the caller may read of a request that is not signed.
fn refusal(error: AuthorityError) -> Status {
    match error {
        error @ AuthorityError::Request { .. } => Status::invalid_argument(error.to_string()),
        error @ (AuthorityError::File { .. }
        | AuthorityError::Secrets(_)
        | AuthorityError::Half { .. }
        | AuthorityError::Damaged { .. }
        | AuthorityError::Sign { .. }
        | AuthorityError::Identity) => internal(error),
    }
}

fn unavailable(error: StoreError) -> Status {
    let error = crate::chain(&error);
    tracing::error!(%error, "an agent is sent away: the database does not answer");
    Status::unavailable("the server's database does not answer: try again")
}

/// The caller learns that it failed; why is in the log.
fn internal(error: impl Display) -> Status {
    tracing::error!(%error, "a request of an agent failed");
    Status::internal("the server failed; its log says why")
}
