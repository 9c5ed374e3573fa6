//! What the server counts of itself, as Prometheus reads it and as the Health page shows it.
//!
//! Counters are the only source: the page's totals and rates are read from them. No label names a
//! target or an agent: their number is not ours to bound.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use model::UtcMicros;
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::panics::Panics;

/// Commits whose duration is remembered for the percentile on the Health page.
const COMMITS_KEPT_MAX: usize = 256;
/// Rates are over this many samples, one a second.
const SAMPLES_KEPT_MAX: usize = 11;
/// 50 µs to about 1.6 s, doubling.
const SECONDS_BUCKETS: (f64, f64, u16) = (0.000_05, 2.0, 16);

type Level = Gauge<f64, AtomicU64>;

/// Everything counted. Cheap to add to from any task.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) batches: Counter,
    pub(crate) rounds: Counter,
    pub(crate) bytes: Counter,
    /// All of them; `refusals_by` says why.
    pub(crate) refusals: Counter,
    refusals_by: Family<[(&'static str, &'static str); 1], Counter>,
    pub(crate) duplicates: Counter,
    pub(crate) waits: Counter,
    pub(crate) heartbeats: Counter,
    pub(crate) results_dropped: Counter,
    pub(crate) enrolments: Counter,
    pub(crate) enrolments_refused: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) sessions: Counter,
    pub(crate) sign_ins_refused: Counter,
    pub(crate) rivals: Counter,
    pub(crate) decisions: Counter,
    pub(crate) log_failures: Counter,
    pub(crate) log_entries_unreadable: Counter,
    pub(crate) commit_failures: Counter,
    pub(crate) clock_steps: Counter,
    pub(crate) agent_clock_steps: Counter,
    pub(crate) task_failures: Counter,
    /// Batches that the diagnosis had no room for.
    pub(crate) diagnosis_missed: Counter,
    /// Times that there were more facts than a diagnosis looks at.
    pub(crate) diagnosis_facts_cut: Counter,
    /// Traces that were begun by themselves.
    pub(crate) traces_automatic: Counter,
    /// Pairs that went bad or healed and found no room to be traced.
    pub(crate) traces_left: Counter,
    /// Reports of traces that came faster than they are taken.
    pub(crate) trace_reports_dropped: Counter,
    pub(crate) diagnosis_seconds: Histogram,
    pub(crate) messages_sent: Counter,
    pub(crate) message_failures: Counter,
    pub(crate) heartbeats_sent: Counter,
    pub(crate) heartbeat_failures: Counter,
    pub(crate) backups: Counter,
    pub(crate) backup_failures: Counter,
    pub(crate) history_sealed: Counter,
    pub(crate) history_merged: Counter,
    pub(crate) history_rolled: Counter,
    pub(crate) history_rebuilt: Counter,
    pub(crate) panics: Panics,
    pub(crate) log_sync_seconds: Histogram,
    pub(crate) commit_seconds: Histogram,
    /// The engine's own counters, copied when they are read.
    pub(crate) engine: EngineCounters,
    pub(crate) levels: Levels,
    recent: Mutex<Recent>,
}

/// What the engine did with rounds. It counts over restarts, as its checkpoint does.
#[derive(Debug, Default)]
pub(crate) struct EngineCounters {
    rounds: Counter,
    late: Counter,
    stray: Counter,
    repeated: Counter,
    unrevisable: Counter,
    revisions: Counter,
}

impl EngineCounters {
    pub(crate) fn set(&self, counted: engine::Counters) {
        // All fields by name: one that the engine adds must find its metric.
        let engine::Counters {
            rounds_total,
            late_rounds_total,
            stray_rounds_total,
            repeated_rounds_total,
            unrevisable_rounds_total,
            revisions_total,
        } = counted;
        for (counter, value) in [
            (&self.rounds, rounds_total),
            (&self.late, late_rounds_total),
            (&self.stray, stray_rounds_total),
            (&self.repeated, repeated_rounds_total),
            (&self.unrevisable, unrevisable_rounds_total),
            (&self.revisions, revisions_total),
        ] {
            counter.inner().store(value, Ordering::Relaxed);
        }
    }
}

