//! Lines as the `d` of an SVG path.

use std::fmt::Write;

use super::MOST_POINTS;

/// A line through points.
pub fn line(points: &[(f64, f64)]) -> String {
    let mut d = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        // Writing to a String cannot fail.
        let _ = write!(d, "{command}{x} {y}");
    }
    d
}

/// A line that keeps its height until the next point.
pub fn steps(points: &[(f64, f64)]) -> String {
    let mut d = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let _ = if index == 0 {
            write!(d, "M{x} {y}")
        } else {
            write!(d, "H{x}V{y}")
        };
    }
    d
}

/// At most [`MOST_POINTS`] of the items, evenly chosen, the first and the last among them.
pub fn thinned<T: Copy>(items: &[T]) -> Vec<T> {
    if items.len() <= MOST_POINTS {
        return items.to_vec();
    }
    let last = items.len() - 1;
    (0..MOST_POINTS)
        .filter_map(|index| items.get(index * last / (MOST_POINTS - 1)).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_through_their_points() {
        assert_eq!(line(&[(0.0, 1.0), (2.5, 3.0)]), "M0 1L2.5 3");
        assert_eq!(steps(&[(0.0, 1.0), (2.5, 3.0)]), "M0 1H2.5V3");
        assert_eq!(line(&[]), "");
    }

    #[test]
    fn long_lines_keep_their_ends() {
        let many: Vec<usize> = (0..10_001).collect();
        let few = thinned(&many);
        assert_eq!(few.len(), MOST_POINTS);
        assert_eq!((few.first(), few.last()), (Some(&0), Some(&10_000)));
        assert_eq!(thinned(&[1, 2, 3]), [1, 2, 3]);
    }
}
