//! The rules of pairs and agents, one family per test.

use expect_test::expect;

use crate::play::{Play, Show, check, noon};

#[test]
fn a_round_and_its_whole_confirm_burst_lost_is_down_at_once() {
    check(
        Show::Reasons,
        "fra1",
        "
        probe p1
        probe p2
        0s..60s/5s fra1 gw good
        1s..20s/5s fra1 p1 good
        2.5s..60s/5s fra1 p2 good
        21s fra1 p1 lost!
        26s fra1 p1 lost
        31s..45s/5s fra1 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            3.8s fra1/p2 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            3.8s all/p2 unknown -> up
                answers in 12.0 ms, asked by fra1
            24.7s fra1/p1 up -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
                asked by fra1; other targets answered it meanwhile
            24.7s all/p1 up -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
                asked by fra1; other targets answered it meanwhile
            37.3s fra1/p1 down -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            37.3s all/p1 down -> up
                answers in 12.0 ms, asked by fra1
        "#]],
    );
}

#[test]
fn two_of_the_last_three_rounds_lost_are_down() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        0s..60s/5s fra1 gw good
        1s..20s/5s fra1 p1 good
        21s fra1 p1 lost-2
        26s fra1 p1 good
        31s fra1 p1 lost
        36s fra1 p1 good
        41s fra1 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            37s fra1/p1 up -> down no_answer
            37s all/p1 up -> down no_answer
            42.3s fra1/p1 down -> up
            42.3s all/p1 down -> up
        "#]],
    );
}

#[test]
fn two_lost_of_four_or_an_answered_confirm_burst_convict_nobody() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        0s..60s/5s fra1 gw good
        1s fra1 p1 good
        6s fra1 p1 lost
        11s fra1 p1 good
        16s fra1 p1 good
        21s fra1 p1 lost
        26s fra1 p1 good
        31s fra1 p1 good
        36s fra1 p1 confirmed
        41s fra1 p1 lost
        46s fra1 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            27.3s fra1/p1 up -> degraded loss
            27.3s all/p1 up -> degraded loss
        "#]],
    );
}

#[test]
fn doubtful_rounds_convict_nobody_and_keep_evidence_alive() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        0s..200s/5s fra1 gw good
        1s fra1 p1 good
        6s fra1 p1 lost! doubtful
        11s fra1 p1 lost! doubtful
        16s fra1 p1 good
        21s..60s/5s fra1 p1 good doubtful
        61s..80s/5s fra1 p1 lost doubtful
        81s fra1 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            73.3s fra1/p1 up -> unknown doubtful
            73.3s all/p1 up -> unknown doubtful
            82.3s fra1/p1 unknown -> up
            82.3s all/p1 unknown -> up
            102s fra1/p1 up -> unknown silent
            102s all/p1 up -> unknown silent
        "#]],
    );
}

#[test]
fn down_waits_for_proof_that_the_agent_sees() {
    // The other target answers a round within the window of the lost one: 22 s to 23.2 s.
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        probe p2
        1s..20s/5s fra1 p1 good
        2.4s..60s/5s fra1 p2 good
        21s fra1 p1 lost!
        26s..45s/5s fra1 p1 lost
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            3.7s fra1/p2 unknown -> up
            3.7s all/p2 unknown -> up
            24.7s fra1/p1 up -> down no_answer
            24.7s all/p1 up -> down no_answer
        "#]],
    );
}

#[test]
fn a_short_outage_of_the_agent_convicts_nobody() {
    // Its network is gone from 20.9 s to 24.5 s: both rounds in it are lost with their bursts.
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        probe p2
        0s..60s/5s fra1 gw good
        1s..20s/5s fra1 p1 good
        1.5s..20s/5s fra1 p2 good
        21s fra1 p1 lost!
        22s fra1 p2 lost!
        26s..60s/5s fra1 p1 good
        26.5s..60s/5s fra1 p2 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            2.8s fra1/p2 unknown -> up
            2.8s all/p2 unknown -> up
        "#]],
    );
}

