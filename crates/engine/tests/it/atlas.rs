//! What a map shows of sites, devices and links.

use engine::{
    graph::{Topology, document},
    live::{Atlas, Blamed, Mark, Part, Seen},
};
use expect_test::{Expect, expect};
use model::{ElementKind, FaultMode, IncidentId, Verdict};

/// ag at r1; r1 - r2 - r3 with a way round over r4, which costs more; r3 is alone at its site.
fn network() -> Topology {
    let text = "kind,id,site,device,end_a,end_b,cost,latitude,longitude,srlg,role\n\
        site,fra,,,,,,50.1,8.7,,\nsite,ber,,,,,,,,,\nsite,ham,,,,,,53.5,10,,\n\
        srlg,duct,,,,,,,,,conduit\n\
        device,r1,fra,,,,,,,,\ndevice,r2,fra,,,,,,,,\ndevice,r3,ber,,,,,52.5,13.4,,\n\
        device,r4,ham,,,,,,,,\ndevice,r5,,,,,,48,11,,\n\
        interface,r3:1,,r3,,,,,,,\n\
        link,r1--r2,,,r1,r2,10,,,,\nlink,r2--r3,,,r2,r3:1,10,,,duct,\n\
        link,r1--r4,,,r1,r4,10,,,,\nlink,r3--r4,,,r3,r4,90,,,duct,\n\
        link,r4--r5,,,r4,r5,10,,,,\n\
        upstream,transit,,r2,,,,,,,transit\n\
        agent,ag,,r1,,,,,,,\n\
        target,t1,,r1,,,,,,,\ntarget,t2,,r2,,,,,,,\ntarget,t3,,r3,,,,,,,\n\
        target,t3b,,r3:1,,,,,,,\ntarget,x,,transit,,,,,,,\n";
    let document = document::Document::read(document::Format::Csv, text).expect("a text");
    document.build().expect("a good network")
}

fn verdict(letter: &str) -> Verdict {
    match letter {
        "up" => Verdict::Up,
        "degraded" => Verdict::Degraded,
        "down" => Verdict::Down,
        _ => Verdict::Unknown,
    }
}

/// `NAME VERDICT`, or `NAME paused`.
fn seen(topology: &Topology, lines: &[&str]) -> Vec<Seen> {
    let agent = topology.find("ag").expect("is there");
    let one = |line: &&str| {
        let (name, said) = line.split_once(' ').expect("two words");
        let target = topology.find(name).expect("is there");
        let verdict = verdict(said);
        Seen { target, is_paused: said == "paused", verdict, by: vec![(agent, verdict)] }
    };
    lines.iter().map(one).collect()
}

fn blamed(id: u32, mode: FaultMode, elements: &[&str], devices: &[&str]) -> Blamed {
    let texts = |all: &[&str]| all.iter().map(|id| (*id).to_owned()).collect();
    let (elements, devices) = (texts(elements), texts(devices));
    Blamed { incident: IncidentId(id), elements, mode, devices }
}

#[track_caller]
fn check(lines: &[&str], blames: &[Blamed], expected: Expect) {
    let topology = network();
    let atlas = Atlas::of(&topology);
    let marks = atlas.marks(&topology, &seen(&topology, lines), blames);
    let mut said = String::new();
    let mut tell = |id: &str, mark: &Mark| {
        let part = match mark.part {
            Part::None => "",
            Part::Hit => " HIT",
            Part::Suspect => " SUSPECT",
            Part::Cause => " CAUSE",
        };
        said += &format!("{id:8} {}{part}: {}\n", mark.state.as_str(), mark.why);
    };
    for (place, mark) in atlas.places.iter().zip(&marks.places) {
        tell(&format!("@{}", topology.id(place.element)), mark);
    }
    for (node, mark) in atlas.nodes.iter().zip(&marks.nodes) {
        tell(topology.id(node.element), mark);
    }
    for (line, mark) in atlas.lines.iter().zip(&marks.lines) {
        tell(topology.id(line.element), mark);
    }
    expected.assert_eq(&said);
}

