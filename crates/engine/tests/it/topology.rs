//! Topologies as texts: what is written is read back, and what is wrong is told with its line.

use std::path::{Path, PathBuf};

use engine::{
    graph::{
        Draft, ElementDraft, ElementIx, Topology,
        document::{Difference, Document, Format, Section, write},
    },
    rca::{single_points, what_if},
};
use model::ElementKind;

/// Everything that a topology can say, with ids that hurt.
const WHOLE: &str = r#"{"version": 1,
  "elements": [
    {"id": "fra", "kind": "site", "latitude": 50.11, "longitude": 8.68, "srlg": ["feed; 1"]},
    {"id": "feed; 1", "kind": "srlg", "role": "power"},
    {"id": "r1", "kind": "device", "role": "core", "site": "fra",
     "needs": [{"any": ["feed; 1", "a|b"]}]},
    {"id": "no", "kind": "device", "role": "concentrator", "customers": 1200, "services": 3},
    {"id": "r1 ge-0/0/1, \"x\"", "kind": "interface", "device": "r1"},
    {"id": "a|b", "kind": "srlg", "role": "conduit"},
    {"id": "l1", "kind": "link", "ends": ["r1 ge-0/0/1, \"x\"", "no"], "cost": 10, "cost_back": 20,
     "srlg": ["a|b", "bundle"], "role": "physical"},
    {"id": "l2\\", "kind": "link", "ends": ["r1", "no"], "srlg": ["bundle"]},
    {"id": "bundle", "kind": "lag", "ends": ["r1", "no"]},
    {"id": "tun", "kind": "link", "role": "logical", "ends": ["no", "r1"], "cost": 99,
     "needs": [{"all": ["l1"]}, {"any": ["l2\\", "l1"]}]},
    {"id": "transit-a", "kind": "upstream", "role": "transit", "device": "r1"},
    {"id": "ag", "kind": "agent", "device": "r1", "name": "fra1"},
    {"id": "ag--r1", "kind": "agent_uplink", "ends": ["ag", "r1"]}
  ],
  "targets": [
    {"id": "no", "device": "no", "weight": 120},
    {"id": "1", "device": "transit-a", "needs": [{"all": ["transit-a"]}],
     "paths": [{"agent": "ag", "via": ["r1", "l2\\", "no"], "weight": 2},
               {"agent": "ag", "via": ["r1"]}]}
  ]
}"#;

fn read(format: Format, text: &str) -> Document {
    match Document::read(format, text) {
        Ok(document) => document,
        Err(faults) => panic!("{}: {}\n{text}", format.as_str(), faults[0]),
    }
}

#[test]
fn every_format_that_has_room_for_all_gives_back_all() {
    let whole = read(Format::Json, WHOLE);
    assert!(whole.build().is_ok(), "{:?}", whole.build().err());
    for format in [Format::Json, Format::Yaml, Format::Csv] {
        let written = write(format, &whole.draft);
        assert_eq!(written.left_out, 0);
        let back = read(format, &written.text);
        let difference = Difference::between(&whole.draft.to_parts(), &back.draft.to_parts());
        assert!(difference.is_empty(), "{}: {difference:?}\n{}", format.as_str(), written.text);
    }
}

#[test]
fn the_graph_formats_keep_devices_and_links_and_count_the_rest() {
    let whole = read(Format::Json, WHOLE);
    let links = ["l1", "l2\\", "tun"];
    for format in [Format::GraphMl, Format::Topohub] {
        let written = write(format, &whole.draft);
        assert_eq!(written.left_out, 8 + 2 + 4, "{}", written.text);
        let back = read(format, &written.text);
        let ids: Vec<&str> = back.draft.elements.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, [["r1", "no"].as_slice(), &links].concat(), "{}", written.text);
        assert_eq!(back.draft.elements[2].cost, Some(10));
    }
}

