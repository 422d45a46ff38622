//! What is written about the program holds: the README's table of settings, the map in
//! ARCHITECTURE.md, and the rules of the house, which are absences and can be looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ollama_benchmarker::config::{BackendConfig, Config, ConfigError, Overrides};
use serde_json::Value;

/// Which rooms each room may name; `main` and `lib` only open doors.
const MAY_KNOW: [(&str, &[&str]); 20] = [
    ("clock", &[]),
    ("version", &[]),
    ("record", &[]),
    ("measure", &["record"]),
    ("machine", &["config", "record", "version"]),
    ("agent", &["config", "machine", "record"]),
    ("reference", &["clock", "version"]),
    ("config", &["record"]),
    ("logging", &["config"]),
    ("backend", &["clock", "config", "measure", "record"]),
    (
        "run",
        &[
            "agent", "backend", "clock", "config", "machine", "measure", "record",
        ],
    ),
    (
        "nova",
        &[
            "backend", "clock", "config", "machine", "measure", "record", "run",
        ],
    ),
    ("store", &["record"]),
    ("exchange", &["record"]),
    ("telemetry", &["record"]),
    (
        "app",
        &[
            "agent",
            "backend",
            "clock",
            "config",
            "exchange",
            "machine",
            "measure",
            "nova",
            "record",
            "reference",
            "run",
            "store",
            "telemetry",
            "version",
        ],
    ),
    ("api", &["app", "config", "measure", "record", "version"]),
    (
        "web",
        &["api", "app", "config", "measure", "record", "version"],
    ),
    ("serve", &["api", "app", "config", "web"]),
    (
        "cli",
        &[
            "api",
            "app",
            "config",
            "logging",
            "measure",
            "record",
            "reference",
            "serve",
            "version",
            "web",
        ],
    ),
];

/// Longest file, lines.
const LONGEST_FILE: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a folder, by its path from the root.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("node_modules") {
                    folders.push(path);
                }
            } else {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root()).unwrap().to_path_buf();
    path.to_str().unwrap().to_owned()
}

/// A file of `src`.
struct Source {
    /// From the root, such as `src/run/plan.rs`.
    path: String,
    /// The first part of its path in `src`.
    room: String,
    /// Its lines without comments.
    code: String,
    /// The same without its unit tests; empty where it is only for them.
    shipped: String,
}

fn sources() -> Vec<Source> {
    files("src")
        .into_iter()
        .filter(|path| Path::new(path).extension().is_some_and(|it| it == "rs"))
        .map(|path| {
            let code: String = read(&path)
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| [line, "\n"])
                .collect();
            let only_tests = path.ends_with("/tests.rs") || path.ends_with("/fixture.rs");
            let tests = code.find("#[cfg(test)]\nmod tests").unwrap_or(code.len());
            let shipped = code[..if only_tests { 0 } else { tests }].to_owned();
            let room = path["src/".len()..].split(['/', '.']).next().unwrap();
            Source {
                room: room.to_owned(),
                path,
                code,
                shipped,
            }
        })
        .collect()
}

