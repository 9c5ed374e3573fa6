//! Minute truth, revised by late rounds.

use std::collections::BTreeMap;

use expect_test::expect;
use model::{DecisionKind, ProbeId, Verdict};

use crate::play::{Play, Show, check};

#[test]
fn ordinary_rounds_make_every_minute_up() {
    check(
        Show::Minutes,
        "fra1",
        "
        probe p1
        probe p2 interval=30s
        0s..400s/5s fra1 gw good
        4s..400s/5s fra1 p1 good
        29s..400s/30s fra1 p2 good
        ",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 60/60 of 12
            12:00 all/p1 unknown not_yet 60/60 of 12
            12:00 fra1/p2 unknown not_yet 10/10 of 2
            12:00 all/p2 unknown not_yet 10/10 of 2
            12:01 fra1/p1 up answering 60/60 of 12
            12:01 all/p1 up answering 60/60 of 12
            12:01 fra1/p2 up answering 10/10 of 2
            12:01 all/p2 up answering 10/10 of 2
            12:02 fra1/p1 up answering 60/60 of 12
            12:02 all/p1 up answering 60/60 of 12
            12:02 fra1/p2 up answering 10/10 of 2
            12:02 all/p2 up answering 10/10 of 2
            12:03 fra1/p1 up answering 60/60 of 12
            12:03 all/p1 up answering 60/60 of 12
            12:03 fra1/p2 up answering 10/10 of 2
            12:03 all/p2 up answering 10/10 of 2
            12:04 fra1/p1 up answering 60/60 of 12
            12:04 all/p1 up answering 60/60 of 12
            12:04 fra1/p2 up answering 10/10 of 2
            12:04 all/p2 up answering 10/10 of 2
            12:05 fra1/p1 up answering 60/60 of 12
            12:05 all/p1 up answering 60/60 of 12
            12:05 fra1/p2 up answering 10/10 of 2
            12:05 all/p2 up answering 10/10 of 2
        "#]],
    );
}

