//! A timetable of faults for the demo, as the simulator's scenarios write theirs: `from_s`,
//! `until_s` and a `kind`, in seconds since the start.

use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// Faults of one file: a day of one every three minutes.
pub(super) const FAULTS_MAX: usize = 500;

/// What goes wrong, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timetable {
    #[serde(default)]
    pub faults: Vec<Timed>,
}

/// One thing that goes wrong from `from_s` until `until_s`; for ever if it has no end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    pub from_s: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_s: Option<u32>,
    #[serde(flatten)]
    pub fault: Fault,
}

impl Timetable {
    /// Reads a file's text.
    ///
    /// # Errors
    ///
    /// What is wrong with it and where, in words.
    pub fn parse(text: &str) -> Result<Timetable, String> {
        let table: Timetable = toml::from_str(text).map_err(|error| error.to_string())?;
        if FAULTS_MAX < table.faults.len() {
            return Err(format!("has {} faults: at most {FAULTS_MAX}", table.faults.len()));
        }
        let is_backwards = |timed: &&Timed| timed.until_s.is_some_and(|end| end <= timed.from_s);
        match table.faults.iter().find(is_backwards) {
            Some(timed) => Err(format!(
                "the fault of `{}` at {} s ends before it begins: set until_s above from_s",
                timed.fault.element, timed.from_s
            )),
            None => Ok(table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isp::FaultKind;

    #[test]
    fn a_timetable_is_read_or_says_what_is_wrong() {
        let text = "
            [[faults]]
            from_s = 30
            until_s = 90
            kind = \"link-lossy\"
            element = \"a--b\"
            size = 20
        ";
        let fault = Fault { size: Some(20), ..Fault::new(FaultKind::LinkLossy, "a--b") };
        let expected = Timed { from_s: 30, until_s: Some(90), fault };
        assert_eq!(Timetable::parse(text), Ok(Timetable { faults: vec![expected] }));
        let backwards = text.replace("until_s = 90", "until_s = 30");
        assert!(Timetable::parse(&backwards).is_err_and(|why| why.contains("ends before")));
        let strange = text.replace("link-lossy", "link-eaten");
        assert!(Timetable::parse(&strange).is_err_and(|why| why.contains("link-eaten")));
    }
}