/// The files of the repository, and those of a folder that is named by the environment.
fn real_files() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/topologies");
    let mut folders = vec![own];
    folders.extend(std::env::var_os("FAULTLINE_TOPOLOGIES").map(PathBuf::from));
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "graphml" || end == "json") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn real_networks_go_through_every_format_and_come_back() {
    let files = real_files();
    assert!(3 <= files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a text");
        let name = file.display().to_string();
        let format = Format::guess(&name, &text).expect("a known format");
        let Ok(document) = Document::read(format, &text) else {
            // A few files of the Zoo have a link of a node with itself: refused with its place.
            let faults = Document::read(format, &text).expect_err("is refused");
            assert!(faults[0].reason.contains("with itself"), "{name}: {}", faults[0]);
            continue;
        };
        assert!(document.build().is_ok(), "{name}: {:?}", document.build().err());
        let parts = document.draft.to_parts();
        for format in Format::ALL {
            let written = write(format, &document.draft);
            let back = read(format, &written.text).draft.to_parts();
            assert_eq!(written.left_out, 0, "{name} as {}", format.as_str());
            let difference = Difference::between(&parts, &back);
            assert!(difference.is_empty(), "{name} as {}: {difference:?}", format.as_str());
        }
    }
}

#[track_caller]
fn refused(format: Format, text: &str, told: &[&str]) {
    let faults = Document::read(format, text).and_then(|d| d.build().map(drop));
    let faults = faults.expect_err("is refused");
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), told.len(), "{lines:#?}");
    for (line, part) in lines.iter().zip(told) {
        assert!(line.starts_with(part), "{line}");
    }
}

#[test]
fn each_fault_of_json_has_its_line_its_part_and_a_remedy() {
    let json = |elements: &str| format!("{{\n\"elements\": [\n{elements}\n]}}");
    refused(
        Format::Json,
        &json("{\"id\":\"a\",\"kind\":\"device\",\n\"sit\":\"x\"}"),
        &["line 4: elements[0]: unknown field `sit`"],
    );
    refused(
        Format::Json,
        &json("{\"id\":\"a\"},\n{\"id\":\"b\",\"kind\":\"link\"}"),
        &["line 3: `a`: it has no `kind`"],
    );
    refused(
        Format::Json,
        &json("{\"id\":\"a\",\"kind\":\"device\",\"site\":\"x\",\"role\":\"transit\"}"),
        &[
            "line 3: device `a`, site: there is no element `x`: add it, or correct the id",
            "line 3: device `a`, role: `transit` is no role of a device: it is core, edge",
        ],
    );
    refused(
        Format::Json,
        &json("{\"id\":\"a\",\"kind\":\"device\"},\n\n{\"id\":\"a\",\"kind\":\"device\"}"),
        &["line 5: device `a`, id: the id `a` is there twice"],
    );
    refused(
        Format::Json,
        &json(
            "{\"id\":\"a\",\"kind\":\"device\"},\
             {\"id\":\"l\",\"kind\":\"link\",\"ends\":[\"a\",\"a\"]}",
        ),
        &["line 3: link `l`, ends: `l` is a link of an element with itself: name two"],
    );
    refused(
        Format::Json,
        &json("{\"id\":\"a\",\"kind\":\"device\",\"latitude\":95,\"longitude\":0,\"weight\":2}"),
        &[
            "line 3: device `a`, weight: only targets have a weight",
            "line 3: device `a`, latitude: 95, 0 is nowhere",
        ],
    );
    refused(Format::Json, "{\"elements\": [", &["line 1: EOF"]);
    refused(Format::Json, "[1]", &["is a list; a topology is an object"]);
    refused(Format::Json, &json("[\"a\", \"device\"]"), &["line 3: elements[0]: is a list"]);
    refused(Format::Json, "{\"version\": 2}", &["version 2 is not known"]);
    let circle = "{\"id\":\"a\",\"kind\":\"device\",\"needs\":[{\"all\":[\"b\"]}]},\n\
                  {\"id\":\"b\",\"kind\":\"device\",\"needs\":[{\"all\":[\"a\"]}]}";
    refused(
        Format::Json,
        &json(circle),
        &["line 3: needs of `a`: `all` in a circle: a needs b needs a: take one out"],
    );
}

