//! What the agent does about each event.

use std::time::Duration;

use model::{DropCause, Tick};
use sense::RoundRecord;
use tokio::{task::block_in_place, time::Instant};
use tonic::transport::Channel;
use wire::{
    limits,
    v1::{self, agent_frame, server_frame},
};

use super::{Agent, Renewed, RunError, Wait, beat_every};
use crate::{
    assignment, chain, enroll, files,
    generated::agent_link_client::AgentLinkClient,
    host,
    lanes::Choice,
    limited,
    pace::REFUSED_WAIT,
    spool::SpoolError,
    status::Status,
    tls,
    uplink::{self, Link, LinkError},
};

/// A stream that held this long was no failure: only then dialling starts over without delay, so
/// that two agents with one identity do not throw each other out many times a second.
const STEADY_MIN: Duration = Duration::from_secs(30);
/// A renewal that failed is tried again after this.
const RENEW_RETRY: Duration = Duration::from_secs(600);
const RENEW_TIMEOUT: Duration = Duration::from_secs(20);
/// What the spool remembers of deliveries is written this often: more only spares repetitions.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// Batches handed to the connection in one turn.
const PUMP_TURN_MAX: u32 = 16;

impl Agent {
    pub(super) fn handle_rounds(&mut self, lists: &[Vec<RoundRecord>]) {
        for record in lists.iter().flatten() {
            self.batcher.push(record);
            if self.batcher.is_full() {
                self.flush();
            }
        }
    }

    /// The probing thread has ended without being told. If it could not start, its impediment says
    /// so to everyone; if it panicked, a new process is needed.
    pub(super) fn handle_probing_ended(&mut self) -> Result<(), RunError> {
        self.is_probing = false;
        if self.probing.has_panicked() {
            tracing::error!("the probing thread panicked: the agent stops, to be started anew");
            return Err(RunError::Probing);
        }
        Ok(())
    }

    /// Closes the batch and makes it durable.
    pub(super) fn flush(&mut self) {
        self.flush_rows();
        let now = self.clock.tick();
        if self.turn_at.is_some_and(|at| at <= now) {
            self.turn_at = None;
            self.spool.turn();
        }
    }

    fn flush_rows(&mut self) {
        let Some(rows) = self.batcher.take() else {
            return;
        };
        if !self.spool.is_open() {
            // Before the first epoch there is nothing that they could be missed in.
            if self.spool.epoch() != 0 {
                self.spool.lose_rows(&rows);
            }
            if self.link.take().is_some() {
                tracing::warn!("the spool needs a new epoch: connecting anew");
                self.dial_at = Instant::now() + self.backoff.next(u16::MAX);
            }
            return;
        }
        let result = block_in_place(|| self.spool.append(&rows));
        self.note_spool(result);
    }

    /// Says once that the spool has a problem, and once that it is over.
    fn note_spool(&mut self, result: Result<(), SpoolError>) {
        let problem = result.err().map(|error| chain(&error));
        match (&self.spool_problem, &problem) {
            (None, Some(error)) => tracing::error!(%error, "the spool does not work as it should"),
            (Some(_), None) => tracing::info!("the spool works again"),
            (Some(_), Some(_)) | (None, None) => (),
        }
        self.spool_problem = problem;
    }

