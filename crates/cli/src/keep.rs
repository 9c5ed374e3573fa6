//! Backup, restore, verify: everything of a server in one file, and back.

use std::{fs::File, path::Path};

use anyhow::{Context, bail};
use serde_json::json;
use server::{
    Config, DatabaseUrl, Overrides,
    archive::Manifest,
    backup::{Partial, backup_offline},
    clock::Clock,
    restore::{GivenKey, restore},
    secrets::{MASTER_KEY_VARIABLE, MasterKey},
    verify::{Verified, verify_archive, verify_data},
};

use crate::{
    args::{BackupArgs, Connection, KeyArgs, RestoreArgs, VerifyArgs},
    client::Client,
    commands::say,
};

/// The master key, and whether it came in a file.
fn master_key(args: &KeyArgs) -> anyhow::Result<Option<(MasterKey, bool)>> {
    if let Some(path) = &args.key {
        let key = MasterKey::read(path)?;
        let key = key.with_context(|| format!("there is no key file `{}`", path.display()))?;
        return Ok(Some((key, true)));
    }
    let key = args.master_key.as_deref().filter(|text| !text.is_empty());
    let key = key.map(|text| MasterKey::parse(text, MASTER_KEY_VARIABLE)).transpose()?;
    Ok(key.map(|key| (key, false)))
}

/// The database of PostgreSQL that the environment names, for what works without a server.
fn database_url() -> anyhow::Result<Option<DatabaseUrl>> {
    Ok(Config::load(None, &Overrides::default())?.database_url)
}

/// Writes a backup of a running server, or of a data directory, into a new file.
pub(crate) async fn backup(connection: Connection, args: BackupArgs) -> anyhow::Result<()> {
    let manifest = if args.offline {
        let url = database_url()?;
        let now = Clock::system().now();
        backup_offline(connection.data_dir(), url.as_ref(), &args.file, now).await?
    } else {
        download(&connection, &args.file).await?
    };
    tell_backup(&connection, &args.file, &manifest)
}

async fn download(connection: &Connection, to: &Path) -> anyhow::Result<Manifest> {
    let client = Client::new(connection)?;
    let partial = Partial::create(to)?;
    let mut file = partial.file().context("cannot write the backup")?;
    client.download("/backup", &mut file).await?;
    file.sync_all().context("cannot make the backup durable")?;
    // What arrived is judged by its own checksums, not by how the connection ended.
    let received = File::open(partial.path()).context("cannot read the backup back")?;
    let read = tokio::task::spawn_blocking(move || {
        server::archive::read(received, |_| Ok::<(), server::archive::ArchiveError>(()))
    });
    let manifest = read.await?.context("what arrived is no whole backup; see the server's log")?;
    partial.finish(to).context("cannot give the backup its name")?;
    Ok(manifest)
}

fn tell_backup(connection: &Connection, file: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let bytes = std::fs::metadata(file).map_or(0, |meta| meta.len());
    if connection.json {
        let told = json!({
            "file": file,
            "bytes": bytes,
            "created_at": manifest.head.created_at,
            "schema": manifest.head.schema.version,
            "rows": manifest.rows_total(),
        });
        say(&format!("{told}\n"));
        return Ok(());
    }
    say(&format!(
        "backup `{}` of {}: {} rows, {} KiB, read back and good\n\
         Keep the master key apart from it: `keys/master.key` of the data directory (or \
         {MASTER_KEY_VARIABLE}).\n\
         It is not in the backup. Without it every agent has to enrol again.\n",
        file.display(),
        manifest.head.created_at,
        manifest.rows_total(),
        bytes.div_ceil(1024),
    ));
    Ok(())
}

/// Brings a backup back into a data directory that is not there yet or empty.
pub(crate) async fn bring_back(connection: Connection, args: RestoreArgs) -> anyhow::Result<()> {
    let data_dir = connection.data_dir();
    let key = master_key(&args.key)?;
    let given = match &key {
        None => GivenKey::None,
        Some((key, true)) => GivenKey::Put(key),
        Some((key, false)) => GivenKey::Check(key),
    };
    let url = database_url()?;
    let manifest = restore(&args.file, data_dir, url.as_ref(), given).await?;
    let dir = data_dir.display();
    let mut text = format!(
        "`{dir}` is as it was at {}: {} rows{}\n",
        manifest.head.created_at,
        manifest.rows_total(),
        url.as_ref().map_or(String::new(), |url| format!(", in {url}")),
    );
    text += &match key {
        Some((_, true)) => "The master key is in its place.\n".to_owned(),
        Some((_, false)) => format!("{MASTER_KEY_VARIABLE} opens it.\n"),
        None => format!(
            "Before the first start put the master key to `{dir}/keys/master.key` (mode 600), or \
             set {MASTER_KEY_VARIABLE}.\n"
        ),
    };
    text += "Everybody signs in again. Agents connect by themselves if they reach this server at \
             one of the addresses they know.\n";
    say(&text);
    Ok(())
}

/// Looks at a backup or a data directory; fails if anything is not as it must be.
pub(crate) async fn verify(connection: Connection, args: VerifyArgs) -> anyhow::Result<()> {
    let key = master_key(&args.key)?.map(|(key, _)| key);
    let verified = if args.path.is_dir() {
        verify_data(&args.path, database_url()?.as_ref(), key.as_ref()).await
    } else {
        let path = args.path.clone();
        tokio::task::spawn_blocking(move || verify_archive(&path, key.as_ref())).await?
    };
    tell_verified(&connection, &verified);
    match verified.problems.len() {
        0 => Ok(()),
        1 => bail!("1 problem in `{}`", args.path.display()),
        count => bail!("{count} problems in `{}`", args.path.display()),
    }
}

fn tell_verified(connection: &Connection, verified: &Verified) {
    if connection.json {
        let problems = verified.problems.iter();
        let problems = problems.map(|p| json!({ "what": p.what, "remedy": p.remedy }));
        let problems: Vec<_> = problems.collect();
        return say(&format!("{}\n", json!({ "facts": verified.facts, "problems": problems })));
    }
    for fact in &verified.facts {
        say(&format!("ok       {fact}\n"));
    }
    for problem in &verified.problems {
        say(&format!("PROBLEM  {}\n         -> {}\n", problem.what, problem.remedy));
    }
}
