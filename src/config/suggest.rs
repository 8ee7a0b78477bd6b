//! The word that was probably meant.

/// Words of other programs' configurations, and ours.
const FOREIGN: [(&str, &str); 35] = [
    ("frontend", "listener"),
    ("server", "backends"),
    ("entrypoint", "listener"),
    ("upstream", "pool"),
    ("upstreams", "pool"),
    ("backend", "pool"),
    ("cluster", "pool"),
    ("service", "pool"),
    ("location", "route"),
    ("rule", "route"),
    ("router", "route"),
    ("servers", "backends"),
    ("endpoints", "backends"),
    ("members", "backends"),
    ("strategy", "balance"),
    ("algorithm", "balance"),
    ("lb_policy", "balance"),
    ("listen", "bind"),
    ("addr", "address"),
    ("ssl", "certificates"),
    ("tls", "certificates"),
    ("healthcheck", "health"),
    ("health_check", "health"),
    ("healthy_threshold", "rise"),
    ("unhealthy_threshold", "fall"),
    ("threads", "workers"),
    ("gzip", "compress"),
    ("encode", "compress"),
    ("compression", "compress"),
    ("gzip_types", "types"),
    // Of a request, of a server.
    ("sni", "host"),
    ("sni", "name"),
    ("leastconn", "least-connections"),
    ("least_conn", "least-connections"),
    ("roundrobin", "round-robin"),
];

/// A longer word is not compared: it is no slip of the finger.
const LONGEST: usize = 64;

/// The one of `known` that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    within(word, known, |letters| letters.div_ceil(3))
}

/// As `nearest`, but only a single slip of the finger.
pub(super) fn one_slip<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    within(word, known, |_| 1)
}

fn within<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    allowed: impl Fn(usize) -> usize,
) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let lower = word.to_lowercase();
    let letters: Vec<char> = lower.chars().collect();
    if letters.len() > LONGEST {
        return None;
    }
    let ours = |theirs: &&(&str, &str)| theirs.0 == lower && known.contains(&theirs.1);
    if let Some((_, ours)) = FOREIGN.iter().find(ours) {
        return Some(ours);
    }
    let slips = |candidate: &str| distance(&letters, &candidate.chars().collect::<Vec<_>>());
    let measured = known.iter().map(|candidate| (slips(candidate), *candidate));
    let (fewest, candidate) = measured.min_by_key(|(slips, _)| *slips)?;
    let longer = letters.len().max(candidate.chars().count());
    (fewest <= allowed(longer) && fewest < letters.len()).then_some(candidate)
}

/// "did you mean `x`?", or else the words that are known.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => one_of(&known),
    }
}

/// "expected `a`, `b` or `c`"; nothing where there is nothing to choose.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => format!("expected {last}"),
        Some((last, rest)) => format!("expected {} or {last}", rest.join(", ")),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours from one word to the other
/// (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let replaced = last[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = ["balance", "backends", "health", "pool", "bind", "route"];

    #[test]
    fn slips_of_the_finger_find_their_word() {
        for (word, meant) in [
            ("balence", "balance"),
            ("blaance", "balance"),
            ("backend_s", "backends"),
            ("Health", "health"),
            ("routes", "route"),
            ("pol", "pool"),
        ] {
            assert_eq!(nearest(word, KEYS), Some(meant), "{word}");
        }
    }

    #[test]
    fn words_of_other_programs_find_ours() {
        assert_eq!(nearest("upstream", KEYS), Some("pool"));
        assert_eq!(nearest("listen", KEYS), Some("bind"));
        assert_eq!(nearest("servers", KEYS), Some("backends"));
    }

    #[test]
    fn a_strange_word_finds_none() {
        let long = "x".repeat(10_000);
        for word in ["", "xyzzy", "q", "database", long.as_str()] {
            assert_eq!(nearest(word, KEYS), None, "{word}");
        }
        assert_eq!(did_you_mean("xyzzy", ["a", "b", "c"]), "expected `a`, `b` or `c`");
    }
}