#[test]
fn an_agent_whose_network_is_cut_is_blind_and_judges_nobody() {
    check(
        Show::Reasons,
        "fra1",
        "
        probe p1
        probe p2
        0s..20s/5s fra1 gw good
        20s..60s/5s fra1 gw lost
        60s..90s/5s fra1 gw good
        1s..20s/5s fra1 p1 good
        2s..20s/5s fra1 p2 good
        21s fra1 p1 lost!
        22s fra1 p2 lost!
        26s..60s/5s fra1 p1 lost
        27s..60s/5s fra1 p2 lost
        61s..90s/5s fra1 p1 good
        62s..90s/5s fra1 p2 lost
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            3.3s fra1/p2 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            3.3s all/p2 unknown -> up
                answers in 12.0 ms, asked by fra1
            25.7s fra1 online -> blind
                nothing outside its own host answered for 6.8 s: neither gateway nor
                witnesses nor targets; the last answered round was of 12:00:17 UTC
            25.7s fra1/p1 up -> unknown agent_blind
                nothing outside its own host answers fra1, so it cannot judge
            25.7s all/p1 up -> unknown agent_blind
                nothing outside its own host answers fra1, so it cannot judge
            25.7s fra1/p2 up -> unknown agent_blind
                nothing outside its own host answers fra1, so it cannot judge
            25.7s all/p2 up -> unknown agent_blind
                nothing outside its own host answers fra1, so it cannot judge
            60.5s fra1 blind -> online
                its gateway answered a round of 12:01:00 UTC
            62.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            62.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            69.3s fra1/p2 unknown -> down no_answer
                2 of the last 3 rounds wholly lost, the last with 5 of 5 packets; no answer
                since 12:01:02 UTC, asked by fra1; other targets answered it meanwhile
            69.3s all/p2 unknown -> down no_answer
                2 of the last 3 rounds wholly lost, the last with 5 of 5 packets; no answer
                since 12:01:02 UTC, asked by fra1; other targets answered it meanwhile
        "#]],
    );
}

#[test]
fn a_gateway_that_never_answered_is_no_witness() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        probe p2
        0s..60s/5s fra1 gw lost
        1s..60s/5s fra1 p1 good
        2s..20s/5s fra1 p2 good
        22s fra1 p2 lost!
        27s..60s/5s fra1 p2 lost
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            3.3s fra1/p2 unknown -> up
            3.3s all/p2 unknown -> up
            29.3s fra1/p2 up -> down no_answer
            29.3s all/p2 up -> down no_answer
        "#]],
    );
}

#[test]
fn a_gateway_that_stops_answering_is_relied_on_no_longer() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1 interval=30s
        0s..20s/5s fra1 gw good
        20s..200s/5s fra1 gw lost
        1s..200s/30s fra1 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            26.5s fra1 online -> blind
            26.5s fra1/p1 up -> unknown agent_blind
            26.5s all/p1 up -> unknown agent_blind
            32.3s fra1 blind -> online
            32.3s fra1/p1 unknown -> up
            32.3s all/p1 unknown -> up
        "#]],
    );
}

#[test]
fn the_own_host_needs_no_sight() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        0s..60s/5s fra1 gw lost
        1s..20s/5s fra1 p1 good local
        21s fra1 p1 lost! local
        26s fra1 p1 lost local
        31s..45s/5s fra1 p1 good local
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            24.7s fra1/p1 up -> down no_answer
            24.7s all/p1 up -> down no_answer
            37.3s fra1/p1 down -> up
            37.3s all/p1 down -> up
        "#]],
    );
}