/// Present levels, set by the pulse just before they are read.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    pub(crate) lag_seconds: Level,
    pub(crate) log_depth: Level,
    pub(crate) log_bytes: Level,
    pub(crate) log_position: Level,
    pub(crate) agents_connected: Level,
    pub(crate) spool_batches: Level,
    pub(crate) spool_batches_max: Level,
    pub(crate) spool_bytes: Level,
    pub(crate) live_subscribers: Level,
    pub(crate) wall_ahead_seconds: Level,
    pub(crate) backup_at_seconds: Level,
    pub(crate) backup_bytes: Level,
    pub(crate) history_damaged: Level,
    pub(crate) history_left_out: Level,
}

#[derive(Debug, Default)]
struct Recent {
    commits_us: VecDeque<u64>,
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: UtcMicros,
    batches: u64,
    rounds: u64,
    decisions: u64,
}

/// Per second, over the last ten.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) batches: f64,
    pub(crate) rounds: f64,
    pub(crate) decisions: f64,
}

fn seconds() -> Histogram {
    let (start, factor, count) = SECONDS_BUCKETS;
    Histogram::new(exponential_buckets(start, factor, count))
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("faultline"),
            batches: Counter::default(),
            rounds: Counter::default(),
            bytes: Counter::default(),
            refusals: Counter::default(),
            refusals_by: Family::default(),
            duplicates: Counter::default(),
            waits: Counter::default(),
            heartbeats: Counter::default(),
            results_dropped: Counter::default(),
            enrolments: Counter::default(),
            enrolments_refused: Counter::default(),
            handshakes_failed: Counter::default(),
            connections_refused: Counter::default(),
            sessions: Counter::default(),
            sign_ins_refused: Counter::default(),
            rivals: Counter::default(),
            decisions: Counter::default(),
            log_failures: Counter::default(),
            log_entries_unreadable: Counter::default(),
            commit_failures: Counter::default(),
            clock_steps: Counter::default(),
            agent_clock_steps: Counter::default(),
            task_failures: Counter::default(),
            diagnosis_missed: Counter::default(),
            diagnosis_facts_cut: Counter::default(),
            traces_automatic: Counter::default(),
            traces_left: Counter::default(),
            trace_reports_dropped: Counter::default(),
            diagnosis_seconds: seconds(),
            messages_sent: Counter::default(),
            message_failures: Counter::default(),
            heartbeats_sent: Counter::default(),
            heartbeat_failures: Counter::default(),
            backups: Counter::default(),
            backup_failures: Counter::default(),
            history_sealed: Counter::default(),
            history_merged: Counter::default(),
            history_rolled: Counter::default(),
            history_rebuilt: Counter::default(),
            panics: Panics::default(),
            log_sync_seconds: seconds(),
            commit_seconds: seconds(),
            engine: EngineCounters::default(),
            levels: Levels::default(),
            recent: Mutex::default(),
        };
        metrics.register_ingest();
        metrics.register_engine();
        metrics.register_rest();
        metrics.register_traces();
        metrics.register_levels();
        metrics
    }
}

impl Metrics {
    /// Counts something of an agent that was not taken: a `batch`, a `frame` that is too large, a
    /// `heartbeat`, a second `hello`, an update of a `command` that was never sent, or `nothing`.
    pub(crate) fn refused(&self, what: &'static str) {
        self.refusals.inc();
        self.refusals_by.get_or_create(&[("what", what)]).inc();
    }

    fn register_ingest(&mut self) {
        let help = "Batches and frames refused, by what they were";
        self.registry.register("ingest_refusals", help, self.refusals_by.clone());
        let counters = [
            ("ingest_batches", "Batches taken into the log", &self.batches),
            ("ingest_rounds", "Rounds taken into the log", &self.rounds),
            ("ingest_bytes", "Compressed bytes of batches taken", &self.bytes),
            ("ingest_duplicates", "Batches that were in the log already", &self.duplicates),
            ("ingest_waits", "Frames that waited for their agent's rate limit", &self.waits),
            ("ingest_heartbeats", "Heartbeats heard", &self.heartbeats),
            ("ingest_results_dropped", "Results agents had to drop", &self.results_dropped),
            ("ingest_sessions", "Streams of agents begun", &self.sessions),
            ("ingest_rivals", "Streams refused for another with their identity", &self.rivals),
            ("enrolment_accepted", "Certificates given for a token", &self.enrolments),
            ("enrolment_refused", "Enrolments refused", &self.enrolments_refused),
            ("tls_handshakes_failed", "TLS handshakes that failed", &self.handshakes_failed),
            (
                "connections_refused",
                "Connections for which there was no place",
                &self.connections_refused,
            ),
        ];
        for (name, help, counter) in counters {
            self.registry.register(name, help, counter.clone());
        }
    }

