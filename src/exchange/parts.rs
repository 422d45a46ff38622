//! What a run is written from.

use std::borrow::Cow;

use super::Extra;
use crate::record::Chunks;

/// What is written in place of an ordinary value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Nothing: JSON as the API serves it.
    Plain,
    /// What MongoDB's relaxed Extended JSON asks for.
    Relaxed,
    /// What its canonical form asks for: every number tells its type.
    Canonical,
}

/// What this machine did, and what others did, as JSON.
pub type SampleTexts<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// A stored run, its parts as JSON without white space.
#[derive(Clone, Debug, Default)]
pub struct Parts<'a> {
    /// The run without what follows.
    pub document: Cow<'a, [u8]>,
    /// Its results.
    pub results: Vec<ResultPart<'a>>,
    /// What this machine did, and what others did.
    pub samples: Option<SampleTexts<'a>>,
    /// What is not known of it.
    pub extra: Extra,
}

/// A stored result.
#[derive(Clone, Debug, Default)]
pub struct ResultPart<'a> {
    /// The result without its chunks.
    pub document: Cow<'a, [u8]>,
    /// Its chunks.
    pub chunks: Option<Chunks>,
}
