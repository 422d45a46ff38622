//! What the page of a finished run shows of machines: whose samples, stalls and what moved then, energy,
//! and where models lay.

use serde::Serialize;
use serde_json::{Value, json};

use super::charts::Machine;
use super::figures;
use crate::measure::Stall;
use crate::record::{BenchmarkResponse, EnergySummary, Location, ModelEnvironment, Placement};

/// Around a stall so much is drawn when it is looked at closer, s.
const MARGIN: f64 = 2.0;

/// Less on the CPU is the part of a model that always is, percent.
const NOTHING: f64 = 0.5;

/// So many models are named one by one.
const MOST_NAMED: usize = 3;

/// A stall as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    number: usize,
    label: String,
    index: usize,
    what: String,
    at: f64,
    duration: f64,
    usual: f64,
    is_end: bool,
    causes: Vec<String>,
    movements: Vec<Moved>,
    /// The part of the run around it.
    from: String,
    to: String,
}

/// A figure that was not as usual.
#[derive(Debug, Serialize)]
struct Moved {
    name: String,
    usual: String,
    then: String,
}

/// The machines of a run, this one first.
pub fn machines(run: &BenchmarkResponse) -> Vec<Machine> {
    let here = run.samples.iter().map(|samples| Machine {
        name: "this machine".to_owned(),
        items: samples.items.clone(),
    });
    let there = run
        .remote_samples
        .iter()
        .filter(|it| !it.samples.items.is_empty());
    let there = there.map(|told| Machine {
        name: told.backend.clone(),
        items: told.samples.items.clone(),
    });
    here.chain(there).collect()
}

/// Stalls for the page.
pub fn stalls(stalls: &[Stall]) -> Value {
    let shown = stalls.iter().zip(1..).map(|(stall, number)| Shown {
        number,
        label: stall.label.clone(),
        index: stall.index,
        what: if stall.warmup {
            format!("warm-up {}", stall.repetition)
        } else {
            format!("repetition {}", stall.repetition)
        },
        at: stall.from,
        duration: stall.to - stall.from,
        usual: stall.usual,
        is_end: stall.is_end,
        causes: stall.causes.clone(),
        movements: stall
            .movements
            .iter()
            .map(|it| Moved {
                name: it.name.clone(),
                usual: with_unit(it.usual, it.unit),
                then: with_unit(it.then, it.unit),
            })
            .collect(),
        from: format!("{:.2}", (stall.from - MARGIN).max(0.0)),
        to: format!("{:.2}", stall.to + MARGIN),
    });
    json!(shown.collect::<Vec<_>>())
}

fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", figures::significant(value))
        .trim_end()
        .to_owned()
}

/// Energy of the models that it is known of, and why not of the others.
pub fn energy(run: &BenchmarkResponse, labels: &[String]) -> Value {
    let known = |it: &EnergySummary| it.joules.is_some();
    let all = run.summary.iter().zip(labels);
    let all = all.filter_map(|(one, label)| Some((label, one.energy.as_ref()?)));
    let (rows, unknown): (Vec<_>, Vec<_>) = all.partition(|(_, energy)| known(energy));
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|(label, it)| {
            json!({
                "label": label,
                "token": unit(it.joules_per_output_token, "J"),
                "net_token": unit(it.net_joules_per_output_token, "J"),
                "request": unit(it.joules_per_request, "J"),
                "watts": unit(it.mean_watts, "W"),
                "idle": unit(it.idle_watts, "W"),
                "gpu": unit(it.gpu_joules, "J"),
                "cpu": unit(it.cpu_joules, "J"),
                "cost": money(it.cost_per_million_output_tokens, it.currency.as_deref()),
            })
        })
        .collect();
    let unknown = unknown
        .into_iter()
        .map(|(label, it)| (label.as_str(), it.reason.as_deref().unwrap_or_default()));
    let reasons = unknown_energy(unknown.collect(), labels.len());
    json!({ "rows": rows, "reasons": reasons })
}

