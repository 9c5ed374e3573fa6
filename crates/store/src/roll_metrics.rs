//! Rolling up metrics: as rounds and minutes are ([`crate::roll`]), by the same marks.

use std::{collections::BTreeSet, ops::Range};

use model::{MetricRollup, Minute, OrgId, Span, UtcMicros};

use crate::{
    Store, StoreError,
    chunks::{
        Key, METRIC_DAY, METRIC_FIVE, METRIC_HOUR, MetricRecord, MetricRollRecord, Unpackable,
    },
    compact::{add_chunk, computed},
    db::{Tx, sql},
    forget::Swept,
    metrics::folded,
    roll::{self, Due, Opened, Source, Unread},
};

const SWEPT: &str = "SELECT metric_hours FROM history_swept WHERE org_id = $1";

type Series<const KIND: u8> = Vec<(Key, Vec<MetricRollRecord<KIND>>)>;

impl Store {
    /// Makes hours, and their five minutes, of samples; false if more came meanwhile.
    pub(crate) async fn roll_metric_hours(
        &self,
        due: &Due,
        now: UtcMicros,
    ) -> Result<bool, StoreError> {
        let wanted = due.wanted();
        let mut tx = self.read(due.org).await?;
        let swept = Swept::read(&mut tx, due.org, due.group).await?.latest();
        let samples = roll::sources::<MetricRecord>(&mut tx, &wanted).await?;
        drop(tx);
        let hours: BTreeSet<Minute> =
            due.marks.iter().map(|(start, _)| *start).filter(|start| swept <= *start).collect();
        let (group, range) = (due.group, due.range());
        let (mut fives, mut hours, unread) = computed(move || hours_of(&samples, &hours)).await?;
        let harmed = unread.told(self.damage());
        let stored = self.stored_of::<MetricRollRecord<METRIC_HOUR>>(due, &harmed).await?;
        roll::without(&mut fives, Span::Hour, &stored);
        roll::without(&mut hours, Span::Hour, &stored);
        let made = computed(move || {
            let fives = roll::encoded(fives, group, &range)?;
            Ok([fives, roll::encoded(hours, group, &range)?])
        });
        let made: Result<_, Unpackable> = made.await?;
        let made = made?;
        let mut tx = self.write(due.org).await?;
        if !roll::unmark(&mut tx, due).await? {
            return Ok(false);
        }
        for (kind, made) in made.into_iter().flatten() {
            let chunk = add_chunk(&mut tx, due.org, kind, made, now).await?;
            if kind == METRIC_HOUR {
                let of = (due.org, due.group);
                roll::mark(&mut tx, of, Span::Day, due.range().start, (chunk, now)).await?;
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Makes a day of its hours; false if more came meanwhile.
    pub(crate) async fn roll_metric_day(
        &self,
        due: &Due,
        now: UtcMicros,
    ) -> Result<bool, StoreError> {
        let mut tx = self.read(due.org).await?;
        let swept = hours_swept(&mut tx, due.org).await?;
        let mut hours =
            roll::sources::<MetricRollRecord<METRIC_HOUR>>(&mut tx, &due.wanted()).await?;
        drop(tx);
        // A day of which hours may be gone would lose them.
        if due.range().start < swept {
            hours.clear();
        }
        let (group, range) = (due.group, due.range());
        let of = due.range();
        let (mut days, unread) = computed(move || days_of(&hours, &of)).await?;
        let harmed = unread.told(self.damage());
        let stored = self.stored_of::<MetricRollRecord<METRIC_DAY>>(due, &harmed).await?;
        roll::without(&mut days, Span::Day, &stored);
        let made = computed(move || roll::encoded(days, group, &range)).await??;
        let mut tx = self.write(due.org).await?;
        if !roll::unmark(&mut tx, due).await? {
            return Ok(false);
        }
        if let Some((kind, made)) = made {
            add_chunk(&mut tx, due.org, kind, made, now).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Before this minute hours may be gone, so no day is made of them.
pub(crate) async fn hours_swept(tx: &mut Tx, org: OrgId) -> Result<Minute, StoreError> {
    let swept: Option<Option<i64>> = sql(SWEPT).bind(org.0).scalar_optional(tx).await?;
    Ok(Minute(swept.flatten().unwrap_or(i64::MIN)))
}

fn records<const KIND: u8>(
    parts: impl IntoIterator<Item = (Minute, MetricRollup)>,
) -> Vec<MetricRollRecord<KIND>> {
    let span = MetricRollRecord::<KIND>::SPAN;
    let folded = folded(parts, |minute| span.start(minute));
    folded.into_iter().map(|(start, rollup)| MetricRollRecord { start, rollup }).collect()
}

type Hours = (Series<METRIC_FIVE>, Series<METRIC_HOUR>, Unread);

fn hours_of(samples: &[Source], hours: &BTreeSet<Minute>) -> Hours {
    let mut opened = Opened::new::<MetricRecord>(samples);
    let (mut fives, mut rolled) = (Series::new(), Series::new());
    for subject in opened.subjects() {
        let is_in = |r: &MetricRecord| hours.contains(&Span::Hour.start(r.at.minute()));
        for (agent, samples) in opened.of(subject, is_in) {
            let of = |r: &MetricRecord| (r.at.minute(), MetricRollup::of(r.at, r.value));
            let key = Key { subject, agent };
            fives.push((key, records(samples.iter().map(of))));
            rolled.push((key, records(samples.iter().map(of))));
        }
    }
    (fives, rolled, opened.unread)
}

fn days_of(hours: &[Source], range: &Range<Minute>) -> (Series<METRIC_DAY>, Unread) {
    let mut opened = Opened::new::<MetricRollRecord<METRIC_HOUR>>(hours);
    let mut days = Series::new();
    for subject in opened.subjects() {
        let is_in = |hour: &MetricRollRecord<METRIC_HOUR>| range.contains(&hour.start);
        for (agent, hours) in opened.of(subject, is_in) {
            let hours = hours.into_iter().map(|hour| (hour.start, hour.rollup));
            days.push((Key { subject, agent }, records(hours)));
        }
    }
    (days, opened.unread)
}
