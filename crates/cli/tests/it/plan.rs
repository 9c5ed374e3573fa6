//! `faultline plan` as a person and a program meet it: without a server.

use expect_test::expect;

use crate::program::{complaint, faultline};

const MEASURED: [&str; 5] = ["plan", "--targets", "1000", "--agents", "3"];

fn plan(more: &[&str]) -> String {
    let output = faultline(&MEASURED).args(more).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_person_reads_disk_by_level_memory_and_packets() {
    expect![[r#"
        DISK                    RECORDS    SIZE
        every round             120960000  389.9 MiB
        minutes                 518400000  39.1 MiB
        5 minutes, each agent   77760000   57.1 MiB
        hours, each agent       28800000   25.3 MiB
        days, each agent        1200000    9.5 MiB
        5 minutes, all agents   115200000  86.1 MiB
        hours, all agents       43824000   35.2 MiB
        days, all agents        1826000    22.3 MiB
        last day, until merged  8640000    34.6 MiB
        free in the file        -          60.0 MiB
        log, until judged       6000       64.0 MiB
        data directory          -          823.3 MiB

        MEMORY        SIZE
        server        83.1 MiB
        server, peak  94.8 MiB

        SENT, AND AS MUCH BACK  PACKETS/S  KBIT/S
        an agent                166.67     112.00
        together                500.00     336.00

        100.00 results/s
    "#]]
    .assert_eq(&plan(&[]));
}

#[test]
fn a_program_reads_the_same_and_the_interval_counts() {
    let read = |more: &[&str]| -> serde_json::Value {
        serde_json::from_str(&plan(&[&["--json"], more].concat())).unwrap()
    };
    let (each_30_s, each_60_s) = (read(&[]), read(&["--interval", "60", "--packets", "10"]));
    let level = |plan: &serde_json::Value, name: &str| {
        let levels = plan["levels"].as_array().unwrap();
        levels.iter().find(|level| level["name"] == name).unwrap()["bytes"].as_u64().unwrap()
    };
    assert_eq!(level(&each_30_s, "rounds"), 2 * level(&each_60_s, "rounds"));
    assert_eq!(level(&each_30_s, "target_1h"), level(&each_60_s, "target_1h"));
    assert_eq!(each_30_s["together"]["packets_per_s"], 500.0);
    assert_eq!(each_60_s["together"]["packets_per_s"], 500.0);
    assert_eq!(each_60_s["results_per_s"], 50.0);
}

#[test]
fn what_no_tier_may_have_is_refused_with_what_it_may() {
    for (argument, value, must) in [
        ("--targets", "0", "1..=10000000"),
        ("--agents", "1001", "1..=1000"),
        ("--interval", "4", "5..=3600"),
        ("--packets", "21", "1..=20"),
        ("--keep", "rounds", "LEVEL=DAYS"),
        ("--keep", "rounds=0", "1 to 36500 days"),
        ("--keep", "agent_1d=3", "take one of rounds, minutes, agent_5m"),
    ] {
        let mut given = vec!["plan"];
        for (name, standard) in [("--targets", "9"), ("--agents", "9")] {
            if name != argument {
                given.extend([name, standard]);
            }
        }
        given.extend([argument, value]);
        let text = complaint(&mut faultline(&given));
        assert!(text.contains(argument) && text.contains(must), "{text}");
    }
}

#[test]
fn a_tier_that_keeps_rounds_for_longer_takes_more_disk() {
    let rounds = |more: &[&str]| -> u64 {
        let text = plan(&[&["--json"], more].concat());
        let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
        plan["levels"][0]["bytes"].as_u64().unwrap()
    };
    assert_eq!(rounds(&["--keep", "rounds=28"]), 2 * rounds(&[]));
    assert_eq!(rounds(&["--keep", "minutes=7", "--keep", "rounds=7"]), rounds(&[]) / 2);
}
