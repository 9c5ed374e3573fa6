//! What watching costs, told before anything is watched: disk by level, memory, packets.
//!
//! Pure arithmetic over what the benches measured (docs/performance.md): rounds of 5 packets every
//! 30 s by three agents, exponential jitter, 0.5 % of the packets lost. A network that loses or
//! varies more costs more. `bench plan` compares a plan with a store and a server that are filled.

use std::time::Duration;

pub use crate::Kept;
use crate::Span;

/// What is to be watched, how often, and what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub targets: u64,
    /// That ask each of the targets.
    pub agents: u64,
    /// Between two rounds.
    pub interval: Duration,
    /// In a round.
    pub packets: u8,
    pub payload_bytes: u16,
    pub kept: Kept,
}

/// A part of the data directory, once it is as large as it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// As in the configuration and the API where it is a level of the history.
    pub name: &'static str,
    /// Rounds, minutes or spans of time; none where bytes are all that is known.
    pub records: Option<u64>,
    pub bytes: u64,
    /// What it grows by until it is as large as it gets.
    pub bytes_per_day: u64,
}

/// A part of the data directory as it is, and as it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growing {
    pub used_bytes: u64,
    pub planned_bytes: u64,
    pub bytes_per_day: u64,
}

/// How long so much room lasts while everything grows to what was planned; `None` if it lasts for
/// ever.
///
/// Nothing is reckoned to shrink.
pub fn full_after(parts: &[Growing], room_bytes: u64) -> Option<Duration> {
    // When each part stops to grow, in days.
    let mut ends: Vec<(f64, f64)> = Vec::new();
    for Growing { used_bytes, planned_bytes, bytes_per_day } in parts {
        let missing = planned_bytes.saturating_sub(*used_bytes) as f64;
        if 0.0 < missing && *bytes_per_day != 0 {
            ends.push((missing / *bytes_per_day as f64, *bytes_per_day as f64));
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut rate: f64 = ends.iter().map(|(_, rate)| rate).sum();
    let (mut room, mut passed) = (room_bytes as f64, 0.0);
    for (end, own) in ends {
        let grows = (end - passed) * rate;
        if room < grows {
            return Duration::try_from_secs_f64((passed + room / rate) * DAY.as_secs_f64()).ok();
        }
        room -= grows;
        rate -= own;
        passed = end;
    }
    None
}

/// What watching costs once everything has been kept for its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub levels: Vec<Level>,
    /// Of the server, between its peaks.
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    /// Rounds of all agents.
    pub results_per_s: f64,
    pub agent: Traffic,
    pub together: Traffic,
}

/// What is sent; as much comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    pub packets_per_s: f64,
    /// With the headers of IPv4 and ICMP, without those of the line.
    pub bits_per_s: f64,
}

