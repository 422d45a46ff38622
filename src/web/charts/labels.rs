//! Names beside lines: apart from each other, and short enough for their place.

/// Where labels go that would like to stand at `wanted`: in the same order, at least `gap` apart, and between
/// `top` and `bottom` where they fit there.
pub fn apart(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    let wish = |index: &usize| wanted.get(*index).copied().unwrap_or(top);
    order.sort_by(|a, b| wish(a).total_cmp(&wish(b)));
    let mut places: Vec<f64> = Vec::with_capacity(order.len());
    for index in &order {
        let free = places.last().map_or(top, |above| above + gap);
        places.push(wish(index).max(free));
    }
    // What was pushed out below moves back up, and pushes the ones above it.
    let mut free = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(free);
        free = *place - gap;
    }
    // More than fit: they go on below.
    let over = places.first().map_or(0.0, |first| (top - first).max(0.0));
    let mut found = vec![top; wanted.len()];
    for (index, place) in order.into_iter().zip(places) {
        if let Some(own) = found.get_mut(index) {
            *own = place + over;
        }
    }
    found
}

/// A name of at most so many characters: its beginning and its end, which is where names of one family differ.
pub fn short(name: &str, most: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= most {
        return name.to_owned();
    }
    let kept = most.saturating_sub(1);
    let (head, tail) = letters.split_at(kept.div_ceil(2));
    let tail = tail.get(tail.len() - kept / 2..).unwrap_or_default();
    let (head, tail): (String, String) = (head.iter().collect(), tail.iter().collect());
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_that_have_room_stay_where_they_are() {
        let wanted = [100.0, 20.0, 60.0];
        assert_eq!(apart(&wanted, 15.0, 0.0, 200.0), wanted);
        assert_eq!(apart(&[], 15.0, 0.0, 200.0), Vec::<f64>::new());
    }

    #[test]
    fn labels_at_one_place_spread_from_it() {
        let found = apart(&[195.0, 195.0, 195.0], 15.0, 0.0, 200.0);
        assert_eq!(found, [170.0, 185.0, 200.0]);
    }

    proptest! {
        #[test]
        fn labels_never_overlap(wanted in prop::collection::vec(-50.0..250.0_f64, 0..30)) {
            let found = apart(&wanted, 15.0, 10.0, 200.0);
            let mut sorted = found.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] > 14.999));
            prop_assert!(sorted.first().is_none_or(|first| *first >= 9.999));
            if wanted.len() <= 13 {
                prop_assert!(sorted.last().is_none_or(|last| *last <= 200.001));
            }
            for (a, b) in (0..wanted.len()).flat_map(|a| (0..wanted.len()).map(move |b| (a, b))) {
                prop_assert!(wanted[a] >= wanted[b] || found[a] < found[b]);
            }
        }
    }

    #[test]
    fn names_keep_both_ends() {
        assert_eq!(short("steady", 8), "steady");
        assert_eq!(short("script:tokens=40,gap=4", 9), "scri…ap=4");
        assert_eq!(short("äöüßäöüß", 4), "äö…ß");
    }
}
