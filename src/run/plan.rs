//! Pure: from a request to the requests that are sent, in order.

use crate::record::{BenchmarkRequest, Execution, ModelName};

/// One request to one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Place in the plan, from 0.
    pub index: u32,
    /// Which model of the run, from 0.
    pub model: usize,
    /// Which prompt of the run, from 0.
    pub prompt: usize,
    /// Which repetition of this prompt and model, from 1.
    pub repetition: u32,
    /// Sent to warm up.
    pub warmup: bool,
}

/// Lanes of requests: lanes run side by side, the steps of a lane one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The models, in the order of the request.
    pub models: Vec<ModelName>,
    /// The prompts, in the order of the request.
    pub prompts: Vec<String>,
    /// The lanes; one, unless the models run concurrently.
    pub lanes: Vec<Vec<Step>>,
}

impl Plan {
    /// The plan of a request whose models were found valid.
    pub fn new(request: &BenchmarkRequest, models: Vec<ModelName>) -> Self {
        let prompts: Vec<String> = request
            .all_prompts()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let mut counter = Counter { next: 0 };
        let lanes = match request.execution {
            Execution::Sequential => {
                let mut lane = Vec::new();
                for model in 0..models.len() {
                    counter.warmups(request, model, &mut lane);
                    counter.measured(request, &[model], prompts.len(), &mut lane);
                }
                vec![lane]
            }
            Execution::Interleaved => {
                let mut lane = Vec::new();
                let all: Vec<usize> = (0..models.len()).collect();
                for model in &all {
                    counter.warmups(request, *model, &mut lane);
                }
                counter.measured(request, &all, prompts.len(), &mut lane);
                vec![lane]
            }
            Execution::Concurrent => (0..models.len())
                .map(|model| {
                    let mut lane = Vec::new();
                    counter.warmups(request, model, &mut lane);
                    counter.measured(request, &[model], prompts.len(), &mut lane);
                    lane
                })
                .collect(),
        };
        Self {
            models,
            prompts,
            lanes,
        }
    }

    /// Requests in all.
    pub fn total(&self) -> u32 {
        u32::try_from(self.lanes.iter().map(Vec::len).sum::<usize>()).unwrap_or(u32::MAX)
    }
}

struct Counter {
    next: u32,
}

impl Counter {
    fn push(
        &mut self,
        lane: &mut Vec<Step>,
        model: usize,
        prompt: usize,
        repetition: u32,
        warmup: bool,
    ) {
        lane.push(Step {
            index: self.next,
            model,
            prompt,
            repetition,
            warmup,
        });
        self.next += 1;
    }

    fn warmups(&mut self, request: &BenchmarkRequest, model: usize, lane: &mut Vec<Step>) {
        for repetition in 1..=request.warmup {
            self.push(lane, model, 0, repetition, true);
        }
    }

    /// Models take turns forwards, then backwards (A B B A …): a drift of the machine then
    /// weighs on all of them alike.
    fn measured(
        &mut self,
        request: &BenchmarkRequest,
        models: &[usize],
        prompts: usize,
        lane: &mut Vec<Step>,
    ) {
        let mut forwards = true;
        for repetition in 1..=request.repetitions {
            for prompt in 0..prompts {
                for turn in 0..models.len() {
                    let turn = if forwards {
                        turn
                    } else {
                        models.len() - 1 - turn
                    };
                    self.push(lane, models[turn], prompt, repetition, false);
                }
                forwards = !forwards;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(execution: Execution, warmup: u32, repetitions: u32) -> Vec<String> {
        let mut request = BenchmarkRequest::new("x", vec!["a".into(), "b".into()]);
        request.execution = execution;
        request.warmup = warmup;
        request.repetitions = repetitions;
        let models = ["a", "b"].map(|name| name.parse().unwrap()).to_vec();
        let plan = Plan::new(&request, models);
        assert_eq!(plan.total(), 2 * (warmup + repetitions));
        plan.lanes
            .iter()
            .map(|lane| {
                let name = |step: &Step| {
                    format!(
                        "{}{}",
                        if step.warmup { "w" } else { "" },
                        ["a", "b"][step.model]
                    )
                };
                lane.iter().map(name).collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    #[test]
    fn each_execution_has_its_order() {
        assert_eq!(order(Execution::Sequential, 1, 2), ["wa a a wb b b"]);
        assert_eq!(order(Execution::Interleaved, 1, 3), ["wa wb a b b a a b"]);
        assert_eq!(order(Execution::Concurrent, 1, 2), ["wa a a", "wb b b"]);
    }

    #[test]
    fn every_prompt_is_repeated() {
        let mut request = BenchmarkRequest::new("x", vec!["a".into()]);
        request.prompts = vec!["y".into()];
        request.repetitions = 2;
        let plan = Plan::new(&request, vec!["a".parse().unwrap()]);
        let prompts: Vec<usize> = plan.lanes[0].iter().map(|step| step.prompt).collect();
        assert_eq!(prompts, [0, 1, 0, 1]);
    }
}
