//! Metrics: the registry of series, what commits record of them, and reading it at any level.
//!
//! 1 - A series is made when it is heard first. An organisation has [`METRIC_SERIES_MAX`], a thing
//!     [`SUBJECT_SERIES_MAX`] of them: what is heard beyond is left out, counted and told, and
//!     the series that are there go on.
//! 2 - A series is forgotten when nothing that is kept can be of it.
//! 3 - Levels are read as those of rounds are ([`crate::roll`]): what is stored where nothing is
//!     marked and the tail has nothing, and made of the samples otherwise.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Labels, MetricBatch, MetricKind, MetricName, MetricRollup, MetricSample, MetricSubject, Minute,
    OrgId, Span, UtcMicros,
};

use crate::{
    METRIC_SERIES_MAX, MetricSeries, SUBJECT_SERIES_MAX, Scope, Store, StoreError,
    chunks::{Key, METRIC_DAY, METRIC_FIVE, METRIC_HOUR, MetricRecord, MetricRollRecord},
    damage::Damage,
    db::{DbRow, Tx, damaged, sql},
    forget::Swept,
    roll, roll_metrics,
    series::{self, Wanted},
};

/// `seen_at` is written when it is as much as this behind: not with every sample.
const SEEN_SPACING: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

// Above organisations: whose it is, is the question.
const AGENT_ORG: &str = "SELECT org_id FROM agent WHERE id = $1";
const SERIES_OF: &str = "
    SELECT id, name, labels, kind, seen_at
      FROM metric_series
     WHERE org_id = $1
       AND subject_kind = $2
       AND subject_id = $3
     ORDER BY name, labels, id
     LIMIT $4";
