//! The sentence that a result begins with: which model was fastest, by how much, and whether that
//! is sure. It says in words what the comparison found and claims nothing beyond it.

use std::cmp::Ordering;

use super::comparison::{Assessment, assess};
use super::difference::{are_alike, output_tokens};
use super::objective::missed_objectives;
use super::participant::{Participant, marked_labels, participants};
use super::selection::Metric;
use super::statistics::distribution;
use super::wording::{count, excerpt, rate, short_list, speed_change, time};
use crate::record::{BenchmarkResponse, BenchmarkResult, Distribution, ErrorCode, Status};

/// Of an error message this much is repeated, characters.
const EXCERPT: usize = 160;

/// A model that has something to show.
struct Contender<'a> {
    label: String,
    successes: Vec<&'a BenchmarkResult>,
}

/// The result of a run in a sentence or two; of a run that goes on, how it stands.
pub fn headline(run: &BenchmarkResponse) -> String {
    match run.status {
        Status::Queued => return queued(run),
        Status::Running => {
            return format!(
                "Running: {} of {} finished.",
                run.results.len(),
                count(run.total_requests as usize, "request")
            );
        }
        _ => {}
    }
    let all = participants(run);
    let mut contenders = Vec::new();
    let mut silent = Vec::new();
    for (it, label) in all.iter().zip(marked_labels(&all)) {
        let successes = it.successes();
        if successes.is_empty() {
            silent.push(label);
        } else {
            contenders.push(Contender { label, successes });
        }
    }
    let mut sentences = vec![match contenders.as_slice() {
        [] => return without_success(run),
        [only] => alone(only),
        several => ranking(several),
    }];
    if !silent.is_empty() {
        sentences.push(format!("{} never succeeded.", short_list(&silent)));
    }
    sentences.extend(remarks(run, &all));
    sentences.join(" ")
}

fn queued(run: &BenchmarkResponse) -> String {
    match run.queue_position {
        Some(place) => format!("Waiting: place {place} in the queue."),
        None => "Waiting in the queue.".to_owned(),
    }
}

fn without_success(run: &BenchmarkResponse) -> String {
    let error = run
        .results
        .iter()
        .filter(|result| !result.warmup)
        .chain(&run.results)
        .filter_map(|result| result.error.as_ref())
        // What was stopped has not failed.
        .find(|error| error.code != ErrorCode::Cancelled);
    match (run.status, error) {
        (_, Some(error)) => format!(
            "No request succeeded; the first failed so: {}",
            excerpt(&error.message, EXCERPT)
        ),
        (Status::Cancelled, None) => "Stopped before a request succeeded.".to_owned(),
        (Status::Interrupted, None) => "The program ended before a request succeeded.".to_owned(),
        (_, None) => "No request succeeded.".to_owned(),
    }
}

fn interval(of: &Distribution) -> Option<(f64, f64)> {
    of.median_low.zip(of.median_high)
}

fn described(contender: &Contender, metric: Metric) -> Distribution {
    distribution(&metric.values(&contender.successes))
}

/// The median of a metric with its interval, in words.
fn said(metric: Metric, of: &Distribution) -> Option<String> {
    let median = of.median?;
    Some(if metric.is_rate() {
        rate(median, interval(of))
    } else {
        time(median, interval(of))
    })
}

