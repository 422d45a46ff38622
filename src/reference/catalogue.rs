//! The models: what each is called, can do, and how it times its output. No I/O.
//!
//! A scripted model is chosen by its name alone, `script:` and settings with commas between:
//!
//! | setting | meaning | without it |
//! |---|---|---|
//! | `tokens` | tokens of the answer, at most 20,000 | 64 |
//! | `thinking` | tokens of thinking before it, at most 20,000 | 0 |
//! | `load` | loading when cold, ms | 0 |
//! | `ttft` | from a loaded model to the first chunk, ms | 50 |
//! | `gap` | between two bursts, ms; fractions are allowed | 10 |
//! | `burst` | chunks of a burst, each a write of its own | 1 |
//! | `chunk` | tokens of a chunk | 1 |
//! | `pause` | once, before the chunk in the middle, ms longer than the gap | 0 |
//! | `slots` | requests that are worked on at once; others wait for their turn | any number |
//! | `echo` | the answer is the end of the prompt, at most so many bytes of it | words |
//! | `json` | what comes where JSON is asked for: `fits`, `prose`, `broken`, `wrong`, `repair` | `fits` |
//!
//! `script:tokens=100,ttft=20,gap=5,burst=4` writes 4 chunks every 5 ms from 20 ms on.
//!
//! Where a request has a `format`, every model writes JSON that fits it, as long as that takes
//! instead of `tokens`, in pieces of four characters. A scripted one can do so badly: `prose` is
//! words in spite of the format, `broken` ends in the middle, `wrong` is JSON of another shape, and
//! `repair` is broken unless the word "repair" is in the prompt. `tokens=0` answers nothing at all,
//! whatever is asked.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::faults;

/// Most tokens that a script may ask for.
const MAX_TOKENS: u32 = 20_000;
/// Longest time in a script: an hour, ms.
const MAX_MILLISECONDS: f64 = 3_600_000.0;
/// Part of the time to the first token that is told as `load_duration` of a warm model: a real
/// server is never at zero there.
const ADMISSION: Duration = Duration::from_millis(1);

/// How a model times its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Loading when cold.
    pub load: Duration,
    /// From a loaded model to the first chunk.
    pub first: Duration,
    /// Between two bursts.
    pub gap: Duration,
    /// Chunks of a burst, at least 1.
    pub burst: u32,
    /// Tokens of a chunk, at least 1.
    pub chunk: u32,
    /// Tokens of the answer.
    pub tokens: u32,
    /// Tokens of thinking before it.
    pub thinking: u32,
    /// Once, before the chunk in the middle of all that may come.
    pub pause: Duration,
    /// Requests that are worked on at once; `None` is any number.
    pub slots: Option<u32>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            load: Duration::ZERO,
            first: Duration::from_millis(50),
            gap: Duration::from_millis(10),
            burst: 1,
            chunk: 1,
            tokens: 64,
            thinking: 0,
            pause: Duration::ZERO,
            slots: None,
        }
    }
}

impl Script {
    /// When a chunk is sent, counted from a loaded model.
    pub fn offset(&self, chunk: usize) -> Duration {
        let chunk = u32::try_from(chunk).unwrap_or(u32::MAX);
        self.first + self.gap * (chunk / self.burst.max(1)) + self.paused(chunk)
    }

    /// The pause, where this chunk comes after it.
    fn paused(&self, chunk: u32) -> Duration {
        let chunks = (self.tokens + self.thinking).div_ceil(self.chunk.max(1));
        if chunk >= (chunks / 2).max(1) {
            self.pause
        } else {
            Duration::ZERO
        }
    }

    /// From the first of so many chunks to the end of the output, the end token included: as long
    /// as the bursts take.
    pub fn writing(&self, chunks: usize) -> Duration {
        let chunks = u32::try_from(chunks).unwrap_or(u32::MAX);
        self.gap * chunks.div_ceil(self.burst.max(1)) + self.paused(chunks.saturating_sub(1))
    }

    /// The part of `first` that is admission, and the part that is prompt evaluation.
    pub fn before_first(&self) -> (Duration, Duration) {
        let admission = ADMISSION.min(self.first);
        (admission, self.first.saturating_sub(admission))
    }