    /// Hands batches to the connection for as long as they may go.
    pub(super) fn pump(&mut self) {
        self.wait = Wait::Nothing;
        let Some(link) = &mut self.link else {
            return;
        };
        for _ in 0..PUMP_TURN_MAX {
            let has_room = link.has_room();
            let (key, bytes) = match link.lanes.choose(&self.spool, has_room, self.clock.tick()) {
                Choice::Send { key, bytes } => (key, bytes),
                Choice::Nothing => return,
                Choice::Room => {
                    self.wait = Wait::Room;
                    return;
                }
                Choice::Later(wait) => {
                    self.wait = Wait::Until(Instant::now() + wait);
                    return;
                }
            };
            match block_in_place(|| self.spool.fetch(key)) {
                Ok(batch) => link.send_batch(key, bytes, batch),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "a spooled batch is lost");
                    link.lanes.skip(key);
                }
            }
        }
        // More is ready: others first, then on at once.
        self.wait = Wait::Until(Instant::now());
    }

    /// What the host lets this agent ask, as the last look found it.
    fn capabilities(&self) -> Vec<i32> {
        let v4 = self.vitals.icmp_v4.then_some(v1::Capability::IcmpV4);
        let v6 = self.vitals.icmp_v6.then_some(v1::Capability::IcmpV6);
        let trace = self.traces.can_trace().then_some(v1::Capability::Trace);
        [v4, v6, trace].into_iter().flatten().map(i32::from).collect()
    }

    pub(super) fn hello(&self) -> v1::Hello {
        v1::Hello {
            protocol_version: limits::PROTOCOL_VERSION,
            boot_id: self.boot.to_vec(),
            spool_id: self.spool.spool_id(),
            last_epoch: self.spool.epoch(),
            software_version: crate::VERSION.to_owned(),
            os: host::os(),
            hostname: host::name(),
            capabilities: self.capabilities(),
            backlog_batches: self.spool.backlog_batches(),
            backlog_bytes: self.spool.backlog_bytes(),
            clock: Some(self.clock.anchor().to_clock()),
            assignment_version: self.assignment_version,
            instance_id: self.instance.to_vec(),
        }
    }

    pub(super) fn handle_opened(&mut self, mut link: Link, welcome: &v1::Welcome) {
        let granted = block_in_place(|| {
            self.spool.reconcile(&welcome.have)?;
            self.spool.grant(welcome.epoch)
        });
        if let Err(error) = granted {
            tracing::error!(error = %chain(&error), "cannot use the stream");
            self.uplink_problem = Some(chain(&error));
            self.dial_at = Instant::now() + REFUSED_WAIT;
            return;
        }
        if self.spool.is_recent(limits::RECENT_MAX) {
            self.spool.turn();
        } else {
            link.lanes.part(welcome.epoch);
            self.turn_at = Some(self.clock.tick() + limits::ROUND_MAX);
        }
        tracing::info!(
            server = %link.address,
            epoch = welcome.epoch,
            backlog_batches = self.spool.backlog_batches(),
            "connected"
        );
        self.beat = beat_every(uplink::heartbeat_interval(welcome));
        self.linked_at = self.clock.tick();
        self.uplink_problem = None;
        self.link = Some(link);
        self.tell_untold();
    }

    /// The stream ended or did not come about: says so once, and dials again later.
    pub(super) fn handle_link_lost(&mut self, error: &LinkError) {
        let was_connected = self.link.take().is_some();
        if was_connected && STEADY_MIN <= self.clock.tick().since(self.linked_at) {
            self.backoff.reset();
        }
        let problem = chain(error);
        let is_refused = matches!(error, LinkError::Refused { .. } | LinkError::Held { .. });
        let wait = match error {
            LinkError::Refused { .. } => REFUSED_WAIT,
            // The time after which the other one, if it is gone, is known to be.
            LinkError::Held { .. } => limits::LEASE_MAX,
            LinkError::Dial(_)
            | LinkError::Failed { .. }
            | LinkError::Silent
            | LinkError::Ended
            | LinkError::NoWelcome => self.backoff.next(u16::from_ne_bytes(files::random())),
        };
        let is_news = was_connected || self.uplink_problem.as_ref() != Some(&problem);
        if is_news && is_refused {
            let wait_s = wait.as_secs();
            tracing::error!(error = %problem, wait_s, "refused by the server; it is asked again");
        } else if is_news {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(error = %problem, wait_ms, "not connected; rounds go to the spool");
        } else {
            tracing::debug!(error = %problem, "still not connected");
        }
        self.uplink_problem = Some(problem);
        self.dial_at = Instant::now() + wait;
    }

    pub(super) fn handle_frame(&mut self, frame: server_frame::Kind) {
        match frame {
            server_frame::Kind::Ack(ack) => {
                if let Some(link) = &mut self.link {
                    link.lanes.settle((ack.epoch, 0)..=(ack.epoch, ack.seq));
                }
                let result = block_in_place(|| self.spool.acknowledge(ack.epoch, ack.seq));
                if let Err(error) = result {
                    tracing::warn!(error = %chain(&error), "cannot trim the spool");
                }
            }
            server_frame::Kind::Refusal(refusal) => self.handle_refusal(&refusal),
            server_frame::Kind::Pace(pace) => {
                let now = self.clock.tick();
                if let Some(link) = &mut self.link {
                    link.lanes.pace_backlog(pace.backlog_bytes_per_second_max, now);
                }
            }
            server_frame::Kind::Assignment(part) => self.handle_part(part),
            server_frame::Kind::Command(command) => self.handle_command(&command),
            server_frame::Kind::CommandCancel(cancel) => self.traces.cancel(cancel.id),
            server_frame::Kind::Welcome(_) => {
                tracing::warn!("the server welcomed twice; ignored");
            }
        }
    }

    fn send(&self, kind: agent_frame::Kind) {
        if let Some(link) = &self.link {
            link.send(kind);
        }
    }

    fn handle_refusal(&mut self, refusal: &v1::Refusal) {
        let key = (refusal.epoch, refusal.seq);
        self.batches_refused += 1;
        tracing::warn!(
            epoch = refusal.epoch,
            seq = refusal.seq,
            reason = limited(&refusal.reason),
            "the server refused a batch; it is dropped"
        );
        if let Some(link) = &mut self.link {
            link.lanes.settle(key..=key);
        }
        if let Err(error) = block_in_place(|| self.spool.refuse(key)) {
            tracing::warn!(error = %chain(&error), "cannot trim the spool");
        }
    }

    fn handle_part(&mut self, part: v1::AssignmentPart) {
        let parts = match self.collector.handle_part(part) {
            Ok(Some(parts)) => parts,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "an assignment is refused; the one before stays in force");
                return;
            }
        };
        let path = assignment::path_of(&self.config.state_dir);
        if let Err(error) = block_in_place(|| assignment::store(&path, &parts)) {
            tracing::warn!(%error, "cannot keep the assignment for the next start");
        }
        self.assign(&parts);
    }

    /// Goes on with what was asked before the restart, whether the server is there or not.
    pub(super) fn resume_assignment(&mut self) {
        let path = assignment::path_of(&self.config.state_dir);
        match block_in_place(|| assignment::load(&path)) {
            Ok(Some(parts)) => self.assign(&parts),
            Ok(None) => tracing::info!("no assignment yet: waiting for the server"),
            Err(error) => tracing::warn!(%error, "the kept assignment cannot be read"),
        }
    }

    fn assign(&mut self, parts: &[v1::AssignmentPart]) {
        let accepted = assignment::accept(parts);
        let (version, refused) = (accepted.assignment.version, accepted.refused);
        let probes = accepted.assignment.probes.len();
        tracing::info!(version, probes, refused = refused.len(), "assignment applied");
        for reason in &refused {
            tracing::debug!(%reason, "probe refused");
        }
        self.assignment_version = version;
        self.probing.assign(accepted.assignment);
        self.send(agent_frame::Kind::AssignmentApplied(v1::AssignmentApplied {
            version,
            probes: u32::try_from(probes).unwrap_or(u32::MAX),
            refused,
        }));
    }

    /// Says that it lives, to the server and to the operator, and does what is done now and then.
    pub(super) fn handle_beat(&mut self) {
        self.vitals = self.probing.vitals();
        self.renew_hello_if_due();
        self.tell_untold();
        if let Some(link) = &self.link {
            link.send(agent_frame::Kind::Heartbeat(self.heartbeat()));
        }
        let status = self.status();
        if let Err(error) = block_in_place(|| status.store(&self.config.state_dir)) {
            tracing::debug!(%error, "cannot write the status");
        }
        let now = self.clock.tick();
        self.note_overrun(now);
        if SAVE_INTERVAL <= now.since(self.saved_at) {
            self.saved_at = now;
            if let Err(error) = block_in_place(|| self.spool.save()) {
                tracing::warn!(error = %chain(&error), "cannot keep the state of the spool");
            }
        }
        self.renew_if_due(now);
    }

    /// Results that never came here are lost since the last look.
    fn note_overrun(&mut self, now: Tick) {
        let (known, since) = self.overrun;
        self.overrun = (self.vitals.results_dropped, now);
        let rounds = self.vitals.results_dropped.saturating_sub(known);
        if rounds != 0 && self.spool.epoch() != 0 {
            self.spool.lose_since(since, rounds, DropCause::Overrun);
        }
    }

    /// Begins another stream when the host lets this agent ask more or less than its hello said: a
    /// stream has one hello, and the server gives work by it. What is under way is sent again.
    fn renew_hello_if_due(&mut self) {
        if self.link.is_none() || self.capabilities() == self.capabilities_told {
            return;
        }
        tracing::info!("what this agent can ask has changed; connecting again to say so");
        self.link = None;
        self.dial_at = Instant::now();
    }

    /// Why it cannot ask, or else why what it learns may be lost; empty if neither.
    fn impediment(&self) -> String {
        match (&self.vitals.impediment, &self.spool_problem) {
            (Some(impediment), _) => impediment.clone(),
            (None, Some(problem)) => {
                format!("results may be lost; free or mend the disk of the spool: {problem}")
            }
            (None, None) => String::new(),
        }
    }

    fn heartbeat(&self) -> v1::Heartbeat {
        let vitals = &self.vitals;
        v1::Heartbeat {
            clock: Some(self.clock.anchor().to_clock()),
            backlog_batches: self.spool.backlog_batches(),
            backlog_bytes: self.spool.backlog_bytes(),
            rounds_total: vitals.rounds,
            packets_sent_total: vitals.packets_sent,
            replies_total: vitals.replies,
            strange_replies_total: vitals.strange_replies,
            kernel_drops_total: vitals.kernel_drops,
            socket_errors_total: vitals.socket_errors,
            results_dropped_total: self.spool.dropped_rounds_total(),
            send_lag_us_p50: vitals.send_lag_us_p50,
            send_lag_us_max: vitals.send_lag_us_max,
            probes: vitals.probes,
            impediment: limited(&self.impediment()).to_owned(),
            rss_bytes: host::rss_bytes(),
            cpu_us_total: host::cpu_us_total(),
        }
    }

    fn status(&self) -> Status {
        let vitals = &self.vitals;
        Status {
            written_at: self.clock.wall().to_string(),
            started_at: self.started_at.to_string(),
            pid: std::process::id(),
            version: crate::VERSION.to_owned(),
            agent_id: self.identity.agent_id,
            agent_name: self.identity.agent_name.clone(),
            connected_to: self.link.as_ref().map(|link| link.address.clone()),
            uplink_problem: self.uplink_problem.clone(),
            epoch: self.spool.epoch(),
            certificate_not_after: self.identity.validity().map(|(_, until)| until.to_string()),
            assignment_version: self.assignment_version,
            probes: vitals.probes,
            impediment: vitals.impediment.clone(),
            rounds_total: vitals.rounds,
            packets_sent_total: vitals.packets_sent,
            replies_total: vitals.replies,
            strange_replies_total: vitals.strange_replies,
            kernel_drops_total: vitals.kernel_drops,
            socket_errors_total: vitals.socket_errors,
            send_lag_us_p50: vitals.send_lag_us_p50,
            send_lag_us_max: vitals.send_lag_us_max,
            backlog_batches: self.spool.backlog_batches(),
            backlog_bytes: self.spool.backlog_bytes(),
            backlog_since: self.spool.oldest().map(|at| at.to_string()),
            spool_problem: self.spool_problem.clone(),
            rounds_dropped_total: self.spool.dropped_rounds_total(),
            batches_refused_total: self.batches_refused,
        }
    }

    /// Asks for a new certificate over the stream's own connection when it is time.
    fn renew_if_due(&mut self, now: Tick) {
        let is_due = self.identity.renew_at().is_some_and(|at| at <= self.clock.wall());
        let Some(link) = &self.link else {
            return;
        };
        if !is_due || now < self.renew_after || !self.renewing.is_empty() {
            return;
        }
        self.renew_after = now + RENEW_RETRY;
        match csr_of(&self.identity) {
            Ok(csr_der) => {
                self.renewing.spawn(renew(link.client.clone(), csr_der));
            }
            Err(error) => tracing::error!(%error, "cannot renew the certificate"),
        }
    }

    /// Takes a new certificate if it is good; the next connection uses it.
    pub(super) fn handle_renewed(&mut self, renewed: Renewed) {
        let before = self.identity.certificate.clone();
        let result = renewed.and_then(|certificate| {
            self.identity.certificate = certificate;
            let config = tls::enrolled(&self.identity).map_err(|e| e.to_string())?;
            let stored = self.identity.store_certificate(&self.config.state_dir);
            stored.map_err(|e| chain(&e))?;
            self.tls = config;
            Ok(())
        });
        match result {
            Ok(()) => tracing::info!("certificate renewed"),
            Err(error) => {
                self.identity.certificate = before;
                tracing::warn!(%error, "the certificate was not renewed; trying again later");
            }
        }
    }

    /// Makes durable what is there. Not blocked by the server: the next start delivers.
    pub(super) fn end(mut self) {
        self.vitals = self.probing.vitals();
        self.note_overrun(self.clock.tick());
        drop(self.probing);
        let mut lists = Vec::new();
        while let Ok(list) = self.rounds.try_recv() {
            lists.push(list);
        }
        for record in lists.iter().flatten() {
            self.batcher.push(record);
        }
        let mut kept = Ok(());
        // Many batches, if a slow disk made them wait: one alone would break the limits.
        while let Some(rows) = self.batcher.take() {
            if self.spool.is_open() {
                kept = kept.and(block_in_place(|| self.spool.append(&rows)));
            } else if self.spool.epoch() != 0 {
                self.spool.lose_rows(&rows);
            }
        }
        match kept.and_then(|()| self.spool.save()) {
            Ok(()) => tracing::info!(
                backlog_batches = self.spool.backlog_batches(),
                "agent stopped; what was not delivered is kept"
            ),
            Err(error) => tracing::error!(
                error = %chain(&error),
                "agent stopped; its last rounds could not be kept"
            ),
        }
    }
}

/// The key stays, so that a crash between two files cannot part it from its certificate.
fn csr_of(identity: &crate::identity::Identity) -> Result<Vec<u8>, rcgen::Error> {
    let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        identity.key_pkcs8_der(),
        &rcgen::PKCS_ECDSA_P256_SHA256,
    )?;
    enroll::csr(&key)
}

async fn renew(mut client: AgentLinkClient<Channel>, csr_der: Vec<u8>) -> Renewed {
    let mut request = tonic::Request::new(v1::RenewRequest { csr_der });
    request.set_timeout(RENEW_TIMEOUT);
    let reply = client.renew(request).await;
    let reply = reply.map_err(|s| limited(s.message()).to_owned())?.into_inner();
    if limits::DER_BYTES_MAX < reply.certificate_der.len() {
        return Err("the new certificate is too long".to_owned());
    }
    Ok(reply.certificate_der.into())
}
