//! Scenarios that once showed something untrue, smallest first found: they stay.

use std::{fs, path::Path};

use sim::{Scenario, run, run_restarting};

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

/// Replaying the log from a checkpoint taken anywhere in it gives the same decisions, byte for
/// byte, and ends in the same state: hysteresis, counters and timers come back exactly.
#[test]
fn a_restart_at_two_hundred_positions_decides_the_same() {
    let text = r#"
        seed = 7
        agents = 2
        targets = 3
        interval_s = 5
        packets = 5
        has_gateway = true
        faults = [
            { from_s = 70, until_s = 95, kind = "target-down", target = 1 },
            { from_s = 80, until_s = 150, kind = "target-lossy", target = 2, loss_ppm = 250000 },
            { from_s = 100, until_s = 140, kind = "uplink-down", agent = 1 },
            { from_s = 110, until_s = 130, kind = "agent-blind", agent = 2 },
            { from_s = 150, until_s = 220, kind = "server-crash" },
        ]
    "#;
    let scenario: Scenario = toml::from_str(text).expect("a scenario");
    let violations = run_restarting(&scenario, None, 200).violations;
    assert!(violations.is_empty(), "{violations:#?}");
}
