//! The form of a benchmark: its fields, what each says, and the request that it makes.
//!
//! Everything travels as the text that was typed, so that a form with a mistake comes back whole.
//! A field is called as its JSON pointer in the request, without the first slash; that is how the
//! API's messages find the field that they speak of. The rules themselves are the request's own.

pub mod fields;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use self::fields::{Field, GROUPS, Group, Kind, LOAD, PARAMETERS};
use super::form::Fields;
use crate::record::{
    BenchmarkRequest, Cooldown, Execution, FieldError, KeepAlive, Load, LoadPattern, Parameters,
    Synthetic, Think, ThinkLevel,
};

/// What the prompt says before anyone wrote one: long enough an answer to time, and no trick.
const PROMPT: &str = "Explain in about 150 words why the sky is blue at noon and red at sunset.";

/// What is wrong, by the name of the field.
pub type Messages = BTreeMap<String, Vec<String>>;

/// A group as the page shows it.
#[derive(Debug, Serialize)]
pub struct ShownGroup {
    title: &'static str,
    /// Something in it is wrong, or not as it was at first.
    open: bool,
    fields: Vec<ShownField>,
}

#[derive(Debug, Serialize)]
struct ShownField {
    #[serde(flatten)]
    field: Field,
    id: String,
    value: String,
    errors: Vec<String>,
}

/// The form before anyone touched it.
pub fn untouched() -> Fields {
    let mut fields = Fields::default();
    fields.set("prompt", PROMPT);
    for field in GROUPS.iter().flat_map(|group| group.fields) {
        fields.set(field.name, field.default);
    }
    fields
}

/// The groups of this form with what was typed and what is wrong.
pub fn groups(fields: &Fields, errors: &Messages) -> Vec<ShownGroup> {
    shown(&GROUPS, fields, errors)
}

/// Groups of any form with what was typed and what is wrong.
pub fn shown(groups: &[Group], fields: &Fields, errors: &Messages) -> Vec<ShownGroup> {
    let shown = |field: &Field| ShownField {
        field: *field,
        id: field.name.replace('/', "-"),
        value: fields.text(field.name).to_owned(),
        errors: errors.get(field.name).cloned().unwrap_or_default(),
    };
    groups
        .iter()
        .map(|group| {
            let fields: Vec<ShownField> = group.fields.iter().map(shown).collect();
            let is_touched = |it: &ShownField| it.value.trim() != it.field.default;
            ShownGroup {
                title: group.title,
                open: fields
                    .iter()
                    .any(|it| !it.errors.is_empty() || is_touched(it)),
                fields,
            }
        })
        .collect()
}

/// Sorts messages to their fields.
pub fn by_field(errors: &[FieldError]) -> Messages {
    let mut messages = Messages::new();
    for error in errors {
        // `/models/2` speaks of a choice in `models`.
        let pointer = error.pointer.trim_start_matches('/');
        let name = pointer
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .trim_end_matches('/');
        let name = match name {
            "" => pointer,
            // What is wrong with the whole stands at the field that decides it.
            "load" => "load/max_requests",
            "synthetic" => "synthetic/tokens",
            name if name.starts_with("cooldown") => "cooldown",
            name => name,
        };
        messages
            .entry(name.to_owned())
            .or_default()
            .push(error.message.clone());
    }
    messages
}

/// The request that the form makes, and which fields could not be read. Those are left out of it.
pub fn read(fields: &Fields) -> (BenchmarkRequest, Vec<FieldError>) {
    let mut reader = Reader::new(fields);
    let load = reader.load();
    let synthetic = reader.synthetic();
    let request = BenchmarkRequest {
        cooldown: reader.cooldown(),
        // In place of the prompt that is there from the first.
        prompt: synthetic
            .is_none()
            .then(|| fields.text("prompt").to_owned()),
        prompts: lines(fields.text("prompts")),
        synthetic,
        replay: None,
        unique_prefix: fields
            .filled("unique_prefix")
            .map(|choice| choice == "true"),
        models: models(fields),
        parameters: reader.parameters(),
        system: fields.filled("system").map(str::to_owned),
        think: fields.filled("think").and_then(think),
        format: reader.format(),
        keep_alive: fields.filled("keep_alive").map(keep_alive),
        // With a load, its own fields say how many requests there are.
        repetitions: if load.is_some() {
            1
        } else {
            reader.count("repetitions")
        },
        warmup: reader.count("warmup"),
        cold_start: fields.filled("cold_start").is_some(),
        execution: execution(fields.text("execution")),
        until_decided: fields.filled("until_decided").is_some(),
        load,
        objectives: lines(fields.text("objectives")),
        timeout: reader.decimal("timeout"),
        run_timeout: reader.decimal("run_timeout"),
        name: fields.filled("name").map(str::to_owned),
        tags: words(fields.text("tags")),
    };
    (request, reader.errors)
}

