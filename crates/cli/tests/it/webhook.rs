//! `faultline webhook`: a receiver on a real socket is added, tested, fails and is sent it again.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    thread::JoinHandle,
};

use serde_json::Value;

use crate::program::{Running, faultline};

fn run(data: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = faultline(&["webhook"]);
    let output = command.args(arguments).arg("--data-dir").arg(data).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), said + &String::from_utf8(output.stderr).unwrap())
}

/// Answers with these, one message after another; the ids of what it was sent.
fn receiver(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let take = move |answer: &&str| {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let (mut id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some(("webhook-id", value)) => id = value.to_owned(),
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => (),
                None if line.trim_end().is_empty() => break,
                None => (),
            }
        }
        stream.read_exact(&mut vec![0; length]).unwrap();
        let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        id
    };
    (url, std::thread::spawn(move || answers.iter().map(take).collect()))
}

#[test]
fn a_receiver_is_added_tested_and_sent_again_what_it_did_not_take() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut server, _) = Running::server(&data, &[]);
    let (url, taken) = receiver(&["200 OK", "503 Busy", "200 OK"]);
    let (code, said) = run(&data, &["list"]);
    assert!(code == 0 && said.starts_with("nobody is told"), "{said}");
    let (code, said) = run(&data, &["add", "noc", &url]);
    assert!(code == 0 && said.contains("    whsec_"), "{said}");
    assert!(said.contains("`link` in the messages is null until `public_url`"), "{said}");
    let (code, said) = run(&data, &["add", "bad", "ftp://nowhere"]);
    assert!(code == 1 && said.contains("must be an address"), "{said}");

    let (code, said) = run(&data, &["test", "noc"]);
    assert!(code == 0 && said.starts_with("`noc` took it: 200 after "), "{said}");
    let (code, said) = run(&data, &["test", "noc"]);
    assert!(code == 1 && said.contains("the receiver answered 503"), "{said}");
    let (code, said) = run(&data, &["deliveries", "noc", "--state", "given-up"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(code == 0 && lines.len() == 2 && lines[0].starts_with("ID"), "{said}");
    assert!(lines[1].contains("  given up  "), "{said}");
    let id = lines[1].split_whitespace().next().unwrap();
    let (code, said) = run(&data, &["resend", id]);
    assert!(code == 0 && said.contains("is sent again now"), "{said}");
    let ids = taken.join().unwrap();
    assert!(ids.len() == 3 && ids[1] == ids[2] && ids[0] != ids[1], "{ids:?}");

    let (code, said) = run(&data, &["disable", "noc"]);
    assert!(code == 0 && said.contains("until `faultline webhook enable noc`"), "{said}");
    let (_, said) = run(&data, &["list"]);
    assert!(said.contains("noc") && said.contains("disabled") && said.contains(&url), "{said}");
    let (code, said) = run(&data, &["resend", id]);
    assert!(code == 1, "{said}");
    let (code, said) = run(&data, &["enable", "noc", "--json"]);
    let enabled: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &enabled["is_disabled"]), (0, &Value::Bool(false)));
    assert_eq!(run(&data, &["remove", "noc"]), (0, "webhook `noc` is deleted\n".to_owned()));
    let (code, said) = run(&data, &["test", "noc"]);
    assert!(code == 1 && said.contains("there is no webhook named `noc`"), "{said}");
    assert!(server.stop());
}
