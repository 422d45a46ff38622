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

/// A stroke from the ground to each point.
pub fn strokes(points: &[(f64, f64)], ground: f64) -> String {
    let mut d = String::new();
    for (x, y) in points {
        let _ = write!(d, "M{x} {ground}V{y}");
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

/// About [`MOST_POINTS`] of the points, the highest and the lowest of each stretch among them. A
/// single point becomes a short line, so that it is seen.
pub fn peaks(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if let [(x, y)] = points {
        return vec![(*x, *y), (x + 2.0, *y)];
    }
    let stretch = points.len().div_ceil(MOST_POINTS / 2).max(2);
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    points
        .chunks(stretch)
        .flat_map(|part| {
            let numbered = || part.iter().enumerate();
            let by_height =
                |a: &(usize, &(f64, f64)), b: &(usize, &(f64, f64))| a.1.1.total_cmp(&b.1.1);
            let mut ends: Vec<usize> = [numbered().min_by(by_height), numbered().max_by(by_height)]
                .into_iter()
                .flatten()
                .map(|(index, _)| index)
                .collect();
            ends.sort_unstable();
            ends.dedup();
            ends.into_iter()
                .filter_map(|index| part.get(index).copied())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_through_their_points() {
        assert_eq!(line(&[(0.0, 1.0), (2.5, 3.0)]), "M0 1L2.5 3");
        assert_eq!(steps(&[(0.0, 1.0), (2.5, 3.0)]), "M0 1H2.5V3");
        assert_eq!(strokes(&[(1.0, 2.0), (3.0, 0.5)], 9.0), "M1 9V2M3 9V0.5");
        assert_eq!(line(&[]), "");
    }

    #[test]
    fn long_lines_keep_their_peaks() {
        let mut many: Vec<(f64, f64)> = (0..10_001).map(|n| (f64::from(n), 5.0)).collect();
        many[1234].1 = 9.0;
        many[5678].1 = 1.0;
        let few = peaks(&many);
        assert!(few.len() <= MOST_POINTS, "{}", few.len());
        assert!(few.contains(&(1234.0, 9.0)) && few.contains(&(5678.0, 1.0)));
        assert!(few.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(peaks(&[(1.0, 2.0)]).len(), 2);
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