#[test]
fn the_worst_verdict_held_is_the_minute() {
    check(
        Show::Minutes,
        "fra1",
        "
        probe p1
        0s..300s/5s fra1 gw good
        0s..60s/5s fra1 p1 good
        60s fra1 p1 lost!
        65s fra1 p1 lost
        70s..150s/5s fra1 p1 good
        150s..172s/5s fra1 p1 300ms
        175s..300s/5s fra1 p1 good
        ",
        expect![[r#"
            12:00 fra1/p1 up answering 60/60 of 12
            12:00 all/p1 up answering 60/60 of 12
            12:01 fra1/p1 down no_answer 50/60 of 12
            12:01 all/p1 down no_answer 50/60 of 12
            12:02 fra1/p1 degraded slow 60/60 of 12
            12:02 all/p1 degraded slow 60/60 of 12
            12:03 fra1/p1 degraded slow 60/60 of 12
            12:03 all/p1 degraded slow 60/60 of 12
        "#]],
    );
}

#[test]
fn a_gap_is_unknown_with_its_cause() {
    check(
        Show::Minutes,
        "fra1 ams2",
        "
        probe p1
        probe p2 agents=1
        0s..600s/5s fra1 gw good
        0s..600s/5s ams2 gw good
        0s..90s/5s fra1 p1 good
        90s..200s fra1 dies
        200s..230s/5s fra1 p1 good
        230s..600s/5s fra1 p1 denied
        0s..600s/5s ams2 p1 good
        0s..300s/5s fra1 p2 good
        0s..300s/5s ams2 p2 good
        400s probe p2 paused
        400s probe p1 gone
        600s ams2 gw good
        ",
        expect![[r#"
            12:00 fra1/p1 up answering 60/60 of 12
            12:00 ams2/p1 up answering 60/60 of 12
            12:00 all/p1 up answering 120/120 of 24
            12:00 ams2/p2 up answering 60/60 of 12
            12:00 all/p2 up answering 60/60 of 12
            12:01 fra1/p1 unknown agent_offline 30/30 of 6
            12:01 ams2/p1 up answering 60/60 of 12
            12:01 all/p1 up answering 90/90 of 18
            12:01 ams2/p2 up answering 60/60 of 12
            12:01 all/p2 up answering 60/60 of 12
            12:02 fra1/p1 unknown agent_offline 0/0 of 0
            12:02 ams2/p1 up answering 60/60 of 12
            12:02 all/p1 up answering 60/60 of 12
            12:02 ams2/p2 up answering 60/60 of 12
            12:02 all/p2 up answering 60/60 of 12
            12:03 fra1/p1 unknown not_asked_permission 30/30 of 6
            12:03 ams2/p1 up answering 60/60 of 12
            12:03 all/p1 up answering 90/90 of 18
            12:03 ams2/p2 up answering 60/60 of 12
            12:03 all/p2 up answering 60/60 of 12
            12:04 fra1/p1 unknown not_asked_permission 0/0 of 0
            12:04 ams2/p1 up answering 60/60 of 12
            12:04 all/p1 up answering 60/60 of 12
            12:04 ams2/p2 up answering 60/60 of 12
            12:04 all/p2 up answering 60/60 of 12
            12:05 fra1/p1 unknown not_asked_permission 0/0 of 0
            12:05 ams2/p1 up answering 60/60 of 12
            12:05 all/p1 up answering 60/60 of 12
            12:05 ams2/p2 unknown silent 0/0 of 0
            12:05 all/p2 unknown silent 0/0 of 0
            12:06 fra1/p2 unknown paused 0/0 of 0
            12:06 ams2/p2 unknown paused 0/0 of 0
            12:06 all/p2 unknown paused 0/0 of 0
            12:07 fra1/p2 unknown paused 0/0 of 0
            12:07 ams2/p2 unknown paused 0/0 of 0
            12:07 all/p2 unknown paused 0/0 of 0
            12:08 fra1/p2 unknown paused 0/0 of 0
            12:08 ams2/p2 unknown paused 0/0 of 0
            12:08 all/p2 unknown paused 0/0 of 0
        "#]],
    );
}

#[test]
fn a_backlog_completes_the_minutes_that_were_unknown() {
    // The agent only loses the server from 70 s to 250 s; its rounds come afterwards, in order.
    check(
        Show::Minutes,
        "fra1",
        "
        probe p1
        0s..70s/5s fra1 gw good
        1s..70s/5s fra1 p1 good
        70s..250s fra1 dies
        70s..250s/5s fra1 gw good @251s
        71s..250s/5s fra1 p1 good @251s
        251s..400s/5s fra1 p1 good
        250s..400s/5s fra1 gw good
        ",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 60/60 of 12
            12:00 all/p1 unknown not_yet 60/60 of 12
            12:01 fra1/p1 unknown agent_offline 10/10 of 2
            12:01 all/p1 unknown agent_offline 10/10 of 2
            12:02 fra1/p1 unknown agent_offline 0/0 of 0
            12:02 all/p1 unknown agent_offline 0/0 of 0
            12:03 fra1/p1 unknown agent_offline 0/0 of 0
            12:03 all/p1 unknown agent_offline 0/0 of 0
            12:01 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:01 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:02 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:02 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:04 fra1/p1 up answering 60/60 of 12
            12:04 all/p1 up answering 60/60 of 12
            12:03 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:03 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:05 fra1/p1 up answering 60/60 of 12
            12:05 all/p1 up answering 60/60 of 12
        "#]],
    );
}

#[test]
fn a_backlog_is_judged_like_live_rounds() {
    check(
        Show::Minutes,
        "fra1",
        "
        probe p1
        0s..70s/5s fra1 gw good
        1s..70s/5s fra1 p1 good
        70s..310s fra1 dies
        70s..310s/5s fra1 gw good @311s
        71s..140s/5s fra1 p1 good @311s
        141s fra1 p1 lost! @311s
        146s..160s/5s fra1 p1 lost @311s
        161s..310s/5s fra1 p1 good @311s
        311s..500s/5s fra1 p1 good
        310s..500s/5s fra1 gw good
        ",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 60/60 of 12
            12:00 all/p1 unknown not_yet 60/60 of 12
            12:01 fra1/p1 unknown agent_offline 10/10 of 2
            12:01 all/p1 unknown agent_offline 10/10 of 2
            12:02 fra1/p1 unknown agent_offline 0/0 of 0
            12:02 all/p1 unknown agent_offline 0/0 of 0
            12:03 fra1/p1 unknown agent_offline 0/0 of 0
            12:03 all/p1 unknown agent_offline 0/0 of 0
            12:04 fra1/p1 unknown agent_offline 0/0 of 0
            12:04 all/p1 unknown agent_offline 0/0 of 0
            12:01 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:01 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:02 fra1/p1 down no_answer 40/60 of 12 revision 1 of unknown
            12:02 all/p1 down no_answer 40/60 of 12 revision 1 of unknown
            12:03 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:03 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:05 fra1/p1 up answering 60/60 of 12
            12:05 all/p1 up answering 60/60 of 12
            12:04 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:04 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:06 fra1/p1 up answering 60/60 of 12
            12:06 all/p1 up answering 60/60 of 12
            12:07 fra1/p1 up answering 60/60 of 12
            12:07 all/p1 up answering 60/60 of 12
        "#]],
    );
}

#[test]
fn an_agent_that_was_cut_off_wholly_was_blind_in_the_past_too() {
    check(
        Show::Minutes,
        "fra1",
        "
        probe p1
        0s..70s/5s fra1 gw good
        1s..70s/5s fra1 p1 good
        70s..310s fra1 dies
        70s..310s/5s fra1 gw lost @311s
        71s fra1 p1 lost! @311s
        76s..310s/5s fra1 p1 lost @311s
        311s..400s/5s fra1 p1 good
        310s..400s/5s fra1 gw good
        ",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 60/60 of 12
            12:00 all/p1 unknown not_yet 60/60 of 12
            12:01 fra1/p1 unknown agent_offline 10/10 of 2
            12:01 all/p1 unknown agent_offline 10/10 of 2
            12:02 fra1/p1 unknown agent_offline 0/0 of 0
            12:02 all/p1 unknown agent_offline 0/0 of 0
            12:03 fra1/p1 unknown agent_offline 0/0 of 0
            12:03 all/p1 unknown agent_offline 0/0 of 0
            12:04 fra1/p1 unknown agent_offline 0/0 of 0
            12:04 all/p1 unknown agent_offline 0/0 of 0
            12:01 fra1/p1 unknown agent_blind 10/60 of 12 revision 1 of unknown
            12:01 all/p1 unknown agent_blind 10/60 of 12 revision 1 of unknown
            12:02 fra1/p1 unknown agent_blind 0/60 of 12 revision 1 of unknown
            12:02 all/p1 unknown agent_blind 0/60 of 12 revision 1 of unknown
            12:03 fra1/p1 unknown agent_blind 0/60 of 12 revision 1 of unknown
            12:03 all/p1 unknown agent_blind 0/60 of 12 revision 1 of unknown
            12:05 fra1/p1 unknown agent_blind 50/60 of 12
            12:05 all/p1 unknown agent_blind 50/60 of 12
            12:04 fra1/p1 unknown agent_blind 0/60 of 12 revision 1 of unknown
            12:04 all/p1 unknown agent_blind 0/60 of 12 revision 1 of unknown
        "#]],
    );
}

#[test]
fn minutes_without_a_server_are_revised_by_what_agents_kept() {
    check(
        Show::Minutes,
        "fra1 ams2",
        "
        probe p1
        0s..400s/5s fra1 gw good
        1s..400s/5s fra1 p1 good
        0s..80s/5s ams2 gw good
        1s..80s/5s ams2 p1 good
        80s..400s ams2 dies
        80s..260s server down
        500s fra1 gw good
        ",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 60/60 of 12
            12:00 ams2/p1 unknown not_yet 60/60 of 12
            12:00 all/p1 unknown not_yet 120/120 of 24
            12:01 fra1/p1 unknown monitor_down 20/20 of 4
            12:01 ams2/p1 unknown monitor_down 20/20 of 4
            12:01 all/p1 unknown monitor_down 40/40 of 8
            12:02 fra1/p1 unknown monitor_down 0/0 of 0
            12:02 ams2/p1 unknown monitor_down 0/0 of 0
            12:02 all/p1 unknown monitor_down 0/0 of 0
            12:03 fra1/p1 unknown monitor_down 0/0 of 0
            12:03 ams2/p1 unknown monitor_down 0/0 of 0
            12:03 all/p1 unknown monitor_down 0/0 of 0
            12:01 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:01 all/p1 up answering 80/80 of 16 revision 1 of unknown
            12:02 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:02 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:03 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:03 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:04 fra1/p1 up answering 60/60 of 12
            12:04 ams2/p1 unknown monitor_down 0/0 of 0
            12:04 all/p1 up answering 60/60 of 12
            12:05 fra1/p1 up answering 60/60 of 12
            12:05 ams2/p1 unknown agent_offline 0/0 of 0
            12:05 all/p1 up answering 60/60 of 12
            12:06 fra1/p1 unknown silent 40/40 of 8
            12:06 ams2/p1 unknown agent_offline 0/0 of 0
            12:06 all/p1 unknown agent_offline 40/40 of 8
            12:07 fra1/p1 unknown silent 0/0 of 0
            12:07 ams2/p1 unknown agent_offline 0/0 of 0
            12:07 all/p1 unknown agent_offline 0/0 of 0
        "#]],
    );
}

#[test]
fn a_late_confirmation_revises_what_all_held() {
    check(
        Show::Minutes,
        "fra1 ams2",
        "
        probe p1
        0s..400s/5s fra1 gw good
        0s..60s/5s ams2 gw good
        1s..60s/5s fra1 p1 good
        1s..60s/5s ams2 p1 good
        60s..200s ams2 dies
        61s fra1 p1 lost!
        66s..150s/5s fra1 p1 lost
        151s..400s/5s fra1 p1 good
        60s..200s/5s ams2 gw good @201s
        61s ams2 p1 lost! @201s
        66s..150s/5s ams2 p1 lost @201s
        151s..200s/5s ams2 p1 good @201s
        201s..400s/5s ams2 p1 good
        200s..400s/5s ams2 gw good
        ",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 60/60 of 12
            12:00 ams2/p1 unknown not_yet 60/60 of 12
            12:00 all/p1 unknown not_yet 120/120 of 24
            12:01 fra1/p1 down no_answer 0/60 of 12
            12:01 ams2/p1 unknown agent_offline 0/0 of 0
            12:01 all/p1 degraded unconfirmed 0/60 of 12
            12:02 fra1/p1 down no_answer 30/60 of 12
            12:02 ams2/p1 unknown agent_offline 0/0 of 0
            12:02 all/p1 degraded unconfirmed 30/60 of 12
            12:01 ams2/p1 down no_answer 0/60 of 12 revision 1 of unknown
            12:01 all/p1 down no_answer 0/120 of 24 revision 1 of degraded
            12:02 ams2/p1 down no_answer 30/60 of 12 revision 1 of unknown
            12:02 all/p1 down no_answer 60/120 of 24 revision 1 of degraded
            12:03 fra1/p1 up answering 60/60 of 12
            12:03 ams2/p1 up answering 60/60 of 12
            12:03 all/p1 up answering 120/120 of 24
            12:04 fra1/p1 up answering 60/60 of 12
            12:04 ams2/p1 up answering 60/60 of 12
            12:04 all/p1 up answering 120/120 of 24
            12:05 fra1/p1 up answering 60/60 of 12
            12:05 ams2/p1 up answering 60/60 of 12
            12:05 all/p1 up answering 120/120 of 24
        "#]],
    );
}

#[test]
fn a_minute_whose_last_round_is_late_keeps_its_cause() {
    // Silence would be noticed at 74.3 s, a moment before the agent is called offline. The first
    // minute is partly unknown because nothing was asked before 38 s, and for no other reason.
    check(
        Show::Minutes,
        "fra1",
        "
        35s probe p1
        0s..59s/5s fra1 gw good
        38.3s..58s/5s fra1 p1 good
        58.3s fra1 p1 good @130s
        63.3s..130s/5s fra1 p1 good @130s
        61s..130s fra1 dies
        60s..130s/5s fra1 gw good @130s
        130s..250s/5s fra1 gw good
        133.3s..250s/5s fra1 p1 good
        ",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 20/20 of 4
            12:00 all/p1 unknown not_yet 20/20 of 4
            12:01 fra1/p1 unknown agent_offline 0/0 of 0
            12:01 all/p1 unknown agent_offline 0/0 of 0
            12:00 fra1/p1 unknown not_yet 25/25 of 5 revision 1 of unknown
            12:00 all/p1 unknown not_yet 25/25 of 5 revision 1 of unknown
            12:01 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:01 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:02 fra1/p1 up answering 60/60 of 12
            12:02 all/p1 up answering 60/60 of 12
            12:03 fra1/p1 up answering 60/60 of 12
            12:03 all/p1 up answering 60/60 of 12
        "#]],
    );
    check(
        Show::Changes,
        "fra1",
        "
        0s..59s/5s fra1 gw good
        1s probe p1
        3.3s..58s/5s fra1 p1 good
        61s..130s fra1 dies
        130s end
        ",
        expect![[r#"
            0s fra1 never_seen -> online
            4.6s fra1/p1 unknown -> up
            4.6s all/p1 unknown -> up
            75s fra1 online -> offline
            75s fra1/p1 up -> unknown agent_offline
            75s all/p1 up -> unknown agent_offline
            130s fra1 offline -> online
        "#]],
    );
}

#[test]
fn minutes_that_were_told_in_time_by_a_backlog_need_no_revision() {
    // The server hears of the agent again right before the minute is closed.
    check(
        Show::Minutes,
        "fra1",
        "
        probe p1
        0s..60s/5s fra1 gw good
        0s..60s/5s fra1 p1 good
        60s..125s fra1 dies
        60s..125s/5s fra1 gw good @125s
        60s..123s/5s fra1 p1 good @125s
        125s..250s/5s fra1 gw good
        125s..250s/5s fra1 p1 good
        ",
        expect![[r#"
            12:00 fra1/p1 up answering 60/60 of 12
            12:00 all/p1 up answering 60/60 of 12
            12:01 fra1/p1 up answering 60/60 of 12
            12:01 all/p1 up answering 60/60 of 12
            12:02 fra1/p1 up answering 60/60 of 12
            12:02 all/p1 up answering 60/60 of 12
            12:03 fra1/p1 up answering 60/60 of 12
            12:03 all/p1 up answering 60/60 of 12
        "#]],
    );
}

#[test]
fn a_verdict_from_before_the_server_was_away_is_held_when_a_round_renews_it() {
    // Lossy until 70 s, well from then on; the server is away from 80 s to 250 s.
    check(
        Show::Minutes,
        "fra1",
        "
        probe p1
        probe p2
        0s..400s/5s fra1 gw good
        0s..40s/5s fra1 p1 good
        40s..70s/5s fra1 p1 3/5
        70s..400s/5s fra1 p1 good
        1s..40s/5s fra1 p2 good
        41s fra1 p2 lost!
        46s..300s/5s fra1 p2 lost
        301s..400s/5s fra1 p2 good
        80s..250s server down
        ",
        expect![[r#"
            12:00 fra1/p1 degraded loss 52/60 of 12
            12:00 all/p1 degraded loss 52/60 of 12
            12:00 fra1/p2 down no_answer 40/60 of 12
            12:00 all/p2 down no_answer 40/60 of 12
            12:01 fra1/p1 degraded loss 16/20 of 4
            12:01 all/p1 degraded loss 16/20 of 4
            12:01 fra1/p2 down no_answer 0/20 of 4
            12:01 all/p2 down no_answer 0/20 of 4
            12:02 fra1/p1 unknown monitor_down 0/0 of 0
            12:02 all/p1 unknown monitor_down 0/0 of 0
            12:03 fra1/p1 unknown monitor_down 0/0 of 0
            12:03 all/p1 unknown monitor_down 0/0 of 0
            12:02 fra1/p2 unknown monitor_down 0/0 of 0
            12:02 all/p2 unknown monitor_down 0/0 of 0
            12:03 fra1/p2 unknown monitor_down 0/0 of 0
            12:03 all/p2 unknown monitor_down 0/0 of 0
            12:01 fra1/p1 degraded loss 56/60 of 12 revision 1 of degraded
            12:01 all/p1 degraded loss 56/60 of 12 revision 1 of degraded
            12:02 fra1/p1 degraded loss 60/60 of 12 revision 1 of unknown
            12:02 all/p1 degraded loss 60/60 of 12 revision 1 of unknown
            12:01 fra1/p2 down no_answer 0/60 of 12 revision 1 of down
            12:01 all/p2 down no_answer 0/60 of 12 revision 1 of down
            12:02 fra1/p2 down no_answer 0/60 of 12 revision 1 of unknown
            12:02 all/p2 down no_answer 0/60 of 12 revision 1 of unknown
            12:04 fra1/p1 up answering 60/60 of 12
            12:04 all/p1 up answering 60/60 of 12
            12:04 fra1/p2 down no_answer 0/60 of 12
            12:04 all/p2 down no_answer 0/60 of 12
            12:03 fra1/p1 up answering 60/60 of 12 revision 1 of unknown
            12:03 all/p1 up answering 60/60 of 12 revision 1 of unknown
            12:03 fra1/p2 down no_answer 0/60 of 12 revision 1 of unknown
            12:03 all/p2 down no_answer 0/60 of 12 revision 1 of unknown
            12:05 fra1/p1 up answering 60/60 of 12
            12:05 all/p1 up answering 60/60 of 12
            12:05 fra1/p2 down no_answer 60/60 of 12
            12:05 all/p2 down no_answer 60/60 of 12
        "#]],
    );
}

/// The server hears nothing of the agent from 120 s on; back at `back`, it gets live rounds first
/// and the backlog after them, ten times as fast as it was made. Its first round starts at
/// `phase`; p2 does not answer from 150 s to 200 s.
fn live_first(back: u32, phase: f64) -> String {
    let mut script = "probe p1\nprobe p2\n2s..120s/5s fra1 gw good\n".to_owned();
    let mut at = phase;
    let mut line = |at: f64, text: &str| {
        let over = if text.contains("gw") { 0.5 } else { 1.3 };
        let is_kept = 118.0 <= at && at + over <= f64::from(back);
        let arrival = f64::from(back) + 1.0 + (at - 120.0) / 10.0 - at / 1_000.0;
        let delay = if is_kept { format!(" @{arrival:.3}s") } else { String::new() };
        script += &format!("{at:.3}s {text}{delay}\n");
    };
    while at < 480.0 {
        line(at, "fra1 p1 good");
        let is_lost = (150.0..200.0).contains(&(at + 1.0));
        let first = (150.0..155.0).contains(&(at + 1.0));
        let what = if first { "lost!" } else { "lost" };
        line(at + 1.0, &format!("fra1 p2 {}", if is_lost { what } else { "good" }));
        if 120.0 <= at {
            line(at + 2.0, "fra1 gw good");
        }
        at += 5.0;
    }
    script + &format!("120s..{back}s fra1 dies\n")
}

#[test]
fn live_rounds_that_come_before_the_backlog_spoil_nothing() {
    for back in (240..=320).step_by(5) {
        for phase in (0..20).map(|step| 0.1 + f64::from(step) * 0.25) {
            let play = Play::new("fra1", &live_first(back, phase));
            let mut last = BTreeMap::new();
            for decision in play.decisions() {
                if let DecisionKind::Minute(truth) = decision.kind {
                    last.insert((truth.entity.probe(), truth.entity.agent(), truth.minute), truth);
                }
            }
            for ((probe, agent, minute), truth) in last {
                let number = minute.0 % 60;
                if !(1..7).contains(&number) {
                    continue;
                }
                let is_down = probe == ProbeId(2) && (2..=3).contains(&number);
                let expected = if is_down { Verdict::Down } else { Verdict::Up };
                let found = (truth.verdict, truth.counts.rounds);
                let case =
                    format!("back {back} s, phase {phase} s, {probe} {agent:?} 12:0{number}");
                assert_eq!(found, (expected, 12), "{case}: {truth:?}");
            }
        }
    }
}

#[test]
fn the_minutes_of_an_agent_begin_and_end_with_it() {
    check(
        Show::Minutes,
        "fra1 ams2",
        "
        probe p1
        1s..300s/5s fra1 p1 good
        63s ams2 joins
        65s..145s/5s ams2 p1 good
        143s ams2 goes
        ",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 60/60 of 12
            12:00 all/p1 unknown not_yet 60/60 of 12
            12:01 fra1/p1 up answering 60/60 of 12
            12:01 ams2/p1 unknown not_yet 55/55 of 11
            12:01 all/p1 up answering 115/115 of 23
            12:02 fra1/p1 up answering 60/60 of 12
            12:02 ams2/p1 up answering 25/25 of 5
            12:02 all/p1 up answering 85/85 of 17
            12:03 fra1/p1 up answering 60/60 of 12
            12:03 all/p1 up answering 60/60 of 12
        "#]],
    );
    // Away for a few seconds only, and back within the minute that it went in.
    check(
        Show::Minutes,
        "fra1 ams2",
        "
        probe p1
        1s..130s/5s fra1 p1 good
        1s..30s/5s ams2 p1 good
        30s probe p1 agents=1
        40s probe p1
        41s..130s/5s ams2 p1 good
        ",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 50/50 of 10
            12:00 ams2/p1 unknown not_yet 50/50 of 10
            12:00 all/p1 unknown not_yet 100/100 of 20
            12:01 fra1/p1 up answering 60/60 of 12
            12:01 ams2/p1 up answering 60/60 of 12
            12:01 all/p1 up answering 120/120 of 24
        "#]],
    );
}

#[test]
fn a_minute_in_which_nobody_asked_for_a_while_is_not_up() {
    // The only one: what it had is said, and the rest of the minute is nobody's.
    check(
        Show::Minutes,
        "fra1",
        "probe p1\n 1s..80s/5s fra1 p1 good\n 80s fra1 goes\n 200s end",
        expect![[r#"
            12:00 fra1/p1 unknown not_yet 60/60 of 12
            12:00 all/p1 unknown not_yet 60/60 of 12
            12:01 fra1/p1 up answering 20/20 of 4
            12:01 all/p1 unknown no_agent 20/20 of 4
            12:02 all/p1 unknown no_agent 0/0 of 0
        "#]],
    );
    // The first one: what was before it was asked by nobody.
    check(
        Show::Minutes,
        "fra1",
        "probe p1\n 80s fra1 joins\n 81s..180s/5s fra1 p1 good\n 200s end",
        expect![[r#"
            12:00 all/p1 unknown not_yet 0/0 of 0
            12:01 fra1/p1 unknown not_yet 40/40 of 8
            12:01 all/p1 unknown not_yet 40/40 of 8
            12:02 fra1/p1 up answering 60/60 of 12
            12:02 all/p1 up answering 60/60 of 12
        "#]],
    );
}
