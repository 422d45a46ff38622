//! Prompts from a file: JSON lines, CSV or plain lines, told apart by the file's name.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::Usage;

/// More prompts than a run has requests are not read.
const MOST_PROMPTS: usize = 100_000;

/// A line that holds a prompt, with everything that surrounds it there, is at most so much longer.
const ROOM_AROUND: usize = 1 << 20;

/// The prompts of a file. `most` is the longest of them, bytes.
///
/// `.jsonl` and `.ndjson` have an object with the field `prompt`, or a string, on each line; `.csv` a
/// header with the column `prompt`; of anything else each line is a prompt. Empty lines are passed
/// over. What is wrong is named by its line.
pub fn read(path: &Path, most: usize) -> Result<Vec<String>, Usage> {
    let trouble = |problem: String| Usage(format!("{}: {problem}", path.display()));
    let file = File::open(path).map_err(|error| trouble(format!("cannot be read: {error}")))?;
    let reader = BufReader::new(file);
    let extension = path.extension().and_then(|it| it.to_str()).unwrap_or("");
    let prompts = match extension.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" => of_lines(reader, most, json_prompt),
        "csv" => of_table(reader, most),
        _ => of_lines(reader, most, |line| Ok(line.to_owned())),
    };
    let prompts = prompts.map_err(trouble)?;
    if prompts.is_empty() {
        return Err(trouble("has no prompts".to_owned()));
    }
    Ok(prompts)
}

fn of_lines(
    mut reader: impl BufRead,
    most: usize,
    prompt_of: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<String>, String> {
    let mut prompts = Vec::new();
    let longest = u64::try_from(most.saturating_add(ROOM_AROUND)).unwrap_or(u64::MAX);
    for number in 1_usize.. {
        let mut line = Vec::new();
        let read = reader.by_ref().take(longest).read_until(b'\n', &mut line);
        if read.map_err(|error| format!("line {number} cannot be read: {error}"))? == 0 {
            break;
        }
        let line = std::str::from_utf8(&line)
            .map_err(|_| format!("line {number} is not UTF-8, or longer than {longest} bytes"))?;
        let line = if number == 1 {
            line.trim_start_matches('\u{feff}')
        } else {
            line
        };
        if line.trim().is_empty() {
            continue;
        }
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let prompt = prompt_of(line).map_err(|error| format!("line {number}: {error}"))?;
        take(&mut prompts, prompt, number, most)?;
    }
    Ok(prompts)
}

/// What a line of JSON may be.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Text(String),
    Object { prompt: String },
}

fn json_prompt(line: &str) -> Result<String, String> {
    // The first answer says where the JSON is broken, the second what is missing in it.
    let value: serde_json::Value =
        serde_json::from_str(line).map_err(|error| format!("is not JSON: {error}"))?;
    match Line::deserialize(value) {
        Ok(Line::Text(prompt) | Line::Object { prompt }) => Ok(prompt),
        Err(_) => Err("must be a string, or an object whose `prompt` is one".to_owned()),
    }
}

fn of_table(reader: impl Read, most: usize) -> Result<Vec<String>, String> {
    let mut table = csv::Reader::from_reader(reader);
    let header = table.headers().map_err(|error| error.to_string())?;
    let is_prompt = |name: &str| name.trim_start_matches('\u{feff}').trim() == "prompt";
    let Some(column) = header.iter().position(is_prompt) else {
        return Err("has no column `prompt`; its first line names the columns".to_owned());
    };
    let mut prompts = Vec::new();
    let mut row = csv::StringRecord::new();
    loop {
        let number = usize::try_from(table.position().line()).unwrap_or(usize::MAX);
        let is_row = table
            .read_record(&mut row)
            .map_err(|error| format!("line {number}: {error}"))?;
        if !is_row {
            return Ok(prompts);
        }
        let prompt = row.get(column).unwrap_or_default().to_owned();
        take(&mut prompts, prompt, number, most)?;
    }
}

fn take(
    prompts: &mut Vec<String>,
    prompt: String,
    number: usize,
    most: usize,
) -> Result<(), String> {
    if prompt.trim().is_empty() {
        return Err(format!("line {number}: the prompt is empty"));
    }
    if prompt.len() > most {
        let bytes = prompt.len();
        return Err(format!(
            "line {number}: the prompt has {bytes} bytes; at most {most} are allowed"
        ));
    }
    if prompts.len() == MOST_PROMPTS {
        return Err(format!("has more than {MOST_PROMPTS} prompts"));
    }
    prompts.push(prompt);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 40;

    fn lines(text: &str) -> Result<Vec<String>, String> {
        of_lines(text.as_bytes(), MOST, |line| Ok(line.to_owned()))
    }

    fn json(text: &str) -> Result<Vec<String>, String> {
        of_lines(text.as_bytes(), MOST, json_prompt)
    }

    fn table(text: &str) -> Result<Vec<String>, String> {
        of_table(text.as_bytes(), MOST)
    }

    #[test]
    fn every_form_has_its_prompts() {
        let expected = Ok(vec!["why, sky".to_owned(), "be\"cause".to_owned()]);
        assert_eq!(lines("\u{feff}why, sky\r\n\n  \nbe\"cause"), expected);
        assert_eq!(
            json("{\"id\":4,\"prompt\":\"why, sky\"}\n\n\"be\\\"cause\"\n"),
            expected
        );
        assert_eq!(
            table("id,prompt\n1,\"why, sky\"\n2,\"be\"\"cause\"\n"),
            expected
        );
        assert_eq!(table("prompt\n\"a\nb\"\n"), Ok(vec!["a\nb".to_owned()]));
        assert_eq!(lines(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_broken_is_named_by_its_line() {
        let begins = |found: Result<Vec<String>, String>, words: &str| {
            let error = found.unwrap_err();
            assert!(error.starts_with(words), "{error}");
        };
        begins(json("\"a\"\n\n{\"prompt\": 3}"), "line 3: must be a string");
        begins(json("\"a\"\n{\"prompt\": \"b\""), "line 2: is not JSON");
        begins(json("{\"text\": \"b\"}"), "line 1: must be a string");
        begins(json("\"a\"\n\"  \""), "line 2: the prompt is empty");
        begins(
            lines(&format!("a\n{}", "b".repeat(41))),
            "line 2: the prompt has 41 bytes",
        );
        begins(
            of_lines(&b"a\n\xff\xfe\n"[..], MOST, |line| Ok(line.to_owned())),
            "line 2 is not UTF-8",
        );
        begins(table("text\na\n"), "has no column `prompt`");
        begins(table("prompt,x\na,1\nb\n"), "line 3: ");
        begins(table("x,prompt\n1,a\n2,\n"), "line 3: the prompt is empty");
        begins(table(""), "has no column `prompt`");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn prompts_come_back_as_they_were_written(
            prompts in proptest::collection::vec("[^\\s][ -~äß\n\"]{0,18}", 1..9)
        ) {
            let object = |text: &String| serde_json::json!({"prompt": text}).to_string();
            let written: Vec<String> = prompts.iter().map(object).collect();
            prop_assert_eq!(json(&written.join("\n")), Ok(prompts.clone()));
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["n", "prompt"]).unwrap();
            for prompt in &prompts {
                writer.write_record(["1", prompt]).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(table(&text).ok(), Some(prompts));
        }

        #[test]
        fn no_file_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = of_lines(bytes.as_slice(), MOST, json_prompt);
            let _ = of_table(bytes.as_slice(), MOST);
        }
    }
}
