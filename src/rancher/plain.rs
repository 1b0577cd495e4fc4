//! Text that came from a server, made fit for a log line, a status and an event.

/// The most bytes a message from a server keeps.
pub(crate) const MAX_MESSAGE: usize = 512;

/// Collapses white space, drops control and bidirectional characters, and cuts at [`MAX_MESSAGE`]
/// bytes on a character boundary.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = !out.is_empty();
            continue;
        }
        if c.is_control() || is_invisible(c) {
            continue;
        }
        if gap {
            out.push(' ');
            gap = false;
        }
        if out.len() + c.len_utf8() > MAX_MESSAGE - '…'.len_utf8() {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}

/// The text without what [`clean`] drops, white space apart: what stood around that comes together.
pub(crate) fn visible(text: &str) -> String {
    text.chars().filter(|c| c.is_whitespace() || !(c.is_control() || is_invisible(*c))).collect()
}

/// Characters that reorder or hide text: zero-width ones, bidirectional marks, embeddings and isolates.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// An error with everything that caused it, uncleaned: HTTP libraries hide the reason in the chain.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_bounded_line_without_control_characters() {
        assert_eq!(clean("  a\n\n b\u{1b}[31mc\u{202e}d\t"), "a b[31mcd");
        for wide in ["x".repeat(4000), "é".repeat(4000), "ab€".repeat(2000)] {
            let short = clean(&wide);
            assert!(short.len() <= MAX_MESSAGE, "{} bytes", short.len());
            assert!(short.ends_with('…'));
        }
    }
}