/// No shipped code but that under the allowed paths says any of `words`.
#[track_caller]
fn check_only_in(allowed: &[&str], words: &[&str]) {
    let mut found = Vec::new();
    for source in sources() {
        if allowed.iter().any(|path| source.path.starts_with(path)) {
            continue;
        }
        for word in words.iter().filter(|word| source.shipped.contains(**word)) {
            found.push(format!("{}: {word}", source.path));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_room_names_only_rooms_it_may_know() {
    let may_know: BTreeMap<&str, &[&str]> = MAY_KNOW.into();
    let mut found = Vec::new();
    for source in sources() {
        if matches!(source.room.as_str(), "main" | "lib") {
            continue;
        }
        let allowed = may_know
            .get(source.room.as_str())
            .unwrap_or_else(|| panic!("{}: the room has no row in MAY_KNOW", source.path));
        for named in source.code.split("crate::").skip(1) {
            let end = named
                .find(|letter: char| !letter.is_ascii_lowercase() && letter != '_')
                .unwrap_or(named.len());
            let named_room = &named[..end];
            // The one place where every error becomes a status must know every error.
            let is_error = source.path == "src/api/problem.rs" && named.contains("BackendError");
            if named_room != source.room && !allowed.contains(&named_room) && !is_error {
                found.push(format!("{} names crate::{named_room}", source.path));
            }
        }
        // Written so, the rooms would not be seen here.
        assert!(!source.code.contains("use crate::{"), "{}", source.path);
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn sql_is_only_in_the_store() {
    let words = [
        "sqlx",
        "insert into ",
        "delete from ",
        "create table ",
        " from runs",
        " from results",
    ];
    check_only_in(&["src/store/"], &words);
}

#[test]
fn html_is_only_in_the_templates() {
    let words = [
        "<html", "<div", "<span", "<table", "<script", "<svg", "<form", "<button", "<li>", "</p>",
    ];
    // The reference server acts out a proxy that answers with a page.
    check_only_in(&["src/reference/"], &words);
}

#[test]
fn the_clock_is_read_only_where_things_are_measured() {
    let measuring = [
        // Beside the wall clock, for those here who need both.
        "src/clock.rs",
        "src/backend/",
        "src/machine/",
        // Two machines' clocks side by side.
        "src/agent/",
        "src/run/engine",
        // How long agents wait, ask and are at work.
        "src/nova/",
        "src/reference/",
        // How long an answer took, for the log.
        "src/serve/guard.rs",
        // How old an answer is, for pages.
        "src/app/system.rs",
        // How long a database has been away.
        "src/app/execution.rs",
        // How long the program has been at its end.
        "src/app/stopping.rs",
    ];
    check_only_in(&measuring, &["Instant::now"]);
    // What o'clock it is, for records and ids.
    let dating = [
        "src/app",
        "src/clock.rs",
        "src/agent/",
        "src/run/engine.rs",
        "src/reference/",
        // A test makes a stamp as the kernel would.
        "src/backend/transport/clock.rs",
    ];
    check_only_in(&dating, &["Utc::now", "Local::now", "SystemTime::now"]);
}

#[test]
fn the_pure_rooms_do_no_io() {
    let impure = [
        "async ",
        "tokio",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "tracing::",
    ];
    let others: Vec<String> = MAY_KNOW
        .iter()
        .filter(|(room, _)| !matches!(*room, "record" | "measure"))
        .flat_map(|(room, _)| [format!("src/{room}/"), format!("src/{room}.rs")])
        .chain(["src/main.rs".to_owned(), "src/lib.rs".to_owned()])
        .collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    check_only_in(&others, &impure);
}

#[test]
fn only_the_command_line_prints_and_ends_the_program() {
    let words = ["println!", "print!(", "dbg!", "process::exit"];
    check_only_in(&["src/cli/", "src/main.rs"], &words);
}

#[test]
fn every_file_says_what_it_is_for_and_stays_short() {
    for source in sources() {
        let text = read(&source.path);
        let only_tests = source.shipped.is_empty();
        assert!(
            only_tests || text.starts_with("//!"),
            "{} does not begin with what it is for",
            source.path
        );
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST_FILE,
            "{} has {lines} lines; at most {LONGEST_FILE} are allowed",
            source.path
        );
    }
}

#[test]
fn the_architecture_names_every_room_and_nothing_that_is_not_there() {
    let text = read("ARCHITECTURE.md");
    let rooms: BTreeSet<String> = sources().into_iter().map(|source| source.room).collect();
    for room in rooms.iter().filter(|room| *room != "lib") {
        assert!(
            text.contains(&format!("`{room}`")) || text.contains(&format!("`src/{room}.rs`")),
            "ARCHITECTURE.md does not name the room {room}"
        );
    }
    for path in text.split('`').skip(1).step_by(2) {
        let is_path = ["src/", "tests/", "templates/", "migrations/", "openapi/"]
            .iter()
            .any(|folder| path.starts_with(folder));
        if is_path {
            assert!(root().join(path).exists(), "there is no {path}");
        }
    }
}

#[test]
fn the_readme_names_the_test_command_that_is_run() {
    let readme = read("README.md");
    assert!(readme.contains("\ntests/run.sh\n"));
    assert!(read(".ci/run").contains("exec tests/run.sh\n"));
}

#[test]
fn the_readme_shows_clients_as_they_are_tested() {
    let readme = read("README.md");
    for (language, program) in [
        ("python", "tests/clients/python/use_client.py"),
        ("typescript", "tests/clients/typescript/use-client.ts"),
        ("rust", "tests/clients/rust/src/main.rs"),
    ] {
        let program = read(program);
        let (_, shown) = readme.split_once(&format!("```{language}\n")).unwrap();
        let (shown, _) = shown.split_once("\n```").unwrap();
        let imports = |part: &str| {
            let first = part.split_whitespace().next();
            matches!(first, None | Some("from" | "import" | "use"))
        };
        for part in shown.split("\n\n").filter(|part| !imports(part)) {
            assert!(program.contains(part.trim_matches('\n')), "{part}");
        }
    }
}

/// What a document says in code, in and out of blocks, word by word.
fn words_of_code(text: &str) -> BTreeSet<&str> {
    let code = text.split('`').skip(1).step_by(2);
    let cut = |letter: char| letter.is_whitespace() || ",;()[]'\"=>".contains(letter);
    code.flat_map(|code| code.split(cut)).collect()
}

#[test]
fn files_that_are_named_are_there() {
    let folders = [
        ".ci/",
        ".github/",
        "benches",
        "migrations/",
        "openapi/",
        "src/",
        "templates/",
        "tests/",
    ];
    for document in ["CONTRIBUTING.md", "README.md"] {
        let text = read(document);
        let links = [("](", ')'), ("=\"", '"')]
            .into_iter()
            .flat_map(|(begin, end)| {
                let links = text.split(begin).skip(1);
                links.filter_map(move |link| link.split(end).next())
            });
        let is_file = |link: &&str| {
            let is_document = Path::new(link).extension().is_some_and(|it| it == "md");
            is_document || link.starts_with(".github/")
        };
        let mut named: BTreeSet<&str> = links.filter(is_file).collect();
        let starts = |word: &&str| folders.iter().any(|folder| word.starts_with(folder));
        named.extend(words_of_code(&text).into_iter().filter(starts));
        assert!(named.len() > 3, "{document}: {named:?}");
        for path in named {
            assert!(root().join(path).exists(), "{document}: there is no {path}");
        }
    }
}

#[test]
fn commands_that_are_named_are_there() {
    let text = read("CONTRIBUTING.md");
    assert!(text.contains("\ncargo run ") && text.contains("\ntests/run.sh "));
    let script = read("tests/run.sh");
    for option in ["--quick", "--pictures"] {
        assert!(text.contains(&format!("tests/run.sh {option}")));
        assert!(script.contains(&format!("\n  {option}) ")), "{option}");
    }
    let manifest = read("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "));
    let version = version.unwrap().trim_matches('"');
    for document in ["CONTRIBUTING.md", "README.md"] {
        assert!(read(document).contains(&format!("Rust {version}")));
    }
}

/// A row of the README's table: variable and default.
type Row = (String, String);

fn documented() -> BTreeMap<String, Row> {
    let readme = read("README.md");
    let (_, table) = readme
        .split_once("<!-- settings -->")
        .expect("the table's begin is marked");
    let (table, _) = table
        .split_once("<!-- end of settings -->")
        .expect("the table's end is marked");
    table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [key, variable, default, meaning] = cells[..] else {
                panic!("not four cells: {line}");
            };
            assert!(meaning.len() > 10, "no meaning: {line}");
            let plain = |cell: &str| cell.trim_matches('`').to_owned();
            (plain(key), (plain(variable), plain(default)))
        })
        .collect()
}

fn real() -> BTreeMap<String, Row> {
    let mut found = BTreeMap::new();
    let config = serde_json::to_value(Config::default()).unwrap();
    let backend = serde_json::to_value(BackendConfig::default()).unwrap();
    flatten("", &config, &mut found);
    flatten("backends.NAME.", &backend, &mut found);
    found
}

fn flatten(prefix: &str, value: &Value, found: &mut BTreeMap<String, Row>) {
    for (name, value) in value.as_object().unwrap() {
        let key = format!("{prefix}{name}");
        if value.is_object() {
            flatten(&format!("{key}."), value, found);
        } else {
            let variable = key.replace('.', "__").to_uppercase();
            found.insert(key, (format!("BENCHMARKER_{variable}"), value.to_string()));
        }
    }
}

#[test]
fn the_readme_lists_every_setting_with_its_default() {
    let (documented, real) = (documented(), real());
    for (key, row) in &real {
        assert_eq!(documented.get(key), Some(row), "{key}");
    }
    for key in documented.keys() {
        assert!(real.contains_key(key), "there is no setting {key}");
    }
}

#[test]
fn every_variable_of_the_readme_is_known() {
    let shared = [
        "OLLAMA_HOST",
        "DATABASE_URL",
        "PORT",
        "RUST_LOG",
        "NO_COLOR",
    ];
    let readme = read("README.md");
    for variable in shared {
        assert!(readme.contains(&format!("| `{variable}` |")), "{variable}");
    }
    for (variable, _) in documented().into_values() {
        // Most are refused as values; what matters is that the name is known.
        let environment = [(variable.clone(), "1".to_owned())];
        let loaded = Config::merge(None, environment, &Overrides::default());
        assert!(
            !matches!(loaded, Err(ConfigError::UnknownKey { .. })),
            "{loaded:?}"
        );
    }
}

#[test]
fn templates_escape_everything_and_hold_no_script() {
    for path in files("templates") {
        if !path.starts_with("templates/pages/") {
            continue;
        }
        // Escaping goes by the name.
        assert_eq!(Path::new(&path).extension().unwrap(), "html", "{path}");
        let text = read(&path);
        for word in [
            "|safe",
            "| safe",
            "<style",
            " style=",
            "<script>",
            "javascript:",
        ] {
            assert!(!text.contains(word), "{path}: {word}");
        }
        let handlers = [
            "onclick", "onload", "onerror", "onchange", "onsubmit", "oninput",
        ];
        for word in handlers {
            assert!(!text.contains(&format!(" {word}=")), "{path}: {word}");
        }
    }
}
