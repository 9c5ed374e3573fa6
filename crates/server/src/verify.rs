//! Looking whether an archive, or a data directory, is good; nothing is changed.
//!
//! Every problem comes with what to do about it. A data directory may be looked at while its server
//! runs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use engine::Engine;
use journal::Position;
use store::{Database, DatabaseUrl, Inspection, StoreError};

use crate::{
    archive::{self, AUTHORITY_CERTIFICATE, AUTHORITY_KEY, ArchiveError, Manifest, Part},
    authority::{Authority, AuthorityError},
    config::database_of,
    home, log,
    secrets::{MasterKey, Secrets, SecretsError},
};

const MODE_MASK: u32 = 0o777;
const OTHERS: u32 = 0o077;
const FROM_BACKUP: &str = "stop the server, move this data directory aside and restore the newest \
                           good backup (docs/runbooks/database-damaged.md)";
const LOG_SET_ASIDE: &str = "start the server: it sets the segment aside, keeps what is readable \
                             and records the rest as missing";

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    pub remedy: String,
}

/// What a look found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// What was looked at, a line each.
    pub facts: Vec<String>,
    pub problems: Vec<Problem>,
}

impl Verified {
    fn fact(&mut self, text: impl Into<String>) {
        self.facts.push(text.into());
    }

    fn problem(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem { what: what.into(), remedy: remedy.into() });
    }
}

/// Reads all of an archive; with a key, also opens what is sealed in it.
pub fn verify_archive(path: &Path, key: Option<&MasterKey>) -> Verified {
    let mut verified = Verified::default();
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) => {
            let what = format!("cannot read `{}`: {error}", path.display());
            verified.problem(what, "give the path of a backup or of a data directory");
            return verified;
        }
    };
    let mut files = Vec::new();
    let mut log_rows = Vec::new();
    let read = archive::read(file, |part| {
        match part {
            Part::File { name, bytes } => files.push((name, bytes)),
            Part::Log(lines) => check_log_part(&lines, &mut log_rows),
            Part::Head(_) | Part::Rows { .. } => (),
        }
        Ok::<(), ArchiveError>(())
    });
    match read {
        Ok(manifest) => tell_manifest(&mut verified, &manifest),
        Err(error) => {
            verified.problem(error.to_string(), "use another backup; keep more than one");
            return verified;
        }
    }
    for what in log_rows {
        verified.problem(what, "restore it all the same: such an entry is left out at the start");
    }
    check_sealed(&mut verified, &files, key);
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & MODE_MASK);
    if mode & OTHERS != 0 {
        let path = path.display();
        let what = format!("`{path}` has mode {mode:03o}: others may read who your users are");
        verified.problem(what, format!("run `chmod 600 {path}`"));
    }
    verified
}

fn check_log_part(lines: &[u8], problems: &mut Vec<String>) {
    for (position, entry) in archive::log_rows(lines).unwrap_or_default() {
        if let Err(error) = log::decode(entry.into()) {
            problems.push(format!("entry {} of the log: {error}", position.0));
        }
    }
}

fn tell_manifest(verified: &mut Verified, manifest: &Manifest) {
    let head = &manifest.head;
    verified.fact(format!(
        "backup of {}, made by version {}, schema {}, organisations: {}",
        head.created_at,
        head.version,
        head.schema.version,
        head.organisations.join(", ")
    ));
    verified.fact(format!(
        "{} rows in {} tables and {} entries of the log behind position {}, all checksums good",
        manifest.counts.iter().map(|count| count.rows).sum::<u64>(),
        manifest.counts.len(),
        manifest.log.rows,
        head.checkpoint
    ));
}

/// The authority is what agents trust: without it every agent would have to enrol again.
fn check_sealed(verified: &mut Verified, files: &[(String, Vec<u8>)], key: Option<&MasterKey>) {
    let find = |name: &str| {
        let found = files.iter().find(|(found, _)| found == name);
        found.map(|(_, bytes)| bytes.as_slice())
    };
    let (Some(pem), Some(sealed)) = (find(AUTHORITY_CERTIFICATE), find(AUTHORITY_KEY)) else {
        let what = "the certificate authority is not in it";
        return verified.problem(what, "use another backup, or enrol every agent again");
    };
    let Some(key) = key else {
        return verified.fact("the sealed secrets were not tried: give the master key with --key");
    };
    let path = PathBuf::from(AUTHORITY_CERTIFICATE);
    match Authority::check(pem, sealed, &Secrets::new(key), &path) {
        Ok(()) => verified.fact("the sealed secrets open with the key given"),
        Err(error) => {
            let remedy = "find the master key of the server at the time of this backup; without \
                          it every agent has to enrol again";
            verified.problem(error.to_string(), remedy);
        }
    }
}

/// Looks at a data directory and its database, which is a file there or what `url` names; `given`
/// is the key if there is no key file.
pub async fn verify_data(
    data_dir: &Path,
    url: Option<&DatabaseUrl>,
    given: Option<&MasterKey>,
) -> Verified {
    let mut verified = Verified::default();
    if let Err(error) = home::check_whole(data_dir) {
        verified.problem(error.to_string(), "delete it, and restore again");
        return verified;
    }
    let database = database_of(data_dir, url);
    if let Err(error) = home::check_database(data_dir, &database) {
        verified.problem(error.to_string(), "run this with the server's DATABASE_URL");
        return verified;
    }
    if matches!(&database, Database::Sqlite(path) if !path.exists()) {
        let what = format!("`{}` has no database", data_dir.display());
        verified.problem(what, "give a server's data directory, or the path of a backup");
        return verified;
    }
    let is_running = match home::is_in_use(data_dir) {
        Ok(is_running) => is_running,
        Err(error) => {
            let what = format!("cannot look into `{}`: {error}", data_dir.display());
            verified.problem(what, "run this as the server's user");
            return verified;
        }
    };
    verified.fact(format!("its database is {database}"));
    verified.fact(if is_running { "a server has it open" } else { "no server has it open" });
    // The log first: a running server trims it up to checkpoints that the database has by then.
    let log = check_log(&mut verified, &data_dir.join("log"));
    match store::inspect(&database).await {
        Ok(found) => {
            check_database(&mut verified, &found);
            check_positions(&mut verified, &found, log.as_ref(), is_running);
        }
        Err(error) => tell_unreadable(&mut verified, &error),
    }
    check_keys(&mut verified, data_dir, given);
    verified
}