/// Thousandths of a byte of a round, all columns: "Roll-ups and the steady state", like the others.
const ROUND_MILLIBYTES: u64 = 3_380;
/// Of the verdict, cause and counts of a minute.
const MINUTE_MILLIBYTES: u64 = 79;
const AGENT_5M: Rolled = Rolled::of(692, 91, 4);
const AGENT_1H: Rolled = Rolled::of(820, 79, 32);
/// Of a day of an agent; 2.8 bytes of it are what it counts of its rounds.
const AGENT_1D: Rolled = Rolled::of(6_000, 70, 30);
const TARGET_5M: Rolled = Rolled::of(763, 101, 16);
const TARGET_1H: Rolled = Rolled::of(790, 82, 64);
/// Of it 11 bytes are what it counts of the rounds of three agents.
const TARGET_1D: Rolled = Rolled::of(12_600, 78, 360);
/// What is not merged yet just before a midnight, each result of the day: "The plan beside what was
/// measured".
const UNMERGED_MILLIBYTES: u64 = 4_200;
/// The file over what is in it, in thousandths: the same section.
const FREE_PER_MILLE: u64 = 70;
/// The same of what is not merged, whose chunks are small.
const FREE_UNMERGED_PER_MILLE: u64 = 390;
/// Of a result in the log: "Ingest".
const LOG_MILLIBYTES: u64 = 7_900;
/// The log goes back to the checkpoint before the last; they are 30 s apart.
const LOG_KEPT: Duration = Duration::from_secs(60);
/// A segment of the log goes as a whole, once it is full.
const LOG_SEGMENT_BYTES: u64 = 64 << 20;
/// Of the server alone: "The plan beside what was measured", like the others of memory.
pub const MEMORY_EMPTY_BYTES: u64 = 46_000_000;
/// What comes and goes whatever is watched.
const MEMORY_PEAK_BYTES: u64 = 24_000_000;
/// What of it is there between the peaks: of a turn, and of sealing.
const MEMORY_BUSY_BYTES: u64 = 14_000_000;
/// SQLite's caches once they are full; they hold nothing that is not in the database.
const MEMORY_CACHES_BYTES: u64 = 24 << 20;
/// Until they are, a page is in that of the writer and in one of a reader.
const CACHED_TIMES: u64 = 2;
/// Of a target and an agent that asks it, every 30 s.
const MEMORY_PAIR_BYTES: u64 = 640;
/// The same at the peak, while a checkpoint is stored and chunks are sealed.
const MEMORY_PAIR_PEAK_BYTES: u64 = 1_400;
/// ICMP (8) and IPv4 (20) around the payload: RFC 792 and RFC 791.
const HEADER_BYTES: u16 = 28;

const UNMERGED: &str = "unmerged";
/// Not in the database.
const LOG: &str = "log";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// What roll-ups of a level take. A page of a series costs something whatever is in it, so a short
/// history costs more a record.
#[derive(Clone, Copy)]
struct Rolled {
    record_millibytes: u64,
    page_bytes: u64,
    /// Of a chunk once it is merged: what a page has.
    page: Duration,
}

impl Rolled {
    const fn of(record_millibytes: u64, page_bytes: u64, days: u32) -> Rolled {
        let page = Duration::from_secs(86_400 * days as u64);
        Rolled { record_millibytes, page_bytes, page }
    }

    /// Thousandths of a byte of one record, its share of the page in it.
    fn millibytes(&self, kept: Duration, step: Duration) -> u64 {
        let records = (kept.min(self.page).as_secs() / step.as_secs().max(1)).max(1);
        self.record_millibytes + 1_000 * self.page_bytes / records
    }
}

impl Question {
    /// A hundred times what was ever measured: above it a plan says nothing any more.
    pub const TARGETS_MAX: u64 = 10_000_000;
    /// Agents are at most some hundreds, everywhere in the product.
    pub const AGENTS_MAX: u64 = 1_000;
}

impl Plan {
    /// Tells what watching costs.
    ///
    /// 1 - Every agent that asks a target makes one result an interval.
    /// 2 - Minutes are of each agent and of all together, roll-ups of one or the other: how many
    ///     there are does not depend on the interval.
    /// 3 - Each level is what it has been kept for, and every record takes what was measured.
    /// 4 - One agent sends what one that asks all targets does.
    pub fn of(question: &Question) -> Plan {
        Plan::of_all(std::slice::from_ref(question))
    }

    /// Tells what watching by several tiers costs together.
    pub fn of_all(questions: &[Question]) -> Plan {
        let mut together = Plan::none();
        for question in questions {
            let plan = Plan::of_one(question);
            for (sum, level) in together.levels.iter_mut().zip(&plan.levels) {
                sum.add(level);
            }
            together.results_per_s += plan.results_per_s;
            together.agent.add(&plan.agent);
            together.together.add(&plan.together);
        }
        // There is one log, however many tiers.
        if let Some(log) = together.levels.last_mut() {
            log.bytes = log.bytes.saturating_add(LOG_SEGMENT_BYTES);
        }
        let pairs = |question: &Question| question.targets.saturating_mul(question.agents);
        let pairs = questions.iter().map(pairs).fold(0, u64::saturating_add);
        let of_database = together.levels.iter().filter(|level| level.name != LOG);
        let database = of_database.fold(0_u64, |sum, level| sum.saturating_add(level.bytes));
        (together.memory_bytes, together.memory_peak_bytes) = memory_bytes(pairs, database);
        together
    }

