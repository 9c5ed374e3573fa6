//! Every mistake that is easily made: the thing, the reason, the remedy.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use crate::program::{Running, complaint, faultline};

/// Connections that a scripted server answers at most; each command makes one or two.
const CONNECTIONS_MAX: usize = 8;

/// A server that answers every connection with this, whatever it is asked.
fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().take(CONNECTIONS_MAX) {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1024];
            let _length = stream.read(&mut asked).unwrap_or(0);
            stream.write_all(bytes).unwrap_or(());
        }
    });
    address
}

#[track_caller]
fn check_url(url: &str, parts: &[&str]) {
    let mut command = faultline(&["status", "--url", url]);
    let text = complaint(command.env("FAULTLINE_API_KEY", "flk_x"));
    assert!(parts.iter().all(|part| text.contains(part)), "{url}: {text}");
    assert!(text.lines().count() <= 2 || text.starts_with("error: "), "{text}");
}

#[test]
fn a_wrong_address_of_the_server_says_what_is_wrong_with_it() {
    check_url("127.0.0.1:7480", &["--url", "begins with http://"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check_url(&format!("http://{free}"), &["nothing listens at", "`faultline up`", "--url"]);
    check_url("http://faultline.invalid", &["cannot be resolved", "--url"]);

    let page = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let other = answering(page);
    check_url(&format!("http://{other}"), &["is not a Faultline server", "200", "--url"]);
    check_url(&format!("https://{other}"), &["answers without TLS", "http:// instead of https://"]);
    check_url(&format!("http://{}", answering(b"SSH-2.0-x\r\n")), &["not with HTTP", "7480"]);
}

#[test]
fn a_server_says_what_it_cannot_have_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, ready) = Running::server(dir.path(), &[]);
    let taken = ready["http_url"].as_str().unwrap().trim_start_matches("http://");
    let agents = ready["agent_address"].as_str().unwrap();

    // The port for agents has TLS: an operator who mixes them up is told.
    check_url(&format!("http://{agents}"), &["not with HTTP", "7481"]);
    check_url(&format!("https://{agents}"), &["not with HTTP", "7481"]);
    check_url(&format!("http://{taken}"), &["the API key is unknown", "FAULTLINE_API_KEY"]);

    let mut same = faultline(&["server", "--data-dir"]);
    let text = complaint(same.arg(dir.path()));
    let process = format!("(process {})", server.pid());
    for part in ["in use by another Faultline server", &process, "--data-dir"] {
        assert!(text.contains(part), "{text}");
    }
    // `up` says the same, though its server is another process.
    let mut up = faultline(&["up", "--no-agent", "--data-dir"]);
    let text = complaint(up.arg(dir.path()));
    assert!(text.contains(&process) && text.contains("--data-dir"), "{text}");

    for (flag, other, address) in
        [("--http-listen", "--agent-listen", taken), ("--agent-listen", "--http-listen", agents)]
    {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut second = faultline(&["server", flag, address, other, "127.0.0.1:0", "--data-dir"]);
        let text = complaint(second.arg(elsewhere.path()));
        for part in [address, "taken by another program", flag] {
            assert!(text.contains(part), "{text}");
        }
        // The start that failed made no password that nobody was told.
        let (mut third, ready) = Running::server(elsewhere.path(), &[]);
        assert!(ready["admin_password"].is_string(), "{ready}");
        assert!(third.stop());
    }
    assert!(server.stop());
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named_with_the_remedy() {
    for command in ["server", "up"] {
        let mut command = faultline(&[command, "--data-dir", "/dev/null/data"]);
        let text = complaint(&mut command);
        for part in ["/dev/null/data", "uid", "--data-dir", "Not a directory"] {
            assert!(text.contains(part), "{text}");
        }
    }
    let mut command = faultline(&["status", "--data-dir", "/nowhere"]);
    let text = complaint(&mut command);
    for part in ["/nowhere/keys/local-api.key", "--data-dir", "FAULTLINE_API_KEY"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_file_that_is_no_backup_is_said_to_be_none_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "milk, bread").unwrap();
    let mut restore = faultline(&["restore", "--data-dir"]);
    let why = complaint(restore.arg(dir.path().join("data")).arg(&file));
    assert_eq!(why.matches("it is no Faultline backup").count(), 1, "{why}");
}