#[test]
fn loss_is_counted_over_many_rounds_and_clears_apart() {
    check(
        Show::Reasons,
        "fra1",
        "
        probe p1 interval=30s
        0s..1200s/30s fra1 p1 good
        1200s fra1 p1 1/5
        1230s fra1 p1 good
        1260s fra1 p1 2/5
        1290s..2400s/30s fra1 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            1.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            1.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            1262.3s fra1/p1 up -> degraded loss
                7 of the last 100 packets lost, the limit is 7, asked by fra1
            1262.3s all/p1 up -> degraded loss
                fra1 says degraded: 7 of the last 100 packets lost, the limit is 7, asked by
                fra1
            1861.3s fra1/p1 degraded -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            1861.3s all/p1 degraded -> up
                answers in 12.0 ms, asked by fra1
        "#]],
    );
}

#[test]
fn one_round_never_raises_loss() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1 interval=30s packets=20
        0s..300s/30s fra1 p1 20/20
        300s fra1 p1 1/20
        330s..600s/30s fra1 p1 20/20
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            1.3s fra1/p1 unknown -> up
            1.3s all/p1 unknown -> up
        "#]],
    );
}

#[test]
fn rounds_that_made_it_down_are_no_loss_afterwards() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        0s..120s/5s fra1 gw good
        1s..20s/5s fra1 p1 3/5
        21s fra1 p1 lost!
        26s fra1 p1 lost
        31s..100s/5s fra1 p1 good
        100s fra1 p1 3/5
        105s fra1 p1 3/5
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            3.3s fra1/p1 unknown -> up
            3.3s all/p1 unknown -> up
            13.3s all/p1 up -> degraded loss
            18.3s fra1/p1 up -> degraded loss
            27s fra1/p1 degraded -> down no_answer
            27s all/p1 degraded -> down no_answer
            37.3s fra1/p1 down -> up
            37.3s all/p1 down -> up
        "#]],
    );
}

#[test]
fn slow_replies_raise_in_two_of_three_and_clear_after_two() {
    check(
        Show::Reasons,
        "fra1",
        "
        probe p1
        1s fra1 p1 20ms
        6s fra1 p1 180ms
        11s fra1 p1 20ms
        16s fra1 p1 180ms
        21s fra1 p1 130ms
        26s fra1 p1 110ms
        31s fra1 p1 130ms
        36s fra1 p1 110ms
        41s fra1 p1 120ms
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 20.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                answers in 20.0 ms, asked by fra1
            17.3s fra1/p1 up -> degraded slow
                replies took 180.0 ms on average, above the limit of 150.0 ms, asked by fra1
            17.3s all/p1 up -> degraded slow
                fra1 says degraded: replies took 180.0 ms on average, above the limit of
                150.0 ms, asked by fra1
            42.3s fra1/p1 degraded -> up
                5 of 5 packets answered in 120.0 ms on average, asked by fra1
            42.3s all/p1 degraded -> up
                answers in 120.0 ms, asked by fra1
        "#]],
    );
}

#[test]
fn not_asked_teaches_nothing() {
    check(
        Show::Reasons,
        "fra1",
        "
        probe p1
        probe p2
        1s fra1 p1 good
        6s fra1 p1 good
        11s..30s/5s fra1 p1 noroute
        31s fra1 p1 good
        2s..40s/5s fra1 p2 denied
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            2.5s fra1/p2 unknown -> unknown not_asked_permission
                fra1 could not ask: its host refuses to send: the process lacks the
                privilege (`faultline-agent status` says how to give it) or a firewall of the
                host itself drops it
            2.5s all/p2 unknown -> unknown not_asked_permission
                fra1 could not ask: its host refuses to send: the process lacks the
                privilege (`faultline-agent status` says how to give it) or a firewall of the
                host itself drops it
            12s fra1/p1 up -> unknown not_asked_no_route
                fra1 could not ask: its host has no route to the address
            12s all/p1 up -> unknown not_asked_no_route
                fra1 could not ask: its host has no route to the address
            32.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            32.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
        "#]],
    );
}

#[test]
fn not_being_able_to_ask_is_not_blindness() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        0s..60s/5s fra1 gw denied
        1s..60s/5s fra1 p1 denied
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            1.5s fra1/p1 unknown -> unknown not_asked_permission
            1.5s all/p1 unknown -> unknown not_asked_permission
        "#]],
    );
}

