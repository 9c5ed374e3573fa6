//! Scenarios that once showed something untrue, smallest first found: they stay.

use std::{fs, path::Path};

use sim::{Scenario, run};

/// Every file of `scenarios/regressions` is played, and nothing untrue may be said in any.
#[test]
fn what_once_went_wrong_goes_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/regressions");
    let entries = fs::read_dir(&folder).expect("the folder of regressions");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scenario in {}", folder.display());
    for path in paths {
        let text = fs::read_to_string(&path).expect("a readable file");
        let scenario: Scenario = toml::from_str(&text).expect("a scenario");
        let violations = run(&scenario, None).violations;
        assert!(violations.is_empty(), "{}: {violations:#?}", path.display());
    }
}
