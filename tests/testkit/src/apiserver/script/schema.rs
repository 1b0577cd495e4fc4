//! The definition of the script's own kind, and specs that it refuses.
use serde_json::{Value, json};

fn schema() -> Value {
    json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {
            "type": "object", "required": ["size"],
            "x-kubernetes-validations": [
                {"rule": "self.size <= 5 || has(self.reason)", "message": "large ones need a reason"},
                {"rule": "self.fixed == oldSelf.fixed", "message": "fixed may not change"},
                {"rule": "!has(self.until) || self.until > timestamp('2020-01-01T00:00:00Z')", "message": "until is long past"},
            ],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 100},
                "fixed": {"type": "string", "default": "f", "maxLength": 5, "minLength": 1},
                "color": {"type": "string", "enum": ["red", "blue"]},
                "code": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 20,
                    "x-kubernetes-validations": [{"rule": "self != 'bad'", "message": "not that code"}]},
                "reason": {"type": "string", "maxLength": 20},
                "until": {"type": "string", "format": "date-time"},
                "items": {"type": "array", "maxItems": 3, "minItems": 1, "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "required": ["name"],
                        "properties": {"name": {"type": "string", "maxLength": 9}, "on": {"type": "boolean", "default": true}}}},
                "tags": {"type": "array", "maxItems": 9, "x-kubernetes-list-type": "set", "items": {"type": "string", "maxLength": 9}},
                "any": {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "not": {"required": ["c"]},
                    "allOf": [{"properties": {"d": {"minimum": 3}}}, {"properties": {"d": {"maximum": 9}}}],
                    "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}, "d": {"type": "integer"}}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"n": {"type": "integer"}}},
                "map": {"type": "object", "maxProperties": 2, "minProperties": 1, "additionalProperties": {"type": "integer"}},
                "either": {"x-kubernetes-int-or-string": true},
                "ratio": {"type": "number", "exclusiveMinimum": true, "minimum": 0, "exclusiveMaximum": true, "maximum": 1},
                "maybe": {"type": "string", "nullable": true},
                "choice": {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
                    "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
            },
        },
        "status": {"type": "object", "properties": {"phase": {"type": "string"}, "seen": {"type": "integer"}}},
    }})
}

pub(super) fn definition_of(group: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("probes.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "probes", "kind": "Probe"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.color"}], "schema": {"openAPIV3Schema": schema()}}]},
    })
}

/// Specs, each with what is wrong about it.
#[rustfmt::skip] // a table
pub(super) fn cases() -> Vec<(&'static str, Value)> {
    vec![
        ("a missing field", json!({})),
        ("a wrong type", json!({"size": "2"})),
        ("null", json!({"size": null})),
        (
            "null where nothing is needed",
            json!({"size": 1, "reason": null}),
        ),
        (
            "null instead of a default",
            json!({"size": 1, "fixed": null, "code": "bad"}),
        ),
        ("too small", json!({"size": 0})),
        ("too large", json!({"size": 101, "reason": "x"})),
        ("a failing rule", json!({"size": 6})),
        (
            "a failing rule on a field",
            json!({"size": 1, "code": "bad"}),
        ),
        (
            "a rule about time",
            json!({"size": 1, "until": "2019-01-01T00:00:00Z"}),
        ),
        ("not a time", json!({"size": 1, "until": "soon"})),
        ("not in the enum", json!({"size": 1, "color": "green"})),
        ("not the pattern", json!({"size": 1, "code": "A1"})),
        ("too long", json!({"size": 1, "fixed": "longer than five"})),
        ("too short", json!({"size": 1, "fixed": ""})),
        (
            "too many items",
            json!({"size": 1, "items": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}]}),
        ),
        ("too few items", json!({"size": 1, "items": []})),
        (
            "a key twice",
            json!({"size": 1, "items": [{"name": "a"}, {"name": "a"}]}),
        ),
        ("an item twice", json!({"size": 1, "tags": ["a", "a"]})),
        (
            "an item without its key",
            json!({"size": 1, "items": [{"on": true}]}),
        ),
        ("none of", json!({"size": 1, "choice": {}})),
        (
            "both of",
            json!({"size": 1, "choice": {"a": "x", "b": "y"}}),
        ),
        ("none of any", json!({"size": 1, "any": {}})),
        (
            "the forbidden",
            json!({"size": 1, "any": {"a": "x", "c": "y"}}),
        ),
        ("not all of", json!({"size": 1, "any": {"a": "x", "d": 1}})),
        (
            "a wrong field among free ones",
            json!({"size": 1, "free": {"n": "x", "other": [1]}}),
        ),
        (
            "a wrong value in a map",
            json!({"size": 1, "map": {"a": "x"}}),
        ),
        (
            "too many members",
            json!({"size": 1, "map": {"a": 1, "b": 2, "c": 3}}),
        ),
        ("too few members", json!({"size": 1, "map": {}})),
        (
            "neither integer nor string",
            json!({"size": 1, "either": true}),
        ),
        ("an open lower end", json!({"size": 1, "ratio": 0})),
        ("an open upper end", json!({"size": 1, "ratio": 1.0})),
        ("a list for an object", json!({"size": 1, "map": []})),
        ("an object for a list", json!({"size": 1, "items": {}})),
        ("a fraction for an integer", json!({"size": 1.5})),
        ("two faults", json!({"size": 0, "color": "green"})),
    ]
}
