//! One figure of a model from day to day: a small line for the row of a table.

use chrono::NaiveDate;
use serde::Serialize;

use super::path;
use super::scale::Scale;

/// The drawing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// Width of the drawing.
    pub width: f64,
    /// Height of the drawing.
    pub height: f64,
    /// Where zero lies.
    pub bottom: f64,
    /// The line through the days' values.
    pub d: String,
    /// The last day's place, across and down.
    pub last: (f64, f64),
}

const WIDTH: f64 = 160.0;
const HEIGHT: f64 = 36.0;
const MARGIN: f64 = 4.0;

/// Draws the values of days, oldest first, over the time from `first` to `last`; `None` of nothing.
pub fn days(first: NaiveDate, last: NaiveDate, values: &[(NaiveDate, f64)]) -> Option<Course> {
    let most = values.iter().map(|(_, value)| *value).reduce(f64::max)?;
    let number = |day: NaiveDate| (day - first).num_days() as f64;
    let x = Scale::new(0.0, number(last), MARGIN, WIDTH - MARGIN);
    let y = Scale::new(0.0, most, HEIGHT - MARGIN, MARGIN);
    let places: Vec<(f64, f64)> = values
        .iter()
        .map(|(day, value)| (x.at(number(*day)), y.at(*value)))
        .collect();
    Some(Course {
        width: WIDTH,
        height: HEIGHT,
        bottom: HEIGHT - MARGIN,
        d: path::line(&places),
        last: *places.last()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, day).unwrap()
    }

    #[test]
    fn days_lie_where_they_are_in_time() {
        let values = [(day(1), 10.0), (day(2), 5.0), (day(11), 10.0)];
        let drawn = days(day(1), day(11), &values).unwrap();
        assert_eq!(drawn.d, "M4 4L19.2 18L156 4");
        assert_eq!(drawn.last, (156.0, 4.0));
    }

    #[test]
    fn one_day_has_a_place_and_none_has_none() {
        let drawn = days(day(3), day(3), &[(day(3), 0.0)]).unwrap();
        assert_eq!(drawn.last, (4.0, 32.0));
        assert_eq!(days(day(3), day(3), &[]), None);
    }
}
