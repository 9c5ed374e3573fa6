//! Inputs that are as they should be: what mutations start from.

use std::{fs, net::IpAddr, time::Duration};

use journal::{Journal, Options};
use model::{
    Address, AgentEvent, AgentId, AgentSpec, Confirm, IcmpError, InventoryChange, Name, NameAnswer,
    NotAsked, OrgId, Outcome, ProbeId, ProbeSpec, Round, RoundBatch, RoundFlags, Rtt, Subject,
    TargetId, Tick, Tier, TierId, UtcMicros,
};
use prost::Message;
use server::{Config, Overrides, authority::Authority};
use wire::{
    rounds::{RoundRow, encode_rounds},
    v1::{self, payload::Kind},
};

use crate::{
    memory::Memory,
    targets::{files, packets},
};

const TOKEN: &str = concat!(
    "flt1.eyJhIjpbIjE5Mi4wLjIuMTo3NDgxIiwiWzo6MV06NzQ4MSJdLCJmIjoiYWJhYmFiYWJhYmFiYWJhYmFiYWJhY",
    "mFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYiIsInMiOiJzZWNyZXQtb2Ytb25jZSJ9"
);

/// The inputs of a target; none if there is no such target.
pub fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "wire_sealed" => payloads().iter().filter_map(|p| wire::seal(p).ok()).collect(),
        "wire_payload" => payloads().iter().map(Message::encode_to_vec).collect(),
        "wire_rounds" => vec![encode_rounds(&rows()).encode_to_vec()],
        "wire_batch" => vec![batch().encode_to_vec()],
        "agent_frame" => agent_frames().iter().map(Message::encode_to_vec).collect(),
        "server_frame" => server_frames().iter().map(Message::encode_to_vec).collect(),
        "certificate" | "certificate_request" => certificates(name),
        "icmp_v4" => icmp_v4(),
        "icmp_v6" => icmp_v6(),
        "prober" => vec![replies()],
        "csv_import" | "json_import" | "headers" => texts(http(name)),
        "log_entry" => server::fuzz::log_entry_seeds(),
        "history_chunk" => store::fuzz::history_chunk_seeds(),
        "history_tail" => store::fuzz::history_tail_seeds(),
        "journal" => vec![segment()],
        "checkpoint" => vec![engine().checkpoint()],
        "spool_state" => vec![agent::fuzz::spool_state_seed()],
        "assignment" => vec![assignment().encode_length_delimited_to_vec()],
        "sealed_secret" => files::secrets().seal("fuzz", b"plain").into_iter().collect(),
        "server_config" => {
            let config = Config::resolve("", &|_| None, &Overrides::default());
            config.iter().map(|config| config.to_text().into_bytes()).collect()
        }
        "case" | "graphml" | "topohub" | "topology_csv" | "topology_json" | "topology_yaml" => {
            texts(&[network(name)])
        }
        _ => texts(typed(name)),
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What was written once into the corpus: the files themselves are the seeds.
fn network(name: &str) -> &'static str {
    match name {
        "case" => include_str!("../corpus/case/seed-00"),
        "graphml" => include_str!("../corpus/graphml/seed-00"),
        "topology_csv" => include_str!("../corpus/topology_csv/seed-00"),
        "topology_json" => include_str!("../corpus/topology_json/seed-00"),
        "topology_yaml" => include_str!("../corpus/topology_yaml/seed-00"),
        _ => include_str!("../corpus/topohub/seed-00"),
    }
}