/// Chosen models, and those named by hand.
pub fn models(fields: &Fields) -> Vec<String> {
    let chosen = fields.all("models").map(str::to_owned);
    chosen
        .chain(words_apart(fields.text("more_models")))
        .collect()
}

fn words(text: &str) -> Vec<String> {
    text.split([' ', ',', '\n', '\t'])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Lines that are not empty.
pub fn lines(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect()
}

/// A model's name may hold a comma.
fn words_apart(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

fn think(text: &str) -> Option<Think> {
    Some(match text {
        "true" => Think::Flag(true),
        "false" => Think::Flag(false),
        "low" => Think::Level(ThinkLevel::Low),
        "medium" => Think::Level(ThinkLevel::Medium),
        "high" => Think::Level(ThinkLevel::High),
        "max" => Think::Level(ThinkLevel::Max),
        _ => return None,
    })
}

fn keep_alive(text: &str) -> KeepAlive {
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| seconds.is_finite());
    seconds.map_or_else(|| KeepAlive::Duration(text.to_owned()), KeepAlive::Seconds)
}

fn execution(text: &str) -> Execution {
    match text {
        "concurrent" => Execution::Concurrent,
        "interleaved" => Execution::Interleaved,
        _ => Execution::Sequential,
    }
}

/// Reads what was typed, and notes what cannot be read.
pub struct Reader<'a> {
    fields: &'a Fields,
    /// What could not be read.
    pub errors: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    /// A reader of these fields.
    pub fn new(fields: &'a Fields) -> Self {
        Self {
            fields,
            errors: Vec::new(),
        }
    }

    fn wrong(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError {
            pointer: format!("/{name}"),
            message: message.into(),
        });
    }

    /// People write a minus as `−` and decimals with a comma.
    fn typed(&self, name: &str) -> Option<String> {
        self.fields
            .filled(name)
            .map(|text| text.replace('−', "-").replace(',', "."))
    }

    /// A number; `None` where nothing was typed.
    pub fn decimal(&mut self, name: &str) -> Option<f64> {
        let text = self.typed(name)?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        if number.is_none() {
            self.wrong(name, format!("`{text}` is not a number"));
        }
        number
    }

    fn whole(&mut self, name: &str) -> Option<i64> {
        let text = self.typed(name)?;
        let number = text.parse::<i64>().ok();
        if number.is_none() {
            self.wrong(name, format!("`{text}` is not a whole number"));
        }
        number
    }

    /// A number that must be there; 0 where it cannot be read.
    pub fn count(&mut self, name: &str) -> u32 {
        if self.fields.filled(name).is_none() {
            self.wrong(name, "give a number");
            return 0;
        }
        let Some(number) = self.whole(name) else {
            return 0;
        };
        u32::try_from(number).unwrap_or_else(|_| {
            self.wrong(name, format!("{number} is out of range"));
            0
        })
    }

    fn cooldown(&mut self) -> Option<Cooldown> {
        match self.typed("cooldown")?.parse() {
            Ok(cooldown) => Some(cooldown),
            Err(message) => {
                self.wrong("cooldown", message);
                None
            }
        }
    }

    fn format(&mut self) -> Option<Value> {
        let text = self.fields.filled("format")?;
        if text == "json" {
            return Some(json!("json"));
        }
        match serde_json::from_str(text) {
            Ok(schema) => Some(schema),
            Err(error) => {
                self.wrong("format", format!("must be json, or a JSON schema: {error}"));
                None
            }
        }
    }

    fn load(&mut self) -> Option<Load> {
        let pattern = match self.fields.text("load/pattern") {
            "closed" => LoadPattern::Closed,
            "constant" => LoadPattern::Constant,
            "poisson" => LoadPattern::Poisson,
            "sweep" => LoadPattern::Sweep,
            _ => return None,
        };
        Some(Load {
            pattern,
            concurrency: self.positive("load/concurrency"),
            rate: self.decimal("load/rate"),
            duration: self.decimal("load/duration"),
            max_requests: self.positive("load/max_requests"),
            seed: self
                .positive("load/seed")
                .map(u64::from)
                .unwrap_or_default(),
        })
    }

    fn synthetic(&mut self) -> Option<Synthetic> {
        let tokens = self.positive("synthetic/tokens")?;
        Some(Synthetic {
            tokens,
            prompts: 1,
            seed: 0,
        })
    }

    /// A whole number that is not negative; `None` where nothing was typed.
    pub fn positive(&mut self, name: &str) -> Option<u32> {
        let number = self.whole(name)?;
        let fits = u32::try_from(number).ok();
        if fits.is_none() {
            self.wrong(name, format!("{number} is out of range"));
        }
        fits
    }

    /// Generation parameters.
    pub fn parameters(&mut self) -> Parameters {
        let mut given = Map::new();
        for field in &PARAMETERS {
            let key = field.name.trim_start_matches("parameters/");
            let value = match field.kind {
                Kind::Decimal => self.decimal(field.name).map(|number| json!(number)),
                Kind::Whole => self.whole(field.name).map(|number| json!(number)),
                Kind::Choice => self
                    .fields
                    .filled(field.name)
                    .map(|text| json!(text == "true")),
                Kind::Area | Kind::Text | Kind::Check => {
                    let lines = self.fields.text(field.name).lines();
                    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
                    (!lines.is_empty()).then(|| json!(lines))
                }
            };
            if let Some(value) = value {
                given.insert(key.to_owned(), value);
            }
        }
        match serde_json::from_value(Value::Object(given)) {
            Ok(parameters) => parameters,
            Err(error) => {
                self.wrong("parameters", error.to_string());
                Parameters::default()
            }
        }
    }
}

