//! Damaged roll-ups: made anew of what they were made of, while that is there.
//!
//! 1 - Roll-ups are made of rounds and minutes, or of samples: the hours or days of the chunk are
//!     marked, as if something of them had been sealed. Days of metrics are made of their hours.
//! 2 - If all of a chunk can be made anew, it goes in the transaction that marks its spans: from
//!     then on a reader makes them itself, until they are rolled up.
//! 3 - If what some of its spans were made of was forgotten, those are lost, which is told; the
//!     chunk stays with what of it can be read, and what is made anew holds against it.
//!
//! A chunk is looked at once: when a reader or a merge first finds it damaged.

use std::ops::Range;

use model::{Minute, OrgId, Span, UtcMicros};

use crate::{
    Compacted, Store, StoreError,
    chunks::{
        ALL_DAY, ALL_FIVE, ALL_HOUR, METRIC_DAY, METRIC_FIVE, METRIC_HOUR, PAIR_DAY, PAIR_FIVE,
        PAIR_HOUR,
    },
    damage::Place,
    db::{DbRow, Tx, sql},
    forget::Swept,
    roll, roll_metrics,
};

// Above organisations: whose it is, is the question.
const CHUNK: &str = "
    SELECT org_id, kind, series_group, start, minutes, is_damaged
      FROM history_chunk
     WHERE id = $1";
const CHUNK_DAMAGED: &str = "UPDATE history_chunk SET is_damaged = 1 WHERE org_id = $1 AND id = $2";
const CHUNK_DROP: &str = "DELETE FROM history_chunk WHERE org_id = $1 AND id = $2";

/// What a roll-up is made of.
#[derive(Clone, Copy, Debug)]
enum Made {
    /// Of what was recorded, by the hour or the day.
    Recorded(Span),
    /// Days of metrics, of their hours.
    Hours,
}

impl Made {
    /// `None` for what is made of nothing else.
    fn of(kind: u8) -> Option<Made> {
        match kind {
            PAIR_FIVE | PAIR_HOUR | ALL_FIVE | ALL_HOUR | METRIC_FIVE | METRIC_HOUR => {
                Some(Made::Recorded(Span::Hour))
            }
            ALL_DAY | PAIR_DAY => Some(Made::Recorded(Span::Day)),
            METRIC_DAY => Some(Made::Hours),
            _ => None,
        }
    }

    fn span(self) -> Span {
        match self {
            Made::Recorded(span) => span,
            Made::Hours => Span::Day,
        }
    }
}

/// Whether chunks of a kind are made of others.
pub(crate) fn is_made_of_others(kind: u8) -> bool {
    Made::of(kind).is_some()
}

/// A damaged chunk of roll-ups.
struct Broken {
    org: OrgId,
    group: u32,
    range: Range<Minute>,
    made: Made,
}

impl Store {
    /// Looks at what was newly found damaged.
    pub(crate) async fn repair_due(
        &self,
        now: UtcMicros,
        compacted: &mut Compacted,
    ) -> Result<(), StoreError> {
        let mut failed = Ok(());
        for id in self.damage().take_fresh() {
            match self.repair(id, now).await {
                Ok(rebuilt) => {
                    compacted.rebuilt = compacted.rebuilt.saturating_add(u64::from(rebuilt));
                }
                Err(error) => {
                    // Another attempt comes with the next step.
                    self.damage().keep_fresh(id);
                    failed = Err(error);
                }
            }
        }
        failed
    }

    /// Marks the spans of a chunk that can be made anew; whether there are any.
    async fn repair(&self, id: i64, now: UtcMicros) -> Result<bool, StoreError> {
        let row = sql(CHUNK).bind(id).fetch_optional(&mut *self.read_above().await?).await?;
        let Some(row) = row else {
            // It was forgotten meanwhile.
            self.damage().mended(Place::Chunk(id));
            return Ok(false);
        };
        let Some(broken) = broken(&row)? else { return Ok(false) };
        let Broken { org, group, range, made } = broken;
        let mut tx = self.write(org).await?;
        let from = made_from(&mut tx, (org, group), made).await?;
        let span = made.span();
        let (mut start, mut spans) = (span.start(range.start), 0_u64);
        let is_whole = from <= range.start;
        while start < range.end.min(now.minute()) {
            if from <= start {
                roll::mark(&mut tx, (org, group), span, start, (id, now)).await?;
                spans += 1;
            }
            start = Minute(start.0.saturating_add(span.minutes()));
        }
        let end = if is_whole { CHUNK_DROP } else { CHUNK_DAMAGED };
        sql(end).bind(org.0).bind(id).execute(&mut tx).await?;
        tx.commit().await?;
        if is_whole {
            self.damage().mended(Place::Chunk(id));
            tracing::warn!(
                chunk = id,
                spans,
                "a damaged roll-up is made anew of what was recorded"
            );
        } else {
            tracing::error!(
                chunk = id,
                spans,
                "a damaged roll-up is lost in part: what it was made of is forgotten"
            );
        }
        Ok(0 < spans)
    }
}

fn broken(row: &DbRow) -> Result<Option<Broken>, StoreError> {
    let Some(made) = Made::of(row.number("kind")?) else { return Ok(None) };
    if row.is("is_damaged")? {
        return Ok(None);
    }
    let (start, minutes): (i64, i64) = (row.value("start")?, row.value("minutes")?);
    Ok(Some(Broken {
        org: OrgId(row.number("org_id")?),
        group: row.number("series_group")?,
        range: Minute(start)..Minute(start.saturating_add(minutes)),
        made,
    }))
}

/// From when on there is what roll-ups are made of.
async fn made_from(
    tx: &mut Tx,
    (org, group): (OrgId, u32),
    made: Made,
) -> Result<Minute, StoreError> {
    let (swept, span) = match made {
        Made::Recorded(span) => (Swept::read(tx, org, group).await?.latest(), span),
        Made::Hours => (roll_metrics::hours_swept(tx, org).await?, Span::Day),
    };
    // A span of which something is gone would lose it.
    let start = span.start(swept);
    let is_whole = start == swept || swept == Minute(i64::MIN);
    Ok(if is_whole { swept } else { Minute(start.0.saturating_add(span.minutes())) })
}
