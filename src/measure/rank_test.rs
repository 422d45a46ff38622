//! Whether two sets of values differ, by ranks alone: the Mann–Whitney U test and Cliff's delta.
//! No assumption about the shape of a distribution: latencies have long tails.

/// What the ranks of two sets say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RankTest {
    /// Two-sided p, normal approximation with correction for ties and continuity.
    pub(super) p_value: f64,
    /// Cliff's delta: P(candidate > baseline) − P(candidate < baseline).
    pub(super) effect_size: f64,
}

/// Tests two sets of finite values; `None` where one is empty.
///
/// Mann, Whitney 1947; delta = 2U / (n·m) − 1 (Cliff 1993).
pub(super) fn rank_test(baseline: &[f64], candidate: &[f64]) -> Option<RankTest> {
    if baseline.is_empty() || candidate.is_empty() {
        return None;
    }
    let (n, m) = (baseline.len() as f64, candidate.len() as f64);
    let (rank_sum, ties) = ranks(baseline, candidate);
    let u = rank_sum - m * (m + 1.0) / 2.0;
    let centre = n * m / 2.0;
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    let distance = ((u - centre).abs() - 0.5).max(0.0);
    // Without variance all values are equal, and nothing speaks for a difference.
    let p_value = if variance > 0.0 {
        two_sided_p(distance / variance.sqrt())
    } else {
        1.0
    };
    Some(RankTest {
        p_value,
        effect_size: (u / centre - 1.0).clamp(-1.0, 1.0),
    })
}

/// Sum of the candidate's ranks among all values, equal values sharing their mean rank, and the
/// sum of t³ − t over all groups of t equal values.
fn ranks(baseline: &[f64], candidate: &[f64]) -> (f64, f64) {
    let mut all: Vec<(f64, bool)> = baseline
        .iter()
        .map(|value| (*value, false))
        .chain(candidate.iter().map(|value| (*value, true)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    for group in all.chunk_by(|a, b| same(a.0, b.0)) {
        let size = group.len() as f64;
        let candidates = group
            .iter()
            .filter(|(_, of_candidate)| *of_candidate)
            .count();
        sum += candidates as f64 * (before + f64::midpoint(1.0, size));
        ties += size.powi(3) - size;
        before += size;
    }
    (sum, ties)
}

/// Equal by value; 0 and −0 are.
fn same(a: f64, b: f64) -> bool {
    a.partial_cmp(&b) == Some(std::cmp::Ordering::Equal)
}

/// P(|Z| > z) of a standard normal Z, z at least 0.
fn two_sided_p(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    // The series loses digits where the result is small; the continued fraction converges slowly
    // where it is large (Abramowitz and Stegun 7.1.6 and 7.1.14).
    if x < 2.0 {
        1.0 - error_function(x)
    } else {
        complementary_error_function(x)
    }
    .clamp(0.0, 1.0)
}

fn error_function(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    let mut n = 0.0;
    while term > sum * f64::EPSILON {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    sum * 2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp()
}

fn complementary_error_function(x: f64) -> f64 {
    // 60 levels are exact to the last digits from x = 2 on.
    let fraction = (1..=60)
        .rev()
        .fold(x, |below, level| x + f64::from(level) / 2.0 / below);
    (-x * x).exp() / fraction / std::f64::consts::PI.sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(baseline: &[f64], candidate: &[f64], p_value: f64, effect_size: f64) {
        let found = rank_test(baseline, candidate).unwrap();
        assert!(
            (found.p_value / p_value - 1.0).abs() < 1e-10,
            "p {} is not {p_value}",
            found.p_value
        );
        assert!(
            (found.effect_size - effect_size).abs() < 1e-12,
            "delta {} is not {effect_size}",
            found.effect_size
        );
    }

    /// Expected values recorded with `SciPy` 1.17.1:
    /// `r = scipy.stats.mannwhitneyu(candidate, baseline, alternative="two-sided",
    /// method="asymptotic", use_continuity=True)`, then `r.pvalue` and
    /// `2 * r.statistic / (len(candidate) * len(baseline)) - 1`.
    #[test]
    fn agrees_with_scipy() {
        check(
            &[0.51, 0.48, 0.55, 0.62, 0.47, 0.50, 0.58],
            &[0.61, 0.66, 0.55, 0.70, 0.59, 0.64],
            0.022_087_459_681_077_337,
            0.785_714_285_714_285_8,
        );
        check(
            &[1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0],
            &[2.0, 3.0, 4.0, 4.0, 5.0, 5.0],
            0.078_262_429_477_146_18,
            0.595_238_095_238_095_3,
        );
        check(
            &[1.0, 2.0, 3.0, 4.0, 5.0],
            &[6.0, 7.0, 8.0, 9.0, 10.0],
            0.012_185_780_355_344_813,
            1.0,
        );
        let low: Vec<f64> = (1..=40).map(f64::from).collect();
        let high: Vec<f64> = (30..70).map(|v| f64::from(v) + 0.5).collect();
        check(&low, &high, 7.838_237_723_128_285e-13, 0.931_25);
    }

    /// Expected values: `2 * scipy.stats.norm.sf(z)`, `SciPy` 1.17.1.
    #[test]
    fn the_tail_of_the_normal_distribution_agrees_with_scipy() {
        for (z, p) in [
            (0.0, 1.0),
            (0.3, 0.764_177_155_622_094_8),
            (1.0, 0.317_310_507_862_914_15),
            (2.5, 0.012_419_330_651_552_265),
            (4.0, 6.334_248_366_623_973e-5),
            (8.0, 1.244_192_114_854_348e-15),
        ] {
            assert!((two_sided_p(z) / p - 1.0).abs() < 1e-10, "{z}");
        }
    }

    #[test]
    fn equal_values_do_not_differ() {
        assert_eq!(
            rank_test(&[1.0; 9], &[1.0; 7]),
            Some(RankTest {
                p_value: 1.0,
                effect_size: 0.0
            })
        );
        assert_eq!(rank_test(&[], &[1.0]), None);
    }

    proptest! {
        #[test]
        fn sides_can_be_exchanged(
            a in proptest::collection::vec(-9.0..9.0_f64, 1..40),
            b in proptest::collection::vec(-9.0..9.0_f64, 1..40),
        ) {
            let there = rank_test(&a, &b).unwrap();
            let back = rank_test(&b, &a).unwrap();
            prop_assert!((there.effect_size + back.effect_size).abs() < 1e-12);
            prop_assert!((there.p_value - back.p_value).abs() < 1e-12);
            prop_assert!((0.0..=1.0).contains(&there.p_value));
        }
    }
}