#[test]
fn silence_is_unknown_and_not_up() {
    check(
        Show::Reasons,
        "fra1",
        "
        probe p1
        0s..120s/5s fra1 gw good
        1s..20s/5s fra1 p1 good
        120s fra1 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            37s fra1/p1 up -> unknown silent
                no round from fra1 speaks for it since 12:00:22 UTC, although its heartbeat
                comes
            37s all/p1 up -> unknown silent
                no round from fra1 speaks for it since 12:00:22 UTC, although its heartbeat
                comes
            121.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            121.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
        "#]],
    );
}

#[test]
fn an_agent_that_dies_is_offline_and_its_pairs_unknown() {
    check(
        Show::Reasons,
        "fra1",
        "
        probe p1
        probe p2
        0s..20s/5s fra1 gw good
        1s..20s/5s fra1 p1 good
        2s fra1 p2 lost!
        7s..20s/5s fra1 p2 lost
        20s..100s fra1 dies
        100s..130s/5s fra1 gw good
        101s..130s/5s fra1 p1 good
        102s..130s/5s fra1 p2 lost
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            8s fra1/p2 unknown -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:02 UTC,
                asked by fra1; other targets answered it meanwhile
            8s all/p2 unknown -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:02 UTC,
                asked by fra1; other targets answered it meanwhile
            30s fra1 online -> offline
                3 heartbeats missed, the last came at 12:00:15 UTC
            30s fra1/p1 up -> unknown agent_offline
                no heartbeat from fra1 since 12:00:15 UTC
            30s all/p1 up -> unknown agent_offline
                no heartbeat from fra1 since 12:00:15 UTC
            30s fra1/p2 down -> unknown agent_offline
                no heartbeat from fra1 since 12:00:15 UTC
            30s all/p2 down -> unknown agent_offline
                no heartbeat from fra1 since 12:00:15 UTC
            100s fra1 offline -> online
                its heartbeat is back; it was missing since 12:00:15 UTC
            102.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            102.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            109.3s fra1/p2 unknown -> down no_answer
                2 of the last 3 rounds wholly lost, the last with 5 of 5 packets; no answer
                since 12:01:42 UTC, asked by fra1; other targets answered it meanwhile
            109.3s all/p2 unknown -> down no_answer
                2 of the last 3 rounds wholly lost, the last with 5 of 5 packets; no answer
                since 12:01:42 UTC, asked by fra1; other targets answered it meanwhile
        "#]],
    );
}

#[test]
fn an_agent_that_a_started_server_does_not_hear_is_missing_since_that_start() {
    check(
        Show::Reasons,
        "fra1",
        "
        probe p1
        0s..20s/5s fra1 gw good
        1s..20s/5s fra1 p1 good
        20s..100s fra1 dies
        20s..40s server down
        100s..110s/5s fra1 gw good
        101s..110s/5s fra1 p1 good
        110s..200s fra1 dies
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            55s fra1 online -> offline
                not heard since the server started at 12:00:40 UTC
            55s fra1/p1 up -> unknown agent_offline
                fra1 has not been heard since the server started at 12:00:40 UTC
            55s all/p1 up -> unknown agent_offline
                fra1 has not been heard since the server started at 12:00:40 UTC
            100s fra1 offline -> online
                its heartbeat is back; it had not been heard since the server started at
                12:00:40 UTC
            102.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            102.3s all/p1 unknown -> up
                answers in 12.0 ms, asked by fra1
            120s fra1 online -> offline
                3 heartbeats missed, the last came at 12:01:45 UTC
            120s fra1/p1 up -> unknown agent_offline
                no heartbeat from fra1 since 12:01:45 UTC
            120s all/p1 up -> unknown agent_offline
                no heartbeat from fra1 since 12:01:45 UTC
            200s fra1 offline -> online
                its heartbeat is back; it was missing since 12:01:45 UTC
        "#]],
    );
}

