//! The machines of a run: this one, and those of model servers that an agent looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::watched::Watched;
use super::{Engine, Seen};
use crate::agent::{Agent, Following};
use crate::machine::{self, MachineError, Sampler, Sampling, Target};
use crate::record::Sample;

/// The samplers of a run.
pub struct Machines {
    here: Sampler,
    agents: Vec<Following>,
}

impl Machines {
    /// Begins to look at the machines of these backends. Samples go to `watched`, and are told.
    pub(super) async fn watch(
        engine: &Arc<Engine>,
        backends: &BTreeSet<String>,
        watched: &Arc<Watched>,
        tell: impl Fn(Option<&str>, &Sample) + Clone + Send + Sync + 'static,
    ) -> Result<Self, MachineError> {
        let named = |name: &String| Some((name.clone(), engine.settings.get(name)?.clone()));
        let settings: BTreeMap<_, _> = backends.iter().filter_map(named).collect();
        let teller = |backend: Option<String>| {
            let (watched, tell) = (Arc::clone(watched), tell.clone());
            move |sample: &Sample| {
                watched.keep(backend.as_deref(), sample.clone());
                tell(backend.as_deref(), sample);
            }
        };
        let (machine, sampling) = (Arc::clone(&engine.machine), engine.sampling.clone());
        let interval = Duration::from_secs_f64(sampling.interval);
        let (observer, own) = (teller(None), settings.clone());
        // Drivers are opened and processes searched: that may take a while.
        let started = tokio::task::spawn_blocking(move || {
            let targets: Vec<Target> = own
                .iter()
                .filter_map(|(name, settings)| machine::local(name, settings))
                .collect();
            let mut baseline = Duration::from_secs_f64(sampling.baseline);
            if own.values().any(|it| !it.agent_url.trim().is_empty()) {
                // An agent has to be reached before its machine is seen.
                baseline += 2 * interval;
            }
            let sampling = Sampling {
                baseline,
                interval,
                max_samples: sampling.max_samples,
                targets,
            };
            Sampler::start(&machine, sampling, observer)
        });
        let here = started
            .await
            .map_err(|error| MachineError::Thread(std::io::Error::other(error)))??;
        let agents = settings.iter().filter_map(|(name, settings)| {
            let agent = Agent::of(name, settings)?;
            Some(agent.follow(
                here.zero(),
                interval,
                engine.sampling.max_samples,
                teller(Some(name.clone())),
            ))
        });
        Ok(Self {
            agents: agents.collect(),
            here,
        })
    }

    /// What offsets count from.
    pub(super) fn zero(&self) -> Instant {
        self.here.zero()
    }

    /// Stops looking and gives what was seen.
    pub async fn stop(self) -> Seen {
        let mut remote = Vec::new();
        for agent in self.agents {
            remote.push(agent.stop().await);
        }
        // Stopping joins a thread that may be in the middle of a look; that takes no longer than one.
        let stopped = tokio::task::spawn_blocking(move || self.here.stop()).await;
        Seen {
            samples: stopped.unwrap_or_default(),
            remote,
        }
    }
}