    /// Of a server that watches nothing.
    fn none() -> Plan {
        let nothing = Question {
            targets: 0,
            agents: 0,
            interval: DAY,
            packets: 0,
            payload_bytes: 0,
            kept: Kept::NOTHING,
        };
        Plan::of_one(&nothing)
    }

    fn of_one(question: &Question) -> Plan {
        let pairs = question.targets.saturating_mul(question.agents);
        let results_per_s = pairs as f64 / question.interval.as_secs_f64();
        let traffic = |results_per_s: f64| {
            let packets_per_s = results_per_s * f64::from(question.packets);
            let bits = 8.0 * (f64::from(HEADER_BYTES) + f64::from(question.payload_bytes));
            Traffic { packets_per_s, bits_per_s: packets_per_s * bits }
        };
        Plan {
            levels: levels(question, pairs),
            memory_bytes: 0,
            memory_peak_bytes: 0,
            results_per_s,
            agent: traffic(question.targets as f64 / question.interval.as_secs_f64()),
            together: traffic(results_per_s),
        }
    }

    /// The whole data directory, without backups in it.
    pub fn disk_bytes(&self) -> u64 {
        self.levels.iter().fold(0, |sum, level| sum.saturating_add(level.bytes))
    }
}

/// Memory of a server with so many pairs of target and agent and a database of so many bytes:
/// between its peaks, and at the peak.
pub fn memory_bytes(pairs: u64, database_bytes: u64) -> (u64, u64) {
    let caches = database_bytes.saturating_mul(CACHED_TIMES).min(MEMORY_CACHES_BYTES);
    let with = |bytes: u64, busy: u64| {
        let busy = if pairs == 0 { 0 } else { busy };
        let fixed = MEMORY_EMPTY_BYTES.saturating_add(caches).saturating_add(busy);
        fixed.saturating_add(pairs.saturating_mul(bytes))
    };
    let peak = with(MEMORY_PAIR_PEAK_BYTES, MEMORY_PEAK_BYTES);
    (with(MEMORY_PAIR_BYTES, MEMORY_BUSY_BYTES), peak)
}

fn levels(question: &Question, pairs: u64) -> Vec<Level> {
    let Question { targets, interval, kept, .. } = *question;
    let level = |name, records, millibytes, fills: Duration| {
        let bytes = scaled(records, millibytes);
        let days = fills.as_secs_f64() / DAY.as_secs_f64();
        let bytes_per_day = if days == 0.0 { 0 } else { (bytes as f64 / days) as u64 };
        Level { name, records: Some(records), bytes, bytes_per_day }
    };
    let series = pairs.saturating_add(targets);
    let span = |span: Span| MINUTE * u32::try_from(span.minutes()).unwrap_or(u32::MAX);
    let [five, hour, day] = Span::ALL.map(span);
    let of = |name, series, kept, step, millibytes| {
        level(name, each(series, kept, step), millibytes, kept)
    };
    let rolled = |name, series, kept, step, rate: Rolled| {
        of(name, series, kept, step, rate.millibytes(kept, step))
    };
    let mut levels = vec![
        of("rounds", pairs, kept.rounds, interval, ROUND_MILLIBYTES),
        of("minutes", series, kept.minutes, MINUTE, MINUTE_MILLIBYTES),
        rolled("agent_5m", pairs, kept.agent_5m, five, AGENT_5M),
        rolled("agent_1h", pairs, kept.agent_1h, hour, AGENT_1H),
        rolled("agent_1d", pairs, kept.agent_1h, day, AGENT_1D),
        rolled("target_5m", targets, kept.target_5m, five, TARGET_5M),
        rolled("target_1h", targets, kept.target_1h, hour, TARGET_1H),
        rolled("target_1d", targets, kept.target_1d, day, TARGET_1D),
        of(UNMERGED, pairs, DAY, interval, UNMERGED_MILLIBYTES),
    ];
    let free = |of: fn(&Level) -> u64| {
        let of = |level: &Level| {
            let is_unmerged = level.name == UNMERGED;
            scaled(of(level), if is_unmerged { FREE_UNMERGED_PER_MILLE } else { FREE_PER_MILLE })
        };
        levels.iter().map(of).fold(0, u64::saturating_add)
    };
    let (bytes, bytes_per_day) = (free(|level| level.bytes), free(|level| level.bytes_per_day));
    levels.push(Level { name: "free", records: None, bytes, bytes_per_day });
    levels.push(of(LOG, pairs, LOG_KEPT, interval, LOG_MILLIBYTES));
    levels
}

