//! Requests about a kind of the script's own.
use serde_json::{Value, json};

use super::{GROUP, Script};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

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

fn definition_of(group: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("probes.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "probes", "kind": "Probe"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.color"}], "schema": {"openAPIV3Schema": schema()}}]},
    })
}

pub(super) fn probe(name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Probe", "metadata": {"name": name}, "spec": spec})
}

pub(super) async fn definition(script: &mut Script) {
    let (code, _) = script.quietly("POST", DEFINITIONS, Some(&definition_of(GROUP))).await;
    script.lines.push(format!("define a kind: {code}"));
    script.until("GET", &script.custom("probes"), None, 200).await;
    let path = format!("{DEFINITIONS}/probes.{GROUP}");
    for _ in 0..100 {
        let defined = script.quietly("GET", &path, None).await.1;
        let conditions = defined["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    script
        .until("POST", &format!("{}?dryRun=All", script.custom("probes")), Some(&probe("dry", json!({"size": 1}))), 201)
        .await;
    script.get("its discovery", &format!("/apis/{GROUP}/v1/namespaces/{}/probes/none", script.namespace)).await;
}

pub(super) async fn validation(script: &mut Script) {
    let probes = script.custom("probes");
    let good = json!({"size": 2, "color": "red", "unknown": 1, "items": [{"name": "a"}, {"name": "b", "on": false, "more": 1}]});
    script.post("defaults and pruning", &probes, &probe("p", good)).await;
    let cases = [
        ("a missing field", json!({})),
        ("a wrong type", json!({"size": "2"})),
        ("null", json!({"size": null})),
        ("null where nothing is needed", json!({"size": 1, "reason": null})),
        ("null instead of a default", json!({"size": 1, "fixed": null, "code": "bad"})),
        ("too small", json!({"size": 0})),
        ("too large", json!({"size": 101, "reason": "x"})),
        ("a failing rule", json!({"size": 6})),
        ("a failing rule on a field", json!({"size": 1, "code": "bad"})),
        ("a rule about time", json!({"size": 1, "until": "2019-01-01T00:00:00Z"})),
        ("not a time", json!({"size": 1, "until": "soon"})),
        ("not in the enum", json!({"size": 1, "color": "green"})),
        ("not the pattern", json!({"size": 1, "code": "A1"})),
        ("too long", json!({"size": 1, "fixed": "longer than five"})),
        ("too short", json!({"size": 1, "fixed": ""})),
        ("too many items", json!({"size": 1, "items": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}]})),
        ("too few items", json!({"size": 1, "items": []})),
        ("a key twice", json!({"size": 1, "items": [{"name": "a"}, {"name": "a"}]})),
        ("an item twice", json!({"size": 1, "tags": ["a", "a"]})),
        ("an item without its key", json!({"size": 1, "items": [{"on": true}]})),
        ("none of", json!({"size": 1, "choice": {}})),
        ("both of", json!({"size": 1, "choice": {"a": "x", "b": "y"}})),
        ("none of any", json!({"size": 1, "any": {}})),
        ("the forbidden", json!({"size": 1, "any": {"a": "x", "c": "y"}})),
        ("not all of", json!({"size": 1, "any": {"a": "x", "d": 1}})),
        ("a wrong field among free ones", json!({"size": 1, "free": {"n": "x", "other": [1]}})),
        ("a wrong value in a map", json!({"size": 1, "map": {"a": "x"}})),
        ("too many members", json!({"size": 1, "map": {"a": 1, "b": 2, "c": 3}})),
        ("too few members", json!({"size": 1, "map": {}})),
        ("neither integer nor string", json!({"size": 1, "either": true})),
        ("an open lower end", json!({"size": 1, "ratio": 0})),
        ("an open upper end", json!({"size": 1, "ratio": 1.0})),
        ("a list for an object", json!({"size": 1, "map": []})),
        ("an object for a list", json!({"size": 1, "items": {}})),
        ("a fraction for an integer", json!({"size": 1.5})),
        ("two faults", json!({"size": 0, "color": "green"})),
    ];
    for (what, spec) in cases {
        script.post(what, &probes, &probe("bad", spec)).await;
    }
    script
        .post(
            "no spec",
            &probes,
            &json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Probe", "metadata": {"name": "n"}}),
        )
        .await;
    script.post("no kind", &probes, &json!({"metadata": {"name": "n"}, "spec": {"size": 1}})).await;
    script
        .post(
            "another kind",
            &probes,
            &json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Other", "metadata": {"name": "n"}}),
        )
        .await;
    script.get("by a selectable field", &format!("{probes}?fieldSelector=spec.color%3Dred")).await;
    script.get("by another field", &format!("{probes}?fieldSelector=spec.size%3D2")).await;
}

