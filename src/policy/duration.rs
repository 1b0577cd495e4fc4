//! Durations as they stand in specs: Go's syntax, in whole hours, minutes and seconds.

use jiff::SignedDuration;

/// Reads `1h30m`, `90m`, `5400s`: hours, minutes and seconds in that order, each at most once.
/// `None` for anything else, and for what does not fit.
pub fn parse_duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut seconds: i64 = 0;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        let Some((digits, after)) = rest.split_once(unit) else {
            continue;
        };
        seconds = whole(digits)?.checked_mul(factor).and_then(|part| seconds.checked_add(part))?;
        rest = after;
    }
    (rest.is_empty() && !text.is_empty()).then(|| SignedDuration::from_secs(seconds))
}

/// A number of digits alone: no sign, no point, no space.
fn whole(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Writes a duration as people write it in specs. Parts of a second count as a whole one, so that what is too long also
/// looks too long.
pub fn show(duration: SignedDuration) -> String {
    let part = i64::from(duration.subsec_nanos() > 0);
    let seconds = duration.as_secs().saturating_add(part);
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text: String = [(hours, 'h'), (minutes, 'm'), (rest, 's')]
        .into_iter()
        .filter(|(count, _)| *count != 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_schema_lets_through() {
        for (text, seconds) in [
            ("1h", 3600),
            ("1h30m", 5400),
            ("90m", 5400),
            ("1h1s", 3601),
            ("0s", 0),
            ("999999h", 3_599_996_400),
            ("001m", 60),
        ] {
            assert_eq!(parse_duration(text), Some(SignedDuration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "h",
            "1",
            "1d",
            "1.5h",
            "-1h",
            "+1h",
            "30m1h",
            "1h1h",
            "1h ",
            " 1h",
            "1h30",
            "1ms",
            "1H",
            "٣h",
            "1h30m5",
            "9223372036854775807h",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_part_of_a_second_is_shown_as_a_second() {
        assert_eq!(show(SignedDuration::new(28_800, 1)), "8h1s");
        assert_eq!(show(SignedDuration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,24}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn what_is_shown_reads_back(seconds in 0i64..i64::MAX) {
            let duration = SignedDuration::from_secs(seconds);
            prop_assert_eq!(parse_duration(&show(duration)), Some(duration));
        }

        #[test]
        fn agrees_with_arithmetic(h in 0i64..1_000_000, m in 0i64..10_000_000, s in 0i64..1_000_000_000) {
            let text = format!("{h}h{m}m{s}s");
            prop_assert_eq!(parse_duration(&text), Some(SignedDuration::from_secs(h * 3600 + m * 60 + s)));
        }
    }
}
