//! Ollama Benchmarker: measures local language models.
//!
//! Data goes one way through it:
//! a `record::BenchmarkRequest` becomes a plan (`run`), a `backend` sends it and stamps every chunk
//! into a `measure::timeline::Timeline` while `machine` looks at the computer, `measure` turns that
//! into figures, `store` keeps them, and `api`, `web` and `cli` show them through `app`.

pub mod agent;
pub mod api;
pub mod app;
pub mod backend;
pub mod cli;
pub mod clock;
pub mod config;
pub mod exchange;
pub mod logging;
pub mod machine;
pub mod measure;
pub mod nova;
pub mod record;
pub mod reference;
pub mod run;
pub mod serve;
pub mod store;
pub mod telemetry;
pub mod version;
pub mod web;