const SERIES_COUNT: &str = "SELECT count(*) FROM metric_series WHERE org_id = $1";
const SERIES_ADD: &str = "
    INSERT INTO metric_series (org_id, subject_kind, subject_id, name, labels, kind, seen_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    RETURNING id";
const SERIES_SEEN: &str = "
    UPDATE metric_series SET seen_at = $3 WHERE org_id = $1 AND id = $2 AND seen_at < $3";
/// Forgets series of which nothing was heard for so long that nothing of them is kept.
pub(crate) const SERIES_SWEEP: &str = "
    DELETE FROM metric_series
     WHERE id IN (
               SELECT id
                 FROM metric_series
                WHERE org_id = $1
                  AND seen_at < $2
                ORDER BY seen_at, id
                LIMIT $3)";

/// A series as its row says it.
struct Known {
    id: u32,
    seen_at: UtcMicros,
}

/// How a series is found: name, labels, kind.
type Named = (String, String, &'static str);

impl Store {
    /// Lists what is known of the metrics of a thing, in the order of their names.
    pub async fn metric_series(
        &self,
        scope: &Scope,
        subject: MetricSubject,
    ) -> Result<Vec<MetricSeries>, StoreError> {
        let mut tx = self.read(scope.org).await?;
        series_of(&mut tx, scope.org, subject).await?.iter().map(metric_series).collect()
    }

    /// Reads what a series adds up to from `from` to before `to`: in each minute, or in each span,
    /// of which both are a beginning. A minute or span without a sample is not in it.
    pub async fn metric_rollups(
        &self,
        scope: &Scope,
        series: &MetricSeries,
        span: Option<Span>,
        from: Minute,
        to: Minute,
    ) -> Result<BTreeMap<Minute, MetricRollup>, StoreError> {
        let Some(key) = Key::of_metric(series.id) else {
            return Ok(BTreeMap::new());
        };
        let wanted = Wanted {
            org: scope.org,
            subject: key.subject,
            agent: Some(key.agent),
            from: from.start(),
            to: to.start(),
        };
        let mut reader = Reader { damage: self.damage(), tx: self.read(scope.org).await?, wanted };
        match span {
            None => Ok(folded(reader.samples(&wanted).await?, |minute| minute)),
            Some(Span::FiveMinutes) => {
                let stored = reader.stored::<METRIC_FIVE>(&wanted).await?;
                reader.with_changed(stored, Span::FiveMinutes).await
            }
            Some(Span::Hour) => {
                let stored = reader.stored::<METRIC_HOUR>(&wanted).await?;
                reader.with_changed(stored, Span::Hour).await
            }
            Some(Span::Day) => reader.days().await,
        }
    }

    /// Samples that were left out since the start because there are too many series.
    pub fn metrics_left_out(&self) -> u64 {
        self.damage().left_out()
    }
}

type Found = BTreeMap<Minute, MetricRollup>;

/// Reads one series, as of one moment.
struct Reader<'a> {
    damage: &'a Damage,
    tx: Tx,
    wanted: Wanted,
}

impl Reader<'_> {
    async fn samples(
        &mut self,
        wanted: &Wanted,
    ) -> Result<Vec<(Minute, MetricRollup)>, StoreError> {
        let found = series::read::<MetricRecord>(&mut self.tx, wanted, self.damage).await?;
        let records = found.into_values().flatten();
        Ok(records.map(|r| (r.at.minute(), MetricRollup::of(r.at, r.value))).collect())
    }

    async fn stored<const KIND: u8>(&mut self, wanted: &Wanted) -> Result<Found, StoreError> {
        let found = series::read::<MetricRollRecord<KIND>>(&mut self.tx, wanted, self.damage);
        let records = found.await?.into_values().flatten();
        Ok(records.map(|record| (record.start, record.rollup)).collect())
    }

    /// Puts what is made of samples in the place of what is stored of hours that have changed.
    async fn with_changed(&mut self, mut stored: Found, span: Span) -> Result<Found, StoreError> {
        let hours = self.changed().await?;
        stored.retain(|start, _| !hours.contains(&Span::Hour.start(*start)));
        for run in roll::runs(hours.iter().copied(), Span::Hour) {
            let wanted = Wanted {
                from: self.wanted.from.max(run.start.start()),
                to: self.wanted.to.min(run.end.start()),
                ..self.wanted
            };
            let samples = self.samples(&wanted).await?;
            stored.extend(folded(samples, |minute| span.start(minute)));
        }
        Ok(stored)
    }

    async fn days(&mut self) -> Result<Found, StoreError> {
        let mut stored = self.stored::<METRIC_DAY>(&self.wanted.clone()).await?;
        let mut days = roll::marks(&mut self.tx, &self.wanted, Span::Day).await?;
        days.extend(self.changed().await?.into_iter().map(|hour| Span::Day.start(hour)));
        let swept = roll_metrics::hours_swept(&mut self.tx, self.wanted.org).await?;
        days.retain(|day| swept <= *day);
        stored.retain(|day, _| !days.contains(day));
        let asked = self.wanted;
        for run in roll::runs(days.into_iter(), Span::Day) {
            self.wanted.from = asked.from.max(run.start.start());
            self.wanted.to = asked.to.min(run.end.start());
            let hours = self.stored::<METRIC_HOUR>(&self.wanted.clone()).await?;
            let hours = self.with_changed(hours, Span::Hour).await?;
            stored.extend(folded(hours, |minute| Span::Day.start(minute)));
        }
        self.wanted = asked;
        Ok(stored)
    }

    /// The hours of which something is sealed and not rolled up, or not sealed.
    async fn changed(&mut self) -> Result<BTreeSet<Minute>, StoreError> {
        let mut hours = roll::marks(&mut self.tx, &self.wanted, Span::Hour).await?;
        hours.extend(series::tail_hours::<MetricRecord>(&mut self.tx, &self.wanted).await?);
        let group = self.wanted.key().group();
        let swept = Swept::read(&mut self.tx, self.wanted.org, group).await?.latest();
        hours.retain(|hour| swept <= *hour);
        Ok(hours)
    }
}

/// Adds up what is in the order of time.
pub(crate) fn folded(
    parts: impl IntoIterator<Item = (Minute, MetricRollup)>,
    start_of: impl Fn(Minute) -> Minute,
) -> Found {
    let mut folded = Found::new();
    for (minute, part) in parts {
        let held = folded.entry(start_of(minute));
        held.and_modify(|held| held.push(&part)).or_insert(part);
    }
    folded
}

