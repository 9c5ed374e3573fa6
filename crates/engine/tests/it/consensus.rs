//! What all agents hold together, one family per test.

use expect_test::expect;

use crate::play::{Show, check};

#[test]
fn two_agents_agree_on_down_and_disagree_as_partial() {
    check(
        Show::Reasons,
        "fra1 ams2",
        "
        probe p1
        0s..120s/5s fra1 gw good
        0s..120s/5s ams2 gw good
        1s..20s/5s fra1 p1 good
        1s..40s/5s ams2 p1 good
        21s fra1 p1 lost!
        26s..60s/5s fra1 p1 lost
        41s ams2 p1 lost!
        46s..60s/5s ams2 p1 lost
        61s..100s/5s fra1 p1 good
        61s..100s/5s ams2 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            0s ams2 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                fra1 says up: answers in 12.0 ms, asked by fra1
            2.3s ams2/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by ams2
            27s fra1/p1 up -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
                asked by fra1; its gateway answered meanwhile
            27s all/p1 up -> degraded partial
                only fra1 of 2 that can see: no answer to 5 of 5 packets and 3 of 3 confirm
                packets since 12:00:21 UTC, asked by fra1; its gateway answered meanwhile
            47s ams2/p1 up -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:41 UTC,
                asked by ams2; its gateway answered meanwhile
            47s all/p1 degraded -> down no_answer
                2 of 2 agents that can see (fra1, ams2) say down: no answer to 5 of 5
                packets and 3 of 3 confirm packets since 12:00:21 UTC, asked by fra1; its
                gateway answered meanwhile
            67.3s fra1/p1 down -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            67.3s all/p1 down -> degraded partial
                only ams2 of 2 that can see: no answer to 5 of 5 packets and 3 of 3 confirm
                packets since 12:00:41 UTC, asked by ams2; its gateway answered meanwhile
            67.3s ams2/p1 down -> up
                5 of 5 packets answered in 12.0 ms on average, asked by ams2
            67.3s all/p1 degraded -> up
                2 of 2 agents that can see (fra1, ams2) say up: answers in 12.0 ms, asked by
                fra1
            117s fra1/p1 up -> unknown silent
                no round from fra1 speaks for it since 12:01:42 UTC, although its heartbeat
                comes
            117s ams2/p1 up -> unknown silent
                no round from ams2 speaks for it since 12:01:42 UTC, although its heartbeat
                comes
            117s all/p1 up -> unknown silent
                none of 2 agents can see it: no round from fra1 speaks for it since 12:01:42
                UTC, although its heartbeat comes
        "#]],
    );
}

#[test]
fn a_lone_down_that_nobody_confirms_is_unconfirmed() {
    check(
        Show::Reasons,
        "fra1 ams2",
        "
        probe p1
        0s..120s/5s fra1 gw good
        0s..20s/5s ams2 gw good
        1s..40s/5s fra1 p1 good
        1s..20s/5s ams2 p1 good
        20s..200s ams2 dies
        41s fra1 p1 lost!
        46s..80s/5s fra1 p1 lost
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            0s ams2 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                fra1 says up: answers in 12.0 ms, asked by fra1
            2.3s ams2/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by ams2
            30s ams2 online -> offline
                3 heartbeats missed, the last came at 12:00:15 UTC
            30s ams2/p1 up -> unknown agent_offline
                no heartbeat from ams2 since 12:00:15 UTC
            47s fra1/p1 up -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:41 UTC,
                asked by fra1; its gateway answered meanwhile
            47s all/p1 up -> degraded unconfirmed
                fra1 alone says down and nobody confirms it, ams2 (agent_offline) cannot
                see: no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:41
                UTC, asked by fra1; its gateway answered meanwhile
            200s ams2 offline -> online
                its heartbeat is back; it was missing since 12:00:15 UTC
            200s fra1/p1 down -> unknown silent
                no round from fra1 speaks for it since 12:01:22 UTC, although its heartbeat
                comes
            200s all/p1 degraded -> unknown agent_offline
                none of 2 agents can see it: ams2 was offline and no round of it has come in
                since it is back
        "#]],
    );
}