fn http(name: &str) -> &'static [&'static str] {
    match name {
        "csv_import" => &[
            "name,address,tier,tags,note\ncore1,192.0.2.1,standard,\"core, fra\",\"a, b\"\n",
            "\u{feff}Address, name\r\n2001:DB8::1,core2\r\ncore.example.net,core3\r\n",
        ],
        "json_import" => &[
            r#"[{"name":"core1","address":"192.0.2.1","tier":"standard","tags":["core"]},
                {"name":"core2","address":"2001:db8::1","note":"x","is_paused":true}]"#,
            "[]",
        ],
        _ => &[
            "authorization: Bearer flk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "cookie: a=b; faultline_session=AAECAwQF; c=\"d e\"\nx-csrf-token: AAECAwQF",
            "x-forwarded-for: 192.0.2.1, 2001:db8::1\nlast-event-id: 17",
        ],
    }
}

fn typed(name: &str) -> &'static [&'static str] {
    match name {
        "token" => &[TOKEN],
        "address" => &["192.0.2.1", " 2001:DB8::1 ", "::ffff:192.0.2.7", "Core1.Example.NET."],
        "name" => &["core1.fra", "a"],
        "time" => &["2026-11-21T05:54:33Z", "2026-11-21T05:54:33.250001+02:00"],
        "cursor" => &["1800000000000000.7"],
        "master_key" => &["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="],
        "agent_config" => {
            &["state_dir = \"/var/lib/faultline-agent\"\nservers = [\"192.0.2.1:7481\"]\n\
             spool_size_max = \"512 MiB\"\nspool_age_max = \"7d\"\nlog_format = \"json\"\n"]
        }
        _ => &[],
    }
}

fn rows() -> Vec<RoundRow> {
    let rtt = Rtt { us_min: 900, us_mean: 1_000, us_max: 1_100 };
    let good = Outcome::Asked { sent: 5, received: 5, rtt: Some(rtt), confirm: Confirm::default() };
    let lost = Outcome::Asked {
        sent: 5,
        received: 0,
        rtt: None,
        confirm: Confirm { sent: 3, received: 1 },
    };
    let row = |subject, outcome| RoundRow {
        subject,
        due_tick: Tick(1_000_000),
        outcome,
        flags: RoundFlags::default(),
        icmp_error: None,
        address: None,
    };
    let probe = |id| Subject::Probe(ProbeId(id));
    let was = Some([192, 0, 2, 2].into());
    let answer = NameAnswer { address: [192, 0, 2, 1].into(), was };
    let error = IcmpError { kind: 3, code: 1, source: [192, 0, 2, 9].into() };
    vec![
        row(Subject::Gateway, good),
        row(Subject::Witness(1), good),
        RoundRow { address: Some(answer), ..row(probe(1), good) },
        RoundRow { icmp_error: Some(error), flags: RoundFlags::ICMP_ERROR, ..row(probe(2), lost) },
        row(probe(3), Outcome::NotAsked(NotAsked::NoRoute)),
    ]
}

fn payloads() -> Vec<v1::Payload> {
    let fact = v1::Fact { kind: "link".to_owned(), tick_us: 7, ..v1::Fact::default() };
    let metrics = v1::Metrics { series: vec![1], tick_us_delta: vec![7], value: vec![0.5] };
    let kinds = [
        Kind::Rounds(encode_rounds(&rows())),
        Kind::Facts(v1::Facts { fact: vec![fact] }),
        Kind::Metrics(metrics),
    ];
    kinds.map(|kind| v1::Payload { kind: Some(kind) }).into()
}

fn clock() -> v1::Clock {
    v1::Clock { tick_us: 5_000_000, wall_us: 1_800_000_000_000_000 }
}

fn batch() -> v1::Batch {
    v1::Batch {
        epoch: 3,
        seq: 4,
        boot_id: vec![1; 16],
        closed: Some(clock()),
        payload_zstd: payloads().iter().find_map(|p| wire::seal(p).ok()).unwrap_or_default(),
        drops: vec![v1::Drop {
            boot_id: vec![1; 16],
            near: Some(clock()),
            from_tick_us: 1_000_000,
            to_tick_us: 2_000_000,
            rounds: 2,
            cause: v1::DropCause::Size.into(),
        }],
    }
}

