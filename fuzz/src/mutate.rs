//! Changes inputs: bytes anywhere, and values in lines that are JSON. The same seed makes the same changes.

use serde_json::{Value, json};

/// Random numbers, the same ones from the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// The longest input.
pub const LONGEST: usize = 64 << 10;

/// An input like `seed`, and with something of `other`.
pub fn mutated(seed: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..=dice.below(3) {
        input = match dice.below(3) {
            0 => bytes(input, other, dice),
            _ => lines(&input, other, dice),
        };
    }
    input.truncate(LONGEST);
    input
}

fn bytes(mut input: Vec<u8>, other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let at = dice.below(input.len() + 1);
    let to = (at + dice.below(16)).min(input.len());
    match dice.below(7) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = *dice.pick(b"\0\n\r\t \"\\{}[]:,*/-+.\x7f\x80\xc3\xff09aZ"),
        2 => drop(input.drain(at..to)),
        3 => input.truncate(at),
        4 => {
            let again = input[at..to].to_vec();
            input.splice(at..at, again);
        }
        5 => {
            let from = dice.below(other.len() + 1);
            let until = (from + dice.below(64)).min(other.len());
            input.splice(at..to, other[from..until].iter().copied());
        }
        _ => {
            let odd = dice.pick(&["\u{202e}", "\u{200b}", "\n", "\0", "é", "null", "-1", "99999999999999999999"]);
            input.splice(at..at, odd.bytes());
        }
    }
    input
}

/// Changes one line, as JSON where it is.
fn lines(input: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<_> = input.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let others: Vec<_> = other.split(|byte| *byte == b'\n').collect();
    let at = dice.below(lines.len());
    match dice.below(12) {
        0 => drop(lines.remove(at)),
        1 => {
            let again = lines[at].clone();
            lines.insert(at, again);
        }
        2 => lines[at] = dice.pick::<&[u8]>(&others).to_vec(),
        _ => {
            if let Ok(mut value) = serde_json::from_slice::<Value>(&lines[at]) {
                let theirs = serde_json::from_slice::<Value>(dice.pick::<&[u8]>(&others)).unwrap_or_default();
                value_in(&mut value, &theirs, dice);
                lines[at] = written(&value, dice).into_bytes();
            }
        }
    }
    lines.join(&b'\n')
}

/// The value as JSON; now and then with letters written as their numbers.
fn written(value: &Value, dice: &mut Dice) -> String {
    let text = value.to_string();
    if dice.below(4) > 0 {
        return text;
    }
    let letter = *dice.pick(b"acnry4otk");
    // A letter outside of strings (`true`, `null`) may not be written so: then it is no JSON any more, which is fine too.
    text.replace(char::from(letter), &format!("\\u{letter:04x}"))
}

/// Changes something somewhere in a value.
fn value_in(value: &mut Value, other: &Value, dice: &mut Dice) {
    match value {
        Value::Array(items) if !items.is_empty() && dice.below(4) > 0 => {
            let at = dice.below(items.len());
            match dice.below(8) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => value_in(&mut items[at], other, dice),
            }
        }
        Value::Object(fields) if !fields.is_empty() && dice.below(8) > 0 => {
            let name = dice.pick(&fields.keys().cloned().collect::<Vec<_>>()).clone();
            match dice.below(8) {
                0 => drop(fields.remove(&name)),
                1 => {
                    let (held, other) = (fields[&name].clone(), dice.pick(&names(other)).clone());
                    fields.insert(other, held);
                }
                _ => value_in(&mut fields[&name], other, dice),
            }
        }
        here => *here = odd(here, other, dice),
    }
}

/// Names of fields that are there.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.keys().cloned().collect(),
        _ => vec!["metadata".to_owned(), "status".to_owned(), "x".to_owned()],
    }
}

/// What nobody expects there.
fn odd(here: &Value, other: &Value, dice: &mut Dice) -> Value {
    match dice.below(9) {
        0 => Value::Null,
        1 => here.as_str().map_or(json!([here]), |text| json!(format!("{text}{text}"))),
        2 => json!(dice.roll() as i64),
        3 => json!("x".repeat(dice.below(6000))),
        4 => (0..dice.below(160))
            .fold(here.clone(), |deep, n| if n.is_multiple_of(2) { json!([deep]) } else { json!({"x": deep}) }),
        5 => inner(other, dice).clone(),
        _ => dice.pick(&odd_values()).clone(),
    }
}

/// Something somewhere in a value.
fn inner<'a>(mut value: &'a Value, dice: &mut Dice) -> &'a Value {
    while dice.below(4) > 0 {
        value = match value {
            Value::Array(items) if !items.is_empty() => dice.pick(items),
            Value::Object(fields) if !fields.is_empty() => {
                let at = dice.below(fields.len());
                fields.values().nth(at).unwrap_or(value)
            }
            _ => return value,
        };
    }
    value
}

fn odd_values() -> [Value; 26] {
    [
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(0.5),
        json!(""),
        json!(" "),
        json!("\0"),
        json!("a\nb\u{1b}[31m\u{202e}c"),
        json!("c4n4\u{200b}ryc4n4ryc4n4ry"),
        json!("token-abcde:c4n4ryc4n4ryc4n4ry"),
        json!("*"),
        json!(":"),
        json!("-009999-01-02T01:59:59Z"),
        json!("9999-12-30T22:00:00Z"),
        json!("1970-01-01T00:00:00Z"),
        json!("2026-12-01T08:00:00.000000001Z"),
        json!("9223372036854775807s"),
        json!("2562047788015215h"),
        json!("0s"),
        json!([]),
        json!({}),
        json!({"": ""}),
    ]
}

/// The same for libFuzzer, which keeps inputs in a buffer: the new length.
pub fn in_place(data: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    let changed = mutated(&data[..size], &data[..size], &mut Dice::new(u64::from(seed)));
    let length = changed.len().min(max).min(data.len());
    data[..length].copy_from_slice(&changed[..length]);
    length
}
