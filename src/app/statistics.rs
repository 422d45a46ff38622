//! What the stored runs say about each model.
//!
//! Sums of whole days, and of 32 and 1,024 of them, are kept in the database; what lacks one is made here,
//! a few at a time, each few kept by a short write of its own. Sums serve filters by model, backend and
//! whole days; for all others, and for the parts of days at either end, the requests themselves are read.

use std::collections::HashMap;
use std::ops::Range;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::{App, AppError, check_search};
use crate::measure::{MOST_EXACT, Tallies, Tally};
use crate::record::{Bucket, HistoryQuery, ModelStatistics, StoredFigures};
use crate::store::{
    Figures, Level, OfDay, Pages, Store, StoreError, StoredModel, Sum, place_behind,
};

/// More days of models in one answer are more than anybody draws.
const MOST_BUCKETS: u32 = 5_000;
/// Sums that are made and kept together: some ten milliseconds of reading, a few of writing.
const SUMS_AT_ONCE: u32 = 64;
const MICROSECONDS_A_DAY: i64 = 86_400_000_000;
/// Beyond every time that a run can have, and at the end of a span of any length.
const END_OF_DAYS: i64 = 1 << 40;

/// What is told apart in an answer: the number of the model, and the day.
type Key = (i64, Option<i64>);

impl App {
    /// The figures of each model over the runs that fit a filter, or of each of its days. The order and
    /// the pages of the filter do not matter; its model and backend choose models, the rest runs.
    pub async fn statistics(
        &self,
        query: &HistoryQuery,
        bucket: Option<Bucket>,
    ) -> Result<Vec<ModelStatistics>, AppError> {
        check_search(query)?;
        let is_by_day = bucket == Some(Bucket::Day);
        let has_text = query.q.as_ref().is_some_and(|it| !it.trim().is_empty());
        let is_of_some_runs = query.status.is_some() || query.tag.is_some() || has_text;
        let (models, tallies) = if is_of_some_runs {
            by_runs(&self.inner.store, query, is_by_day).await?
        } else {
            self.by_sums(query, is_by_day).await?
        };
        tokio::task::spawn_blocking(move || statistics_of(&models, tallies))
            .await
            .map_err(|error| AppError::Broken(format!("the statistics failed: {error}")))
    }

    /// The same of each of the last days that have a result, so many days at most where the filter has
    /// no beginning.
    pub async fn daily_statistics(
        &self,
        query: &HistoryQuery,
        days: i64,
    ) -> Result<Vec<ModelStatistics>, AppError> {
        let mut query = query.clone();
        if query.from.is_none() {
            let store = &self.inner.store;
            let chosen = chosen(store.figures().await?.models().await?, &query);
            let numbers = numbers(&chosen, &query);
            let Asked { days: whole, edges } = Asked::of(&query);
            let end = edges.last().map_or(whole.end, |(day, _)| day + 1);
            let newest = match &numbers {
                Some(numbers) if numbers.is_empty() => None,
                numbers => store.newest_day(end, numbers.as_deref()).await?,
            };
            let Some(newest) = newest else {
                return Ok(Vec::new());
            };
            query.from = date(newest - days + 1).map(|day| day.and_time(NaiveTime::MIN).and_utc());
        }
        self.statistics(&query, Some(Bucket::Day)).await
    }

    async fn by_sums(
        &self,
        query: &HistoryQuery,
        is_by_day: bool,
    ) -> Result<(Vec<StoredModel>, Tallies<Key>), AppError> {
        let store = &self.inner.store;
        let asked = Asked::of(query);
        let chosen = chosen(store.figures().await?.models().await?, query);
        if chosen.is_empty() {
            return Ok((chosen, Tallies::default()));
        }
        let numbers = numbers(&chosen, query);
        {
            // Who comes meanwhile finds them made.
            let _alone = self.inner.summing.lock().await;
            let levels = if is_by_day { 1 } else { Level::ALL.len() };
            for level in &Level::ALL[..levels] {
                make_sums(store, *level, &asked.days, numbers.as_deref()).await?;
            }
        }
        let mut reading = Reading {
            figures: store.figures().await?,
            numbers: numbers.as_deref(),
            is_by_day,
            tallies: Tallies::default(),
        };
        reading.whole_days(&asked.days).await?;
        for (day, times) in asked.edges {
            reading.part_of_day(day, times).await?;
        }
        let Reading { tallies, .. } = reading;
        Ok((chosen, tallies))
    }
}