    fn register_engine(&mut self) {
        let engine = &self.engine;
        let counters = [
            ("engine_rounds", "Rounds heard, of probes, gateways and witnesses", &engine.rounds),
            ("engine_rounds_late", "Rounds too late for a live verdict", &engine.late),
            (
                "engine_rounds_stray",
                "Rounds of a probe that is not assigned to the agent",
                &engine.stray,
            ),
            ("engine_rounds_repeated", "Rounds of a time already heard", &engine.repeated),
            (
                "engine_rounds_unrevisable",
                "Late rounds of a minute that can no longer be revised",
                &engine.unrevisable,
            ),
            ("engine_minutes_revised", "Minutes said again", &engine.revisions),
        ];
        for (name, help, counter) in counters {
            self.registry.register(name, help, counter.clone());
        }
    }

    fn register_rest(&mut self) {
        let counters = [
            ("engine_decisions", "Decisions of the engine", &self.decisions),
            ("log_failures", "Appends or syncs of the log that failed", &self.log_failures),
            (
                "log_entries_unreadable",
                "Entries of the log that could not be understood",
                &self.log_entries_unreadable,
            ),
            (
                "store_commit_failures",
                "Commits that failed and were retried",
                &self.commit_failures,
            ),
            (
                "sign_ins_refused",
                "Attempts to sign in with a wrong password",
                &self.sign_ins_refused,
            ),
            ("clock_steps", "Steps of the wall clock", &self.clock_steps),
            ("agent_clock_steps", "Steps of the agents' wall clocks", &self.agent_clock_steps),
            ("task_failures", "Failures of periodic tasks", &self.task_failures),
            (
                "diagnosis_batches_missed",
                "Batches that the diagnosis had no room for",
                &self.diagnosis_missed,
            ),
            (
                "diagnosis_facts_cut",
                "Times that facts were read of which there were more than a diagnosis looks at",
                &self.diagnosis_facts_cut,
            ),
            ("messages_sent", "Messages that webhooks took", &self.messages_sent),
            ("message_failures", "Tries to deliver a message that failed", &self.message_failures),
            ("heartbeats_sent", "Signs of life that were taken", &self.heartbeats_sent),
            ("heartbeat_failures", "Signs of life that did not arrive", &self.heartbeat_failures),
            ("backups", "Scheduled backups made and read back", &self.backups),
            (
                "backup_failures",
                "Backups that failed, asked for or scheduled",
                &self.backup_failures,
            ),
            ("history_records_sealed", "Records put into chunks", &self.history_sealed),
            ("history_chunks_merged", "Chunks that became part of others", &self.history_merged),
            ("history_rolled_up", "Hours and days rolled up, by group", &self.history_rolled),
            ("history_rebuilt", "Damaged roll-ups that are made anew", &self.history_rebuilt),
            ("panics", "Panics that were caught", &self.panics.total),
        ];
        for (name, help, counter) in counters {
            self.registry.register(name, help, counter.clone());
        }
        let histograms = [
            ("log_sync_seconds", "Time of one sync of the log", &self.log_sync_seconds),
            ("store_commit_seconds", "Time of one commit", &self.commit_seconds),
            ("diagnosis_seconds", "Time of one diagnosis", &self.diagnosis_seconds),
        ];
        for (name, help, histogram) in histograms {
            self.registry.register(name, help, histogram.clone());
        }
    }

    fn register_traces(&mut self) {
        let counters = [
            ("traces_automatic", "Traces that were begun by themselves", &self.traces_automatic),
            (
                "traces_left",
                "Pairs that went bad or healed and found no room to be traced",
                &self.traces_left,
            ),
            (
                "trace_reports_dropped",
                "Reports of traces that came faster than they are taken",
                &self.trace_reports_dropped,
            ),
        ];
        for (name, help, counter) in counters {
            self.registry.register(name, help, counter.clone());
        }
    }