/// Adds the samples of a commit and returns how many were left out.
pub(crate) async fn write(
    tx: &mut Tx,
    batches: &[MetricBatch],
    now: UtcMicros,
) -> Result<u64, StoreError> {
    let mut left_out = 0_u64;
    let mut heard: BTreeMap<OrgId, Vec<(Key, MetricRecord)>> = BTreeMap::new();
    let mut rooms: BTreeMap<OrgId, Option<usize>> = BTreeMap::new();
    for batch in batches {
        // An agent that was deleted meanwhile leaves nothing behind.
        let Some(org) = org_of(tx, batch.subject).await? else { continue };
        let mut known = known(tx, org, batch.subject).await?;
        let records = heard.entry(org).or_default();
        let room = rooms.entry(org).or_default();
        for sample in &batch.samples {
            match place(tx, (org, batch.subject), (&mut known, room), sample, now).await? {
                Some(key) => {
                    records.push((key, MetricRecord { at: sample.at, value: sample.value }));
                }
                None => left_out = left_out.saturating_add(1),
            }
        }
    }
    for (org, records) in heard {
        series::add(tx, org, records, now).await?;
    }
    Ok(left_out)
}

async fn org_of(tx: &mut Tx, subject: MetricSubject) -> Result<Option<OrgId>, StoreError> {
    let MetricSubject::Agent(agent) = subject;
    Ok(sql(AGENT_ORG).bind(agent.0).scalar_optional(tx).await?.map(OrgId))
}

async fn series_of(
    tx: &mut Tx,
    org: OrgId,
    subject: MetricSubject,
) -> Result<Vec<DbRow>, StoreError> {
    let (kind, id) = subject.parts();
    let max = i64::try_from(SUBJECT_SERIES_MAX).unwrap_or(i64::MAX);
    sql(SERIES_OF).bind(org.0).bind(kind).bind(id).bind(max).fetch_all(tx).await
}

fn metric_series(row: &DbRow) -> Result<MetricSeries, StoreError> {
    let text = |column| row.value::<String>(column);
    let name = MetricName::parse(&text("name")?).map_err(|_| damaged("metric_series.name"))?;
    let labels = Labels::parse(&text("labels")?).map_err(|_| damaged("metric_series.labels"))?;
    let kind = row.parsed("kind", MetricKind::parse)?;
    Ok(MetricSeries { id: row.number("id")?, name, labels, kind })
}

async fn known(
    tx: &mut Tx,
    org: OrgId,
    subject: MetricSubject,
) -> Result<BTreeMap<Named, Known>, StoreError> {
    let rows = series_of(tx, org, subject).await?;
    let known = |row: &DbRow| {
        let kind = row.parsed("kind", MetricKind::parse)?.as_str();
        let named = (row.value("name")?, row.value("labels")?, kind);
        Ok((named, Known { id: row.number("id")?, seen_at: row.at("seen_at")? }))
    };
    rows.iter().map(known).collect()
}

/// How many series an organisation may have more.
async fn room_of(tx: &mut Tx, org: OrgId) -> Result<usize, StoreError> {
    let all: i64 = sql(SERIES_COUNT).bind(org.0).scalar(tx).await?;
    Ok(METRIC_SERIES_MAX.saturating_sub(usize::try_from(all).unwrap_or(0)))
}

/// Finds the series of a sample, or makes it; `None` if there are too many. `room` is how many
/// the organisation may have more, once it was counted: with each sample would take too long.
async fn place(
    tx: &mut Tx,
    (org, subject): (OrgId, MetricSubject),
    (known, room): (&mut BTreeMap<Named, Known>, &mut Option<usize>),
    sample: &MetricSample,
    now: UtcMicros,
) -> Result<Option<Key>, StoreError> {
    let kind = sample.value.kind().as_str();
    let named = (sample.name.as_str().to_owned(), sample.labels.to_string(), kind);
    let count = known.len();
    if let Some(series) = known.get_mut(&named) {
        if series.seen_at + SEEN_SPACING <= now {
            series.seen_at = now;
            sql(SERIES_SEEN).bind(org.0).bind(series.id).bind(now.0).execute(tx).await?;
        }
        return Ok(Key::of_metric(series.id));
    }
    if SUBJECT_SERIES_MAX <= count {
        return Ok(None);
    }
    let left = match *room {
        Some(left) => left,
        None => room_of(tx, org).await?,
    };
    *room = Some(left.saturating_sub(1));
    if left == 0 {
        return Ok(None);
    }
    let (subject_kind, subject_id) = subject.parts();
    let add = sql(SERIES_ADD).bind(org.0).bind(subject_kind).bind(subject_id);
    let add = add.bind(&named.0).bind(&named.1).bind(kind).bind(now.0);
    let id: i64 = add.scalar(tx).await?;
    let Ok(id) = u32::try_from(id) else { return Ok(None) };
    known.insert(named, Known { id, seen_at: now });
    Ok(Key::of_metric(id))
}