/// The times that a filter asks for.
#[derive(Debug, PartialEq)]
struct Asked {
    /// Whole days since 1970.
    days: Range<i64>,
    /// Parts of other days, each with its times, µs since 1970.
    edges: Vec<(i64, Range<i64>)>,
}

impl Asked {
    fn of(query: &HistoryQuery) -> Self {
        let micros = |time: Option<DateTime<Utc>>| time.map(|it| it.timestamp_micros());
        let (from, to) = (micros(query.from), micros(query.to));
        let begin = |day: i64| day * MICROSECONDS_A_DAY;
        let mut asked = Self {
            days: -END_OF_DAYS..END_OF_DAYS,
            edges: Vec::new(),
        };
        let parts = |time: i64| {
            let day = time.div_euclid(MICROSECONDS_A_DAY);
            (day, time > begin(day))
        };
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            asked.days = 0..0;
            return asked;
        }
        let first = from.map(|from| (from, parts(from)));
        let last = to.map(|to| (to, parts(to)));
        if let (Some((from, (day, true))), Some((to, (other, true)))) = (first, last)
            && day == other
        {
            asked.days = 0..0;
            asked.edges.push((day, from..to));
            return asked;
        }
        if let Some((from, (day, is_inside))) = first {
            asked.days.start = day + i64::from(is_inside);
            if is_inside {
                asked.edges.push((day, from..begin(day + 1)));
            }
        }
        if let Some((to, (day, is_inside))) = last {
            asked.days.end = day;
            if is_inside {
                asked.edges.push((day, begin(day)..to));
            }
        }
        asked
    }
}

/// The longest spans that days consist of.
fn cover(level: Level, days: Range<i64>, found: &mut Vec<(Level, Range<i64>)>) {
    if days.is_empty() {
        return;
    }
    let Some(below) = level.below() else {
        found.push((level, days));
        return;
    };
    let mut spans = level.spans_of(&days);
    if level.days_of(spans.start).start < days.start {
        spans.start += 1;
    }
    if level.days_of(spans.end - 1).end > days.end {
        spans.end -= 1;
    }
    if spans.is_empty() {
        cover(below, days, found);
        return;
    }
    let (first, last) = (
        level.days_of(spans.start).start,
        level.days_of(spans.end - 1).end,
    );
    cover(below, days.start..first, found);
    found.push((level, spans));
    cover(below, last..days.end, found);
}

/// The models that a filter chooses.
fn chosen(models: Vec<StoredModel>, query: &HistoryQuery) -> Vec<StoredModel> {
    let mut models = models;
    models.retain(|it| {
        let is_named = |name: &String| {
            let backend = name.strip_prefix(it.model.as_str());
            backend
                .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('@') == Some(&it.backend))
        };
        query.model.as_ref().is_none_or(is_named)
            && query
                .backend
                .as_ref()
                .is_none_or(|name| *name == it.backend)
    });
    models
}

/// Their numbers; `None` where they are all that there are.
fn numbers(chosen: &[StoredModel], query: &HistoryQuery) -> Option<Vec<i64>> {
    let is_filtered = query.model.is_some() || query.backend.is_some();
    is_filtered.then(|| chosen.iter().map(|it| it.number).collect())
}

/// Makes the sums that lack of all spans that some days are in, and keeps them. A database that does not
/// take them costs time and nothing else.
async fn make_sums(
    store: &Store,
    level: Level,
    days: &Range<i64>,
    numbers: Option<&[i64]>,
) -> Result<(), StoreError> {
    let mut after = None;
    if days.is_empty() {
        return Ok(());
    }
    loop {
        let mut figures = store.figures().await?;
        let spans = level.spans_of(days);
        let mut sums = figures
            .missing_sums(level, spans, numbers, after, SUMS_AT_ONCE)
            .await?;
        let Some(last) = sums.last() else {
            return Ok(());
        };
        after = Some((last.span, last.model));
        for sum in &mut sums {
            sum.packed = Some(tally_of(&mut figures, sum.clone()).await?.pack());
        }
        // An embedded database in memory has one connection for reading and writing.
        drop(figures);
        if let Err(error) = store.keep_sums(&sums).await {
            tracing::warn!(%error, "sums for statistics could not be kept");
            return Ok(());
        }
    }
}

