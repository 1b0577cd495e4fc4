//! Short texts in specs and records: durations, patterns, names and what they lead to.
//!
//! Input: a text on each line, of which the first two also go together.

use rancher_access_operator::{
    api::integration::IdentityMapping,
    grant::name::{Access, InstallationKey, SubjectKey, Target, binding_name},
    policy::{self, Wanted, duration, glob},
};

use super::said;

pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let third = lines.next().unwrap_or_default();
    for line in [first, second, third] {
        a_duration(line);
        a_subject(line);
        a_time(line);
    }
    pattern(first, second);
    mapped(first, second);
    named([first, second, third]);
}

fn a_duration(text: &str) {
    if let Some(read) = duration::parse_duration(text) {
        assert!(!read.is_negative(), "{text:?}");
        assert_eq!(duration::parse_duration(&duration::show(read)), Some(read), "{text:?}");
    }
}

fn a_subject(text: &str) {
    match text.parse::<SubjectKey>() {
        Ok(subject) => assert_eq!(subject.to_string(), text),
        Err(error) => drop(error.to_string()),
    }
}

/// Times come as JSON, as the API server writes them.
fn a_time(text: &str) {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    // An API server stores no year before the first, for RFC 3339 has none.
    if let Ok(time) = serde_json::from_value::<Time>(text.into())
        && time.0 >= jiff::Timestamp::from_second(-62_135_596_800).unwrap()
    {
        // It is kept in whole seconds.
        let shown = serde_json::to_value(&time).unwrap();
        let again: Time = serde_json::from_value(shown.clone()).unwrap_or_else(|e| panic!("{text:?} as {shown}: {e}"));
        assert_eq!(again.0.as_second(), time.0.as_second(), "{text:?}");
    }
}

fn pattern(pattern: &str, text: &str) {
    let (pattern, text) = (cut(pattern, 200), cut(text, 200));
    assert_eq!(glob::matches(pattern, text), by_table(pattern.as_bytes(), text.as_bytes()), "{pattern:?} on {text:?}");
}

/// The start of a text, on a character's boundary.
fn cut(text: &str, at: usize) -> &str {
    &text[..text.floor_char_boundary(at)]
}

/// Whether a pattern means a text, by a table of which beginnings match which.
fn by_table(pattern: &[u8], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for p in pattern {
        let mut next = vec![*p == b'*' && row[0]];
        for (at, t) in text.iter().enumerate() {
            next.push(if *p == b'*' { row[at + 1] || next[at] } else { row[at] && p == t });
        }
        row = next;
    }
    row[text.len()]
}

fn mapped(name: &str, template: &str) {
    let mapping =
        IdentityMapping { user_principal: Some(template.to_owned()), group_principal: Some(template.to_owned()) };
    match policy::rancher_user(name, Some(&mapping)) {
        Ok(Wanted::User(id)) => assert!(id == name && (id.starts_with("u-") || id.starts_with("user-")), "{name:?}"),
        Ok(Wanted::Principal(principal)) => {
            assert_eq!(principal, template.replacen("{name}", name, 1));
            assert!(principal.len() <= 512 && !name.is_empty() && !name.starts_with("system:"), "{principal:?}");
        }
        Ok(other) => panic!("a user became {other:?}"),
        Err(why) => said::fit(&why.to_string()),
    }
    if let Ok(principal) = policy::rancher_group(name, Some(&mapping)) {
        assert!(!name.starts_with("system:") && principal.len() <= 512, "{principal:?}");
    }
}

/// Names of bindings fit into Kubernetes whatever they are made of, and no part of them can be moved to its neighbour.
fn named([a, b, c]: [&str; 3]) {
    let key = InstallationKey::new(vec![7; 32]).unwrap();
    let name = |subject: &str, cluster: &str, role: &str| {
        let target = Target::Cluster { cluster: cluster.to_owned() };
        binding_name(&key, "uuid", &SubjectKey::User(subject.to_owned()), &Access { target, role: role.to_owned() })
    };
    let made = name(a, b, c);
    assert!(made.len() == 28 && made.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
    if let Some(last) = a.chars().last() {
        let moved = name(&a[..a.len() - last.len_utf8()], &format!("{last}{b}"), c);
        assert_ne!(made, moved);
    }
}