#[test]
fn pooled_loss_is_seen_before_any_agent_is_sure() {
    check(
        Show::Reasons,
        "fra1 ams2",
        "
        probe p1
        1s..20s/5s fra1 p1 good
        2s..20s/5s ams2 p1 good
        21s fra1 p1 4/5
        22s ams2 p1 3/5
        26s fra1 p1 3/5
        27s ams2 p1 4/5
        31s..120s/5s fra1 p1 good
        32s..120s/5s ams2 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            0s ams2 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                fra1 says up: answers in 12.0 ms, asked by fra1
            3.3s ams2/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by ams2
            28.3s all/p1 up -> degraded loss
                5 packets lost lately, too many for chance: fra1 3, ams2 2
            78.3s all/p1 degraded -> up
                2 of 2 agents that can see (fra1, ams2) say up: answers in 12.0 ms, asked by
                fra1
        "#]],
    );
}

#[test]
fn pooled_loss_of_one_agent_alone_names_it() {
    check(
        Show::Reasons,
        "fra1 ams2 par3",
        "
        probe p1
        1s..120s/5s fra1 p1 good
        2s..120s/5s ams2 p1 good
        3s..20s/5s par3 p1 good
        23s..40s/5s par3 p1 3/5
        43s..120s/5s par3 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            0s ams2 never_seen -> online
                heard for the first time
            0s par3 never_seen -> online
                heard for the first time
            2.3s fra1/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by fra1
            2.3s all/p1 unknown -> up
                fra1 says up: answers in 12.0 ms, asked by fra1
            3.3s ams2/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by ams2
            4.3s par3/p1 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by par3
            35.3s all/p1 up -> degraded partial
                only par3 loses packets, 6 lately; 2 more see it and lose none
            40.3s par3/p1 up -> degraded loss
                8 of the last 40 packets lost, the limit is 7, asked by par3
        "#]],
    );
}

#[test]
fn a_burst_within_one_round_of_every_agent_raises_nothing() {
    check(
        Show::Changes,
        "fra1 ams2",
        "
        probe p1
        1s..20s/5s fra1 p1 good
        1s..20s/5s ams2 p1 good
        21s fra1 p1 1/5
        21s ams2 p1 1/5
        26s..60s/5s fra1 p1 good
        26s..60s/5s ams2 p1 good
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            0s ams2 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            2.3s ams2/p1 unknown -> up
        "#]],
    );
}

#[test]
fn an_agent_that_was_created_and_never_heard_confirms_nothing() {
    check(
        Show::Changes,
        "fra1 ams2",
        "
        probe p1
        0s..300s ams2 dies
        0s..60s/5s fra1 gw good
        1s..20s/5s fra1 p1 good
        21s fra1 p1 lost!
        26s..60s/5s fra1 p1 lost
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            27s fra1/p1 up -> down no_answer
            27s all/p1 up -> down no_answer
            300s ams2 never_seen -> online
            300s fra1/p1 down -> unknown silent
            300s all/p1 down -> unknown silent
        "#]],
    );
}

/// One agent holds Down; what happens to the others changes nothing until one of them has judged.
const DOWN_BY_FRA1: &str = "
    0s..300s/5s fra1 gw good
    0s..300s/5s ams2 gw good
    1s..20s/5s fra1 p1 good
    21s fra1 p1 lost!
    26s..120s/5s fra1 p1 lost
";

#[track_caller]
fn check_down_by_fra1(rest: &str, expected: expect_test::Expect) {
    check(Show::Changes, "fra1 ams2", &format!("{DOWN_BY_FRA1}\n{rest}"), expected);
}

