//! `faultline target` against a server of its own.

use std::{fs, path::Path};

use crate::program::{Running, faultline};

fn run(data: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = faultline(arguments);
    let output = command.arg("--data-dir").arg(data).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

#[test]
fn an_import_is_done_unless_only_asked_for_and_names_bad_rows() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut server, _) = Running::server(&data, &[]);
    let file = dir.path().join("targets.csv");
    fs::write(&file, "name,address\ncore1,192.0.2.1\ncore2,192.0.2.2\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, said) = run(&data, &["target", "import", file, "--dry-run"]);
    let dry = "dry run, nothing changed: create 2, update 0, unchanged 0, failed 0\n";
    assert_eq!((code, said.as_str()), (0, dry));
    assert!(!run(&data, &["target", "list"]).1.contains("core1"), "nothing changed");

    let (code, said) = run(&data, &["target", "import", file]);
    assert_eq!((code, said.as_str()), (0, "create 2, update 0, unchanged 0, failed 0\n"));
    let (_, said) = run(&data, &["target", "list"]);
    assert!(said.contains("core1") && said.contains("core2"), "{said}");
    assert!(!said.contains(".000") && said.contains("Z  "), "times to the second: {said}");

    fs::write(file, "name,address\ncore1,192.0.2.1\ncore3,not an address\n").unwrap();
    let (code, said) = run(&data, &["target", "import", file]);
    assert!(code == 1 && said.contains("line 3 (core3): address:"), "{said}");
    assert!(server.stop());
}
