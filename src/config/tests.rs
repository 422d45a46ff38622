//! What the sources make together.

use std::path::Path;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn load(file: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = Some((Path::new("test.toml"), file));
    Config::merge(file, environment(pairs), &Overrides::default())
}

#[track_caller]
fn refused(file: &str, pairs: &[(&str, &str)], expected: &str) {
    let message = load(file, pairs).unwrap_err().to_string();
    assert_eq!(message, expected);
}

#[test]
fn without_any_source_there_are_the_defaults_and_ollama() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.port, 8000);
    assert_eq!(config.backends["ollama"].url, "http://127.0.0.1:11434");
    assert_eq!(
        Config {
            backends: BTreeMap::new(),
            ..config
        },
        Config::default()
    );
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "port = 1\nhost = \"a\"\ndatabase_url = \"sqlite:file\"\n[limits]\nmax_models = 2";
    let pairs = [
        ("BENCHMARKER_HOST", "b"),
        ("BENCHMARKER_DATABASE_URL", "sqlite:environment"),
    ];
    let flags = Overrides {
        database_url: Some("sqlite:flag".into()),
        ..Overrides::default()
    };
    let config = Config::merge(Some((Path::new("x"), file)), environment(&pairs), &flags).unwrap();
    assert_eq!(config.port, 1);
    assert_eq!(config.host, "b");
    assert_eq!(config.database_url(), "sqlite:flag");
    assert_eq!(
        (config.limits.max_models, config.limits.max_requests),
        (2, 10_000)
    );
}

#[test]
fn variables_of_the_ecosystem_are_honoured_and_ours_are_stronger() {
    let pairs = [
        ("BENCHMARKER_PORT", "9001"),
        ("PORT", "9000"),
        ("OLLAMA_HOST", "0.0.0.0:1234"),
        ("DATABASE_URL", "sqlite:x.db"),
        ("RUST_LOG", "debug"),
        ("NO_COLOR", "1"),
        ("HOME", "/root"),
    ];
    let config = load("", &pairs).unwrap();
    assert_eq!(config.port, 9001);
    assert_eq!(config.backends["ollama"].url, "http://127.0.0.1:1234");
    assert_eq!(config.database_url(), "sqlite:x.db");
    assert_eq!(config.log.filter, "debug");
    assert_eq!(config.log.color, LogColor::Never);
}

#[test]
fn nested_and_listed_variables_are_read_letter_case_aside() {
    let pairs = [
        ("benchmarker_limits__Max_Prompt_Bytes", "77"),
        ("BENCHMARKER_ALLOWED_HOSTS", "a.example, b.example,"),
        ("BENCHMARKER_API_TOKEN", "12345"),
        ("BENCHMARKER_SAMPLING__INTERVAL", "1"),
        ("BENCHMARKER_PORT", ""),
    ];
    let config = load("", &pairs).unwrap();
    assert_eq!(config.limits.max_prompt_bytes, 77);
    assert_eq!(config.allowed_hosts, ["a.example", "b.example"]);
    assert_eq!(config.api_token.reveal(), Some("12345"));
    assert!((config.sampling.interval - 1.0).abs() < f64::EPSILON);
    assert_eq!(config.port, 8000);
}

#[test]
fn a_backend_from_the_environment_is_named_with_dashes() {
    let pairs = [
        (
            "BENCHMARKER_BACKENDS__GPU_BOX__URL",
            "http://192.0.2.7:8080/v1",
        ),
        ("BENCHMARKER_BACKENDS__GPU_BOX__KIND", "openai"),
    ];
    let config = load("", &pairs).unwrap();
    assert_eq!(config.backends["gpu-box"].kind, BackendKind::Openai);
}

#[test]
fn a_backend_of_the_file_keeps_its_name_when_the_environment_adds_to_it() {
    let file = "[backends.GPU_box]\nurl = \"http://192.0.2.7\"";
    let config = load(
        file,
        &[("BENCHMARKER_BACKENDS__GPU_BOX__API_KEY", "s3cret")],
    )
    .unwrap();
    assert_eq!(config.backends["GPU_box"].api_key.reveal(), Some("s3cret"));
    assert_eq!(config.backends.len(), 2);
}