#[test]
fn paused_is_unknown_at_once() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        1s..20s/5s fra1 p1 good
        22s probe p1 paused
        26s fra1 p1 good
        60s probe p1
        61s fra1 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            22s fra1/p1 up -> unknown paused
            22s all/p1 up -> unknown paused
            60s fra1/p1 unknown -> unknown not_yet
            60s all/p1 unknown -> unknown not_yet
            62.3s fra1/p1 unknown -> up
            62.3s all/p1 unknown -> up
        "#]],
    );
}

#[test]
fn another_address_starts_anew() {
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        0s..60s/5s fra1 gw good
        1s fra1 p1 lost!
        6s fra1 p1 lost
        20s probe p1 address=192.0.2.2
        21s fra1 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            7s fra1/p1 unknown -> down no_answer
            7s all/p1 unknown -> down no_answer
            20s fra1/p1 down -> unknown not_yet
            20s all/p1 down -> unknown not_yet
            22.3s fra1/p1 unknown -> up
            22.3s all/p1 unknown -> up
            42s fra1/p1 up -> unknown silent
            42s all/p1 up -> unknown silent
        "#]],
    );
}

#[test]
fn a_restart_flips_nothing_and_gives_agents_a_full_grace() {
    check(
        Show::Changes,
        "fra1 ams2",
        "
        probe p1
        0s..400s/5s fra1 gw good
        1s..400s/5s fra1 p1 good
        0s..30s/5s ams2 gw good
        1s..30s/5s ams2 p1 good
        30s..400s ams2 dies
        40s..200s server down
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            0s ams2 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            2.3s ams2/p1 unknown -> up
            215s ams2 online -> offline
            215s ams2/p1 up -> unknown agent_offline
            400s ams2 offline -> online
        "#]],
    );
}

#[test]
fn what_was_lost_while_nobody_heard_the_agent_convicts_nobody() {
    // Cut off wholly from 70 s to 310 s: its rounds come when it is back, the newest in time.
    check(
        Show::Changes,
        "fra1",
        "
        probe p1
        probe p2
        0s..70s/5s fra1 gw good
        1s..70s/5s fra1 p1 good
        2s..70s/5s fra1 p2 good
        70s..310s fra1 dies
        70s..310s/5s fra1 gw lost @311s
        71s fra1 p1 lost! @311s
        76s..310s/5s fra1 p1 lost @311s
        72s fra1 p2 lost! @311s
        77s..310s/5s fra1 p2 lost @311s
        314s..340s/5s fra1 p1 good
        314.5s..340s/5s fra1 p2 good
        310s..340s/5s fra1 gw good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            3.3s fra1/p2 unknown -> up
            3.3s all/p2 unknown -> up
            80s fra1 online -> offline
            80s fra1/p1 up -> unknown agent_offline
            80s all/p1 up -> unknown agent_offline
            80s fra1/p2 up -> unknown agent_offline
            80s all/p2 up -> unknown agent_offline
            310s fra1 offline -> online
            315.3s fra1/p1 unknown -> up
            315.3s all/p1 unknown -> up
            315.8s fra1/p2 unknown -> up
            315.8s all/p2 unknown -> up
        "#]],
    );
}

#[test]
fn down_before_and_after_the_server_was_away_is_down_since_before() {
    let script = "
        probe p1
        0s..300s/5s fra1 gw good
        1s..20s/5s fra1 p1 good
        21s fra1 p1 lost!
        26s..300s/5s fra1 p1 lost
        100s..200s server down
    ";
    let mut engine = engine::Engine::new(noon());
    Play::new("fra1", script).play(&mut engine, |_| ());
    let status = engine.probe_status(model::ProbeId(1)).expect("the probe");
    let since = model::UtcMicros(noon().0 + 27_000_000);
    assert_eq!((status.verdict, status.since), (model::Verdict::Down, since));
}
