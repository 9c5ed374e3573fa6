//! What somebody probably meant who wrote a word that is none of those there are.

/// The word among others that one is a slip of the keyboard away from; `None` if none is near
/// enough to be meant. Among equals the one whose first letter that differs is nearest.
pub fn nearest<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().collect();
    let slips_max = match word.len() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    let scored = among.into_iter().filter_map(|other| {
        let letters: Vec<char> = other.chars().collect();
        if slips_max < word.len().abs_diff(letters.len()) {
            return None;
        }
        let slips = distance(&word, &letters);
        (slips <= slips_max).then(|| ((slips, leap(&word, &letters)), other))
    });
    scored.min_by_key(|(score, _)| *score).map(|(_, other)| other)
}

/// Letters to insert, remove, replace or swap with their neighbour to make one word the other;
/// case is not counted.
fn distance(one: &[char], other: &[char]) -> usize {
    let is_same = |a: &char, b: &char| a.eq_ignore_ascii_case(b);
    let mut rows = [Vec::new(), (0..=other.len()).collect()];
    for (at, letter) in one.iter().enumerate() {
        let [before, last] = &rows;
        let mut row = vec![at + 1];
        for (to, meant) in other.iter().enumerate() {
            let of = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let replaced = of(last, to) + usize::from(!is_same(letter, meant));
            let mut least = replaced.min(of(last, to + 1) + 1).min(of(&row, to) + 1);
            let swapped = at.checked_sub(1).zip(to.checked_sub(1)).is_some_and(|(a, b)| {
                one.get(a).is_some_and(|a| is_same(a, meant))
                    && other.get(b).is_some_and(|b| is_same(letter, b))
            });
            if swapped {
                least = least.min(of(before, to.saturating_sub(1)) + 1);
            }
            row.push(least);
        }
        let [_, last] = rows;
        rows = [last, row];
    }
    let [_, last] = rows;
    last.last().copied().unwrap_or(0)
}

/// How far the first two letters that differ are from each other: 9 is nearer to 8 than to 1.
fn leap(one: &[char], other: &[char]) -> u32 {
    let differ = one.iter().zip(other).find(|(a, b)| a != b);
    differ.map_or(0, |(a, b)| u32::from(*a).abs_diff(u32::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, among: &[&str], meant: Option<&str>) {
        assert_eq!(nearest(word, among.iter().copied()), meant, "{word}");
    }

    #[test]
    fn a_slip_of_the_keyboard_is_recognised_and_another_word_is_not() {
        let roles = ["core", "edge", "aggregation", "access", "customer_edge"];
        check("acess", &roles, Some("access"));
        check("Core", &roles, Some("core"));
        check("egde", &roles, Some("edge"));
        check("agregatoin", &roles, Some("aggregation"));
        check("spine", &roles, None);
        check("lokal", &["fra1", "local"], Some("local"));
        check("", &roles, None);
        check("p1", &["p2"], None);
    }

    #[test]
    fn among_equals_the_next_number_is_meant() {
        check("cpe-9", &["cpe-1", "cpe-2", "cpe-8"], Some("cpe-8"));
        check("cpe-9", &["cpe-91", "cpe-1"], Some("cpe-91"));
    }
}