fn alone(contender: &Contender) -> String {
    let first = Metric::TimeToFirstChunk;
    let decode = Metric::OutputTokensPerSecond;
    let total = Metric::TotalTime;
    let say = |metric| said(metric, &described(contender, metric));
    let figures: Vec<String> = [
        say(decode),
        say(first).map(|words| format!("first chunk after {words}")),
        say(total)
            .filter(|_| say(decode).is_none())
            .map(|words| format!("done after {words}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let n = contender.successes.len();
    let basis = match n {
        1 => "measured once, so the spread is unknown".to_owned(),
        2..=4 => format!("medians of {}", count(n, "request")),
        _ => format!("medians of {} with 95 % intervals", count(n, "request")),
    };
    if figures.is_empty() {
        return format!("{} answered {}.", contender.label, count(n, "request"));
    }
    format!("{}: {}; {basis}.", contender.label, figures.join(", "))
}

/// Whole times tell which of two is faster only where both wrote about as much.
fn are_equal_work(contenders: &[Contender]) -> bool {
    let tokens: Vec<f64> = contenders
        .iter()
        .filter_map(|it| output_tokens(&it.successes))
        .collect();
    are_alike(&tokens)
}

/// The fastest by decode rate; by total time where a model has no rate.
fn ranking(contenders: &[Contender]) -> String {
    let has = |metric: Metric| {
        contenders
            .iter()
            .all(|it| !metric.values(&it.successes).is_empty())
    };
    let metric = if has(Metric::OutputTokensPerSecond) {
        Metric::OutputTokensPerSecond
    } else if has(Metric::TotalTime) && are_equal_work(contenders) {
        Metric::TotalTime
    } else {
        let labels: Vec<&str> = contenders.iter().map(|it| it.label.as_str()).collect();
        if has(Metric::TotalTime) {
            return format!(
                "{} answered at different lengths, and the rate is not known of all: whole times \
                 cannot rank them.",
                short_list(&labels)
            );
        }
        return format!(
            "{} answered, but not enough is known of their times to rank them.",
            short_list(&labels)
        );
    };
    let mut ranked: Vec<(&Contender, Distribution)> = contenders
        .iter()
        .map(|it| (it, described(it, metric)))
        .collect();
    ranked.sort_by(|(_, a), (_, b)| {
        let order = a.median.partial_cmp(&b.median).unwrap_or(Ordering::Equal);
        if metric.is_rate() {
            order.reverse()
        } else {
            order
        }
    });
    let Some(((winner, figures), others)) = ranked.split_first() else {
        return String::new();
    };
    let figure = said(metric, figures).unwrap_or_default();
    let assessed: Vec<(&str, Assessment)> = others
        .iter()
        .map(|(other, _)| {
            let assessment = assess(metric, &other.successes, &winner.successes);
            (other.label.as_str(), assessment)
        })
        .collect();
    verdict(&winner.label, metric, &figure, &assessed)
}

/// `others` are ordered from the best on; each is the baseline of its assessment.
fn verdict(winner: &str, metric: Metric, figure: &str, others: &[(&str, Assessment)]) -> String {
    let unsure: Vec<&(&str, Assessment)> = others
        .iter()
        .filter(|(_, assessment)| assessment.speed().is_none())
        .collect();
    let what = if metric.is_rate() {
        "tokens a second"
    } else {
        "total time"
    };
    // The one that is hardest to tell apart decides how much is missing.
    let hardest = unsure
        .iter()
        .max_by_key(|(_, assessment)| assessment.repetitions_needed().unwrap_or(usize::MAX));
    if let Some((_, assessment)) = hardest {
        let names: Vec<&str> = unsure.iter().map(|(label, _)| *label).collect();
        return format!(
            "{winner} came first by {what}, {figure}, but cannot be told apart from {}: {}.",
            short_list(&names),
            assessment.doubt()
        );
    }
    let lead = others
        .first()
        .and_then(|(label, assessment)| Some(speed_change(assessment.speed()?, Some(label))))
        .unwrap_or_default();
    format!("{winner} was surely fastest by {what}: {figure}, {lead}.")
}

/// What has to be known before the sentence is quoted.
fn remarks(run: &BenchmarkResponse, all: &[Participant]) -> Vec<String> {
    let mut remarks = Vec::new();
    let failed: usize = all.iter().map(Participant::failed).sum();
    if failed > 0 {
        let measured = run.results.iter().filter(|r| r.is_measured()).count();
        remarks.push(format!(
            "{failed} of {} failed.",
            count(measured, "request")
        ));
    }
    remarks.extend(decision(run));
    let missed = missed_objectives(run);
    if missed > 0 {
        let all = run.summary.iter().map(|one| one.objectives.len()).sum();
        remarks.push(format!(
            "{missed} of {} {} missed.",
            count(all, "objective"),
            if missed == 1 { "was" } else { "were" }
        ));
    }
    if run
        .results
        .iter()
        .any(|it| it.contended && it.is_measured())
    {
        remarks.push(
            if run.request.load.is_some() {
                "Requests went on at once and slowed each other."
            } else {
                "The models ran at once and slowed each other."
            }
            .to_owned(),
        );
    }
    match run.status {
        Status::Cancelled => remarks.push("The run was stopped early.".to_owned()),
        Status::Interrupted => remarks.push("The program ended before the run did.".to_owned()),
        _ => {}
    }
    remarks
}

/// After how many repetitions it was decided, or that it was not.
fn decision(run: &BenchmarkResponse) -> Option<String> {
    let ended = run.status == Status::Completed || run.status == Status::Partial;
    // What was cut short, or has nobody to decide between, decided nothing.
    let answered = participants(run)
        .iter()
        .filter(|it| !it.successes().is_empty())
        .count();
    if !run.request.until_decided || !ended || run.status_reason.is_some() || answered < 2 {
        return None;
    }
    let measured = run.results.iter().filter(|it| it.is_measured());
    let repetitions = measured.map(|it| it.repetition).max()?;
    Some(if repetitions < run.request.repetitions {
        format!(
            "It was decided after {}.",
            count(repetitions as usize, "repetition")
        )
    } else {
        format!(
            "The {} that it may have are used up.",
            count(repetitions as usize, "repetition")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fixture::{at_rates, failed, run};

    #[track_caller]
    fn check(run: &BenchmarkResponse, sentence: &str) {
        assert_eq!(headline(run), sentence);
    }

    fn race(a: &[f64], b: &[f64]) -> BenchmarkResponse {
        let mut results = at_rates("a", a);
        results.extend(at_rates("b", b));
        run(&["a", "b"], results)
    }

    #[test]
    fn a_sure_winner_is_named_with_its_lead() {
        check(
            &race(
                &[10.0, 10.1, 9.9, 10.2, 9.8, 10.0],
                &[12.0, 12.1, 11.9, 12.2, 11.8, 12.0],
            ),
            "b was surely fastest by tokens a second: 12.0 tokens/s (11.9 to 12.1), 20 % faster than a (18 % to 22 %).",
        );
    }

    #[test]
    fn what_is_not_sure_is_said_so() {
        check(
            &race(&[10.0, 11.0, 12.0], &[10.5, 11.5, 12.5]),
            "b came first by tokens a second, 12 tokens/s, but cannot be told apart from a: about 45 more repetitions needed.",
        );
        check(
            &race(&[10.0], &[12.0]),
            "b came first by tokens a second, 12 tokens/s, but cannot be told apart from a: about 5 more repetitions needed.",
        );
    }

    #[test]
    fn without_rates_total_time_decides() {
        let mut run = race(&[10.0; 5], &[20.0; 5]);
        run.results[0].throughput.output_tokens_per_second = None;
        for result in &mut run.results[1..5] {
            result.throughput.output_tokens_per_second = None;
        }
        check(
            &run,
            "b was surely fastest by total time: 5.500 s, 91 % faster than a.",
        );
    }

    #[test]
    fn unequal_answers_are_not_ranked_by_whole_times() {
        let mut run = race(&[10.0; 5], &[20.0; 5]);
        for result in &mut run.results[..5] {
            result.throughput.output_tokens_per_second = None;
            result.throughput.output_tokens = Some(1);
        }
        check(
            &run,
            "a and b answered at different lengths, and the rate is not known of all: whole times cannot rank them.",
        );
    }

    #[test]
    fn of_many_only_a_few_are_named() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let results = names.iter().flat_map(|name| at_rates(name, &[10.0]));
        let run = run(&names, results.collect());
        let sentence = headline(&run);
        assert!(
            sentence.contains("apart from b, c, d and 2 others:"),
            "{sentence}"
        );
    }

    #[test]
    fn a_request_that_was_stopped_has_not_failed() {
        let mut stopped = failed("a");
        if let Some(error) = &mut stopped.error {
            error.code = ErrorCode::Cancelled;
        }
        let mut alone = run(&["a"], vec![stopped.clone()]);
        alone.status = Status::Cancelled;
        check(&alone, "Stopped before a request succeeded.");
        let mut results = at_rates("a", &[10.0]);
        results.push(stopped);
        let mut run = run(&["a"], results);
        run.status = Status::Cancelled;
        let sentence = headline(&run);
        assert!(!sentence.contains("failed"), "{sentence}");
    }

    #[test]
    fn one_model_is_described() {
        let rates = [10.0, 10.1, 9.9, 10.2, 9.8];
        check(
            &run(&["a"], at_rates("a", &rates)),
            "a: 10.0 tokens/s (9.8 to 10.2), first chunk after 500.0 ms; medians of 5 requests with 95 % intervals.",
        );
        check(
            &run(&["a"], at_rates("a", &[10.0])),
            "a: 10 tokens/s, first chunk after 500 ms; measured once, so the spread is unknown.",
        );
    }

    #[test]
    fn synthetic_models_and_failures_are_marked() {
        let mut results = at_rates("steady", &[10.0, 10.0]);
        results.push(failed("b"));
        let mut run = run(&["steady", "b"], results);
        run.environment.models[0].synthetic = true;
        run.results[0].contended = true;
        run.status = Status::Cancelled;
        check(
            &run,
            "steady (synthetic): 10 tokens/s, first chunk after 500 ms; medians of 2 requests. b never succeeded. 1 of 3 requests failed. The models ran at once and slowed each other. The run was stopped early.",
        );
    }

    #[test]
    fn runs_without_a_success_say_why() {
        let mut failing = run(&["a"], vec![failed("a")]);
        failing.status = Status::Failed;
        check(
            &failing,
            "No request succeeded; the first failed so: out of memory",
        );
        let mut stopped = run(&["a"], Vec::new());
        stopped.status = Status::Cancelled;
        check(&stopped, "Stopped before a request succeeded.");
        stopped.status = Status::Interrupted;
        check(&stopped, "The program ended before a request succeeded.");
    }

    #[test]
    fn runs_that_go_on_say_how_they_stand() {
        let mut going = run(&["a"], at_rates("a", &[10.0]));
        going.total_requests = 3;
        going.status = Status::Running;
        check(&going, "Running: 1 of 3 requests finished.");
        going.status = Status::Queued;
        check(&going, "Waiting in the queue.");
        going.queue_position = Some(2);
        check(&going, "Waiting: place 2 in the queue.");
    }
}
