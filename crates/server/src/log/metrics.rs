//! What was measured, as an entry of the log.

use model::{
    AgentId, Count, Labels, MetricBatch, MetricName, MetricSample, MetricSubject, MetricValue,
    Reading, UtcMicros,
};
use prost::Message;

use super::record::{RecordError, bad};

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricsRecord {
    /// Of an agent.
    #[prost(uint32, tag = "1")]
    agent: u32,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<SampleRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct SampleRecord {
    #[prost(string, tag = "1")]
    name: String,
    /// As OpenMetrics writes them.
    #[prost(string, tag = "2")]
    labels: String,
    #[prost(int64, tag = "3")]
    at_us: i64,
    #[prost(double, optional, tag = "4")]
    gauge: Option<f64>,
    #[prost(uint64, optional, tag = "5")]
    total: Option<u64>,
    #[prost(uint32, tag = "6")]
    epoch: u32,
    #[prost(bool, tag = "7")]
    is_32_bit: bool,
}

impl From<&MetricBatch> for MetricsRecord {
    fn from(batch: &MetricBatch) -> MetricsRecord {
        let MetricSubject::Agent(AgentId(agent)) = batch.subject;
        let sample = |sample: &MetricSample| {
            let mut record = SampleRecord {
                name: sample.name.to_string(),
                labels: sample.labels.to_string(),
                at_us: sample.at.0,
                ..SampleRecord::default()
            };
            match sample.value {
                MetricValue::Gauge(value) => record.gauge = Some(value.get()),
                MetricValue::Counter(Count { total, epoch, is_32_bit }) => {
                    (record.total, record.epoch) = (Some(total), epoch);
                    record.is_32_bit = is_32_bit;
                }
            }
            record
        };
        MetricsRecord { agent, samples: batch.samples.iter().map(sample).collect() }
    }
}

impl TryFrom<MetricsRecord> for MetricBatch {
    type Error = RecordError;

    fn try_from(record: MetricsRecord) -> Result<MetricBatch, RecordError> {
        let sample = |record: SampleRecord| {
            let SampleRecord { gauge, total, epoch, is_32_bit, .. } = record;
            let value = match (gauge.map(Reading::new), total) {
                (Some(Some(value)), None) => MetricValue::Gauge(value),
                (None, Some(total)) => MetricValue::Counter(Count { total, epoch, is_32_bit }),
                _ => return Err(bad("value of a metric")),
            };
            Ok(MetricSample {
                name: MetricName::parse(&record.name).map_err(|_| bad("name of a metric"))?,
                labels: Labels::parse(&record.labels).map_err(|_| bad("labels of a metric"))?,
                at: UtcMicros(record.at_us),
                value,
            })
        };
        Ok(MetricBatch {
            subject: MetricSubject::Agent(AgentId(record.agent)),
            samples: record.samples.into_iter().map(sample).collect::<Result<_, _>>()?,
        })
    }
}