fn agent_frames() -> Vec<v1::AgentFrame> {
    use v1::agent_frame::Kind;
    let hello = v1::Hello {
        protocol_version: 1,
        boot_id: vec![1; 16],
        spool_id: vec![2; 16],
        instance_id: vec![3; 16],
        hostname: "pop1".to_owned(),
        capabilities: vec![1, 2],
        clock: Some(clock()),
        ..v1::Hello::default()
    };
    let heartbeat = v1::Heartbeat { clock: Some(clock()), probes: 3, ..v1::Heartbeat::default() };
    let applied = v1::AssignmentApplied {
        version: 9,
        probes: 2,
        refused: vec!["probe 3: no tier".to_owned()],
    };
    let kinds = [
        Kind::Hello(hello),
        Kind::Heartbeat(heartbeat),
        Kind::AssignmentApplied(applied),
        Kind::Batch(batch()),
    ];
    kinds.map(|kind| v1::AgentFrame { kind: Some(kind) }).into()
}

fn server_frames() -> Vec<v1::ServerFrame> {
    use v1::server_frame::Kind;
    let welcome = v1::Welcome { epoch: 3, heartbeat_interval_ms: 5_000, ..v1::Welcome::default() };
    let refusal = v1::Refusal { epoch: 3, seq: 4, reason: "no zstd frame".to_owned() };
    let kinds = [
        Kind::Welcome(welcome),
        Kind::Ack(v1::Ack { epoch: 3, seq: 4 }),
        Kind::Refusal(refusal),
        Kind::Assignment(assignment()),
    ];
    kinds.map(|kind| v1::ServerFrame { kind: Some(kind) }).into()
}

fn assignment() -> v1::AssignmentPart {
    let tier = v1::TierSpec {
        tier_id: 1,
        interval_ms: 30_000,
        packets: 5,
        gap_ms: 200,
        timeout_ms: 1_000,
        payload_bytes: 56,
    };
    let probe = |probe_id, address: &str| v1::ProbeSpec {
        probe_id,
        tier_id: 1,
        address: address.to_owned(),
    };
    v1::AssignmentPart {
        version: 9,
        part: 0,
        parts: 1,
        tiers: vec![tier],
        probes: vec![probe(1, "192.0.2.1"), probe(2, "core.example.net")],
        witnesses: vec!["192.0.2.53".to_owned()],
    }
}

fn certificates(name: &str) -> Vec<Vec<u8>> {
    let Ok(key) = rcgen::KeyPair::generate() else { return Vec::new() };
    let Ok(csr) = rcgen::CertificateParams::default().serialize_request(&key) else {
        return Vec::new();
    };
    let csr = csr.der().to_vec();
    if name == "certificate_request" {
        return vec![csr];
    }
    let folder = std::env::temp_dir().join(format!("faultline-seeds-{}", std::process::id()));
    let now = UtcMicros(1_800_000_000_000_000);
    let made = fs::create_dir_all(&folder).ok().and_then(|()| {
        let authority = Authority::load(&folder, &files::secrets(), now).ok()?;
        authority.sign_agent(&csr, OrgId(1), AgentId(7), now).ok()
    });
    fs::remove_dir_all(&folder).ok();
    made.map(|signed| signed.der).into_iter().collect()
}

/// An IPv4 header without options in front of an ICMP message.
fn ipv4(message: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 9, 192, 0, 2, 1];
    packet.extend_from_slice(message);
    packet
}

fn ipv6(message: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 58, 64];
    packet.extend_from_slice(&[0x20; 32]);
    packet.extend_from_slice(message);
    packet
}

fn request(family: sense::Family) -> Vec<u8> {
    let mut packet = vec![0; sense::icmp::HEADER_BYTES];
    packet.extend_from_slice(&[9; 24]);
    sense::icmp::seal_request(family, 7, 8, &mut packet);
    packet
}

