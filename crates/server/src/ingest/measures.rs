//! What an agent's heartbeats say of it, as metrics for the history.
//!
//! 1 - Every [`SPACING`] one heartbeat becomes samples; of a figure that is the worst of some
//!     seconds, the worst since the samples before.
//! 2 - Its counters are since its process started: another process is another epoch of them, so
//!     that a restart is told as a reset even if the counter is higher by then.
//! 3 - They are of the time at which they were heard.

use std::time::Duration;

use model::{
    AgentId, Count, Labels, MetricBatch, MetricName, MetricSample, MetricSubject, MetricValue,
    Reading, UtcMicros,
};
use wire::v1;

/// Fine enough to see a stall between two rounds of a slow tier; coarser than heartbeats, which are
/// for the present.
const SPACING: Duration = Duration::from_secs(30);

/// Of one stream.
#[derive(Debug)]
pub(super) struct Measures {
    epoch: u32,
    told_at: Option<UtcMicros>,
    send_lag_us_max: u32,
}

impl Measures {
    /// `instance` names the agent's process.
    pub(super) fn new(instance: [u8; 16]) -> Measures {
        let [a, b, c, d, ..] = instance;
        Measures { epoch: u32::from_le_bytes([a, b, c, d]), told_at: None, send_lag_us_max: 0 }
    }

    /// Hears a heartbeat; what is to be stored, if it is time.
    pub(super) fn hear(
        &mut self,
        agent: AgentId,
        heartbeat: &v1::Heartbeat,
        now: UtcMicros,
    ) -> Option<MetricBatch> {
        self.send_lag_us_max = self.send_lag_us_max.max(heartbeat.send_lag_us_max);
        if self.told_at.is_some_and(|told| now.since(told) < SPACING) {
            return None;
        }
        self.told_at = Some(now);
        let send_lag_us_max = std::mem::take(&mut self.send_lag_us_max);
        let gauges = [
            ("agent_send_lag_seconds", "p50", seconds(heartbeat.send_lag_us_p50)),
            ("agent_send_lag_seconds", "max", seconds(send_lag_us_max)),
            ("agent_spool_batches", "", number(heartbeat.backlog_batches)),
            ("agent_spool_bytes", "", number(heartbeat.backlog_bytes)),
            ("agent_probes", "", Some(Reading::from(heartbeat.probes))),
            ("agent_memory_bytes", "", number(heartbeat.rss_bytes)),
        ];
        let counters = [
            ("agent_rounds_total", heartbeat.rounds_total),
            ("agent_packets_sent_total", heartbeat.packets_sent_total),
            ("agent_replies_total", heartbeat.replies_total),
            ("agent_strange_replies_total", heartbeat.strange_replies_total),
            ("agent_kernel_drops_total", heartbeat.kernel_drops_total),
            ("agent_socket_errors_total", heartbeat.socket_errors_total),
            ("agent_results_dropped_total", heartbeat.results_dropped_total),
            ("agent_cpu_microseconds_total", heartbeat.cpu_us_total),
        ];
        let gauges = gauges.into_iter().filter_map(|(name, stat, value)| {
            let labels = Some(("stat", stat)).filter(|_| !stat.is_empty());
            sample(name, labels, now, MetricValue::Gauge(value?))
        });
        let counters = counters.into_iter().filter_map(|(name, total)| {
            let count = Count { total, epoch: self.epoch, is_32_bit: false };
            sample(name, None, now, MetricValue::Counter(count))
        });
        let samples = gauges.chain(counters).collect();
        Some(MetricBatch { subject: MetricSubject::Agent(agent), samples })
    }
}

/// Names of this file are good ones, which a test shows.
fn sample(
    name: &str,
    labels: Option<(&str, &str)>,
    at: UtcMicros,
    value: MetricValue,
) -> Option<MetricSample> {
    let (name, labels) = (MetricName::parse(name).ok()?, Labels::new(labels).ok()?);
    Some(MetricSample { name, labels, at, value })
}

fn seconds(us: u32) -> Option<Reading> {
    Reading::new(f64::from(us) / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "a level of such a size is known to 53 bits")]
fn number(value: u64) -> Option<Reading> {
    Reading::new(value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_minute_a_heartbeat_is_kept_with_the_worst_lag_since() {
        let mut measures = Measures::new([7; 16]);
        let lags = [(0_i64, 9), (5, 80), (10, 7), (29, 6), (30, 5), (35, 4)];
        let mut kept = Vec::new();
        for (second, send_lag_us_max) in lags {
            let heartbeat = v1::Heartbeat {
                send_lag_us_max,
                rounds_total: 100 + second.unsigned_abs(),
                ..v1::Heartbeat::default()
            };
            let now = UtcMicros(second * 1_000_000);
            let Some(batch) = measures.hear(AgentId(1), &heartbeat, now) else { continue };
            assert_eq!(batch.samples.len(), 14, "no name is refused");
            let of = |name: &str, labels: &str| {
                let is = |s: &&MetricSample| {
                    (s.name.as_str(), s.labels.to_string().as_str()) == (name, labels)
                };
                batch.samples.iter().find(is).unwrap().value
            };
            let lag = of("agent_send_lag_seconds", "stat=\"max\"");
            kept.push((second, lag, of("agent_rounds_total", "")));
        }
        let lag = |us| MetricValue::Gauge(Reading::new(f64::from(us) / 1e6).unwrap());
        let total =
            |total| MetricValue::Counter(Count { total, epoch: 0x0707_0707, is_32_bit: false });
        assert_eq!(kept, [(0, lag(9), total(100)), (30, lag(80), total(130))]);
    }
}
