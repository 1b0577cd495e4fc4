//! What may be said to people: short, one line, and without the key.

/// The secret part of every key here.
pub const CANARY: &str = "c4n4ryc4n4ryc4n4ry";

/// The longest sentence that anything here may say, in bytes.
const LONGEST: usize = 4096;

/// Panics where a sentence is not fit for a log line, a status and an Event.
pub fn fit(text: &str) {
    assert!(text.len() <= LONGEST, "{} bytes: {text:.200}…", text.len());
    let odd = text.chars().find(|c| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'));
    assert!(odd.is_none(), "{odd:?} in {text:?}");
    secretless(text);
}

/// Panics where a text has the key in it.
pub fn secretless(text: &str) {
    assert!(!text.contains(CANARY), "the key is in: {text}");
}