    fn parse(settings: &str) -> Result<(Self, Manner), String> {
        let mut script = Self::default();
        let mut manner = Manner::default();
        for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
            let (key, value) = setting
                .split_once('=')
                .ok_or_else(|| format!("script: `{setting}` is not KEY=VALUE"))?;
            let time = || milliseconds(key, value);
            match key {
                "tokens" => script.tokens = number(key, value, 0)?,
                "thinking" => script.thinking = number(key, value, 0)?,
                "burst" => script.burst = number(key, value, 1)?,
                "chunk" => script.chunk = number(key, value, 1)?,
                "slots" => script.slots = Some(number(key, value, 1)?),
                "load" => script.load = time()?,
                "ttft" => script.first = time()?,
                "gap" => script.gap = time()?,
                "pause" => script.pause = time()?,
                "echo" => manner.echo = Some(number(key, value, 1)?),
                "json" => manner.json = Json::parse(value)?,
                _ => {
                    return Err(format!(
                        "script: unknown setting `{key}`; there are tokens, thinking, load, ttft, \
                         gap, pause, burst, chunk, slots, echo, json"
                    ));
                }
            }
        }
        Ok((script, manner))
    }
}

/// What a model answers; its [`Script`] says when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// The answer is the end of the prompt, at most so many bytes of it; `None` is words.
    pub echo: Option<u32>,
    /// How a format is kept to.
    pub json: Json,
}

/// How a model keeps to the format that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// It writes what fits.
    #[default]
    Fits,
    /// It writes what it would have without a format.
    Prose,
    /// It ends in the middle.
    Broken,
    /// It writes JSON of another shape.
    Wrong,
    /// It ends in the middle, unless the prompt says "repair".
    Repair,
}

impl Json {
    fn parse(value: &str) -> Result<Self, String> {
        Ok(match value {
            "fits" => Self::Fits,
            "prose" => Self::Prose,
            "broken" => Self::Broken,
            "wrong" => Self::Wrong,
            "repair" => Self::Repair,
            _ => {
                return Err(format!(
                    "script: `json` is fits, prose, broken, wrong or repair, not `{value}`"
                ));
            }
        })
    }
}

fn number(key: &str, value: &str, least: u32) -> Result<u32, String> {
    let number: Option<u32> = value.parse().ok();
    number
        .filter(|number| (least..=MAX_TOKENS).contains(number))
        .ok_or_else(|| {
            format!("script: `{key}` must be a whole number from {least} to {MAX_TOKENS}")
        })
}

fn milliseconds(key: &str, value: &str) -> Result<Duration, String> {
    let number: Option<f64> = value.parse().ok();
    number
        .filter(|number| (0.0..=MAX_MILLISECONDS).contains(number))
        .map(|number| Duration::from_secs_f64(number / 1000.0))
        .ok_or_else(|| format!("script: `{key}` must be milliseconds from 0 to {MAX_MILLISECONDS}"))
}

/// A model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// What it does when asked.
    pub behaviour: Behaviour,
    /// What it answers, where it writes.
    pub manner: Manner,
}

/// What a model does when asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// Writes as scripted.
    Writes(Script),
    /// Breaks something.
    Fails(faults::Fault),
    /// Turns texts into vectors, and writes nothing.
    Embeds,
}

impl Model {
    /// What it can do, in Ollama's words.
    pub fn capabilities(&self) -> Vec<&'static str> {
        if self.behaviour == Behaviour::Embeds {
            vec!["embedding"]
        } else if self.thinks() {
            vec!["completion", "thinking"]
        } else {
            vec!["completion"]
        }
    }

    /// Whether it can think.
    pub fn thinks(&self) -> bool {
        matches!(&self.behaviour, Behaviour::Writes(script) if script.thinking > 0)
    }

    /// SHA-256 of its name and script: it changes when the model does, as a digest should.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(format!(
            "{} {:?}",
            self.name, self.behaviour
        )))
    }
}

/// The models that are listed.
pub fn listed() -> Vec<Model> {
    let milliseconds = Duration::from_millis;
    let steady = Script::default();
    let scripts = [
        ("steady", steady.clone()),
        (
            "bursty",
            Script {
                first: milliseconds(80),
                gap: milliseconds(80),
                burst: 8,
                ..steady.clone()
            },
        ),
        (
            "slow-start",
            Script {
                load: milliseconds(400),
                first: milliseconds(300),
                gap: milliseconds(5),
                ..steady.clone()
            },
        ),
        (
            "thinking",
            Script {
                thinking: 24,
                tokens: 40,
                ..steady
            },
        ),
    ];
    scripts
        .into_iter()
        .map(|(name, script)| (name, Behaviour::Writes(script)))
        .chain([("embedding", Behaviour::Embeds)])
        .map(|(name, behaviour)| Model {
            name: name.to_owned(),
            behaviour,
            manner: Manner::default(),
        })
        .collect()
}

