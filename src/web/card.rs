//! A run as a picture to be shared: the sentence, and the decode rate of each model as a bar with its
//! interval. Its size is that of previews of links.

use poem::web::{Data, Path};
use poem::{Response, handler};
use serde::Serialize;
use serde_json::{Value, json};

use super::{figures, page, report, result, runs};
use crate::api::Problem;
use crate::app::App;
use crate::measure;
use crate::record::{BenchmarkResponse, ModelSummaryStatistics, synthetic_mark};

/// Letters that fit on a line of the sentence; those of a proportional font are of unlike width, so this is
/// on the safe side.
const LINE: usize = 56;
/// Lines of the sentence.
const MOST_LINES: usize = 4;
/// Models that have a bar.
const MOST_BARS: usize = 5;
/// Letters of a model's name, of one that is marked as synthetic, and of the line below.
const NAME: usize = 34;
const SYNTHETIC_NAME: usize = 21;
const ABOUT: usize = 110;
/// Where bars begin, and how long the longest is.
const BAR_LEFT: f64 = 430.0;
const BAR_LENGTH: f64 = 340.0;
/// Where the first bar stands, and how far it is to the next.
const BARS_TOP: f64 = 290.0;
const BAR_STEP: f64 = 56.0;

#[derive(Debug, PartialEq, Serialize)]
struct Bar {
    index: usize,
    label: String,
    y: f64,
    width: f64,
    /// Ends of the median's interval.
    interval: Option<(f64, f64)>,
    rate: String,
    first: String,
}

#[handler]
pub async fn view(app: Data<&App>, Path(text): Path<String>) -> Result<Response, Problem> {
    let run = report::ended(&app, &runs::id(&text)?).await?;
    let picture = page::text("card.html", values(&run))?;
    Ok(Response::builder()
        .content_type("image/svg+xml")
        .body(picture))
}

/// Everything that the picture shows.
fn values(run: &BenchmarkResponse) -> Value {
    let bars = bars(run);
    let left_out = run.summary.len().saturating_sub(MOST_BARS);
    json!({
        "headline": lines(&measure::headline(run)),
        "title": figures::excerpt(&result::title(run), 70),
        "bars": bars,
        "left": BAR_LEFT,
        "right": BAR_LEFT + BAR_LENGTH,
        "left_out": (left_out > 0 && !bars.is_empty()).then_some(left_out),
        "about": about(run),
        "timestamp": run.timestamp,
        "grade": run.validity.grade,
    })
}

/// A text in lines, its end left out where it is too long.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < LINE => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(figures::excerpt(word, LINE)),
        }
    }
    if lines.len() > MOST_LINES {
        lines.truncate(MOST_LINES);
        if let Some(last) = lines.last_mut() {
            last.push('…');
        }
    }
    lines
}

fn bars(run: &BenchmarkResponse) -> Vec<Bar> {
    let median = |it: &ModelSummaryStatistics| it.output_tokens_per_second.median;
    let ends = |it: &ModelSummaryStatistics| {
        let of = &it.output_tokens_per_second;
        of.median_low.zip(of.median_high)
    };
    let shown = || run.summary.iter().take(MOST_BARS);
    let most = shown()
        .filter_map(|it| ends(it).map(|ends| ends.1).or(median(it)))
        .fold(0.0_f64, f64::max);
    if most <= 0.0 {
        return Vec::new();
    }
    let long = |rate: f64| (rate / most * BAR_LENGTH * 10.0).round() / 10.0;
    let labels = result::labels(run);
    let mut y = BARS_TOP - BAR_STEP;
    let bar = |(index, it): (usize, &ModelSummaryStatistics)| {
        y += BAR_STEP;
        let mut models = run.environment.models.iter().zip(&labels);
        let known =
            models.find(|(model, _)| model.model == it.model && model.backend == it.backend);
        let label = known.map_or(&it.model, |(_, label)| label);
        let label = match known {
            Some((model, _)) if model.synthetic => {
                figures::excerpt(label, SYNTHETIC_NAME) + synthetic_mark(true)
            }
            _ => figures::excerpt(label, NAME),
        };
        Bar {
            index,
            label,
            y,
            width: median(it).map_or(0.0, long),
            interval: ends(it).map(|(low, high)| (long(low), long(high))),
            rate: figures::rate(median(it), "tokens/s"),
            first: figures::seconds(it.time_to_first_chunk.median),
        }
    };
    shown().enumerate().map(bar).collect()
}

/// On what it was measured.
fn about(run: &BenchmarkResponse) -> String {
    let machine = &run.system_info;
    let gpu = machine.gpu.iter().filter_map(|it| it.name.clone());
    let processor = Some(machine.processor.clone()).filter(|it| !it.is_empty());
    let parts: Vec<String> = processor.into_iter().chain(gpu).collect();
    figures::excerpt(&parts.join(", "), ABOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_broken_between_words_and_ends_in_time() {
        let broken = lines(&"word ".repeat(30));
        assert!(broken.iter().all(|line| line.chars().count() <= LINE));
        assert_eq!(broken.join(" "), ["word"; 30].join(" "));
        let endless = lines(&"word ".repeat(300));
        assert_eq!(endless.len(), MOST_LINES);
        assert!(endless[MOST_LINES - 1].ends_with("word…"));
        let one = lines(&"ä".repeat(500));
        assert_eq!(one.len(), 1);
        assert!(one[0].chars().count() <= LINE + 1, "{}", one[0]);
        assert!(lines("").is_empty());
    }
}