fn tell_unreadable(verified: &mut Verified, error: &StoreError) {
    let is_other_version =
        matches!(error, StoreError::SchemaTooNew { .. } | StoreError::SchemaChanged { .. });
    let remedy = match is_other_version {
        true => "use the version that wrote it, or a newer one",
        false => FROM_BACKUP,
    };
    verified.problem(format!("the database: {}", crate::chain(error)), remedy);
}

fn check_log(verified: &mut Verified, dir: &Path) -> Option<journal::Inspection> {
    let mut unreadable: u64 = 0;
    let looked = journal::inspect(dir, |_, payload| {
        let entry = bytes::Bytes::copy_from_slice(payload);
        unreadable += u64::from(log::decode(entry).is_err());
    });
    let found = match looked {
        Ok(found) => found,
        Err(error) => {
            let remedy = "run this as the server's user; if the folder is lost, restore a backup";
            verified.problem(format!("the log: {}", crate::chain(&error)), remedy);
            return None;
        }
    };
    verified.fact(format!("the log has {} entries", found.records));
    for path in &found.damaged {
        let what = format!("segment `{}` of the log is damaged", path.display());
        verified.problem(what, LOG_SET_ASIDE);
    }
    for path in &found.set_aside {
        let what = format!("`{}` was damaged and set aside", path.display());
        verified.problem(what, "check the disk; delete the file when nobody wants to study it");
    }
    if found.missing != 0 {
        let what = format!("{} entries of the log are missing", found.missing);
        verified
            .problem(what, "nothing: what they said is lost; agents resend what they still have");
    }
    if unreadable != 0 {
        let what = format!("{unreadable} entries of the log cannot be understood");
        verified.problem(what, "use the version that wrote them; others leave them out");
    }
    Some(found)
}

fn check_database(verified: &mut Verified, found: &Inspection) {
    verified.fact(format!(
        "the database has schema {} and has applied the log up to position {}",
        found.schema.version, found.applied.position.0
    ));
    for finding in found.damage.iter().chain(&found.dangling) {
        verified.problem(format!("the database: {finding}"), FROM_BACKUP);
    }
    let Some(checkpoint) = &found.checkpoint else { return };
    if let Err(error) = Engine::restore(&checkpoint.bytes) {
        let remedy = "start the server: it judges anew from the next rounds, and verdicts are \
                      Unknown until then";
        verified.problem(format!("the checkpoint: {error}"), remedy);
    }
}

/// 1 - The log begins at or before the entry behind the checkpoint, and ends at or behind it.
/// 2 - What is applied is in the log. A running server applies more while we look.
/// 3 - Nothing was applied before its checkpoint.
fn check_positions(
    verified: &mut Verified,
    found: &Inspection,
    log: Option<&journal::Inspection>,
    is_running: bool,
) {
    let applied = found.applied.position.0;
    let checkpoint = found.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position.0);
    if applied < checkpoint {
        let what = format!("the checkpoint is at {checkpoint}, what is applied ends at {applied}");
        verified.problem(what, FROM_BACKUP);
    }
    let Some(log) = log else { return };
    let first = log.first.map_or(0, |Position(first)| first);
    let last = log.last.map_or(0, |Position(last)| last);
    let begins_late = checkpoint + 1 < first;
    let ends_early = !is_running && checkpoint < applied && last < applied;
    if begins_late || ends_early {
        let what = format!(
            "the log has entries {first} to {last}; the state needs {} to {applied}",
            checkpoint + 1
        );
        let remedy = "start the server: what is stored stays, verdicts may be Unknown until the \
                      next rounds; check the disk";
        verified.problem(what, remedy);
    }
}

fn check_keys(verified: &mut Verified, data_dir: &Path, given: Option<&MasterKey>) {
    let path = data_dir.join("keys/master.key");
    let key = match (given, MasterKey::read(&path)) {
        (Some(key), _) => key.clone(),
        (None, Ok(Some(key))) => key,
        (None, Ok(None)) => {
            let what = SecretsError::Missing { path }.to_string();
            return verified.problem(what, "without it every agent has to enrol again");
        }
        (None, Err(error)) => {
            return verified.problem(crate::chain(&error), "put the right key file there");
        }
    };
    let read = |name: &str| fs::read(data_dir.join(name));
    match (read(AUTHORITY_CERTIFICATE), read(AUTHORITY_KEY)) {
        (Ok(pem), Ok(sealed)) => {
            let path = data_dir.join(AUTHORITY_CERTIFICATE);
            match Authority::check(&pem, &sealed, &Secrets::new(&key), &path) {
                Ok(()) => verified.fact("the certificate authority opens with its key"),
                Err(error @ AuthorityError::Secrets(_)) => {
                    verified.problem(error.to_string(), "find the right master key");
                }
                Err(error) => verified.problem(error.to_string(), FROM_BACKUP),
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            let what = format!("the certificate authority cannot be read: {error}");
            verified.problem(what, "restore both files of it from a backup");
        }
    }
}
