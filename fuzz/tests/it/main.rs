//! The corpus and seeded mutations of it, as far as a test may take.

use fuzz::{TARGETS, corpus, find, play};

/// Another seed would find other things: that is for longer runs.
const SEED: u64 = 1;

#[track_caller]
fn check(name: &str) {
    let target = find(name).expect("a target");
    match play::play(target, SEED, |runs| u64::from(target.runs) <= runs) {
        Err(why) => panic!("{why}"),
        Ok(played) => {
            // A corpus that is refused at the door tests nothing behind it.
            assert!(0 < played.corpus_taken, "{name}: {played:?}: no input of the corpus is taken");
        }
    }
}

macro_rules! check_each {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn every_target_is_played_and_has_a_corpus() {
            let mut played = vec![$(stringify!($name)),*];
            let mut all: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            played.sort_unstable();
            all.sort_unstable();
            assert_eq!(played, all);
            for target in TARGETS {
                assert!(corpus::load(target).is_ok_and(|inputs| !inputs.is_empty()));
            }
        }
    };
}

check_each! {
    address
    agent_config
    agent_frame
    assignment
    case
    certificate
    certificate_request
    checkpoint
    csv_import
    cursor
    graphml
    headers
    history_chunk
    history_tail
    icmp_v4
    icmp_v6
    journal
    json_import
    log_entry
    master_key
    name
    prober
    sealed_secret
    server_config
    server_frame
    spool_state
    time
    token
    topohub
    topology_csv
    topology_json
    topology_yaml
    wire_batch
    wire_payload
    wire_rounds
    wire_sealed
}

#[test]
fn a_panic_and_an_allocation_without_bound_are_seen() {
    fn breaks(bytes: &[u8]) -> bool {
        assert!(bytes.len() < 30, "too long");
        true
    }
    fn hoards(bytes: &[u8]) -> bool {
        Vec::<u8>::with_capacity(usize::from(bytes.first().copied().unwrap_or(0)) << 20).is_empty()
    }
    let target = *find("name").expect("a target");
    for run in [breaks as fn(&[u8]) -> bool, hoards] {
        let broken = fuzz::Target { run, ..target };
        let why = play::play(&broken, SEED, |runs| 100_000 <= runs).expect_err("is seen");
        assert!(why.contains("panics") || why.contains("bytes at once"), "{why}");
    }
}