/// Turns a request into its reply, with the checksum that version 4 has.
fn reply(family: sense::Family, request: &[u8]) -> Vec<u8> {
    let mut packet = request.to_vec();
    let kind = match family {
        sense::Family::V4 => 0,
        sense::Family::V6 => 129,
    };
    set(&mut packet, &[kind, 0, 0, 0]);
    if family == sense::Family::V4 {
        let [high, low] = sense::icmp::checksum(&packet).to_be_bytes();
        set(&mut packet, &[0, 0, high, low]);
    }
    packet
}

fn set(packet: &mut [u8], head: &[u8]) {
    for (to, from) in packet.iter_mut().zip(head) {
        *to = *from;
    }
}

fn icmp_v4() -> Vec<Vec<u8>> {
    let request = request(sense::Family::V4);
    let error = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &ipv4(&request)].concat();
    vec![ipv4(&reply(sense::Family::V4, &request)), ipv4(&error)]
}

fn icmp_v6() -> Vec<Vec<u8>> {
    let request = request(sense::Family::V6);
    let error = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &ipv6(&request)].concat();
    vec![reply(sense::Family::V6, &request), error]
}

/// The replies to what the prober of the target has under way.
fn replies() -> Vec<u8> {
    let (_, sent) = packets::under_way();
    let mut bytes = Vec::new();
    for (index, (from, request)) in (0..).zip(&sent) {
        let message = reply(sense::Family::of(*from), request);
        bytes.push(index);
        bytes.push(u8::try_from(message.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&message);
    }
    bytes
}

fn segment() -> Vec<u8> {
    let memory = Memory::default();
    let Ok((mut journal, _)) = Journal::open("/j", Options::default(), memory.clone()) else {
        return Vec::new();
    };
    for payload in [&b"one"[..], &[7; 300], b"", b"four"] {
        // A seed that is short of a record is refused by the test that plays it.
        journal.append(payload).ok();
        if payload.is_empty() {
            journal.sync().ok();
        }
    }
    journal.sync().ok();
    memory.get(files::SEGMENT).unwrap_or_default()
}

/// An engine that holds a bit of everything.
fn engine() -> engine::Engine {
    let mut now = UtcMicros(1_799_999_000_000_000);
    let mut engine = engine::Engine::new(now);
    let (Ok(name), Ok(address)) = (Name::parse("standard"), Address::parse("192.0.2.1")) else {
        return engine;
    };
    let agent =
        |id| AgentSpec { id: AgentId(id), org: OrgId(1), name: name.clone(), is_active: true };
    let probe = |id| ProbeSpec {
        id: ProbeId(id),
        org: OrgId(1),
        target: TargetId(id),
        target_name: name.clone(),
        address: address.clone(),
        tier: TierId(1),
        paused: false,
    };
    engine.handle_change(&InventoryChange::TierSet(Tier::standard(TierId(1), name.clone())), now);
    for id in [1, 2] {
        engine.handle_change(&InventoryChange::AgentSet(agent(id)), now);
        engine.handle_change(&InventoryChange::ProbeSet(probe(id)), now);
    }
    for second in 0..200 {
        now = now + Duration::from_secs(1);
        for id in [1, 2] {
            let agent = AgentId(id);
            engine.handle_agent(agent, AgentEvent::Heartbeat, now);
            if second % 30 == 0 {
                engine.handle_batch(&RoundBatch::new(agent, rounds_at(now, second)), now);
            }
        }
        engine.handle_timeout(now);
        while engine.poll_decision().is_some() {}
    }
    engine
}

fn rounds_at(at: UtcMicros, second: u32) -> Vec<Round> {
    let source: IpAddr = [192, 0, 2, 9].into();
    let rows = rows().into_iter().skip(usize::from(second == 90));
    let round = |row: RoundRow| Round {
        subject: row.subject,
        at,
        outcome: row.outcome,
        flags: row.flags,
        icmp_error: row.icmp_error.map(|error| IcmpError { source, ..error }),
    };
    rows.map(round).collect()
}