/// What a sum holds, made from the next shorter ones or the requests where it is empty.
async fn tally_of(figures: &mut Figures, sum: Sum) -> Result<Tally, StoreError> {
    let mut whole = Tally::default();
    let mut parts = vec![sum];
    while let Some(part) = parts.pop() {
        if let Some(tally) = part.packed.as_deref().and_then(Tally::unpack) {
            whole.merge(tally);
        } else if let Some(below) = part.level.below() {
            let spans = Level::parts_of(part.span);
            parts.extend(figures.sums(below, spans, Some(&[part.model])).await?);
        } else {
            whole.merge(day_of(figures, part.span, part.model).await?);
        }
    }
    Ok(whole)
}

/// The requests of a model's day.
async fn day_of(figures: &mut Figures, day: i64, model: i64) -> Result<Tally, StoreError> {
    let which = OfDay {
        day,
        models: Some(&[model]),
        times: None,
    };
    let mut tally = Tally::default();
    let mut after = None;
    loop {
        let page = figures.of_day(&which, after).await?;
        for request in &page {
            tally.add(request);
        }
        after = place_behind(&page);
        if after.is_none() {
            return Ok(tally);
        }
    }
}

/// An answer that is being read from one state of the database.
struct Reading<'a> {
    figures: Figures,
    numbers: Option<&'a [i64]>,
    is_by_day: bool,
    tallies: Tallies<Key>,
}

