//! Patterns in policies: `*` stands for any run of characters, everything else for itself.

/// Whether `text` is what `pattern` describes, from its first character to its last. Upper and lower case differ.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        // The earliest place is always good enough: it leaves the most for what follows.
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(tail)
}

/// Whether one of the patterns describes the text. An empty list describes nothing.
pub fn any_matches(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same question by dynamic programming: a table of which prefixes match which.
    fn by_table(pattern: &str, text: &str) -> bool {
        let pattern: Vec<char> = pattern.chars().collect();
        let text: Vec<char> = text.chars().collect();
        let mut row = vec![false; text.len() + 1];
        row[0] = true;
        for p in pattern {
            let mut next = vec![false; text.len() + 1];
            next[0] = p == '*' && row[0];
            for i in 1..=text.len() {
                next[i] = if p == '*' { row[i] || next[i - 1] } else { row[i - 1] && p == text[i - 1] };
            }
            row = next;
        }
        row[text.len()]
    }

    #[test]
    fn a_star_stands_for_any_run_and_nothing_else_is_special() {
        for (pattern, text, expected) in [
            ("web", "web", true),
            ("web", "webs", false),
            ("web-*", "web-", true),
            ("web-*", "web-a-b", true),
            ("web-*", "aweb-b", false),
            ("*", "", true),
            ("**", "x", true),
            ("*-prod", "a-prod", true),
            ("*-prod", "a-prod-b", false),
            ("a*a", "a", false),
            ("a*b*a", "aba", true),
            ("a*b*b", "ab", false),
            ("c-m-?", "c-m-1", false),
            ("c.m", "cam", false),
            ("okta_user://ext-*", "okta_user://ext-bob", true),
            ("OKTA*", "okta_user://a", false),
            ("ü*", "üb", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
        assert!(!any_matches(&[], "x"));
    }

    proptest! {
        #[test]
        fn agrees_with_an_independent_matcher(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), by_table(&pattern, &text));
        }

        #[test]
        fn without_a_star_only_the_same_text_matches(pattern in "[^*]{0,8}", text in ".{0,8}") {
            prop_assert_eq!(matches(&pattern, &text), pattern == text);
        }
    }
}
