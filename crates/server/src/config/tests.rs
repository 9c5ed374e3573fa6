//! What a configuration may say, and how it is told what it may not.

use super::*;

fn resolve(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variable = |name: &str| {
        variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
    };
    Config::resolve(text, &variable, &Overrides::default())
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = resolve(text, &[]).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_empty_file_is_complete_and_prints_as_one_that_reads_back() {
    let config = resolve("", &[]).unwrap();
    assert_eq!(config.http.listen.to_string(), HTTP_LISTEN_DEFAULT);
    let again = resolve(&config.to_text(), &[]).unwrap();
    assert_eq!(again.to_text(), config.to_text());
}

#[test]
fn the_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "data_dir = \"a\"\n[http]\nlisten = \"127.0.0.1:1\"";
    let variables = [("FAULTLINE_HTTP_LISTEN", "127.0.0.1:2")];
    let config = resolve(file, &variables).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("a"));
    assert_eq!(config.http.listen.port(), 2);
    let overrides =
        Overrides { http_listen: Some("127.0.0.1:3".to_owned()), ..Overrides::default() };
    let config = Config::resolve(file, &|_| None, &overrides).unwrap();
    assert_eq!(config.http.listen.port(), 3);
}

#[test]
fn each_refusal_names_the_key() {
    refused("listne = 1", "listne");
    refused("[http]\nlistne = 1", "listne");
    refused("[http]\nlisten = \"x\"", "`http.listen`");
    refused("[http]\nlisten = \"0.0.0.0:80\"", "http.allow_plaintext = true");
    refused("[http]\ntls_key = \"k\"", "`http.tls_certificate`");
    refused("[http]\npublic_url = \"noc\"", "`http.public_url`");
    refused("[http]\ntrusted_proxies = [\"x\"]", "`http.trusted_proxies`");
    refused("[agents]\nadvertise = [\"x\"]", "`agents.advertise`");
    refused("[agents]\nadvertise = [\"192.0.2.1:0\"]", "`agents.advertise`");
    refused("[retention]\nrounds = \"7\"", "`retention.rounds`");
    refused("[rollup_tables]\ndetail = \"some\"", "`rollup_tables.detail`");
    refused("log_format = \"xml\"", "`log_format`");
    refused("[backup]\nkeep = 3", "`backup.dir`");
    refused("[backup]\ndir = \"b\"\nevery = \"5m\"", "`backup.every`");
    refused("[backup]\ndir = \"b\"\nevery = \"1 day\"", "`backup.every`");
    refused("[backup]\ndir = \"b\"\nkeep = 0", "`backup.keep`");
    let error = resolve("", &[(MASTER_KEY_VARIABLE, "short")]).unwrap_err();
    assert!(error.to_string().contains(MASTER_KEY_VARIABLE));
}

#[test]
fn the_database_is_a_file_unless_a_url_says_otherwise_and_that_is_never_shown() {
    let path = PathBuf::from(DATA_DIR_DEFAULT).join("faultline.db");
    let config = resolve("", &[(DATABASE_URL_VARIABLE, "")]).unwrap();
    assert!(matches!(config.database(), Database::Sqlite(found) if found == path));
    let text = "database_url = \"postgresql://a:s3cret@file.example.net/f\"";
    let variables = [(DATABASE_URL_VARIABLE, "postgresql://a:s3cret@env.example.net/f")];
    for (config, host) in [
        (resolve(text, &[]).unwrap(), "file.example.net"),
        (resolve(text, &variables).unwrap(), "env.example.net"),
    ] {
        let said = format!("{config:?} {}", config.to_text());
        assert!(said.contains(host) && !said.contains("s3cret"), "{said}");
        resolve(&config.to_text(), &[]).unwrap();
    }
    refused("database_url = \"mysql://a:b@c/d\"", "`database_url`");
}

#[test]
fn backups_are_made_only_if_there_is_a_folder_for_them() {
    assert_eq!(resolve("", &[]).unwrap().backup, None);
    let config = resolve("[backup]\ndir = \"b\"", &[]).unwrap();
    let backup = config.backup.clone().unwrap();
    assert_eq!((backup.every, backup.keep), (BACKUP_EVERY_DEFAULT, BACKUP_KEEP_DEFAULT));
    assert_eq!(resolve(&config.to_text(), &[]).unwrap().to_text(), config.to_text());
    let text = "[backup]\ndir = \"b\"\nevery = \"36h\"\nkeep = 2";
    let backup = resolve(text, &[]).unwrap().backup.unwrap();
    assert_eq!((backup.every, backup.keep), (Duration::from_secs(36 * 3600), 2));
}

#[test]
fn plain_http_for_others_must_be_meant() {
    let text = "[http]\nlisten = \"0.0.0.0:80\"\nallow_plaintext = true";
    assert!(resolve(text, &[]).is_ok());
}

#[test]
fn without_addresses_the_machines_own_are_advertised() {
    let mut config = resolve("", &[]).unwrap();
    config.complete_advertise("0.0.0.0:99".parse().unwrap());
    assert_eq!(config.agents.advertise.last().unwrap(), "127.0.0.1:99");
    let mut config = resolve("", &[("FAULTLINE_AGENT_ADVERTISE", "a.b:1, [::1]:2")]).unwrap();
    config.complete_advertise("0.0.0.0:99".parse().unwrap());
    assert_eq!(config.agents.advertise, ["a.b:1", "[::1]:2"]);
}
