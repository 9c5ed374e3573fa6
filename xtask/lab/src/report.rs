//! What a drill expected and what it measured.

use std::{
    fmt::{self, Display, Formatter},
    fs,
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

/// Lines of each log shown when a drill failed.
const LOG_LINES_MAX: usize = 15;

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    what: String,
    expected: String,
    measured: String,
    good: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    drill: String,
    rows: Vec<Row>,
    /// Seconds measured, by the name of their figure.
    samples: Vec<(String, f64)>,
    /// The ends of the logs of a drill that failed.
    logs: String,
}

impl Report {
    pub(crate) fn new(drill: &str) -> Report {
        Report { drill: drill.to_owned(), rows: vec![], samples: vec![], logs: String::new() }
    }

    /// The report of a drill that did not come to an end.
    pub(crate) fn broken(drill: &str, why: &str) -> Report {
        let mut report = Report::new(drill);
        report.fail(why);
        report
    }

    pub(crate) fn fail(&mut self, why: &str) {
        self.row("the drill runs to its end", "yes", why.trim(), false);
    }

    pub(crate) fn row(&mut self, what: &str, expected: &str, measured: &str, good: bool) {
        let (what, expected) = (what.to_owned(), expected.to_owned());
        self.rows.push(Row { what, expected, measured: measured.to_owned(), good });
    }

    /// Notes times of one figure and judges their 95th percentile.
    pub(crate) fn times(&mut self, what: &str, figure: &str, seconds: &[f64], most: f64) {
        self.samples.extend(seconds.iter().map(|value| (figure.to_owned(), *value)));
        let (p50, p95) = (percentile(seconds, 50), percentile(seconds, 95));
        let measured = format!("p95 {p95:.1} s, p50 {p50:.1} s, n {}", seconds.len());
        self.row(what, &format!("p95 at most {most:.0} s"), &measured, p95 <= most);
    }

    /// Judges a time that may have been waited for in vain; the drill goes on all the same.
    pub(crate) fn seconds(&mut self, what: &str, took: anyhow::Result<f64>, most: f64) {
        match took {
            Ok(took) => self.range(what, took, 0.0, most),
            Err(error) => {
                self.row(what, &format!("at most {most:.1}"), &format!("{error:#}"), false);
            }
        }
    }

    /// Judges a number that must lie in a range.
    pub(crate) fn range(&mut self, what: &str, value: f64, least: f64, most: f64) {
        let good = (least..=most).contains(&value);
        self.row(what, &format!("{least:.1} to {most:.1}"), &format!("{value:.1}"), good);
    }

    pub(crate) fn is_good(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.good)
    }

    /// Takes the ends of the logs in `folder` along, before the folder goes.
    pub(crate) fn keep_logs(&mut self, folder: &Path) {
        let mut paths: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .collect();
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(LOG_LINES_MAX)..).unwrap_or_default();
            self.logs += &format!("── {}\n{}\n", path.display(), tail.join("\n"));
        }
    }

    /// One line.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Finds the report in what a world printed.
    pub(crate) fn from_json(drill: &str, text: &str) -> Option<Report> {
        let report: Report = serde_json::from_str(text.lines().next_back()?).ok()?;
        (report.drill == drill).then_some(report)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.drill)?;
        let width = |cell: fn(&Row) -> &str| {
            self.rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0)
        };
        let (what, expected) = (width(|row| &row.what), width(|row| &row.expected));
        for row in &self.rows {
            let mark = if row.good { "ok    " } else { "FAILED" };
            writeln!(
                f,
                "  {mark}  {:what$}  {:expected$}  {}",
                row.what, row.expected, row.measured
            )?;
        }
        write!(f, "{}", self.logs)
    }
}

/// The nearest rank: with few samples the 95th percentile is the largest.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// The line that closes a run.
pub(crate) fn closing(reports: &[Report]) -> String {
    let good = reports.iter().filter(|report| report.is_good()).count();
    let bad: Vec<&str> =
        reports.iter().filter(|r| !r.is_good()).map(|report| report.drill.as_str()).collect();
    let names = if bad.is_empty() { String::new() } else { format!(": {}", bad.join(", ")) };
    format!("{good} drills as expected, {} not{names}", bad.len())
}

/// The summary of `bench detect`: one JSON object.
pub(crate) fn detection(reports: &[Report]) -> String {
    let mut summary = json!({ "summary": true });
    let samples: Vec<&(String, f64)> = reports.iter().flat_map(|r| &r.samples).collect();
    let mut figures: Vec<&str> = samples.iter().map(|(figure, _)| figure.as_str()).collect();
    figures.sort_unstable();
    figures.dedup();
    if let Some(fields) = summary.as_object_mut() {
        for figure in figures {
            let of = samples.iter().filter(|(name, _)| name == figure);
            let values: Vec<f64> = of.map(|(_, value)| *value).collect();
            fields.insert(format!("{figure}_s_p50"), json!(percentile(&values, 50)));
            fields.insert(format!("{figure}_s_p95"), json!(percentile(&values, 95)));
            fields.insert(format!("{figure}_samples"), json!(values.len()));
        }
    }
    summary.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=40).map(f64::from).collect();
        assert!((percentile(&values, 95) - 38.0).abs() < f64::EPSILON);
        assert!((percentile(&[3.0, 1.0], 95) - 3.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 95).is_nan());
    }

    #[test]
    fn a_report_survives_its_way_and_an_empty_one_is_not_good() {
        let mut report = Report::new("a");
        assert!(!report.is_good());
        report.times("cut", "cut_to_down", &[1.0, 12.0], 11.0);
        let text = format!("noise\n{}", report.to_json());
        let back = Report::from_json("a", &text).expect("a report");
        assert!(!back.is_good());
        assert_eq!(closing(&[back]), "0 drills as expected, 1 not: a");
    }
}