    fn register_levels(&mut self) {
        let levels = &self.levels;
        let levels = [
            ("ingest_lag_seconds", "How far judging is behind ingest", &levels.lag_seconds),
            ("log_depth_records", "Records behind no checkpoint", &levels.log_depth),
            ("log_size_bytes", "Size of the log on disk", &levels.log_bytes),
            ("log_position", "Last position applied", &levels.log_position),
            ("agents_connected", "Agents with a stream", &levels.agents_connected),
            ("spool_batches", "Batches in all agents' spools", &levels.spool_batches),
            ("spool_batches_max", "Batches in the deepest spool", &levels.spool_batches_max),
            ("spool_bytes", "Bytes in all agents' spools", &levels.spool_bytes),
            ("live_subscribers", "Subscribers of live events", &levels.live_subscribers),
            (
                "clock_wall_ahead_seconds",
                "How far the wall clock is ahead of the server's time",
                &levels.wall_ahead_seconds,
            ),
            (
                "backup_last_success_timestamp_seconds",
                "When the newest scheduled backup was made, since 1970; 0 if there is none",
                &levels.backup_at_seconds,
            ),
            ("backup_last_size_bytes", "Size of the newest backup", &levels.backup_bytes),
            (
                "history_damaged_places",
                "Chunks found damaged since the start, and left out",
                &levels.history_damaged,
            ),
            (
                "history_samples_left_out",
                "Samples of metrics left out since the start: there are too many series",
                &levels.history_left_out,
            ),
        ];
        for (name, help, level) in levels {
            self.registry.register(name, help, level.clone());
        }
    }

    /// The text that Prometheus reads.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        encode(&mut text, &self.registry).unwrap_or(());
        text
    }

    pub(crate) fn commit_took(&self, took_us: u64) {
        self.commit_seconds.observe(in_seconds(took_us));
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.commits_us.len() == COMMITS_KEPT_MAX {
            recent.commits_us.pop_front();
        }
        recent.commits_us.push_back(took_us);
    }

    pub(crate) fn commit_us_p95(&self) -> u64 {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<u64> = recent.commits_us.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 95 / 100).copied().unwrap_or(0)
    }

    /// Remembers the counters; call it once a second.
    pub(crate) fn sample(&self, at: UtcMicros) {
        let sample = Sample {
            at,
            batches: self.batches.get(),
            rounds: self.rounds.get(),
            decisions: self.decisions.get(),
        };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.samples.len() == SAMPLES_KEPT_MAX {
            recent.samples.pop_front();
        }
        recent.samples.push_back(sample);
    }

    pub(crate) fn rates(&self) -> Rates {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (recent.samples.front(), recent.samples.back()) else {
            return Rates::default();
        };
        let span_s = last.at.since(first.at).as_secs_f64();
        if span_s <= 0.0 {
            return Rates::default();
        }
        let rate = |from: u64, to: u64| in_float(to.saturating_sub(from)) / span_s;
        Rates {
            batches: rate(first.batches, last.batches),
            rounds: rate(first.rounds, last.rounds),
            decisions: rate(first.decisions, last.decisions),
        }
    }
}

pub(crate) fn in_seconds(us: u64) -> f64 {
    std::time::Duration::from_micros(us).as_secs_f64()
}

/// Counts and bytes as Prometheus wants them; beyond 2^53 the last digits are nobody's business.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn in_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_catalogues_names() {
        let metrics = Metrics::default();
        metrics.batches.inc();
        metrics.commit_took(1_000);
        metrics.engine.set(engine::Counters {
            rounds_total: 9,
            late_rounds_total: 8,
            stray_rounds_total: 7,
            repeated_rounds_total: 6,
            unrevisable_rounds_total: 5,
            revisions_total: 4,
        });
        let text = metrics.to_text();
        for line in [
            "faultline_ingest_batches_total 1",
            "faultline_store_commit_seconds_count 1",
            "faultline_engine_rounds_total 9",
            "faultline_engine_rounds_late_total 8",
            "faultline_engine_rounds_stray_total 7",
            "faultline_engine_rounds_repeated_total 6",
            "faultline_engine_rounds_unrevisable_total 5",
            "faultline_engine_minutes_revised_total 4",
            "# TYPE faultline_log_size_bytes gauge",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }

    #[test]
    fn rates_are_over_the_time_that_was_sampled() {
        let metrics = Metrics::default();
        assert_eq!(metrics.rates(), Rates::default());
        for second in 0..20 {
            metrics.sample(UtcMicros(second * 1_000_000));
            metrics.rounds.inc_by(50);
        }
        assert_eq!(metrics.rates(), Rates { rounds: 50.0, ..Rates::default() });
    }

    #[test]
    fn the_percentile_is_of_the_last_commits() {
        let metrics = Metrics::default();
        assert_eq!(metrics.commit_us_p95(), 0);
        for us in 1..=300 {
            metrics.commit_took(us);
        }
        assert_eq!(metrics.commit_us_p95(), 288);
    }
}
