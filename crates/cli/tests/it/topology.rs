//! `faultline topology`: checked offline, taken over by a server, and given back.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::program::{Running, faultline};

fn check(file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faultline"));
    command.args(["topology", "check"]).arg(file).args(more).output().unwrap()
}

fn written(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[track_caller]
fn said(output: &Output, status: i32, lines: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}{errors}");
    let found: Vec<&str> = text.lines().chain(errors.lines()).collect();
    assert_eq!(found.len(), lines.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(lines) {
        assert!(found.contains(wanted), "{found}");
    }
}

#[test]
fn a_good_file_makes_sense_and_what_is_odd_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let text = "elements:\n  - {id: r1, kind: device}\n  - {id: r2, kind: device}\n";
    let file = written(&dir, "net.yaml", text);
    said(
        &check(&file, &[]),
        0,
        &["2 elements and 0 targets make sense", "note: no link reaches `r1`, `r2`"],
    );
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/topologies");
    said(&check(&zoo.join("Napnet.graphml"), &[]), 0, &["elements and 0 targets make sense"]);
}

#[test]
fn each_problem_has_file_line_reason_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let text = "kind,id,device,end_a,end_b\ndevice,r1,,,\nlink,l1,,r1,r9\ninterface,e1,r8,,\n";
    let file = written(&dir, "net.csv", text);
    said(
        &check(&file, &[]),
        1,
        &[
            "net.csv: line 3: link `l1`, ends[1]: there is no element `r9`: add it, or correct",
            "net.csv: line 4: interface `e1`, device: there is no element `r8`: add it, or correct",
        ],
    );
}

#[test]
fn a_file_of_no_known_kind_and_one_that_is_not_there_are_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir, "net.txt", "kind,id\ndevice,r1\n");
    said(&check(&file, &[]), 1, &["says no format: end it with .csv, .yaml, .json or .graphml"]);
    said(&check(&file, &["--format", "csv"]), 0, &["1 elements and 0 targets make sense"]);
    said(&check(&dir.path().join("none.csv"), &[]), 1, &["cannot read"]);
    let file = dir.path().join("bytes.csv");
    std::fs::write(&file, b"kind,id\n\xff\n").unwrap();
    said(&check(&file, &[]), 1, &["is no UTF-8 in line 2: save it as UTF-8"]);
}

/// Runs a command against the server of a data directory.
fn run(data: &Path, arguments: &[&str]) -> (i32, String) {
    let output = faultline(arguments).arg("--data-dir").arg(data).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said + &errors)
}

#[test]
fn a_server_takes_a_network_and_gives_it_back_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut server, _) = Running::server(&data, &[]);
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/topologies");
    let zoo = zoo.join("Claranet.graphml").display().to_string();
    assert_eq!(run(&data, &["topology", "show"]).1.split(':').next(), Some("nothing is there"));
    let (code, dry) = run(&data, &["topology", "import", &zoo, "--dry-run"]);
    assert!(code == 0 && dry.contains("33 added") && dry.contains("nothing was changed"), "{dry}");
    let (code, said) = run(&data, &["topology", "import", &zoo]);
    assert!(code == 0 && said.contains("33 added: ") && said.contains("and 13 more"), "{said}");
    for format in ["yaml", "json", "csv", "graphml", "topohub"] {
        let (code, text) = run(&data, &["topology", "export", "--format", format]);
        assert_eq!(code, 0, "{text}");
        let file = written(&dir, &format!("net.{format}"), &text).display().to_string();
        let again = ["topology", "import", &file, "--format", format, "--replace"];
        assert_eq!(run(&data, &again), (0, "33 unchanged\n".to_owned()), "{format}");
    }
    let bad = written(&dir, "bad.csv", "kind,id,end_a,end_b\nlink,l1,London,r9\n");
    let bad = bad.display().to_string();
    let (code, said) = run(&data, &["topology", "import", &bad]);
    let lines = format!(
        "{bad}: line 2: link `l1`, ends[1]: there is no element `r9`: add it, or correct the \
         id\nnothing was changed\n"
    );
    assert_eq!((code, said), (1, lines));
    let (code, shown) = run(&data, &["topology", "show", "--device", "London"]);
    assert_eq!(code, 0, "{shown}");
    assert!(
        shown.contains("Amsterdam - London") && shown.contains("33 elements, 0 targets"),
        "{shown}"
    );
    assert!(server.stop());
}
