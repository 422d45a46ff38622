//! A session of the agents as Markdown, for people to read. What users and models wrote stands in fences that
//! it cannot end, so that nothing of it is taken for a part of this text.

use std::fmt::Write;

use crate::record::{NovaCheckpoint, NovaStep, NovaTurn};

/// A whole session: its title, what was asked and answered, and what each step cost.
pub fn session(checkpoint: &NovaCheckpoint) -> String {
    let session = &checkpoint.session;
    let title = Some(line(&session.title)).filter(|it| !it.is_empty());
    let mut text = format!("# {}\n\n", title.unwrap_or_else(|| "Session".into()));
    let _ = writeln!(text, "- Session: `{}`", session.id);
    let _ = writeln!(text, "- Begun: {}", moment(session.created_at));
    if let Some(model) = &session.model {
        let _ = writeln!(text, "- Model: {}", line(model));
    }
    if let Some(fork) = &session.forked_from {
        let from = fork.session_id.as_ref();
        let from = from.map_or("another one".into(), |id| format!("`{id}`"));
        let _ = writeln!(text, "- Branched off: {from}, after turn {}", fork.turn);
    }
    if let Some(summary) = &session.summary {
        let _ = write!(
            text,
            "\n## What turns 1 to {} came to\n\n{}",
            summary.through,
            fenced(&summary.text)
        );
    }
    for turn in &checkpoint.turns {
        write_turn(&mut text, turn);
    }
    if !checkpoint.memory.is_empty() {
        text.push_str("\n## What only this session remembers\n");
        for document in &checkpoint.memory {
            let _ = write!(text, "\n{}", fenced(&document.text));
        }
    }
    text
}

fn moment(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn write_turn(text: &mut String, turn: &NovaTurn) {
    let response = &turn.response;
    let _ = write!(
        text,
        "\n## Turn {}\n\n{}, {}, pipeline `{}`",
        turn.number,
        moment(turn.timestamp),
        response.status.as_str(),
        turn.pipeline.as_str(),
    );
    if let Some(wall) = response.metrics.wall_time {
        let _ = write!(text, ", {wall:.2} s");
    }
    let _ = write!(text, "\n\n### Prompt\n\n{}", fenced(&turn.request.prompt));
    let _ = write!(text, "\n### Answer\n\n{}", fenced(&response.text));
    if let Some(reason) = &response.status_reason {
        let _ = write!(text, "\nEnded so because {}.\n", line(reason));
    }
    if let Some(error) = &response.error {
        let _ = write!(text, "\nFailed: {}\n", line(&error.message));
    }
    for question in &response.questions {
        let _ = write!(text, "\nQuestion to the user: {}\n", line(question));
    }
    if response.steps.is_empty() {
        return;
    }
    text.push_str(
        "\n### Steps\n\n| step | agent | stage | model | s | prompt tokens | output tokens | tokens/s | remarks \
         |\n|---:|---|---|---|---:|---:|---:|---:|---|\n",
    );
    for step in &response.steps {
        write_row(text, step);
    }
    for step in response.steps.iter().filter(|it| it.model.is_some()) {
        let _ = write!(
            text,
            "\n<details><summary>Step {}: {}</summary>\n\nTold:\n\n{}\nWritten:\n\n{}\n</details>\n",
            step.number,
            line(&step.agent_name),
            fenced(&step.input),
            fenced(&step.output),
        );
    }
}

fn write_row(text: &mut String, step: &NovaStep) {
    let tokens = &step.throughput;
    let count = |it: Option<u64>| it.map(|it| it.to_string()).unwrap_or_default();
    let rate = tokens.output_tokens_per_second;
    let rate = rate.map(|it| format!("{it:.1}")).unwrap_or_default();
    let mut agent = line(&step.agent_name);
    if let Some(iteration) = step.iteration {
        let _ = write!(agent, " {iteration}");
    }
    let mut remarks: Vec<String> = step.notes.iter().map(|it| line(it)).collect();
    if let Some(error) = &step.error {
        remarks.push(line(&error.message));
    }
    let model = step.asked_model().unwrap_or_default();
    let _ = writeln!(
        text,
        "| {} | {agent} | {} | {} | {:.2} | {} | {} | {rate} | {} |",
        step.number,
        step.stage.as_str(),
        line(&model),
        step.elapsed_time_ms / 1e3,
        count(tokens.prompt_tokens),
        count(tokens.output_tokens),
        remarks.join("; "),
    );
}

/// A text in one line, in which no sign means anything to Markdown.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut shown = String::new();
    for sign in words.join(" ").chars().filter(|it| !it.is_control()) {
        if "\\`*_{}[]()<>#+!|~&".contains(sign) {
            shown.push('\\');
        }
        shown.push(sign);
    }
    shown
}

/// A text as it is, within a fence longer than any in it.
fn fenced(text: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for sign in text.chars() {
        run = if sign == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest.max(2) + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    // A lone carriage return is an end of a line in Markdown, too.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    format!("{fence}text\n{text}{end}{fence}\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_means_nothing_to_markdown() {
        assert_eq!(line("a\n# b | <i>*c*"), r"a \# b \| \<i\>\*c\*");
        assert_eq!(line("[x](y) `z`\u{7}"), r"\[x\]\(y\) \`z\`");
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        assert_eq!(fenced("a"), "```text\na\n```\n");
        assert_eq!(fenced("````\nb\n"), "`````text\n````\nb\n`````\n");
        assert_eq!(fenced("a\r```\rb"), "````text\na\n```\nb\n````\n");
    }

    proptest! {
        #[test]
        fn no_text_ends_its_own_fence(text in "[`a\n\r ]{0,40}") {
            let shown = fenced(&text);
            let fence = &shown[..shown.find("text").unwrap()];
            let inner = &shown[fence.len()..shown.len() - fence.len() - 1];
            prop_assert!(!inner.contains(fence));
            let end = format!("\n{fence}\n");
            prop_assert!(shown.ends_with(&end));
        }
    }
}
