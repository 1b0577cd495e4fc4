//! What is committed is what the code says, and its shape follows the rules of the API.

use std::path::Path;

use kube::ResourceExt;
use rancher_access_operator::{api, cli};
use serde_json::{Map, Value};

#[test]
fn the_committed_files_are_what_the_code_generates() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut expected = vec!["Kustomization".to_owned()];
    for crd in api::crds().unwrap() {
        let name = format!("{}.yaml", crd.name_any());
        let committed = std::fs::read_to_string(dir.join(&name)).unwrap();
        assert!(committed == cli::crds::yaml(&crd).unwrap(), "crds/{name} is stale: run `just crds`");
        expected.push(name);
    }
    let mut files: Vec<String> =
        std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    expected.sort();
    assert_eq!(files, expected, "one file a kind, and the list of them");
    let listed = std::fs::read_to_string(dir.join("Kustomization")).unwrap();
    for name in expected.iter().filter(|name| name.ends_with(".yaml")) {
        assert!(listed.contains(&format!("- {name}\n")), "crds/Kustomization lists {name}");
    }
}

/// What a breach says, and whether a schema keeps the rule.
type Rule = (&'static str, fn(&Map<String, Value>) -> bool);

/// The rules that every schema follows.
const RULES: [Rule; 10] = [
    ("a string needs a maxLength, an enum or a date", |schema| {
        !is(schema, "string") || ["maxLength", "enum"].iter().any(|key| schema.contains_key(*key)) || is_date(schema)
    }),
    ("a list needs maxItems", |schema| !is(schema, "array") || schema.contains_key("maxItems")),
    ("a list needs a list type", |schema| !is(schema, "array") || schema.contains_key("x-kubernetes-list-type")),
    ("a map needs maxProperties", |schema| {
        !schema.contains_key("additionalProperties") || schema.contains_key("maxProperties")
    }),
    ("nothing is nullable", |schema| !schema.contains_key("nullable")),
    ("integers are signed", |schema| {
        !schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint"))
    }),
    ("an enum has no null", |schema| {
        !schema.get("enum").and_then(Value::as_array).is_some_and(|values| values.contains(&Value::Null))
    }),
    ("everything has a type", |schema| schema.contains_key("type")),
    ("nothing unknown is kept", |schema| !schema.contains_key("x-kubernetes-preserve-unknown-fields")),
    ("a rule has a message", |schema| {
        let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        rules.is_none_or(|rules| rules.iter().all(|rule| rule.get("message").is_some_and(Value::is_string)))
    }),
];

fn is(schema: &Map<String, Value>, kind: &str) -> bool {
    schema.get("type").is_some_and(|value| value == kind)
}

fn is_date(schema: &Map<String, Value>) -> bool {
    schema.get("format").is_some_and(|format| format == "date-time")
}

/// Collects the breaches in one schema and all below it.
fn lint(path: &str, schema: &Value, breaches: &mut Vec<String>) {
    let Value::Object(schema) = schema else {
        breaches.push(format!("{path}: a schema is an object"));
        return;
    };
    for (breach, holds) in RULES {
        if !holds(schema) {
            breaches.push(format!("{path}: {breach}"));
        }
    }
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let described = field.get("description").and_then(Value::as_str).is_some_and(|text| text.len() > 3);
        // The API server writes its own words for metadata.
        if !described && name != "metadata" {
            breaches.push(format!("{path}.{name}: a field needs a description"));
        }
        lint(&format!("{path}.{name}"), field, breaches);
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get(key) {
            lint(&format!("{path}{suffix}"), inner, breaches);
        }
    }
}

#[test]
fn every_schema_follows_the_rules_of_the_api() {
    let mut breaches = Vec::new();
    for crd in api::crds().unwrap() {
        for version in &crd.spec.versions {
            let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
            let schema = serde_json::to_value(schema.unwrap()).unwrap();
            lint(&crd.spec.names.kind, &schema, &mut breaches);
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_lint_sees_each_breach() {
    let bad = [
        r#"{"type": "string"}"#,
        r#"{"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "boolean"}}"#,
        r#"{"type": "array", "maxItems": 3, "items": {"type": "boolean"}}"#,
        r#"{"type": "object", "additionalProperties": {"type": "boolean"}}"#,
        r#"{"type": "boolean", "nullable": true}"#,
        r#"{"type": "integer", "format": "uint32"}"#,
        r#"{"type": "string", "enum": ["a", null]}"#,
        r#"{"format": "date-time"}"#,
        r#"{"type": "object", "x-kubernetes-preserve-unknown-fields": true}"#,
        r#"{"type": "object", "x-kubernetes-validations": [{"rule": "true"}]}"#,
        r#"{"type": "object", "properties": {"a": {"type": "boolean"}}}"#,
    ];
    for bad in bad {
        let mut breaches = Vec::new();
        lint("", &serde_json::from_str(bad).unwrap(), &mut breaches);
        assert_eq!(breaches.len(), 1, "{bad}: {breaches:?}");
    }
}

#[test]
fn kubectl_and_rancher_find_what_they_look_for() {
    for crd in api::crds().unwrap() {
        let names = &crd.spec.names;
        assert_eq!(crd.spec.group, api::GROUP);
        assert_eq!(names.categories.as_deref(), Some(&["rancheraccess".to_owned()][..]));
        assert!(names.short_names.as_ref().is_some_and(|names| names.len() == 1), "{names:?}");
        for column in crd.spec.versions.iter().flat_map(|version| version.additional_printer_columns.iter().flatten()) {
            // kubectl prints `<invalid>` for a date that lies ahead.
            let past = column.json_path == ".metadata.creationTimestamp";
            assert_eq!(column.type_ == "date", past, "{}: {}", names.kind, column.name);
        }
    }
}

/// A new rule needs a row that breaks it.
#[test]
fn every_cel_rule_is_broken_by_some_row() {
    let tables = [
        include_str!("grant.rs"),
        include_str!("grant_update.rs"),
        include_str!("integration.rs"),
        include_str!("policy.rs"),
        include_str!("selector.rs"),
        include_str!("decision.rs"),
        include_str!("resource.rs"),
    ]
    .concat();
    let literals: Vec<&str> = tables.split('"').skip(1).step_by(2).filter(|text| text.len() >= 18).collect();
    let mut messages = Vec::new();
    for crd in api::crds().unwrap() {
        collect_messages(&serde_json::to_value(&crd.spec).unwrap(), &mut messages);
    }
    assert!(messages.len() >= 20, "{messages:?}");
    for message in messages {
        assert!(literals.iter().any(|part| message.contains(part)), "no row is refused with: {message}");
    }
}

fn collect_messages(value: &Value, messages: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let rules = map.get("x-kubernetes-validations").and_then(Value::as_array);
            let rules = rules.into_iter().flatten();
            messages.extend(rules.filter_map(|rule| rule["message"].as_str().map(str::to_owned)));
            map.values().for_each(|value| collect_messages(value, messages));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_messages(value, messages)),
        _ => {}
    }
}