pub(super) async fn status_and_generation(script: &mut Script) {
    let path = script.custom("probes/p");
    script.merge("a transition rule", &path, &json!({"spec": {"fixed": "g"}})).await;
    script.merge("a new spec", &path, &json!({"spec": {"size": 3}, "status": {"phase": "ignored"}})).await;
    script.merge("a new label", &path, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    let status = format!("{path}/status");
    let body = json!({"status": {"phase": "x", "more": 1}, "spec": {"size": 4}, "metadata": {"labels": {"a": "c"}}});
    let known = script.merge("a status patch", &status, &body).await;
    script.merge("a status of the wrong type", &status, &json!({"status": {"seen": "x"}})).await;
    let mut next = known.clone();
    next["status"]["seen"] = 1.into();
    next["spec"]["size"] = 9.into();
    script.put("a status update", &status, &next).await;
    script.put("a stale status update", &status, &next).await;
    script
        .merge(
            "a stale status patch",
            &status,
            &json!({"metadata": {"resourceVersion": known["metadata"]["resourceVersion"]}, "status": {"seen": 5}}),
        )
        .await;
    script.put("an update without a version", &path, &probe("p", json!({"size": 1}))).await;
    script.get("the status subresource", &status).await;
    script.merge("another uid", &path, &json!({"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}})).await;
    script.merge("a new name", &path, &json!({"metadata": {"name": "q"}})).await;
    script
        .merge("another time of creation", &path, &json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}}))
        .await;
    script
        .merge("a time of deletion", &path, &json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}))
        .await;
    script.merge("another generation", &path, &json!({"metadata": {"generation": 77}})).await;
    script.merge("the spec taken away", &path, &json!({"spec": null})).await;
}

pub(super) async fn finalizers(script: &mut Script) {
    let path = script.custom("probes/p");
    script.merge("a finalizer", &path, &json!({"metadata": {"finalizers": ["script.example/hold"]}})).await;
    script.delete("a delete that is held", &path, None).await;
    script.delete("a second delete", &path, None).await;
    script
        .merge(
            "one more finalizer",
            &path,
            &json!({"metadata": {"finalizers": ["script.example/hold", "script.example/more"]}}),
        )
        .await;
    script.merge("a write while terminating", &path, &json!({"spec": {"size": 8}})).await;
    script.merge("no deletion after all", &path, &json!({"metadata": {"deletionTimestamp": null}})).await;
    script.merge("the last finalizer goes", &path, &json!({"metadata": {"finalizers": null}})).await;
    script.get("and so does the object", &path).await;
    script.delete("a delete of what is gone", &path, None).await;
    script.quietly("POST", &script.custom("probes"), Some(&probe("p2", json!({"size": 1})))).await;
    script.delete("a delete that nothing holds", &script.custom("probes/p2"), None).await;
}

pub(super) async fn clean_up(script: &mut Script) {
    let path = format!("{DEFINITIONS}/probes.{GROUP}");
    script.quietly("DELETE", &path, None).await;
    script.until("GET", &path, None, 404).await;
    script.until("GET", &script.custom("probes"), None, 404).await;
    let mut odd = definition_of(GROUP);
    odd["metadata"]["name"] = "wrong.example.com".into();
    odd["spec"]["versions"][0] = json!({"name": "v1", "served": true, "storage": true});
    script.post("a definition without a schema", DEFINITIONS, &odd).await;
}