impl Reading<'_> {
    async fn whole_days(&mut self, days: &Range<i64>) -> Result<(), AppError> {
        if days.is_empty() {
            return Ok(());
        }
        let mut spans = Vec::new();
        if self.is_by_day {
            let (level, most) = (Level::Day, MOST_BUCKETS);
            let many = self
                .figures
                .count_sums(level, days.clone(), self.numbers, most);
            if many.await? > most {
                return Err(too_many());
            }
            spans.push((level, days.clone()));
        } else {
            cover(Level::Years, days.clone(), &mut spans);
        }
        let mut found: Vec<(Key, Tally)> = Vec::new();
        for (level, spans) in spans {
            for sum in self.figures.sums(level, spans, self.numbers).await? {
                let key = (sum.model, self.is_by_day.then_some(sum.span));
                found.push((key, tally_of(&mut self.figures, sum).await?));
            }
        }
        let requests: u64 = found.iter().map(|(_, tally)| tally.requests()).sum();
        if requests <= MOST_EXACT as u64 {
            let requests = self.figures.of_days(days.clone(), self.numbers).await?;
            self.add(&requests);
        } else {
            for (key, tally) in found {
                self.tallies.merge(key, tally);
            }
        }
        Ok(())
    }

    async fn part_of_day(&mut self, day: i64, times: Range<i64>) -> Result<(), StoreError> {
        let which = OfDay {
            day,
            models: self.numbers,
            times: Some(times),
        };
        let mut after = None;
        loop {
            let page = self.figures.of_day(&which, after).await?;
            self.add(&page);
            after = place_behind(&page);
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn add(&mut self, requests: &[StoredFigures]) {
        for request in requests {
            let key = (request.model, self.is_by_day.then_some(request.day));
            self.tallies.add(key, request);
        }
    }
}

/// The requests of all runs that fit, one after another.
async fn by_runs(
    store: &Store,
    query: &HistoryQuery,
    is_by_day: bool,
) -> Result<(Vec<StoredModel>, Tallies<Key>), AppError> {
    let mut figures = store.figures().await?;
    let chosen = chosen(figures.models().await?, query);
    let mut tallies: Tallies<Key> = Tallies::default();
    let mut pages = Pages::default();
    while let Some(requests) = figures.of_runs(query, &mut pages).await? {
        for request in requests {
            if chosen.iter().any(|it| it.number == request.model) {
                let key = (request.model, is_by_day.then_some(request.day));
                tallies.add(key, &request);
            }
        }
        if is_by_day && tallies.len() > MOST_BUCKETS as usize {
            return Err(too_many());
        }
    }
    Ok((chosen, tallies))
}

fn too_many() -> AppError {
    let message = format!(
        "these are more than {MOST_BUCKETS} days of models; ask for one model, or for a shorter time with \
         `from` and `to`"
    );
    AppError::invalid("/bucket", message)
}

/// By the names of the models, the oldest day first.
fn statistics_of(models: &[StoredModel], tallies: Tallies<Key>) -> Vec<ModelStatistics> {
    let models: HashMap<i64, &StoredModel> = models.iter().map(|it| (it.number, it)).collect();
    let known = tallies
        .into_all()
        .filter(|(_, tally)| tally.requests() > 0)
        .filter_map(|((number, day), tally)| {
            let StoredModel { model, backend, .. } = models.get(&number)?;
            let day = day.and_then(date);
            Some(tally.statistics(model.clone(), backend.clone(), day))
        });
    let mut all: Vec<ModelStatistics> = known.collect();
    all.sort_by(|a, b| (&a.model, &a.backend, a.day).cmp(&(&b.model, &b.backend, b.day)));
    all
}

fn date(day: i64) -> Option<NaiveDate> {
    let begin = DateTime::from_timestamp_micros(day.checked_mul(MICROSECONDS_A_DAY)?)?;
    Some(begin.date_naive())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(from: Option<&str>, to: Option<&str>) -> Asked {
        let time = |text: &str| text.parse().unwrap();
        Asked::of(&HistoryQuery {
            from: from.map(time),
            to: to.map(time),
            ..HistoryQuery::default()
        })
    }

    #[test]
    fn times_are_whole_days_and_what_is_left_at_the_ends() {
        const HOUR: i64 = MICROSECONDS_A_DAY / 24;
        let all = between(None, None);
        assert_eq!((all.days, all.edges.len()), (-END_OF_DAYS..END_OF_DAYS, 0));
        let days = between(Some("1970-01-03T00:00:00Z"), Some("1970-01-05T00:00:00Z"));
        assert_eq!((days.days, days.edges), (2..4, vec![]));
        let cut = between(Some("1970-01-03T06:00:00Z"), Some("1970-01-05T01:00:00Z"));
        assert_eq!(cut.days, 3..4);
        let (first, last) = (2 * 24 * HOUR, 4 * 24 * HOUR);
        assert_eq!(
            cut.edges,
            [
                (2, first + 6 * HOUR..first + 24 * HOUR),
                (4, last..last + HOUR)
            ]
        );
        let within = between(Some("1970-01-03T06:00:00Z"), Some("1970-01-03T07:00:00Z"));
        assert!(within.days.is_empty());
        assert_eq!(within.edges, [(2, first + 6 * HOUR..first + 7 * HOUR)]);
        let none = between(Some("1970-01-05T01:00:00Z"), Some("1970-01-03T07:00:00Z"));
        assert!(none.days.is_empty() && none.edges.is_empty());
        let night = between(Some("1970-01-03T23:00:00Z"), Some("1970-01-04T01:00:00Z"));
        assert!(night.days.is_empty() && night.edges.len() == 2);
    }

    /// Every day is in exactly one span, and the spans are as long as they can be.
    #[test]
    fn days_are_covered_once_by_long_spans() {
        for days in [
            0..1,
            5..70,
            -40..40,
            31..33,
            1000..5000,
            20_000..23_100,
            -END_OF_DAYS..END_OF_DAYS,
            7..7,
        ] {
            let mut found = Vec::new();
            cover(Level::Years, days.clone(), &mut found);
            let mut at = days.start;
            for (level, spans) in &found {
                assert_eq!(level.days_of(spans.start).start, at, "{days:?}: {found:?}");
                at = level.days_of(spans.end - 1).end;
            }
            assert_eq!(at, days.end, "{days:?}: {found:?}");
            assert!(found.len() <= 5, "{days:?}: {found:?}");
        }
        let mut found = Vec::new();
        cover(Level::Years, 1000..5000, &mut found);
        let levels: Vec<Level> = found.iter().map(|(level, _)| *level).collect();
        assert_eq!(levels, [Level::Day, Level::Years, Level::Month, Level::Day]);
    }

    #[test]
    fn models_are_chosen_by_name_and_backend() {
        let model = |number: i64, model: &str, backend: &str| StoredModel {
            number,
            model: model.into(),
            backend: backend.into(),
        };
        let all = || {
            vec![
                model(1, "a", "x"),
                model(2, "a", "y"),
                model(3, "a@x", "y"),
                model(4, "ab", "x"),
            ]
        };
        let numbers = |name: Option<&str>, backend: Option<&str>| -> Vec<i64> {
            let query = HistoryQuery {
                model: name.map(str::to_owned),
                backend: backend.map(str::to_owned),
                ..HistoryQuery::default()
            };
            chosen(all(), &query).iter().map(|it| it.number).collect()
        };
        assert_eq!(numbers(None, None), [1, 2, 3, 4]);
        assert_eq!(numbers(Some("a"), None), [1, 2]);
        assert_eq!(numbers(Some("a@x"), None), [1, 3]);
        assert_eq!(numbers(Some("a"), Some("y")), [2]);
        assert_eq!(numbers(Some("b"), None), Vec::<i64>::new());
    }
}