/// Whether the form has a place for all of a request: each further prompt on a line, and one made-up
/// prompt; tags without spaces, stop texts without line breaks, seeds of a load that fit; no session.
pub fn has_place(request: &BenchmarkRequest) -> bool {
    let mut more = request.all_prompts().into_iter().skip(1);
    let made_up = request.synthetic;
    let stops = request.parameters.stop.as_deref().unwrap_or_default();
    let seed = request.load.as_ref().map_or(0, |load| load.seed);
    let patience = request.cooldown.and_then(|cooldown| cooldown.at_most);
    more.all(|prompt| !prompt.contains('\n'))
        && !stops.iter().any(|stop| stop.contains('\n'))
        && !request.tags.iter().any(|tag| tag.contains([' ', ',']))
        && u32::try_from(seed).is_ok()
        && patience.is_none()
        && request.replay.is_none()
        && made_up.is_none_or(|it| it.prompts == 1 && it.seed == 0)
}

/// The form that makes this request; of made-up prompts one has a place in it.
pub fn filled(request: &BenchmarkRequest) -> Fields {
    let mut fields = untouched();
    fields.set(
        "prompt",
        request.all_prompts().first().copied().unwrap_or_default(),
    );
    let more: Vec<String> = request
        .all_prompts()
        .iter()
        .skip(1)
        .map(|prompt| prompt.replace('\n', " "))
        .collect();
    fields.set("prompts", more.join("\n"));
    for model in &request.models {
        fields.add("models", model);
    }
    for name in [
        "repetitions",
        "warmup",
        "execution",
        "timeout",
        "run_timeout",
        "keep_alive",
        "system",
        "think",
        "name",
        "unique_prefix",
        "synthetic/tokens",
        "objectives",
    ] {
        fields.set(name, typed(request, name));
    }
    fields.set(
        "until_decided",
        if request.until_decided { "on" } else { "" },
    );
    fields.set("cold_start", if request.cold_start { "on" } else { "" });
    fields.set(
        "cooldown",
        request
            .cooldown
            .map_or_else(String::new, |it| it.to_string()),
    );
    fields.set("tags", request.tags.join(" "));
    fields.set(
        "format",
        match &request.format {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(schema) => schema.to_string(),
        },
    );
    for field in PARAMETERS.iter().chain(&LOAD) {
        fields.set(field.name, typed(request, field.name));
    }
    fields
}