/// Why energy is not known, each reason once: of some models by name, of many by their number.
fn unknown_energy(unknown: Vec<(&str, &str)>, models: usize) -> Vec<String> {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for (label, reason) in unknown {
        match by_reason.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, labels)) => labels.push(label),
            None => by_reason.push((reason, vec![label])),
        }
    }
    let told = by_reason.into_iter().map(|(reason, labels)| {
        let whose = match labels.len() {
            all if all == models => String::new(),
            1..=MOST_NAMED => format!(" of {}", labels.join(" and ")),
            many => format!(" of {many} models"),
        };
        format!("Energy{whose} is not known: {reason}.")
    });
    told.collect()
}

fn unit(value: Option<f64>, unit: &str) -> Option<String> {
    value.map(|value| with_unit(value, unit))
}

fn money(value: Option<f64>, currency: Option<&str>) -> Option<String> {
    value.map(|value| with_unit(value, currency.unwrap_or_default()))
}

/// Where a model lay, where the reader must see it: part of it, or all, on the CPU.
pub fn placement_badge(run: &BenchmarkResponse, model: &ModelEnvironment) -> Option<String> {
    let share = placement(run, model)?
        .cpu_percent
        .filter(|share| *share > NOTHING)?;
    Some(format!("{} on CPU", figures::percent(Some(share))))
}

/// The newest that is known of where a model lay.
pub fn placement<'a>(
    run: &'a BenchmarkResponse,
    model: &'a ModelEnvironment,
) -> Option<&'a Placement> {
    let own = run.results.iter().rev();
    let mut own = own.filter(|it| it.model == model.model && it.backend == model.backend);
    let known = model.placement_after.as_ref();
    let known = known.or_else(|| own.find_map(|it| it.placement.as_ref()));
    known.filter(|_| !model.synthetic)
}

/// What has to be said of models that run elsewhere.
pub fn elsewhere(run: &BenchmarkResponse) -> Vec<String> {
    let mut backends: Vec<&str> = Vec::new();
    for model in &run.environment.models {
        if model.location == Location::Remote && !backends.contains(&model.backend.as_str()) {
            backends.push(&model.backend);
        }
    }
    let said = backends.into_iter().map(|backend| {
        let told = run.remote_samples.iter().find(|it| it.backend == backend);
        match told {
            None => format!(
                "Models of {backend} are served by another machine. What is shown of this machine is that of the one that measured; an agent there would tell of the other."
            ),
            Some(told) => {
                let host = told.host.as_deref().unwrap_or("without a name");
                let clock = match told.clock_offset.zip(told.clock_error) {
                    Some((offset, error)) => format!(
                        " Its clock stands {} {} this one's; that was taken out, to within {}.",
                        figures::seconds(Some(offset.abs())),
                        if offset < 0.0 { "behind" } else { "before" },
                        figures::seconds(Some(error)),
                    ),
                    None => String::new(),
                };
                let error = told.error.as_ref().map(|error| format!(" Then: {error}."));
                format!(
                    "Models of {backend} are served by another machine ({host}), as the agent there told.{clock}{}",
                    error.unwrap_or_default()
                )
            }
        }
    });
    said.collect()
}

/// What looking at the machines took, and what could not be read.
pub fn sampling(run: &BenchmarkResponse) -> Value {
    let samples = run.samples.as_ref();
    let cost = samples.and_then(|it| it.cost);
    json!({
        "looks": samples.map(|it| it.items.len()),
        "interval": samples.map(|it| it.interval),
        "core_percent": cost.and_then(|it| it.core_percent),
        "longest_look": cost.map(|it| it.longest_look),
        "remarks": samples.map(|it| &it.remarks),
    })
}

#[cfg(test)]
mod tests {
    use super::unknown_energy;

    #[test]
    fn a_reason_is_told_once() {
        let told = |labels: &[&'static str], models| {
            unknown_energy(labels.iter().map(|it| (*it, "no meter")).collect(), models)
        };
        assert_eq!(told(&["a"], 1), ["Energy is not known: no meter."]);
        assert_eq!(
            told(&["a", "b", "c", "d"], 4),
            ["Energy is not known: no meter."]
        );
        assert_eq!(
            told(&["a", "b"], 4),
            ["Energy of a and b is not known: no meter."]
        );
        assert_eq!(
            told(&["a", "b", "c", "d"], 5),
            ["Energy of 4 models is not known: no meter."]
        );
        let two = unknown_energy(vec![("a", "no meter"), ("b", "elsewhere")], 2);
        assert_eq!(two.len(), 2);
    }
}
