//! What a round learns, case by case. Probe 5's phase in 5 s is 450 ms, so its rounds are due at
//! 0.450 s, 5.450 s and so on.

use expect_test::expect;

use crate::world::check;

#[test]
fn all_packets_answered() {
    check(
        "
        0s tier 1 5s 3 200ms 1s
        0s probe 5 1 10.0.0.1
        0s 10.0.0.1 answers 20ms
        0s assign
        7s
        ",
        expect![[r#"
            1.851s  probe 5 due 0.450s: 3/3 rtt 20000/20000/20000us
            6.851s  probe 5 due 5.450s: 3/3 rtt 20000/20000/20000us
        "#]],
    );
}

#[test]
fn version_6_works_the_same() {
    check(
        "
        0s tier 1 5s 3 200ms 1s
        0s probe 5 1 2001:db8::1
        0s 2001:db8::1 answers 20ms
        0s assign
        3s
        ",
        expect![[r#"
            1.851s  probe 5 due 0.450s: 3/3 rtt 20000/20000/20000us
        "#]],
    );
}

#[test]
fn packets_leave_a_gap_apart() {
    check(
        "
        0s show packets
        0s tier 1 5s 3 200ms 1s
        0s probe 5 1 10.0.0.1
        0s 10.0.0.1 answers 20ms
        0s assign
        3s
        ",
        expect![[r#"
            0.451s  packet to 10.0.0.1
            0.651s  packet to 10.0.0.1
            0.850s  packet to 10.0.0.1
            1.851s  probe 5 due 0.450s: 3/3 rtt 20000/20000/20000us
        "#]],
    );
}

#[test]
fn some_packets_lost_is_loss_and_asks_no_confirmation() {
    check(
        "
        0s    tier 1 5s 3 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 silent
        0s    assign
        700ms 10.0.0.1 answers 5ms
        3s
        ",
        expect![[r#"
            1.851s  probe 5 due 0.450s: 1/3 rtt 5000/5000/5000us
        "#]],
    );
}

#[test]
fn only_the_first_fully_lost_round_is_confirmed() {
    check(
        "
        0s    show packets
        0s    tier 1 5s 2 200ms 500ms
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 silent
        0s    assign
        12s   10.0.0.1 answers 5ms
        17s   10.0.0.1 silent
        25s
        ",
        expect![[r#"
            0.451s  packet to 10.0.0.1
            0.651s  packet to 10.0.0.1
            1.151s  packet to 10.0.0.1
            1.351s  packet to 10.0.0.1
            1.551s  packet to 10.0.0.1
            2.051s  probe 5 due 0.450s: 0/2 confirm 0/3
            5.451s  packet to 10.0.0.1
            5.650s  packet to 10.0.0.1
            6.151s  probe 5 due 5.450s: 0/2
            10.450s  packet to 10.0.0.1
            10.650s  packet to 10.0.0.1
            11.151s  probe 5 due 10.450s: 0/2
            15.450s  packet to 10.0.0.1
            15.651s  packet to 10.0.0.1
            16.151s  probe 5 due 15.450s: 2/2 rtt 5000/5000/5000us
            20.451s  packet to 10.0.0.1
            20.651s  packet to 10.0.0.1
            21.151s  packet to 10.0.0.1
            21.351s  packet to 10.0.0.1
            21.551s  packet to 10.0.0.1
            22.051s  probe 5 due 20.450s: 0/2 confirm 0/3
        "#]],
    );
}

#[test]
fn confirm_packets_that_are_answered_do_not_enter_the_round() {
    check(
        "
        0s    tier 1 5s 2 200ms 500ms
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 silent
        0s    assign
        1100ms 10.0.0.1 answers 5ms
        4s
        ",
        expect![[r#"
            2.051s  probe 5 due 0.450s: 0/2 confirm 3/3
        "#]],
    );
}

#[test]
fn a_confirm_burst_that_could_not_leave_is_no_confirmation() {
    check(
        "
        0s    tier 1 5s 2 200ms 500ms
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 silent
        0s    assign
        1300ms 10.0.0.1 unsendable no-route
        4s
        ",
        expect![[r#"
            2.051s  probe 5 due 0.450s: 0/2 confirm 0/1
        "#]],
    );
}

#[test]
fn what_could_not_be_sent_is_not_lost() {
    check(
        "
        0s    tier 1 5s 2 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 unsendable no-route
        0s    assign
        3s    10.0.0.1 silent
        5.5s  10.0.0.1 unsendable permission
        9s
        ",
        expect![[r#"
            0.651s  probe 5 due 0.450s: not asked: NoRoute
            8.051s  probe 5 due 5.450s: 0/1
        "#]],
    );
}

#[test]
fn not_asked_does_not_forget_that_the_round_before_was_lost() {
    check(
        "
        0s    tier 1 5s 1 200ms 500ms
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 silent
        0s    assign
        4s    10.0.0.1 unsendable no-route
        9s    10.0.0.1 silent
        14s
        ",
        expect![[r#"
            1.851s  probe 5 due 0.450s: 0/1 confirm 0/3
            5.451s  probe 5 due 5.450s: not asked: NoRoute
            10.951s  probe 5 due 10.450s: 0/1
        "#]],
    );
}

#[test]
fn late_replies_never_count_and_mark_the_next_record() {
    check(
        "
        0s    tier 1 5s 1 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 answers 4.5s
        0s    assign
        5s    10.0.0.1 answers 5ms
        12s   counters
        ",
        expect![[r#"
            2.851s  probe 5 due 0.450s: 0/1 confirm 0/3
            6.451s  probe 5 due 5.450s: 1/1 rtt 5000/5000/5000us late
            11.451s  probe 5 due 10.450s: 1/1 rtt 5000/5000/5000us
            3 rounds, 6 packets, 2 replies
            0 strange, 0 duplicate, 4 late
        "#]],
    );
}

#[test]
fn a_reply_after_the_timeout_but_within_the_round_is_late() {
    check(
        "
        0s    tier 1 5s 3 800ms 500ms
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 answers 600ms
        0s    assign
        5s
        ",
        expect![[r#"
            4.651s  probe 5 due 0.450s: 0/3 confirm 0/3 late
        "#]],
    );
}

#[test]
fn duplicates_are_marked_and_count_once() {
    check(
        "
        0s    tier 1 5s 2 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 answers 5ms twice
        0s    assign
        4s    counters
        ",
        expect![[r#"
            1.651s  probe 5 due 0.450s: 2/2 rtt 5000/5000/5000us duplicate
            1 rounds, 2 packets, 2 replies
            0 strange, 2 duplicate, 0 late
        "#]],
    );
}

#[test]
fn strangers_never_count() {
    check(
        "
        0s    tier 1 5s 1 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 forged
        0s    assign
        5s    10.0.0.1 answered by 10.0.0.2
        9s    counters
        ",
        expect![[r#"
            2.851s  probe 5 due 0.450s: 0/1 confirm 0/3
            6.451s  probe 5 due 5.450s: 0/1
            2 rounds, 5 packets, 0 replies
            5 strange, 0 duplicate, 0 late
        "#]],
    );
}

#[test]
fn icmp_errors_are_recorded_with_their_source() {
    check(
        "
        0s    tier 1 5s 1 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 refused 10.9.9.9 3 1 56
        0s    assign
        5s    10.0.0.1 refused 10.9.9.8 11 0 0
        8s
        ",
        expect![[r#"
            2.851s  probe 5 due 0.450s: 0/1 confirm 0/3 icmp-error 3/1 by 10.9.9.9
            6.451s  probe 5 due 5.450s: 0/1 icmp-error 11/0 by 10.9.9.8
        "#]],
    );
}

#[test]
fn own_addresses_are_marked() {
    check(
        "
        0s    tier 1 5s 1 200ms 1s
        0s    probe 5 1 127.0.0.1
        0s    probe 6 1 10.0.0.7
        0s    own 10.0.0.7
        0s    127.0.0.1 answers 1ms
        0s    10.0.0.7 answers 1ms
        0s    assign
        6s
        ",
        expect![[r#"
            1.451s  probe 5 due 0.450s: 1/1 rtt 1000/1000/1000us local
            4.541s  probe 6 due 3.541s: 1/1 rtt 1000/1000/1000us local
        "#]],
    );
}

#[test]
fn own_lag_makes_a_round_doubtful() {
    check(
        "
        0s    tier 1 5s 1 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 answers 20ms
        0s    assign
        400ms stall 300ms
        5s    lag 60ms
        9s    lag 0ms
        11s   doubt
        14s
        ",
        expect![[r#"
            1.700s  probe 5 due 0.450s: 1/1 rtt 20000/20000/20000us doubtful
            6.511s  probe 5 due 5.450s: 1/1 rtt 20000/20000/20000us
            11.451s  probe 5 due 10.450s: 1/1 rtt 20000/20000/20000us doubtful
        "#]],
    );
}

#[test]
fn a_round_that_is_a_whole_interval_late_is_not_asked() {
    check(
        "
        0s    tier 1 5s 1 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 answers 20ms
        0s    assign
        2s    stall 20s
        27s
        ",
        expect![[r#"
            1.451s  probe 5 due 0.450s: 1/1 rtt 20000/20000/20000us
            22.000s  probe 5 due 5.450s: not asked: Overrun
            26.451s  probe 5 due 25.450s: 1/1 rtt 20000/20000/20000us
        "#]],
    );
}

#[test]
fn names_are_resolved_and_a_changed_answer_is_an_event() {
    check(
        "
        0s    tier 1 5s 1 200ms 1s
        0s    probe 5 1 core.example
        0s    10.0.0.1 answers 1ms
        0s    10.0.0.2 answers 2ms
        0s    assign
        1s    resolve core.example 30s 10.0.0.1
        31s   resolve core.example 30s 10.0.0.2 10.0.0.1
        61s   resolve core.example 600s 10.0.0.2
        72s
        ",
        expect![[r#"
            0.000s  wants core.example
            6.451s  probe 5 due 5.450s: 1/1 rtt 1000/1000/1000us now 10.0.0.1
            11.451s  probe 5 due 10.450s: 1/1 rtt 1000/1000/1000us
            16.451s  probe 5 due 15.450s: 1/1 rtt 1000/1000/1000us
            21.451s  probe 5 due 20.450s: 1/1 rtt 1000/1000/1000us
            26.451s  probe 5 due 25.450s: 1/1 rtt 1000/1000/1000us
            31.000s  wants core.example
            31.451s  probe 5 due 30.450s: 1/1 rtt 1000/1000/1000us
            36.451s  probe 5 due 35.450s: 1/1 rtt 1000/1000/1000us
            41.451s  probe 5 due 40.450s: 1/1 rtt 1000/1000/1000us
            46.451s  probe 5 due 45.450s: 1/1 rtt 1000/1000/1000us
            51.451s  probe 5 due 50.450s: 1/1 rtt 1000/1000/1000us
            56.451s  probe 5 due 55.450s: 1/1 rtt 1000/1000/1000us
            61.000s  wants core.example
            61.451s  probe 5 due 60.450s: 1/1 rtt 1000/1000/1000us
            66.451s  probe 5 due 65.450s: 1/1 rtt 2000/2000/2000us address-changed now 10.0.0.2
                     it was 10.0.0.1
            71.451s  probe 5 due 70.450s: 1/1 rtt 2000/2000/2000us
        "#]],
    );
}

#[test]
fn a_name_without_address_is_not_asked_and_a_silent_resolver_takes_nothing_away() {
    check(
        "
        0s    tier 1 30s 1 200ms 1s
        0s    probe 5 1 core.example
        0s    10.0.0.1 answers 1ms
        0s    assign
        40s   resolve core.example 30s 10.0.0.1
        70s   resolve core.example unanswered
        110s  resolve core.example none
        125s
        ",
        expect![[r#"
            0.000s  wants core.example
            2.705s  probe 5 due 2.705s: not asked: Resolver
            32.705s  probe 5 due 32.705s: not asked: Resolver
            63.705s  probe 5 due 62.705s: 1/1 rtt 1000/1000/1000us now 10.0.0.1
            70.000s  wants core.example
            93.705s  probe 5 due 92.705s: 1/1 rtt 1000/1000/1000us
            100.000s  wants core.example
            122.705s  probe 5 due 122.705s: not asked: Resolver
        "#]],
    );
}

#[test]
fn a_new_assignment_leaves_unchanged_probes_alone() {
    check(
        "
        0s    show packets
        0s    tier 1 5s 2 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    probe 9 1 10.0.0.2
        0s    10.0.0.1 answers 1ms
        0s    10.0.0.2 answers 1ms
        0s    assign
        500ms tier 1 5s 1 200ms 1s
        500ms assign
        3s    forget 9
        3s    probe 7 1 10.0.0.3
        3s    assign
        7s
        ",
        expect![[r#"
            0.451s  packet to 10.0.0.1
            0.651s  packet to 10.0.0.1
            1.651s  probe 5 due 0.450s: 2/2 rtt 1000/1000/1000us
            2.811s  packet to 10.0.0.2
            5.451s  packet to 10.0.0.1
            6.451s  probe 5 due 5.450s: 1/1 rtt 1000/1000/1000us
            6.631s  packet to 10.0.0.3
        "#]],
    );
}

#[test]
fn a_removed_probe_ends_silently_in_the_middle_of_its_round() {
    check(
        "
        0s    tier 1 5s 2 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 answers 100ms
        0s    assign
        500ms forget 5
        500ms assign
        9s    counters
        ",
        expect![[r#"
            0 rounds, 1 packets, 0 replies
            1 strange, 0 duplicate, 0 late
        "#]],
    );
}

#[test]
fn a_probe_with_another_address_starts_anew() {
    check(
        "
        0s    tier 1 5s 2 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 answers 100ms
        0s    10.0.0.2 answers 50ms
        0s    assign
        500ms probe 5 1 10.0.0.2
        500ms assign
        8s
        ",
        expect![[r#"
            6.651s  probe 5 due 5.450s: 2/2 rtt 50000/50000/50000us
        "#]],
    );
}

#[test]
fn gateway_and_witnesses_are_asked_and_never_confirmed() {
    check(
        "
        0s    gateway 10.0.0.254
        0s    witness 192.0.2.1
        0s    192.0.2.1 answers 30ms
        0s    assign
        9s    gateway none
        14s
        ",
        expect![[r#"
            2.910s  gateway due 1.909s: 0/1
            4.819s  witness 0 due 3.819s: 1/1 rtt 30000/30000/30000us
            7.910s  gateway due 6.909s: 0/1
            9.819s  witness 0 due 8.819s: 1/1 rtt 30000/30000/30000us
            11.909s  gateway due 11.909s: not asked: NoRoute
        "#]],
    );
}

#[test]
fn bad_tasks_are_refused_by_name_and_the_rest_is_taken() {
    check(
        "
        0s    tier 1 5s 1 200ms 1s
        0s    tier 2 1s 1 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    probe 6 2 10.0.0.1
        0s    probe 7 3 10.0.0.1
        0s    10.0.0.1 answers 1ms
        0s    assign
        3s
        ",
        expect![[r#"
            refused probe 6: its tier's interval is out of range
            refused probe 7: its tier is not in the assignment
            1.451s  probe 5 due 0.450s: 1/1 rtt 1000/1000/1000us
        "#]],
    );
}

#[test]
fn a_kernel_that_chooses_the_identifier_is_no_stranger() {
    check(
        "
        0s    datagram
        0s    tier 1 5s 1 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 answers 1ms
        0s    assign
        3s
        ",
        expect![[r#"
            1.451s  probe 5 due 0.450s: 1/1 rtt 1000/1000/1000us
        "#]],
    );
}

#[test]
fn a_late_icmp_error_is_in_the_next_record() {
    check(
        "
        0s    tier 1 5s 1 200ms 1s
        0s    probe 5 1 10.0.0.1
        0s    10.0.0.1 refused 10.9.9.9 3 1 0 after 3s
        0s    assign
        4s    10.0.0.1 answers 1ms
        8s
        ",
        expect![[r#"
            2.851s  probe 5 due 0.450s: 0/1 confirm 0/3
            6.451s  probe 5 due 5.450s: 1/1 rtt 1000/1000/1000us icmp-error 3/1 by 10.9.9.9
        "#]],
    );
}