impl Level {
    fn add(&mut self, more: &Level) {
        self.records = self.records.zip(more.records).map(|(a, b)| a.saturating_add(b));
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.bytes_per_day = self.bytes_per_day.saturating_add(more.bytes_per_day);
    }
}

impl Traffic {
    fn add(&mut self, more: &Traffic) {
        self.packets_per_s += more.packets_per_s;
        self.bits_per_s += more.bits_per_s;
    }
}

/// Records of some series, one each `step`, that are kept for a time.
fn each(series: u64, kept: Duration, step: Duration) -> u64 {
    let all = u128::from(series).saturating_mul(kept.as_micros()) / step.as_micros().max(1);
    u64::try_from(all).unwrap_or(u64::MAX)
}

fn scaled(value: u64, thousandths: u64) -> u64 {
    let product = u128::from(value) * u128::from(thousandths) / 1_000;
    u64::try_from(product).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tier;

    const fn days(days: u64) -> Duration {
        Duration::from_secs(86_400 * days)
    }

    /// As it was measured: three agents, every 30 s, the default times.
    const MEASURED: Question = Question {
        targets: 1_000,
        agents: 3,
        interval: Duration::from_secs(30),
        packets: 5,
        payload_bytes: 56,
        kept: Kept {
            rounds: days(14),
            minutes: days(90),
            agent_5m: days(90),
            agent_1h: days(400),
            target_5m: days(400),
            target_1h: days(1_826),
            target_1d: days(1_826),
        },
    };

    fn level(plan: &Plan, name: &str) -> Level {
        *plan.levels.iter().find(|level| level.name == name).unwrap()
    }

    /// The table of docs/performance.md, whose figures have two digits behind the point.
    #[test]
    fn as_it_was_measured_every_result_takes_the_bytes_that_were_measured() {
        let plan = Plan::of(&MEASURED);
        let results = level(&plan, "rounds").records.unwrap() as f64;
        assert_eq!(results, 3.0 * 2_880.0 * 14.0 * 1_000.0);
        let told = [
            ("rounds", 3.38),
            ("minutes", 0.34),
            ("agent_5m", 0.50),
            ("agent_1h", 0.22),
            ("agent_1d", 0.08),
            ("target_5m", 0.75),
            ("target_1h", 0.30),
            ("target_1d", 0.19),
        ];
        let per_result = |name| level(&plan, name).bytes as f64 / results;
        for (name, bytes) in told {
            assert!((per_result(name) - bytes).abs() < 0.006, "{name}: {}", per_result(name));
        }
        let levels: f64 = told.iter().map(|(name, _)| per_result(name)).sum();
        assert!((levels / 5.78 - 1.0).abs() < 0.01, "together {levels}");
        let whole = levels + per_result("unmerged") + per_result("free");
        assert!((whole / 6.62 - 1.0).abs() < 0.01, "with what the file is larger by {whole}");
    }

    /// Of `bench plan`, in days of 64 targets: bytes that were there once they were merged; of days
    /// with what their counts were found to take in chunks of their own.
    #[test]
    fn a_short_history_takes_more_a_record_as_it_was_measured() {
        let told = [
            ("agent_5m", [(2, 0.851), (6, 0.796), (34, 0.775)]),
            ("agent_1h", [(2, 2.466), (6, 1.434), (34, 0.986)]),
            ("agent_1d", [(2, 42.93), (6, 18.92), (34, 8.784)]),
            ("target_5m", [(2, 0.939), (6, 0.820), (34, 0.789)]),
            ("target_1h", [(2, 2.482), (6, 1.429), (34, 0.957)]),
            ("target_1d", [(2, 51.42), (6, 25.48), (34, 14.65)]),
        ];
        for (name, told) in told {
            for (count, measured) in told {
                let all = days(count);
                let kept = Kept {
                    agent_5m: all,
                    agent_1h: all,
                    target_5m: all,
                    target_1h: all,
                    target_1d: all,
                    ..MEASURED.kept
                };
                let Level { bytes, records, .. } =
                    level(&Plan::of(&Question { kept, ..MEASURED }), name);
                let planned = bytes as f64 / records.unwrap() as f64;
                assert!((planned / measured - 1.0).abs() < 0.1, "{name}, {count} d: {planned}");
            }
        }
    }

    /// Of `bench fleet` (300,000 pairs, every 30 s), `bench plan` (30,000) and `ingest` (100,000,
    /// far more rounds a second), with a database that fills the caches. Each was seen beside
    /// little and beside much other work, which lets more of it wait: both are met.
    #[test]
    fn memory_is_what_the_benches_saw() {
        let seen = [
            (100_000, 3, [Some(255.8), Some(291.6)], [474.1, 551.2]),
            (10_000, 3, [Some(101.2), Some(110.1)], [126.4, 140.3]),
            (10_000, 10, [None, None], [219.0, 261.2]),
        ];
        for (targets, agents, between, peak) in seen {
            let plan = Plan::of(&Question { targets, agents, ..MEASURED });
            let is_near =
                |planned: u64, seen: f64| (planned as f64 / 1e6 / seen - 1.0).abs() < 0.11;
            let mut between = between.into_iter().flatten();
            assert!(between.all(|seen| is_near(plan.memory_bytes, seen)), "{plan:?}");
            assert!(peak.into_iter().all(|seen| is_near(plan.memory_peak_bytes, seen)), "{plan:?}");
        }
    }

    #[test]
    fn twice_the_targets_take_twice_the_history_memory_and_packets() {
        let (once, twice) =
            (Plan::of(&MEASURED), Plan::of(&Question { targets: 2_000, ..MEASURED }));
        for (a, b) in once.levels.iter().zip(&twice.levels) {
            let fixed = if a.name == "log" { LOG_SEGMENT_BYTES } else { 0 };
            // Each part of `free` is rounded.
            assert!((2 * (a.bytes - fixed)).abs_diff(b.bytes - fixed) <= 20, "{}", a.name);
        }
        let fixed = MEMORY_EMPTY_BYTES + MEMORY_CACHES_BYTES + MEMORY_BUSY_BYTES;
        let of_pairs = |plan: &Plan| plan.memory_bytes - fixed;
        assert_eq!(of_pairs(&twice), 2 * of_pairs(&once));
        assert_eq!(twice.together.packets_per_s, 2.0 * once.together.packets_per_s);
    }

    #[test]
    fn twice_the_interval_halves_rounds_and_packets_but_neither_minutes_nor_roll_ups() {
        let slow = Question { interval: Duration::from_secs(60), ..MEASURED };
        let (plan, slow) = (Plan::of(&MEASURED), Plan::of(&slow));
        assert_eq!(level(&plan, "rounds").bytes, 2 * level(&slow, "rounds").bytes);
        assert_eq!(plan.results_per_s, 2.0 * slow.results_per_s);
        for name in ["minutes", "agent_5m", "agent_1h", "agent_1d", "target_5m", "target_1d"] {
            assert_eq!(level(&plan, name), level(&slow, name));
        }
        assert_eq!(plan.memory_bytes, slow.memory_bytes);
    }

    #[test]
    fn another_agent_adds_its_pairs_and_nothing_to_what_is_of_all_together() {
        let more = Plan::of(&Question { agents: 4, ..MEASURED });
        let plan = Plan::of(&MEASURED);
        let records = |plan: &Plan, name| level(plan, name).records.unwrap();
        assert_eq!(records(&plan, "agent_5m") / 3, records(&more, "agent_5m") / 4);
        // Four series a target, then five: minutes are of all together as well.
        assert_eq!(records(&plan, "minutes") / 4, records(&more, "minutes") / 5);
        for name in ["target_5m", "target_1h", "target_1d"] {
            assert_eq!(level(&plan, name), level(&more, name));
        }
        assert_eq!(plan.agent, more.agent);
    }

    #[test]
    fn the_data_directory_is_the_sum_of_its_levels() {
        let plan = Plan::of(&MEASURED);
        let mut sum = 0;
        plan.levels.iter().for_each(|level| sum += level.bytes);
        assert_eq!((plan.levels.len(), plan.disk_bytes()), (11, sum));
    }

    /// 1,000 targets each 30 s, 5 packets of 84 bytes.
    #[test]
    fn an_agent_sends_a_round_to_each_target_an_interval() {
        let Plan { agent, together, results_per_s, .. } = Plan::of(&MEASURED);
        assert_eq!(results_per_s, 100.0);
        assert_eq!(together, Traffic { packets_per_s: 500.0, bits_per_s: 336_000.0 });
        assert!((agent.packets_per_s - 500.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn several_tiers_cost_what_each_does_but_for_the_one_log() {
        let short = Kept { rounds: days(2), ..MEASURED.kept };
        let other = Question { targets: 500, interval: days(1) / 2_880, kept: short, ..MEASURED };
        let (one, two) = (Plan::of(&MEASURED), Plan::of(&other));
        let both = Plan::of_all(&[MEASURED, other]);
        let log = LOG_SEGMENT_BYTES;
        assert_eq!(both.disk_bytes() + log, one.disk_bytes() + two.disk_bytes());
        assert_eq!(both.results_per_s, one.results_per_s + two.results_per_s);
        let none = Plan::of_all(&[]);
        assert_eq!((none.disk_bytes(), none.memory_bytes), (log, MEMORY_EMPTY_BYTES));
    }

    /// Rows: what is used, planned and grown by in a day.
    #[test]
    fn room_lasts_until_what_grows_has_filled_it_or_for_ever() {
        let full = |parts: &[(u64, u64, u64)], room| {
            let grow = |&(used_bytes, planned_bytes, bytes_per_day)| Growing {
                used_bytes,
                planned_bytes,
                bytes_per_day,
            };
            let parts: Vec<Growing> = parts.iter().map(grow).collect();
            full_after(&parts, room).map(|after| after.as_secs() / 3_600)
        };
        assert_eq!(full(&[], 0), None);
        assert_eq!(full(&[(0, 100, 10)], 100), None, "it fits");
        assert_eq!(full(&[(0, 100, 10)], 50), Some(5 * 24));
        assert_eq!(full(&[(60, 100, 10)], 50), None, "most is there by now");
        assert_eq!(full(&[(100, 80, 10)], 0), None, "more than was planned does not grow");
        // One of two is full after two days, and then the other grows alone.
        assert_eq!(full(&[(0, 20, 10), (0, 100, 5)], 15), Some(24));
        assert_eq!(full(&[(0, 20, 10), (0, 100, 5)], 40), Some(4 * 24));
    }

    #[test]
    fn the_largest_question_has_an_answer() {
        let question = Question {
            targets: Question::TARGETS_MAX,
            agents: Question::AGENTS_MAX,
            interval: Tier::INTERVAL_MIN,
            packets: Tier::PACKETS_MAX,
            ..MEASURED
        };
        assert!(Plan::of(&question).disk_bytes() < u64::MAX);
    }
}