#[test]
fn each_fault_of_yaml_and_csv_has_its_line() {
    refused(
        Format::Yaml,
        "elements:\n  - id: a\n    kind: device\n  - id: l\n    kind: link\n    ends: [a, b]\n",
        &["line 4: link `l`, ends[1]: there is no element `b`"],
    );
    refused(
        Format::Yaml,
        "elements:\n  - id: a\n    kind: device\n    cost: cheap\n",
        &["line 2: elements[0].cost: `cheap` is no whole number"],
    );
    refused(Format::Yaml, "elements: &x []\n", &["line 1: it is a list"]);
    refused(Format::Yaml, "- a\n", &["line 1: a topology is a map"]);
    refused(Format::Yaml, "elements:\n\t- a\n", &["line 2: "]);
    refused(Format::Yaml, "elements: []\nsites: []\n", &["line 2: `sites` is not known"]);
    refused(
        Format::Csv,
        "kind,id,device\ndevice,r1,\ninterface,e1,r9\n\ntarget,t,r1,x\nplace,p,\n",
        &[
            "line 5: has 4 fields, the header 3",
            "line 6: `p`, kind: `place` is no kind of part: it is",
        ],
    );
    refused(
        Format::Csv,
        "kind;id;device\ndevice;r1;\ninterface;e1;r9\n",
        &["line 3: interface `e1`, device: there is no element `r9`"],
    );
    refused(
        Format::Csv,
        "kind,nam\n",
        &["line 1: `nam` is no column", "line 1: the column `id` is missing"],
    );
    refused(
        Format::Csv,
        "kind,id,needs\ndevice,r1,r2\n",
        &["line 2: needs: `r2` is not like `any: a; b`"],
    );
}