/// The model of a name, listed or not; `None` where there is none, an error where it is a script
/// that cannot be read. The tag `:latest` may be there or not.
pub fn resolve(name: &str) -> Result<Option<Model>, String> {
    let plain = name.strip_suffix(":latest").unwrap_or(name);
    let mut manner = Manner::default();
    let behaviour = if let Some(settings) = plain.strip_prefix("script:") {
        let (script, scripted) = Script::parse(settings)?;
        manner = scripted;
        Some(Behaviour::Writes(script))
    } else if let Some(fault) = plain.strip_prefix("fault-") {
        faults::Fault::parse(fault).map(Behaviour::Fails)
    } else {
        return Ok(listed().into_iter().find(|model| model.name == plain));
    };
    Ok(behaviour.map(|behaviour| Model {
        name: plain.to_owned(),
        behaviour,
        manner,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(name: &str) -> Script {
        match resolve(name).unwrap().unwrap().behaviour {
            Behaviour::Writes(script) => script,
            other => panic!("{name} does not write: {other:?}"),
        }
    }

    #[test]
    fn a_name_scripts_its_model() {
        let script = script("script:tokens=100,ttft=20,gap=2.5,burst=4,thinking=3,chunk=2,load=7");
        assert_eq!(script.tokens, 100);
        assert_eq!(script.offset(0), Duration::from_millis(20));
        assert_eq!(script.offset(3), Duration::from_millis(20));
        assert_eq!(script.offset(8), Duration::from_millis(25));
        assert_eq!(script.writing(9), Duration::from_micros(7500));
        assert_eq!((script.thinking, script.chunk), (3, 2));
        assert_eq!(script.load, Duration::from_millis(7));
    }

    #[test]
    fn a_name_says_what_its_model_answers() {
        let manner = |name: &str| resolve(name).unwrap().unwrap().manner;
        assert_eq!(manner("steady"), Manner::default());
        assert_eq!(
            manner("script:echo=40,json=repair,gap=0"),
            Manner {
                echo: Some(40),
                json: Json::Repair
            }
        );
        for (value, json) in [
            ("fits", Json::Fits),
            ("prose", Json::Prose),
            ("broken", Json::Broken),
            ("wrong", Json::Wrong),
        ] {
            assert_eq!(manner(&format!("script:json={value}")).json, json);
        }
    }

    #[test]
    fn a_pause_comes_once_in_the_middle() {
        let script = script("script:tokens=10,ttft=20,gap=5,pause=300");
        let milliseconds = |chunk| script.offset(chunk).as_millis();
        assert_eq!(
            (milliseconds(4), milliseconds(5), milliseconds(6)),
            (40, 345, 350)
        );
        assert_eq!(script.writing(10).as_millis(), 350);
        assert_eq!(script.writing(3).as_millis(), 15);
    }

    #[test]
    fn a_script_that_cannot_be_read_says_why() {
        for (name, words) in [
            ("script:speed=3", "unknown setting `speed`"),
            ("script:tokens", "is not KEY=VALUE"),
            ("script:burst=0", "from 1 to"),
            ("script:gap=-1", "milliseconds"),
            ("script:gap=NaN", "milliseconds"),
            ("script:echo=0", "from 1 to"),
            ("script:json=xml", "not `xml`"),
        ] {
            let error = resolve(name).unwrap_err();
            assert!(error.contains(words), "{name}: {error}");
        }
    }

    #[test]
    fn listed_models_have_a_digest_each_and_latest_is_no_other_model() {
        let mut digests: Vec<String> = listed().iter().map(Model::digest).collect();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 5);
        assert!(digests.iter().all(|digest| digest.len() == 64));
        assert_eq!(
            resolve("steady:latest").unwrap(),
            resolve("steady").unwrap()
        );
        assert_eq!(resolve("nope"), Ok(None));
        assert_eq!(resolve("fault-nope"), Ok(None));
    }
}
