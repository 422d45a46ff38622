//! `export` and `import`.

use std::fs;

use serde_json::{Value, json};

use super::Home;

fn other(home: &Home, arguments: &[&str]) -> super::Outcome {
    Home::outcome(
        home.command()
            .env("DATABASE_URL", "sqlite:other.db")
            .args(arguments),
    )
}

#[test]
fn files_go_from_one_database_to_another() {
    let home = Home::new();
    let runs = [
        home.benchmark(&["--tag", "a"]),
        home.benchmark(&["--name", "second"]),
    ];
    for (format, more) in [
        ("mongodb", &["--canonical"][..]),
        ("mongodb", &[]),
        ("json", &[]),
        ("csv", &[]),
    ] {
        let file = format!("runs.{format}");
        let export = [&["export", "--format", format, "--output", &file][..], more].concat();
        let outcome = home.run(&export);
        assert_eq!(
            (outcome.code, outcome.out.as_str()),
            (Some(0), ""),
            "{}",
            outcome.err
        );
        assert!(!home.path().join(format!("{file}.part")).exists());
        let _ = fs::remove_file(home.path().join("other.db"));
        let dry = other(&home, &["import", &file, "--dry-run"]);
        assert_eq!(
            dry.out,
            "2 documents: 2 would be stored, 0 known already, 0 cannot be read\n"
        );
        let outcome = other(&home, &["import", &file]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        assert_eq!(
            outcome.out,
            "2 documents: 2 stored, 0 known already, 0 cannot be read\n"
        );
        let again = other(&home, &[&["export", "--format", format][..], more].concat());
        assert_eq!(
            again.out,
            fs::read_to_string(home.path().join(&file)).unwrap()
        );
    }
    let one = home.run(&["export", runs[1].id.as_str()]);
    assert_eq!(one.out.lines().count(), 1);
    assert!(one.out.contains("second"));
    let tagged = home.run(&["export", "--tag", "a", "--format", "json"]);
    let tagged: Value = serde_json::from_str(&tagged.out).unwrap();
    assert_eq!(tagged[0]["id"], json!(runs[0].id));
    assert_eq!(tagged.as_array().unwrap().len(), 1);
}

#[test]
fn an_import_from_standard_input_names_lines_and_fails_where_one_cannot_be_read() {
    let home = Home::new();
    home.benchmark(&[]);
    let text = format!("{}nonsense\n", home.run(&["export"]).out);
    let mut command = home.command();
    command
        .env("DATABASE_URL", "sqlite:other.db")
        .args(["import", "-", "--format", "json"]);
    let outcome = Home::outcome(command.write_stdin(text));
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    let report: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!([&report["stored"], &report["failed"]], [1, 1]);
    assert_eq!(report["errors"][0]["line"], 2);
}

#[test]
fn an_export_that_was_cut_off_goes_on() {
    let home = Home::new();
    for _ in 0..3 {
        home.benchmark(&[]);
    }
    let whole = home.run(&["export"]).out;
    let part = home.path().join("all.jsonl.part");
    // After the first, in the middle of the second, and before anything.
    for length in [
        whole.find('\n').unwrap() + 1,
        whole.find('\n').unwrap() + 500,
        0,
    ] {
        fs::write(&part, &whole[..length]).unwrap();
        let outcome = home.run(&["export", "--output", "all.jsonl", "--resume"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
        assert_eq!(
            fs::read_to_string(home.path().join("all.jsonl")).unwrap(),
            whole
        );
        assert!(!part.exists());
    }
    fs::write(&part, "{\"a\":1}\n").unwrap();
    let strange = home.run(&["export", "--output", "all.jsonl", "--resume"]);
    assert_eq!(strange.code, Some(2));
    assert!(
        strange.err.contains("is no export of this program"),
        "{}",
        strange.err
    );
    assert_eq!(
        fs::read_to_string(home.path().join("all.jsonl")).unwrap(),
        whole,
        "it stays"
    );
}

/// A pipe that took the name of a finished file would be gone: so would `/dev/null` of a machine.
#[cfg(unix)]
#[test]
fn an_export_to_a_pipe_or_a_link_leaves_it_what_it_is() {
    use std::os::unix::fs::{FileTypeExt, symlink};

    let home = Home::new();
    home.benchmark(&[]);
    let whole = home.run(&["export"]).out;

    let pipe = home.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    let outcome = home.run(&["export", "--output", "pipe"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(reader.join().unwrap(), whole);
    let resumed = home.run(&["export", "--output", "pipe", "--resume"]);
    assert_eq!(resumed.code, Some(2), "{}", resumed.err);
    let backup = home.run(&["backup", "--force", "pipe"]);
    assert!(backup.err.contains("a device or a pipe"), "{}", backup.err);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());

    fs::write(home.path().join("real.jsonl"), "old").unwrap();
    symlink("real.jsonl", home.path().join("link")).unwrap();
    let outcome = home.run(&["export", "--output", "link"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert!(home.path().join("link").is_symlink());
    let real = fs::read_to_string(home.path().join("real.jsonl")).unwrap();
    assert_eq!(real, whole);
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let home = Home::new();
    for (arguments, words) in [
        (
            &["export", "--format", "csv", "--canonical"][..],
            "canonical",
        ),
        (&["export", "--resume"], "--output"),
        (
            &["export", "--format", "csv", "--resume", "--output", "x"],
            "only of --format mongodb",
        ),
        (&["export", "nothing"], "24 hexadecimal digits"),
        (&["export", "--output", "no/such/folder/x"], "cannot write"),
        (&["export", "--output", "."], "cannot write"),
        (&["import", "nothing.jsonl"], "cannot read nothing.jsonl"),
        (&["import", "."], "it is a folder"),
    ] {
        let outcome = home.run(arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.err);
        assert!(outcome.err.contains(words), "{}", outcome.err);
    }
}
