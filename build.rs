//! Fetches the browser libraries of the page, so that none is kept in the repository, and finds out
//! which commit is built.
//!
//! What `templates/package-lock.json` names is installed with npm into `OUT_DIR`, and the few files
//! that the page serves are put into `OUT_DIR/assets`, where `src/web/assets.rs` embeds them from.
//! Nothing of it is needed once the program is built.

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs, io};

/// Files to serve: where npm puts each, and what it is called on the page.
const SERVED: [(&str, &str); 2] = [
    ("htmx.org/dist/htmx.min.js", "htmx.min.js"),
    ("htmx.org/LICENSE", "htmx-licence.txt"),
];

/// What the program is made of: where git sees a change in these, it is not that of the commit.
const SOURCES: [&str; 6] = [
    "src",
    "templates",
    "migrations",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
];

/// Digits of a commit that are enough to find it.
const COMMIT: usize = 7;

/// What npm reads.
const PACKAGE_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

fn main() -> ExitCode {
    match fetch().and_then(|()| tell_commit()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn fetch() -> Result<(), Box<dyn Error>> {
    // A new template or migration is embedded only if the crate is built again.
    println!("cargo::rerun-if-changed=templates");
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=build.rs");
    let templates = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("templates");
    let out = env::var("OUT_DIR")?;
    let (packages, assets) = (Path::new(&out).join("npm"), Path::new(&out).join("assets"));
    let is_there = SERVED.iter().all(|(_, name)| assets.join(name).is_file());
    if is_there && is_same(&templates, &packages) {
        return Ok(());
    }
    install(&templates, &packages)?;
    fs::create_dir_all(&assets)?;
    for (from, name) in SERVED {
        let from = packages.join("node_modules").join(from);
        fs::copy(&from, assets.join(name))
            .map_err(|error| format!("cannot take {}: {error}", from.display()))?;
    }
    Ok(())
}

/// The packages were installed from the very files that lie in `templates` now.
fn is_same(templates: &Path, packages: &Path) -> bool {
    PACKAGE_FILES.iter().all(|name| {
        let read = |folder: &Path| fs::read(folder.join(name)).ok();
        read(templates).is_some_and(|now| read(packages) == Some(now))
    })
}

fn install(templates: &Path, packages: &Path) -> Result<(), Box<dyn Error>> {
    match fs::remove_dir_all(packages) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(packages)?;
    for name in PACKAGE_FILES {
        fs::copy(templates.join(name), packages.join(name))?;
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let ran = Command::new(npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(packages)
        .output();
    let failure = match ran {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => format!(
            "`npm ci` could not fetch the browser libraries of the page ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ),
        Err(error) => format!(
            "npm is needed to fetch the browser libraries of the page, and cannot be run ({error}): \
             install Node.js 18 or newer and build again"
        ),
    };
    // A half-done installation must not pass for a whole one.
    fs::remove_file(packages.join("package-lock.json"))?;
    Err(failure.into())
}

/// Gives `src/version.rs` the commit and its day: as `SOURCE_COMMIT` and `SOURCE_DAY` say, for builds
/// without git, else as git knows them.
///
/// Git is asked for optimised builds only. A debug build would have to be made again after each commit
/// though nothing has changed, and it is not for measuring.
fn tell_commit() -> Result<(), Box<dyn Error>> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    for name in ["SOURCE_COMMIT", "SOURCE_DAY"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let (commit, day) = match set("SOURCE_COMMIT") {
        Some(commit) => (
            Some(commit.chars().take(COMMIT).collect()),
            set("SOURCE_DAY"),
        ),
        None if env::var("PROFILE")? == "release" => ask_git(&env::var("CARGO_MANIFEST_DIR")?),
        None => (None, None),
    };
    for (name, value) in [("COMMIT", commit), ("DAY", day)] {
        if let Some(value) = value {
            println!("cargo::rustc-env=BUILT_FROM_{name}={value}");
        }
    }
    Ok(())
}

/// Commit and day of the sources in this folder; nothing where git does not know them.
fn ask_git(folder: &str) -> (Option<String>, Option<String>) {
    // A package that was unpacked within another repository has nothing to do with that.
    if !Path::new(folder).join(".git").exists() {
        return (None, None);
    }
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        // To look must not write, or the next build would see a change.
        command.arg("--no-optional-locks").args(arguments);
        let output = command
            .current_dir(folder)
            .env("TZ", "UTC")
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned())
    };
    // In a working tree of its own these lie elsewhere. The log of the head grows with each commit.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]).map(|path| Path::new(folder).join(path));
        if let Some(path) = path.filter(|path| path.is_file()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    let is_modified = git(&status).is_none_or(|changes| !changes.is_empty());
    let commit = git(&["rev-parse", "HEAD"]);
    let commit = commit.map(|it| {
        let short: String = it.chars().take(COMMIT).collect();
        short + if is_modified { "-modified" } else { "" }
    });
    let day = git(&[
        "show",
        "--no-patch",
        "--date=format-local:%Y-%m-%d",
        "--format=%cd",
    ]);
    (commit, day)
}
