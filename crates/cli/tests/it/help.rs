//! What a newcomer reads first.

use crate::program::faultline;

#[test]
fn help_begins_with_what_to_type() {
    let output = faultline(&["--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["faultline up ", "faultline target add core1", "--data-dir <DIR>", "doctor"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let without = faultline(&[]).output().unwrap();
    assert!(String::from_utf8(without.stderr).unwrap().contains("Usage: faultline"));
}
