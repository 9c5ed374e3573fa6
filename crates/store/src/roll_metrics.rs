//! Rolling up metrics: as rounds and minutes are ([`crate::roll`]), by the same marks.

use std::{collections::BTreeSet, ops::Range};

use model::{MetricRollup, Minute, Span, UtcMicros};

use crate::{
    Store, StoreError,
    chunks::{Damaged, Key, METRIC_DAY, METRIC_FIVE, METRIC_HOUR, MetricRecord, MetricRollRecord},
    compact::{add_chunk, computed},
    damage::Place,
    metrics::folded,
    roll::{self, Due, Opened, Source},
};

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
        let swept = roll::swept(&mut tx, due.org).await?;
        let samples = roll::sources::<MetricRecord>(&mut tx, &wanted).await?;
        drop(tx);
        let hours: BTreeSet<Minute> =
            due.marks.iter().map(|(start, _)| *start).filter(|start| swept <= *start).collect();
        let (group, range) = (due.group, due.range());
        let (made, damaged) = computed(move || {
            let (fives, hours, damaged) = hours_of(&samples, &hours);
            let fives = roll::encoded(fives, group, &range);
            (fives.and_then(|fives| Ok([fives, roll::encoded(hours, group, &range)?])), damaged)
        })
        .await?;
        damaged.into_iter().for_each(|(id, why)| self.damage().note(Place::Chunk(id), why));
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
        let hours = roll::sources::<MetricRollRecord<METRIC_HOUR>>(&mut tx, &due.wanted()).await?;
        drop(tx);
        let (group, range) = (due.group, due.range());
        let (made, damaged) = computed(move || {
            let (days, damaged) = days_of(&hours, &range);
            (roll::encoded(days, group, &range), damaged)
        })
        .await?;
        damaged.into_iter().for_each(|(id, why)| self.damage().note(Place::Chunk(id), why));
        let made = made?;
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

fn records<const KIND: u8>(
    parts: impl IntoIterator<Item = (Minute, MetricRollup)>,
) -> Vec<MetricRollRecord<KIND>> {
    let span = MetricRollRecord::<KIND>::SPAN;
    let folded = folded(parts, |minute| span.start(minute));
    folded.into_iter().map(|(start, rollup)| MetricRollRecord { start, rollup }).collect()
}

type Hours = (Series<METRIC_FIVE>, Series<METRIC_HOUR>, Vec<(i64, Damaged)>);

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
    (fives, rolled, opened.damaged)
}

fn days_of(hours: &[Source], range: &Range<Minute>) -> (Series<METRIC_DAY>, Vec<(i64, Damaged)>) {
    let mut opened = Opened::new::<MetricRollRecord<METRIC_HOUR>>(hours);
    let mut days = Series::new();
    for subject in opened.subjects() {
        let is_in = |hour: &MetricRollRecord<METRIC_HOUR>| range.contains(&hour.start);
        for (agent, hours) in opened.of(subject, is_in) {
            let hours = hours.into_iter().map(|hour| (hour.start, hour.rollup));
            days.push((Key { subject, agent }, records(hours)));
        }
    }
    (days, opened.damaged)
}