#[test]
fn unknown_keys_name_the_nearest_one_and_their_source() {
    refused(
        "[limits]\nmax_promt_bytes = 1",
        &[],
        "there is no setting `limits.max_promt_bytes` (from test.toml); the nearest is `limits.max_prompt_bytes`",
    );
    refused(
        "[backends.gpu]\nuri = \"http://x\"",
        &[],
        "there is no setting `backends.gpu.uri` (from test.toml); the nearest is `backends.gpu.url`",
    );
    refused(
        "",
        &[("BENCHMARKER_LIMIT__MAX_MODELS", "1")],
        "there is no setting `BENCHMARKER_LIMIT__MAX_MODELS` (from the environment); the nearest is `BENCHMARKER_LIMITS__MAX_MODELS`",
    );
    refused(
        "",
        &[("BENCHMARKER_LIMITS", "1")],
        "there is no setting `BENCHMARKER_LIMITS` (from the environment); the nearest is `BENCHMARKER_LIMITS__MAX_MODELS`",
    );
}

#[test]
fn wrong_types_name_the_setting_and_its_source() {
    refused(
        "port = \"x\"",
        &[],
        "`port` (from test.toml): `x` is not a whole number from 0 to 65535",
    );
    refused(
        "",
        &[("PORT", "99999")],
        "`port` (from PORT): `99999` is not a whole number from 0 to 65535",
    );
    refused(
        "allowed_hosts = \"x\"",
        &[],
        "`allowed_hosts` (from test.toml): `x` is not a list in brackets",
    );
    refused(
        "metrics.open = 1",
        &[],
        "`metrics.open` (from test.toml): `1` is not `true` or `false`",
    );
    refused(
        "database_url = [1]",
        &[],
        "`database_url` (from test.toml): a list is not a text in quotes",
    );
    refused(
        "",
        &[("PORT", "http")],
        "`PORT` (from the environment): `http` is not a number",
    );
    refused(
        "",
        &[("BENCHMARKER_LOG__FORMAT", "xml")],
        "`log.format` (from BENCHMARKER_LOG__FORMAT): `xml` is not one of pretty, json",
    );
    refused(
        "limits = 1",
        &[],
        "`limits` (from test.toml): `1` is not a table of settings",
    );
    assert!(
        load("port = ", &[])
            .unwrap_err()
            .to_string()
            .contains("not valid TOML")
    );
}

#[test]
fn a_fault_in_the_file_is_told_without_what_stands_there() {
    let message = load("port = 1\napi_token = hunter2", &[])
        .unwrap_err()
        .to_string();
    assert!(message.contains("line 2, column 13"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn values_out_of_range_are_refused() {
    refused(
        "[sampling]\ninterval = 0.001",
        &[],
        "`sampling.interval` (from test.toml): is 0.001 s; must be from 0.02 to 60 s",
    );
    refused(
        "",
        &[("BENCHMARKER_TIMEOUTS__IDLE", "NaN")],
        "`timeouts.idle` (from BENCHMARKER_TIMEOUTS__IDLE): is NaN s; must be from 0.001 to 31536000 s",
    );
    refused(
        "[timeouts]\nmax = 10",
        &[],
        "`timeouts.request` (from the defaults): is 600 s; must be from 0.001 to 10 s",
    );
    for file in [
        "host = \"\"",
        "database_url = \"mysql://x\"",
        "api_token = \"a b\"",
        "default_backend = \"gpu\"",
        "limits.max_models = 0",
        "sampling.max_samples = 1",
        "timeouts.connect = 0",
        "timeouts.connect = inf",
        "port = 65536",
        "allowed_hosts = [\"\"]",
        "backends.gpu.kind = \"ollama\"",
        "backends.gpu.url = \"192.0.2.7:1\"",
        "backends.gpu.url = \"http://me:secret@192.0.2.7:1\"",
        "backends.gpu = { url = \"http://x\", api_key = \"two\\nlines\" }",
        "timeouts.client = 0",
        "backends.gpu = { url = \"http://x\", endpoint = \"completions\" }",
        "backends.gpu = { url = \"http://x\", kind = \"openai\", endpoint = \"generate\" }",
        "backends.\"a@b\".url = \"http://x\"",
    ] {
        assert!(load(file, &[]).is_err(), "{file}");
    }
}

#[test]
fn the_name_of_the_built_in_backend_is_taken() {
    refused(
        "[backends.reference]\nurl = \"http://x\"",
        &[],
        "`backends.reference` (from test.toml): `reference` is the built-in model server; choose another name",
    );
    assert_eq!(
        load("default_backend = \"reference\"", &[])
            .unwrap()
            .default_backend,
        "reference"
    );
}

#[test]
fn secrets_are_not_shown() {
    let config = load("api_token = \"hush\"", &[]).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
    refused(
        "api_token = 4711",
        &[],
        "`api_token` (from test.toml): must be a text in quotes",
    );
}

#[test]
fn a_file_that_is_named_must_exist() {
    let missing = Config::load(
        Some(Path::new("/nowhere/x.toml")),
        [],
        &Overrides::default(),
    );
    assert!(matches!(missing, Err(ConfigError::File { .. })));
}