/// A field of the request as it would be typed.
fn typed(request: &BenchmarkRequest, name: &str) -> String {
    let document = serde_json::to_value(request).unwrap_or_default();
    match document.pointer(&format!("/{name}")) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(lines)) => lines
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join("\n"),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_untouched_form_lacks_only_a_model() {
        let (request, errors) = read(&untouched());
        assert_eq!(errors, []);
        assert_eq!((request.repetitions, request.warmup), (3, 1));
        assert_eq!(request.parameters, Parameters::default());
        assert!(request.models.is_empty());
        assert!(
            groups(&untouched(), &Messages::new())
                .iter()
                .all(|group| !group.open)
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_and_nothing_is_lost() {
        let mut fields = untouched();
        fields.set("repetitions", "many");
        fields.set("parameters/temperature", "NaN");
        fields.set("parameters/seed", "1.5");
        fields.set("format", "{");
        let (_, errors) = read(&fields);
        let messages = by_field(&errors);
        let names: Vec<&str> = messages.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "format",
                "parameters/seed",
                "parameters/temperature",
                "repetitions"
            ]
        );
        let shown = groups(&fields, &messages);
        assert_eq!(shown[0].fields[0].value, "many");
        assert!(shown[0].open && shown[3].open && !shown[4].open);
    }

    #[test]
    fn a_request_fills_the_form_that_makes_it() {
        let request = BenchmarkRequest {
            parameters: Parameters {
                temperature: Some(0.5),
                seed: Some(-1),
                use_mmap: Some(false),
                stop: Some(vec!["a b".into(), "c".into()]),
                ..Parameters::default()
            },
            system: Some("Be brief.".into()),
            think: Some(Think::Level(ThinkLevel::High)),
            format: Some(json!({"type": "object"})),
            keep_alive: Some(KeepAlive::Duration("5m".into())),
            repetitions: 7,
            warmup: 0,
            cold_start: true,
            execution: Execution::Interleaved,
            timeout: Some(2.5),
            cooldown: "61.5C".parse().ok(),
            name: Some("night".into()),
            tags: vec!["a".into(), "b".into()],
            ..BenchmarkRequest::new("why", vec!["steady@reference".into(), "x:1b".into()])
        };
        assert_eq!(read(&filled(&request)), (request, vec![]));
    }

    #[test]
    fn a_load_fills_the_form_that_makes_it() {
        let mut request = BenchmarkRequest::new("why", vec!["steady@reference".into()]);
        request.prompts = vec!["how".into(), "when".into()];
        request.unique_prefix = Some(false);
        request.objectives = vec!["total_time<3".into(), "failed_percent<1".into()];
        request.load = Some(Load {
            pattern: LoadPattern::Poisson,
            rate: Some(2.5),
            duration: Some(30.0),
            max_requests: Some(50),
            seed: 9,
            ..Load::default()
        });
        assert_eq!(read(&filled(&request)), (request, vec![]));
    }

    #[test]
    fn messages_find_their_field() {
        let error = |pointer: &str| FieldError {
            pointer: pointer.into(),
            message: "no".into(),
        };
        let messages = by_field(&[
            error("/models/2"),
            error("/parameters/stop/0"),
            error("/prompt"),
        ]);
        assert!(messages.keys().eq(["models", "parameters/stop", "prompt"]));
    }

    #[test]
    fn models_are_chosen_or_named() {
        let mut fields = Fields::default();
        fields.add("models", "a@b");
        fields.set("more_models", " script:tokens=9,gap=1@reference  c ");
        assert_eq!(
            models(&fields),
            ["a@b", "script:tokens=9,gap=1@reference", "c"]
        );
    }
}
