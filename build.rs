//! Fetches the browser libraries of the page, so that none is kept in the repository.
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

/// What npm reads.
const PACKAGE_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

fn main() -> ExitCode {
    match fetch() {
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
