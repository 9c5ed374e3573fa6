//! Queries against a few series whose answers can be worked out by hand.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

/// Minutes 0 to 5, told at their ends: 60 s, 120 s, … 360 s. `-` is unknown.
const FIXTURE: [(&str, &str, &str); 6] = [
    ("rtt", "target=a,tier=gold", "1 2 3 4 5 6"),
    ("rtt", "target=b,tier=gold", "10 - - 40 50 60"),
    ("rtt", "target=c,tier=tin", "7 7 7 7 - -"),
    ("state", "target=a,tier=gold", "0 0 3 3 0 0"),
    ("sent_total", "target=a,tier=gold", "10 10 10 10 20 20"),
    ("lost_total", "target=a,tier=gold", "0 0 5 10 0 1"),
];

fn labels(name: &str, text: &str) -> Labels {
    let mut labels = Labels::default();
    labels.set(&NAME.into(), &name.into());
    for pair in text.split(',') {
        let (label, value) = pair.split_once('=').unwrap();
        labels.set(&label.into(), &value.into());
    }
    labels
}

fn series((name, of, values): (&str, &str, &str)) -> Series {
    Series {
        labels: labels(name, of),
        start_ms: 0,
        span_ms: 60_000,
        now_ms: 360_000,
        values: values.split(' ').map(|value| value.parse().ok()).collect(),
        pending_from: 6,
        is_counter: name.ends_with("_total"),
    }
}

fn answer(query: &str, steps: Steps) -> Result<Answer, Fault> {
    let query = parse(query)?;
    let all = FIXTURE.map(series);
    let of = |selector: &Selector| {
        all.iter().filter(|series| selector.takes_all(&series.labels)).cloned().collect()
    };
    let read: Vec<Vec<Series>> = query.selectors.iter().map(of).collect();
    evaluate(&query, steps, &read, &|| false)
}

fn words(labels: &Labels) -> String {
    let pairs = labels.iter().filter(|(name, _)| *name != NAME);
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}{{{}}}", labels.get(NAME), pairs.join(","))
}

/// Asks at 60 s, 120 s, … 360 s.
#[track_caller]
fn check(query: &str, expected: Expect) {
    let steps = Steps { start_ms: 60_000, step_ms: 60_000, count: 6 };
    let told = match answer(query, steps) {
        Ok(Answer::Scalar(values)) => format!("{values:?}\n"),
        Ok(Answer::Vector(lines)) => {
            let mut text = String::new();
            for line in lines {
                let values = line.values.iter();
                let values =
                    values.map(|value| value.map_or("-".to_owned(), |value| value.to_string()));
                let values: Vec<String> = values.collect();
                writeln!(text, "{} {}", words(&line.labels), values.join(" ")).unwrap();
            }
            text
        }
        Ok(Answer::Matrix(all)) => format!("{all:?}\n"),
        Err(fault) => {
            let text = fault.text.replace(": ", ":\n").replace("; ", ";\n");
            format!("{:?}: {}\n", fault.kind, text.replace(" on the ", "\non the "))
        }
    };
    expected.assert_eq(&told);
}