#[test]
fn a_wrong_word_hides_nothing_else_of_the_file_and_names_what_was_meant() {
    refused(
        Format::Csv,
        "kind,id,role,site,device,end_a,end_b\n\
         device,a,acess,nowhere,,,\n\
         interface,e1,core,,r9,,\n\
         srlg,d1,tube,,,,\n",
        &[
            "line 2: device `a`, role: `acess` is no role of a device: did you mean `access`?",
            "line 2: device `a`, site: there is no element `nowhere`",
            "line 3: interface `e1`, device: there is no element `r9`",
            "line 3: interface `e1`, role: `core` is no role of an interface, which has none",
            "line 4: srlg `d1`, role: `tube` is no role of a srlg: it is conduit, ring, power",
        ],
    );
    let yaml = "elements:\n  - {id: a, kind: divice}\n  - {id: e1, kind: interface, device: a}\n";
    refused(
        Format::Yaml,
        yaml,
        &["line 2: elements[0].kind: `divice` is no kind of part: did you mean `device`?"],
    );
    // What stands already is looked for there, not in the file alone.
    let base = read(Format::Csv, "kind,id\nsite,here\n").draft;
    let more = "kind,id,role,site\ndevice,a,acess,here\n";
    let document = Document::read(Format::Csv, more).expect("is read").onto(base);
    let faults = document.build().expect_err("has a wrong role");
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn a_router_and_the_target_that_stands_for_it_may_be_called_alike() {
    let text = "kind,id,device\ndevice,core1,\ntarget,core1,core1\n";
    let document = read(Format::Csv, text);
    let topology = document.build().expect("a good network");
    assert!(topology.find("core1 (target)").is_some());
    assert_eq!(document.doubts(&topology), Vec::<String>::new());
}

#[test]
fn what_is_harmless_and_odd_is_told() {
    let text = "kind,id,device\ndevice,r1,\ndevice,r2,\ntarget,t,\nagent,ag,\n";
    let document = read(Format::Csv, text);
    let doubts = document.doubts(&document.build().expect("a good network"));
    assert_eq!(
        doubts,
        [
            "no link reaches `r1`, `r2`",
            "nobody says what these stand behind: `t`",
            "nobody says at which device these agents are: `ag`",
        ]
    );
}

#[test]
fn a_difference_names_what_came_what_changed_and_what_went() {
    let before = read(Format::Csv, "kind,id,weight\ndevice,a,\ndevice,b,\ntarget,a,5\n").draft;
    let after = read(Format::Csv, "kind,id,weight\ndevice,a,\nsite,c,\ntarget,a,6\n").draft;
    let difference = Difference::between(&before.to_parts(), &after.to_parts());
    let ids = |keys: &[engine::graph::document::PartKey]| -> Vec<String> {
        keys.iter().map(|key| format!("{} {}", key.section.as_str(), key.id)).collect()
    };
    assert_eq!(ids(&difference.added), ["element c"]);
    assert_eq!(ids(&difference.changed), ["target a"]);
    assert_eq!(ids(&difference.removed), ["element b"]);
    assert_eq!(difference.unchanged, 1);
    let mut merged = before.clone();
    merged.merge(after);
    assert_eq!(merged.to_parts().len(), 4);
}

#[test]
fn parts_are_read_back_from_what_is_kept_of_them() {
    let draft = read(Format::Json, WHOLE).draft;
    let parts = draft.to_parts();
    let back = Draft::from_parts(parts.iter().map(|part| (part.key.section, part.json.as_str())));
    let back = back.expect("what was written");
    assert!(Difference::between(&parts, &back.to_parts()).is_empty());
    assert!(Draft::from_parts([(Section::Element, "{\"id\":1}")]).is_err());
}

#[test]
fn half_a_text_and_hostile_bytes_are_refused_and_never_break_anything() {
    let whole = read(Format::Json, WHOLE).draft;
    for format in Format::ALL {
        let text = write(format, &whole).text;
        for length in (0..text.len()).step_by(5).filter(|at| text.is_char_boundary(*at)) {
            for fill in ["", "\u{0}", "{[\"", "<x a=\"", "\\;|", "- &a *a"] {
                let torn = format!("{}{fill}", text.split_at(length).0);
                let read = Document::read(format, &torn);
                if let Ok(document) = read {
                    document.build().map_or_else(drop, drop);
                }
            }
        }
    }
}

#[test]
fn a_topology_gives_back_the_draft_that_it_was_built_of() {
    let document = read(Format::Json, WHOLE);
    let built = document.build().expect("a good network");
    let again = Topology::build(&built.to_draft()).expect("a good network");
    assert_eq!(again.to_draft(), built.to_draft());
    assert_eq!(again.of_kind(ElementKind::Link).count(), 3);
    assert_eq!(ElementDraft::new("x", ElementKind::Site).customers, None);
}

/// Two access devices behind a core, each with one of two feeds; a third needs its only one.
const FEEDS: &str = r#"{"version": 1,
  "elements": [
    {"id": "core", "kind": "device"},
    {"id": "a1", "kind": "device", "needs": [{"any": ["feed-1", "feed-2"]}]},
    {"id": "a2", "kind": "device", "needs": [{"any": ["feed-2", "feed-1"]}]},
    {"id": "a3", "kind": "device", "needs": [{"all": ["feed-1"]}]},
    {"id": "feed-1", "kind": "srlg", "role": "power"},
    {"id": "feed-2", "kind": "srlg", "role": "power"},
    {"id": "core--a1", "kind": "link", "ends": ["core", "a1"]},
    {"id": "core--a2", "kind": "link", "ends": ["core", "a2"]},
    {"id": "core--a3", "kind": "link", "ends": ["core", "a3"]},
    {"id": "ag", "kind": "agent", "device": "core"}
  ],
  "targets": [
    {"id": "t1", "device": "a1", "weight": 10},
    {"id": "t2", "device": "a2", "weight": 20},
    {"id": "t3", "device": "a3", "weight": 40}
  ]
}"#;

fn names(topology: &Topology, elements: &[ElementIx]) -> Vec<String> {
    elements.iter().map(|ix| topology.id(*ix).to_owned()).collect()
}