#[test]
fn an_agent_that_joins_changes_nothing_until_it_has_judged() {
    check_down_by_fra1(
        "
        probe p1
        40s ams2 joins
        57s ams2 p1 lost!
        62s..120s/5s ams2 p1 lost
        120s end
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            27s fra1/p1 up -> down no_answer
            27s all/p1 up -> down no_answer
            40s ams2 never_seen -> online
            63s ams2/p1 unknown -> down no_answer
            137s fra1/p1 down -> unknown silent
            138s ams2/p1 down -> unknown silent
            138s all/p1 down -> unknown silent
        "#]],
    );
    check_down_by_fra1(
        "probe p1\n 40s ams2 joins\n 57s ams2 p1 good\n 65s end",
        expect![[r#"
        0s fra1 never_seen -> online
        2.3s fra1/p1 unknown -> up
        2.3s all/p1 unknown -> up
        27s fra1/p1 up -> down no_answer
        27s all/p1 up -> down no_answer
        40s ams2 never_seen -> online
        58.3s ams2/p1 unknown -> up
        58.3s all/p1 down -> degraded partial
        78s ams2/p1 up -> unknown silent
        78s all/p1 degraded -> degraded unconfirmed
        137s fra1/p1 down -> unknown silent
        137s all/p1 degraded -> unknown silent
    "#]],
    );
}

#[test]
fn an_agent_that_joins_and_never_judges_changes_nothing() {
    // It goes away before it has asked.
    check_down_by_fra1(
        "probe p1\n 40s ams2 joins\n 45s..99s ams2 dies",
        expect![[r#"
        0s fra1 never_seen -> online
        2.3s fra1/p1 unknown -> up
        2.3s all/p1 unknown -> up
        27s fra1/p1 up -> down no_answer
        27s all/p1 up -> down no_answer
        40s ams2 never_seen -> online
        55s ams2 online -> offline
        55s ams2/p1 unknown -> unknown agent_offline
        100s ams2 offline -> online
        121s ams2/p1 unknown -> unknown silent
        137s fra1/p1 down -> unknown silent
        137s all/p1 down -> unknown silent
    "#]],
    );
    // Fra1 turns Down only after the other has joined.
    check_down_by_fra1(
        "probe p1\n 15s ams2 joins\n 57s ams2 p1 lost!",
        expect![[r#"
        0s fra1 never_seen -> online
        2.3s fra1/p1 unknown -> up
        2.3s all/p1 unknown -> up
        15s ams2 never_seen -> online
        27s fra1/p1 up -> down no_answer
        27s all/p1 up -> down no_answer
        63s ams2/p1 unknown -> down no_answer
        78s ams2/p1 down -> unknown silent
        137s fra1/p1 down -> unknown silent
        137s all/p1 down -> unknown silent
    "#]],
    );
}

#[test]
fn an_agent_that_goes_away_makes_nothing_better() {
    check_down_by_fra1(
        "
        probe p1
        1s..20s/5s ams2 p1 good
        21s ams2 p1 lost!
        26s..50s/5s ams2 p1 lost
        50s..90s ams2 dies
        91s..120s/5s ams2 p1 lost
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            0s ams2 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            2.3s ams2/p1 unknown -> up
            27s fra1/p1 up -> down no_answer
            27s ams2/p1 up -> down no_answer
            27s all/p1 up -> down no_answer
            60s ams2 online -> offline
            60s ams2/p1 down -> unknown agent_offline
            90s ams2 offline -> online
            98.3s ams2/p1 unknown -> down no_answer
            137s fra1/p1 down -> unknown silent
            137s ams2/p1 down -> unknown silent
            137s all/p1 down -> unknown silent
        "#]],
    );
    check_down_by_fra1(
        "probe p1\n 1s..20s/5s ams2 p1 good\n 21s ams2 p1 lost!\n 50s ams2 goes",
        expect![[r#"
            0s fra1 never_seen -> online
            0s ams2 never_seen -> online
            2.3s fra1/p1 unknown -> up
            2.3s all/p1 unknown -> up
            2.3s ams2/p1 unknown -> up
            27s fra1/p1 up -> down no_answer
            27s ams2/p1 up -> down no_answer
            27s all/p1 up -> down no_answer
            50s ams2/p1 down -> unknown no_agent
            137s fra1/p1 down -> unknown silent
            137s all/p1 down -> unknown silent
        "#]],
    );
}

/// The tier asks by one agent: ams2 holds Down until something happens to it.
#[track_caller]
fn check_down_by_ams2(rest: &str, expected: expect_test::Expect) {
    let script = "
        probe p2 agents=1
        0s..300s/5s fra1 gw good
        0s..300s/5s ams2 gw good
        1s..20s/5s ams2 p2 good
        21s ams2 p2 lost!
        26s..50s/5s ams2 p2 lost
    ";
    check(Show::Reasons, "fra1 ams2", &format!("{script}\n{rest}"), expected);
}

#[test]
fn what_was_held_stands_until_who_asks_now_has_judged() {
    check_down_by_ams2(
        "51s ams2 goes\n 55s fra1 p2 lost!\n 60s..70s/5s fra1 p2 lost\n 75s end",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            0s ams2 never_seen -> online
                heard for the first time
            2.3s ams2/p2 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by ams2
            2.3s all/p2 unknown -> up
                answers in 12.0 ms, asked by ams2
            27s ams2/p2 up -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
                asked by ams2; its gateway answered meanwhile
            27s all/p2 up -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
                asked by ams2; its gateway answered meanwhile
            51s ams2/p2 down -> unknown no_agent
                ams2 no longer asks it
            61s fra1/p2 unknown -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:55 UTC,
                asked by fra1; its gateway answered meanwhile
        "#]],
    );
    check_down_by_ams2(
        "51s ams2 goes\n 55s..60s/5s fra1 p2 good\n 65s end",
        expect![[r#"
        0s fra1 never_seen -> online
            heard for the first time
        0s ams2 never_seen -> online
            heard for the first time
        2.3s ams2/p2 unknown -> up
            5 of 5 packets answered in 12.0 ms on average, asked by ams2
        2.3s all/p2 unknown -> up
            answers in 12.0 ms, asked by ams2
        27s ams2/p2 up -> down no_answer
            no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
            asked by ams2; its gateway answered meanwhile
        27s all/p2 up -> down no_answer
            no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
            asked by ams2; its gateway answered meanwhile
        51s ams2/p2 down -> unknown no_agent
            ams2 no longer asks it
        56.3s fra1/p2 unknown -> up
            5 of 5 packets answered in 12.0 ms on average, asked by fra1
        56.3s all/p2 down -> up
            answers in 12.0 ms, asked by fra1
        76s fra1/p2 up -> unknown silent
            no round from fra1 speaks for it since 12:01:01 UTC, although its heartbeat
            comes
        76s all/p2 up -> unknown silent
            no round from fra1 speaks for it since 12:01:01 UTC, although its heartbeat
            comes
    "#]],
    );
}

#[test]
fn what_was_held_stands_no_longer_than_its_last_round_speaks() {
    check_down_by_ams2(
        "51s ams2 goes\n 120s end",
        expect![[r#"
        0s fra1 never_seen -> online
            heard for the first time
        0s ams2 never_seen -> online
            heard for the first time
        2.3s ams2/p2 unknown -> up
            5 of 5 packets answered in 12.0 ms on average, asked by ams2
        2.3s all/p2 unknown -> up
            answers in 12.0 ms, asked by ams2
        27s ams2/p2 up -> down no_answer
            no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
            asked by ams2; its gateway answered meanwhile
        27s all/p2 up -> down no_answer
            no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
            asked by ams2; its gateway answered meanwhile
        51s ams2/p2 down -> unknown no_agent
            ams2 no longer asks it
        67s all/p2 down -> unknown not_yet
            no round from fra1 has come in yet
    "#]],
    );
    // A pause ends it at once.
    check_down_by_ams2(
        "51s ams2 goes\n 53s probe p2 agents=1 paused\n 57s probe p2 agents=1\n 60s end",
        expect![[r#"
            0s fra1 never_seen -> online
                heard for the first time
            0s ams2 never_seen -> online
                heard for the first time
            2.3s ams2/p2 unknown -> up
                5 of 5 packets answered in 12.0 ms on average, asked by ams2
            2.3s all/p2 unknown -> up
                answers in 12.0 ms, asked by ams2
            27s ams2/p2 up -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
                asked by ams2; its gateway answered meanwhile
            27s all/p2 up -> down no_answer
                no answer to 5 of 5 packets and 3 of 3 confirm packets since 12:00:21 UTC,
                asked by ams2; its gateway answered meanwhile
            51s ams2/p2 down -> unknown no_agent
                ams2 no longer asks it
            53s fra1/p2 unknown -> unknown paused
                paused by a person
            53s all/p2 down -> unknown paused
                paused by a person
            57s fra1/p2 unknown -> unknown not_yet
                no round from fra1 has come in yet
            57s all/p2 unknown -> unknown not_yet
                no round from fra1 has come in yet
        "#]],
    );
}