#[test]
fn a_value_holds_until_the_next_is_due() {
    check(
        "rtt{target=\"b\"}",
        expect![[r#"
        rtt{target=b,tier=gold} 10 - - 40 50 60
    "#]],
    );
    // Half a minute later each is the same; before the first there is none, nor long after the
    // last.
    let steps = Steps { start_ms: 30_000, step_ms: 60_000, count: 9 };
    let Ok(Answer::Vector(lines)) = answer("rtt{target=\"a\"}", steps) else { panic!() };
    let told: Vec<_> = lines[0].values.iter().map(|value| value.unwrap_or(0.0)).collect();
    assert_eq!(told, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0]);
    check(
        "rtt{target=\"a\"} offset 2m",
        expect![[r#"
        rtt{target=a,tier=gold} - - 1 2 3 4
    "#]],
    );
}

#[test]
fn what_is_on_its_way_is_answered_with_the_one_before_for_a_while() {
    let at = |pending_from: usize, at_ms: i64| {
        let b = ("rtt", "target=b", "10 20 - - - - - - - -");
        Series { pending_from, now_ms: 600_000, ..series(b) }.at(at_ms)
    };
    assert_eq!(at(2, 240_000), Some(20.0), "two minutes behind");
    assert_eq!(at(2, 420_000), Some(20.0), "five minutes behind");
    assert_eq!(at(2, 600_000), None, "eight minutes behind");
    assert_eq!(at(10, 240_000), None, "nothing is on its way: it is unknown");
}

#[test]
fn matchers_choose_series() {
    check(
        "rtt{target=~\"a|b\", tier!=\"tin\", target!~\"b.*\"}",
        expect![[r#"
        rtt{target=a,tier=gold} 1 2 3 4 5 6
    "#]],
    );
    // Prometheus takes a comma behind the last one, too.
    check(
        "rtt{target=\"a\",}",
        expect![[r#"
        rtt{target=a,tier=gold} 1 2 3 4 5 6
    "#]],
    );
    check(
        "{__name__=~\"s.*\"} == 3",
        expect![[r#"
            Bad: {…} is a counter:
            its value at a moment means nothing here;
            use increase({…}[1h]) or rate({…}[5m])
        "#]],
    );
    // An empty value is that of a label that is not there.
    check(
        "rtt{agent=\"\", tier=\"tin\"}",
        expect![[r#"
        rtt{target=c,tier=tin} 7 7 7 7 - -
    "#]],
    );
}

#[test]
fn windows_hold_what_was_told_in_them() {
    check(
        "avg_over_time(rtt{target=\"b\"}[3m])",
        expect![[r#"
        {target=b,tier=gold} 10 10 10 40 45 50
    "#]],
    );
    check(
        "max_over_time(state[2m])",
        expect![[r#"
        {target=a,tier=gold} 0 0 3 3 3 0
    "#]],
    );
    check(
        "sum_over_time(state[2m]) + count_over_time(state[2m]) * 100",
        expect![[r#"
        {target=a,tier=gold} 100 200 203 206 203 200
    "#]],
    );
    check(
        "last_over_time(rtt{target=\"c\"}[3m])",
        expect![[r#"
        rtt{target=c,tier=tin} 7 7 7 7 7 7
    "#]],
    );
    check(
        "quantile_over_time(0.5, rtt{target=\"a\"}[4m])",
        expect![[r#"
        {target=a,tier=gold} 1 1.5 2 2.5 3.5 4.5
    "#]],
    );
}

#[test]
fn counters_grow_by_what_was_counted() {
    check(
        "increase(sent_total[2m])",
        expect![[r#"
        {target=a,tier=gold} 10 20 20 20 30 40
    "#]],
    );
    check(
        "rate(lost_total[3m]) * 180",
        expect![[r#"
        {target=a,tier=gold} 0 0 5 15 15 11
    "#]],
    );
    check(
        "increase(lost_total[2m]) / increase(sent_total[2m])",
        expect![[r#"
        {target=a,tier=gold} 0 0 0.25 0.75 0.3333333333333333 0.025
    "#]],
    );
    check(
        "rate(rtt[2m])",
        expect![[r#"
            Bad: rtt is no counter:
            rate and increase are of counters;
            use avg_over_time(rtt[1h]) or another function over time
        "#]],
    );
}

#[test]
fn aggregations_are_of_the_series_that_have_a_value() {
    check(
        "sum by (tier) (rtt)",
        expect![[r#"
        {tier=gold} 11 2 3 44 55 66
        {tier=tin} 7 7 7 7 - -
    "#]],
    );
    check(
        "avg without (target) (rtt)",
        expect![[r#"
        {tier=gold} 5.5 2 3 22 27.5 33
        {tier=tin} 7 7 7 7 - -
    "#]],
    );
    check(
        "count(rtt) + min(rtt) * 10 + max(rtt) * 100",
        expect![[r#"
        {} 1013 722 732 4043 5052 6062
    "#]],
    );
    check(
        "topk(1, rtt)",
        expect![[r#"
        rtt{target=b,tier=gold} 10 - - 40 50 60
        rtt{target=c,tier=tin} - 7 7 - - -
    "#]],
    );
    check(
        "quantile(0.5, rtt)",
        expect![[r#"
        {} 7 4.5 5 7 27.5 33
    "#]],
    );
    check(
        "bottomk by (tier) (1, rtt)",
        expect![[r#"
        rtt{target=a,tier=gold} 1 2 3 4 5 6
        rtt{target=c,tier=tin} 7 7 7 7 - -
    "#]],
    );
}

#[test]
fn operators_join_what_belongs_together() {
    check(
        "rtt{target=\"a\"} > 2 < bool 5",
        expect![[r#"
        {target=a,tier=gold} - - 1 1 0 0
    "#]],
    );
    check(
        "2 ^ 3 ^ 2 - -1 ^ 2 + 7 % 4 * 2",
        expect![[r#"
        [519.0, 519.0, 519.0, 519.0, 519.0, 519.0]
    "#]],
    );
    check(
        "rtt{target=\"a\"} * on (target) state",
        expect![[r#"
        {target=a} 0 0 9 12 0 0
    "#]],
    );
    check(
        "rtt - ignoring (tier) state == 0 or on () vector(9)",
        expect![[r#"
        {target=a} - - 0 - - -
        {} 9 9 - 9 9 9
    "#]],
    );
    check(
        "rtt unless state == 3 and rtt < 6",
        expect![[r#"
        rtt{target=a,tier=gold} 1 2 - - 5 -
    "#]],
    );
    check(
        "rtt unless on (target) (state == 3)",
        expect![[r#"
        rtt{target=a,tier=gold} 1 2 - - 5 6
        rtt{target=b,tier=gold} 10 - - 40 50 60
        rtt{target=c,tier=tin} 7 7 7 7 - -
    "#]],
    );
    check(
        "state * on (tier) rtt",
        expect![[r#"
        Execution: found duplicate series for the match group
        on the right hand-side of the operation:
        many-to-many matching is not supported, aggregate that side first
    "#]],
    );
    check(
        "-rtt{target=\"a\"}",
        expect![[r#"
        {target=a,tier=gold} -1 -2 -3 -4 -5 -6
    "#]],
    );
}

#[test]
fn functions_of_values() {
    check(
        "clamp(rtt{target=\"a\"}, 2, 4) + round(rtt{target=\"a\"} / 4, 0.5)",
        expect![[r#"
        {target=a,tier=gold} 2.5 2.5 4 5 5.5 5.5
    "#]],
    );
    check(
        "scalar(rtt{target=\"b\"}) + time()",
        expect![[r#"
        [70.0, NaN, NaN, 280.0, 350.0, 420.0]
    "#]],
    );
    check(
        "absent(rtt{target=\"b\", tier=~\"g.*\"})",
        expect![[r#"
        {target=b} - 1 1 - - -
    "#]],
    );
}

/// Everything that is refused says what it is and what to write instead.
#[test]
fn what_is_not_evaluated_is_named() {
    for (query, expected) in [
        ("max_over_time(rtt[1h:5m])", "a subquery not supported: use a window over a series"),
        ("rtt @ 5", "the modifier `@` not supported: ask for that time itself"),
        ("state * on (tier) group_left rtt", "`group_left` not supported: aggregate both sides"),
        ("irate(sent_total[5m])", "the function `irate` not supported: use avg, min, max, sum"),
        ("label_replace(rtt, \"a\", \"b\", \"c\", \"d\")", "the function `label_replace` not"),
        ("sum(rtt)[5m]", "a window over an expression not supported: give a window to a series"),
        ("\"text\"", "a text as a value not supported"),
        ("rtt[5m]", "invalid expression type \"range vector\" for range query"),
        ("rtt{target=\"a\"", "parse error: unexpected end of input, expected `}`"),
        ("rtt{target=~\"(\"}", "parse error: bad pattern `(`"),
        ("{target=~\".*\"}", "parse error: vector selector must contain at least one non-empty"),
        ("1 == 1", "parse error: comparisons between scalars must use the bool modifier"),
        ("rtt bool 1", "parse error: unexpected `bool`, expected the end of the query"),
        ("topk(rtt)", "parse error: wrong arguments in call to topk(): it takes a number and a"),
        ("avg_over_time(rtt)", "parse error: wrong arguments in call to avg_over_time(): it takes"),
        ("rtt offset", "parse error: unexpected end of input, expected a duration such as 1h"),
        ("5 $ 3", "parse error: unexpected character '$'"),
        ("\"open", "parse error: unterminated quoted string"),
        ("", "parse error: unexpected end of input, expected a number, a series, a function"),
        ("abs(rtt, 1)", "parse error: wrong arguments in call to abs(): it takes a vector"),
        ("rtt and 1", "parse error: set operators are not allowed with a scalar"),
    ] {
        let steps = Steps { start_ms: 60_000, step_ms: 60_000, count: 2 };
        let fault = answer(query, steps).expect_err(query);
        assert_eq!(fault.kind, FaultKind::Bad, "{query}");
        assert!(fault.text.starts_with(expected), "{query}: {}", fault.text);
    }
}

#[test]
fn what_is_too_much_is_refused_before_it_is_worked_out() {
    let deep = format!("{}1{}", "(".repeat(65), ")".repeat(65));
    assert_eq!(parse(&deep).unwrap_err().text, "the query is nested deeper than 64");
    let signs = format!("{}1", "-".repeat(65));
    assert_eq!(parse(&signs).unwrap_err().text, "the query is nested deeper than 64");
    let long = format!("1{}", "+1".repeat(129));
    assert_eq!(parse(&long).unwrap_err().text, "the query has more than 128 operators");
    let wide = format!("rtt{}", "+rtt".repeat(32));
    assert_eq!(parse(&wide).unwrap_err().text, "the query has more than 32 selectors");
    let bytes = " ".repeat(16 * 1024 + 1);
    assert_eq!(parse(&bytes).unwrap_err().text, "the query has more than 16384 bytes");
    let steps = Steps { start_ms: 0, step_ms: 1, count: 400_000 };
    let fault = answer("rtt", steps).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Execution);
    assert!(fault.text.contains("more than 1000000 values"), "{}", fault.text);
}

#[test]
fn a_window_at_one_moment_is_its_values() {
    let steps = Steps { start_ms: 250_000, step_ms: 1, count: 1 };
    let told = answer("rtt{target=\"b\"}[3m]", steps).unwrap();
    let expected = vec![(labels("rtt", "target=b,tier=gold"), vec![(240_000, 40.0)])];
    assert_eq!(told, Answer::Matrix(expected));
}

#[test]
fn words_are_read_as_prometheus_reads_them() {
    use lex::{Token, lex};
    let told = lex("1e3 .5 0x1F 1h30m 5d \"a\\\"b\\n\" 'c' `d\\e` x:y_1 # rest\n>=").unwrap();
    let texts = ["a\"b\n", "c", "d\\e"].map(|text| Token::Text(text.to_owned()));
    let [a, b, c] = texts;
    let expected = [
        Token::Number(1_000.0),
        Token::Number(0.5),
        Token::Number(31.0),
        Token::Duration(5_400_000),
        Token::Duration(5 * 86_400_000),
        a,
        b,
        c,
        Token::Name("x:y_1".to_owned()),
        Token::Sign(">="),
    ];
    assert_eq!(told, expected);
    for text in ["5q", "1..2", "1h30", "é", "\"\\q\"", "9999999999999999y"] {
        assert!(lex(text).is_err(), "{text}");
    }
}

/// 0 / 0 is what silence comes to: it must never look like a figure.
#[test]
fn what_is_no_number_stays_none() {
    let nan = "rtt{target=\"a\"} * 0 / 0";
    for query in [
        format!("clamp({nan}, 0, 1)"),
        format!("clamp_min({nan}, 0)"),
        format!("clamp_max({nan}, 1)"),
        format!("max by (target, tier) ({nan})"),
        format!("min by (target, tier) ({nan})"),
    ] {
        check(
            &query,
            expect![[r#"
        {target=a,tier=gold} NaN NaN NaN NaN NaN NaN
    "#]],
        );
    }
    // Any number is told instead.
    check(
        &format!("min({nan} or vector(3)) + max({nan} or vector(4))"),
        expect![[r#"
        {} 7 7 7 7 7 7
    "#]],
    );
    check("clamp(rtt{target=\"a\"}, 4, 2)", expect![""]);
    // It is last, whether up or down, and whatever its sign.
    for sign in ["", "-"] {
        let nan = format!("({sign}(rtt{{target=\"b\"}} * 0 / 0))");
        for (function, expected) in [("sort", ["a", "c", "b"]), ("sort_desc", ["c", "a", "b"])] {
            let query = format!("{function}(rtt{{target!=\"b\"}} or {nan})");
            let steps = Steps { start_ms: 60_000, step_ms: 1, count: 1 };
            let Ok(Answer::Vector(lines)) = answer(&query, steps) else { panic!() };
            let told: Vec<_> = lines.iter().map(|line| line.labels.get("target")).collect();
            assert_eq!(told, expected, "{query}");
        }
    }
}

#[test]
fn the_newest_window_is_no_longer_than_another() {
    // The last span has not ended: it is told now, half a minute into it.
    let open = Series { now_ms: 330_000, ..series(FIXTURE[0]) };
    for at_ms in [330_000, 340_000, 359_999] {
        assert_eq!(open.over(ast::Over::Count, 0.0, (at_ms, 120_000)), Some(2.0), "{at_ms}");
    }
    assert_eq!(open.over(ast::Over::Sum, 0.0, (330_000, 120_000)), Some(5.0 + 6.0));
}

#[test]
fn who_asks_for_many_patterns_is_refused() {
    let matchers = |count: usize| vec!["target=~\"a.*\""; count].join(",");
    let many = format!("rtt{{{}}} + rtt{{{}}}", matchers(64), matchers(1));
    assert!(parse(&many).unwrap_err().text.starts_with("more than 64 matchers"));
    let one = format!("rtt{{{}}}", matchers(33));
    assert!(parse_selectors(std::slice::from_ref(&one)).is_ok());
    assert!(parse_selectors(&[one.clone(), one]).is_err());
    let large = parse("rtt{target=~\"[a-z]{20000}\"}").unwrap_err();
    assert!(large.text.starts_with("parse error: bad pattern"), "{}", large.text);
}

#[test]
fn what_takes_too_long_stops() {
    let query = parse("max_over_time(rtt[2m])").unwrap();
    let read = vec![vec![series(FIXTURE[0])]];
    let asked = std::cell::Cell::new(0);
    let is_late = || 10 < asked.replace(asked.get() + 1);
    let steps = Steps { start_ms: 60_000, step_ms: 1, count: 10_000 };
    assert_eq!(evaluate(&query, steps, &read, &is_late), Err(Fault::late()));
    assert_eq!(asked.get(), 12, "no step was worked out behind the end");
}

#[test]
fn selectors_share_what_may_be_held() {
    let steps = Steps { start_ms: 0, step_ms: 1, count: 300_000 };
    let wide = ["rtt"; 4].join(" and ");
    let fault = answer(&wide, steps).unwrap_err();
    assert!(fault.text.contains("more than 3000000 values"), "{}", fault.text);
}