const ALL_UP: [&str; 5] = ["t1 up", "t2 up", "t3 up", "t3b up", "x up"];

#[test]
fn what_answers_is_up_and_what_nobody_asks_is_unknown() {
    check(
        &ALL_UP,
        &[],
        expect![[r#"
            @fra     up: all of its 3 devices up
            @ber     up: 2 targets up
            @ham     unknown: nothing that is watched is at it or behind it
            @r5      unknown: nothing that is watched is at it or behind it
            r1       up: 1 target up
            r2       up: 1 target up
            r3       up: 2 targets up
            r4       unknown: nothing that is watched is at it or behind it
            r5       unknown: nothing that is watched is at it or behind it
            transit  up: 1 target up
            r1--r2   up: answers of 4 targets pass over it
            r2--r3   up: answers of 2 targets pass over it
            r1--r4   unknown: no watched target is behind it
            r3--r4   unknown: no watched target is behind it
            r4--r5   unknown: no watched target is behind it
        "#]],
    );
}

#[test]
fn silence_is_unknown() {
    check(
        &["t1 unknown", "t3 paused"],
        &[],
        expect![[r#"
        @fra     unknown: nothing is known of its 2 devices
        @ber     unknown: its target is paused
        @ham     unknown: nothing that is watched is at it or behind it
        @r5      unknown: nothing that is watched is at it or behind it
        r1       unknown: nobody knows of its 1 target
        r2       unknown: nothing that is watched is at it or behind it
        r3       unknown: its target is paused
        r4       unknown: nothing that is watched is at it or behind it
        r5       unknown: nothing that is watched is at it or behind it
        transit  unknown: nothing that is watched is at it or behind it
        r1--r2   unknown: no watched target is behind it
        r2--r3   unknown: no watched target is behind it
        r1--r4   unknown: no watched target is behind it
        r3--r4   unknown: no watched target is behind it
        r4--r5   unknown: no watched target is behind it
    "#]],
    );
}

#[test]
fn a_cause_is_down_and_what_it_cuts_off_says_so() {
    let blames = [blamed(7, FaultMode::Down, &["r2--r3"], &["r3"])];
    check(
        &["t1 up", "t2 up", "t3 down", "t3b down"],
        &blames,
        expect![[r#"
            @fra     up: all of its 2 devices up
            @ber     down HIT: none of its 2 targets answers
            @ham     unknown: nothing that is watched is at it or behind it
            @r5      unknown: nothing that is watched is at it or behind it
            r1       up: 1 target up
            r2       up: 1 target up
            r3       down HIT: none of its 2 targets answers
            r4       unknown: nothing that is watched is at it or behind it
            r5       unknown: nothing that is watched is at it or behind it
            transit  unknown: nothing that is watched is at it or behind it
            r1--r2   up: answers of 1 target pass over it
            r2--r3   down CAUSE: #7: r2--r3 is down
            r1--r4   unknown: no watched target is behind it
            r3--r4   unknown: no watched target is behind it
            r4--r5   unknown: no watched target is behind it
        "#]],
    );
}

#[test]
fn of_several_that_nothing_tells_apart_none_is_down() {
    let blames = [blamed(8, FaultMode::Down, &["r2--r3", "r3"], &[])];
    check(
        &["t1 up", "t2 up", "t3 down", "t3b down"],
        &blames,
        expect![[r#"
            @fra     up: all of its 2 devices up
            @ber     down SUSPECT: none of its 2 targets answers
            @ham     unknown: nothing that is watched is at it or behind it
            @r5      unknown: nothing that is watched is at it or behind it
            r1       up: 1 target up
            r2       up: 1 target up
            r3       down SUSPECT: none of its 2 targets answers
            r4       unknown: nothing that is watched is at it or behind it
            r5       unknown: nothing that is watched is at it or behind it
            transit  unknown: nothing that is watched is at it or behind it
            r1--r2   up: answers of 1 target pass over it
            r2--r3   unknown SUSPECT: #8: one of r2--r3, r3, which nothing tells apart
            r1--r4   unknown: no watched target is behind it
            r3--r4   unknown: no watched target is behind it
            r4--r5   unknown: no watched target is behind it
        "#]],
    );
}

#[test]
fn a_shared_risk_and_a_port_are_drawn_as_their_links() {
    let blames =
        [blamed(9, FaultMode::Lossy, &["duct"], &[]), blamed(10, FaultMode::Down, &["r3:1"], &[])];
    check(
        &["t1 up", "t2 degraded", "t3 down", "t3b up"],
        &blames,
        expect![[r#"
            @fra     degraded: degraded: r2
            @ber     degraded: 1 of 2 targets down
            @ham     unknown: nothing that is watched is at it or behind it
            @r5      unknown: nothing that is watched is at it or behind it
            r1       up: 1 target up
            r2       degraded: its target is degraded
            r3       degraded: 1 of 2 targets down
            r4       unknown: nothing that is watched is at it or behind it
            r5       unknown: nothing that is watched is at it or behind it
            transit  unknown: nothing that is watched is at it or behind it
            r1--r2   up: answers of 2 targets pass over it
            r2--r3   down CAUSE: #10: r3:1 is down
            r1--r4   unknown: no watched target is behind it
            r3--r4   degraded CAUSE: #9: duct is lossy
            r4--r5   unknown: no watched target is behind it
        "#]],
    );
}

#[test]
fn a_site_stands_where_its_devices_do_unless_it_says_otherwise() {
    let topology = network();
    let atlas = Atlas::of(&topology);
    let mut said = String::new();
    for place in &atlas.places {
        said += &format!("{} {:?}\n", topology.id(place.element), place.position);
    }
    expect![[r#"
        fra Some((50.1, 8.7))
        ber Some((52.5, 13.4))
        ham Some((53.5, 10.0))
        r5 Some((48.0, 11.0))
    "#]]
    .assert_eq(&said);
    let mut upstreams = topology.of_kind(ElementKind::Upstream);
    assert_eq!(upstreams.next().and_then(|ix| atlas.node_at(&topology, ix)), Some(5));
}

#[test]
fn equal_ways_share_what_passes_over_them() {
    let text = "kind,id,device,end_a,end_b\n\
        device,a,,,\ndevice,b,,,\ndevice,c,,,\ndevice,d,,,\n\
        link,ab,,a,b\nlink,ac,,a,c\nlink,bd,,b,d\nlink,cd,,c,d\n\
        agent,ag,a,,\ntarget,t,d,,\ntarget,u,d,,\n";
    let document = document::Document::read(document::Format::Csv, text).expect("a text");
    let topology = document.build().expect("a good network");
    let atlas = Atlas::of(&topology);
    let marks = atlas.marks(&topology, &seen(&topology, &["t up", "u up"]), &[]);
    let why: Vec<&str> = marks.lines.iter().map(|mark| mark.why.as_str()).collect();
    assert_eq!(why, ["answers of 1 target pass over it"; 4]);
}

#[test]
fn a_site_that_may_be_the_cause_is_what_its_devices_are() {
    let topology = network();
    let blames = [blamed(7, FaultMode::Down, &["ber", "r2--r3"], &["r3"])];
    let marks = |lines: &[&str]| {
        let atlas = Atlas::of(&topology);
        let ber = atlas.places.iter().position(|of| topology.id(of.element) == "ber");
        let marks = atlas.marks(&topology, &seen(&topology, lines), &blames);
        let mark = &marks.places[ber.expect("a site")];
        (mark.state, mark.part)
    };
    assert_eq!(marks(&["t3 down", "t3b down"]), (Verdict::Down, Part::Suspect));
    assert_eq!(marks(&["t3 unknown", "t3b unknown"]), (Verdict::Unknown, Part::Suspect));
}