#[test]
fn what_needs_any_of_two_is_lost_with_both_and_exposed_by_one() {
    let topology = read(Format::Json, FEEDS).build().expect("a good topology");
    let find = |id| topology.find(id).expect("is there");
    let one = what_if(&topology, &[find("feed-1")], &[]);
    assert_eq!(names(&topology, &one.devices), ["a3"]);
    assert_eq!(names(&topology, &one.devices_exposed), ["a1", "a2"]);
    assert_eq!(names(&topology, &one.targets), ["t3"]);
    let both = what_if(&topology, &[find("feed-1"), find("feed-2")], &[]);
    assert_eq!(names(&topology, &both.devices), ["a1", "a2", "a3"]);
    assert_eq!((both.weight, both.devices_exposed.len()), (70, 0));
}

#[test]
fn several_that_replace_each_other_are_no_single_point() {
    let topology = read(Format::Json, FEEDS).build().expect("a good topology");
    let points = single_points(&topology, &[]);
    let points: Vec<(&str, u64)> =
        points.iter().map(|point| (topology.id(point.element), point.weight)).collect();
    let expected = [
        ("core", 70),
        ("a3", 40),
        ("feed-1", 40),
        ("core--a3", 40),
        ("a2", 20),
        ("core--a2", 20),
        ("a1", 10),
        ("core--a1", 10),
    ];
    assert_eq!(points, expected);
}

/// An agent that never enrolled holds no hand under anything.
#[test]
fn a_single_point_is_one_though_an_absent_agent_stands_behind_it() {
    let text = r#"{"version": 1, "elements": [
        {"id": "a", "kind": "device"}, {"id": "b", "kind": "device"},
        {"id": "a--b", "kind": "link", "ends": ["a", "b"]},
        {"id": "here", "kind": "agent", "device": "a"},
        {"id": "never", "kind": "agent", "device": "b"}],
        "targets": [{"id": "t", "device": "b", "weight": 7}]}"#;
    let topology = read(Format::Json, text).build().expect("a good topology");
    let names = |absent: &[ElementIx]| -> Vec<String> {
        let points = single_points(&topology, absent);
        points.iter().map(|point| topology.id(point.element).to_owned()).collect()
    };
    assert_eq!(names(&[]), ["b"]);
    let never = topology.find("never").expect("is there");
    assert_eq!(names(&[never]), ["a", "b", "a--b"]);
}

#[test]
fn nobody_writes_what_stands_for_several() {
    let topology = read(Format::Json, FEEDS).build().expect("a good topology");
    let both = topology.find("feed-1 and feed-2").expect("stands for both");
    assert!(topology.is_together(both));
    let draft = topology.to_draft();
    assert!(draft.elements.iter().all(|element| element.id != "feed-1 and feed-2"));
    assert!(Topology::build(&draft).is_ok());
}

#[test]
fn one_failure_more_is_found_in_a_network_of_any_size() {
    // A ring of 1,000 devices: with one link gone, all but the agent's own hang on one more.
    let mut draft = Draft::default();
    let name = |at: usize| format!("r{at:04}");
    for at in 0..1_000 {
        draft.elements.push(ElementDraft::new(name(at), ElementKind::Device));
        let next = name((at + 1) % 1_000);
        draft.elements.push(ElementDraft::link(format!("l{at:04}"), &name(at), &next));
    }
    let agent = ElementDraft::new("ag", ElementKind::Agent);
    draft.elements.push(ElementDraft { device: Some(name(0)), ..agent });
    let topology = Topology::build(&draft).expect("a good topology");
    let find = |id| topology.find(id).expect("is there");
    assert_eq!(what_if(&topology, &[find("l0500")], &[]).devices_exposed.len(), 999);
    assert!(what_if(&topology, &[], &[]).devices_exposed.is_empty());
    // More devices than a screen shows are still counted: half of the ring is cut off.
    let half = what_if(&topology, &[find("l0000"), find("l0500")], &[]);
    assert_eq!(half.devices.len(), 500);
}
