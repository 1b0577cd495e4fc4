//! What a schema said of objects, kept: of the same object it says the same again.
//!
//! Most objects that are checked differ from one before in nothing but their metadata, which only a rule at the root could read.
use std::collections::{BTreeSet, HashMap};

use kube_cel::cel::Program;
use serde_json::{Map, Value};

use crate::apiserver::{
    policy::{Read, collect},
    status::FieldError,
};

/// How many answers are kept: more would only take memory.
const MOST: usize = 4096;

/// The answers of one schema.
#[derive(Debug)]
pub(super) struct Judged {
    reads_metadata: bool,
    said: HashMap<String, Vec<FieldError>>,
}

/// Whether what this schema says of an object may depend on what is in the object's metadata.
fn reads_metadata(root: &Value) -> bool {
    let plain = |schema: &Value| {
        schema.as_object().is_none_or(|map| map.keys().all(|key| matches!(key.as_str(), "type" | "description")))
    };
    let branches = ["allOf", "anyOf", "oneOf", "not"].iter().any(|name| !root[name].is_null());
    let mut found = BTreeSet::new();
    let mut unread = false;
    for rule in root["x-kubernetes-validations"].as_array().into_iter().flatten() {
        for text in ["rule", "messageExpression"].iter().filter_map(|field| rule[field].as_str()) {
            match Program::compile(text) {
                Ok(program) => collect(program.expression(), &mut found),
                Err(_) => unread = true,
            }
        }
    }
    let of_metadata = |read: &Read| {
        let mut path = read.path.iter().map(String::as_str);
        matches!(path.next(), Some("self" | "oldSelf")) && matches!(path.next(), None | Some("metadata"))
    };
    unread || branches || !plain(&root["properties"]["metadata"]) || found.iter().any(of_metadata)
}

impl Judged {
    pub fn new(root: &Value) -> Self {
        Self { reads_metadata: reads_metadata(root), said: HashMap::new() }
    }

    /// Under what an answer is kept: all that it can depend on.
    pub fn key(&self, object: &Value, old: Option<&Value>, subresource: &str) -> Option<String> {
        let empty = Value::Object(Map::new());
        let seen = |object: &Value| match object.as_object() {
            Some(map) if !self.reads_metadata => {
                let blind = |name: &str, value: &Value| name == "metadata" && value.is_object();
                let members = map.iter().map(|(name, value)| (name, if blind(name, value) { &empty } else { value }));
                serde_json::to_string(&members.collect::<Vec<_>>()).ok()
            }
            _ => serde_json::to_string(object).ok(),
        };
        let old = match old {
            Some(old) => seen(old)?,
            None => String::new(),
        };
        Some(format!("{subresource}\n{old}\n{}", seen(object)?))
    }

    pub fn said(&self, key: &str) -> Option<Vec<FieldError>> {
        self.said.get(key).cloned()
    }

    pub fn keep(&mut self, key: String, errors: Vec<FieldError>) {
        if self.said.len() > MOST {
            self.said.clear();
        }
        self.said.insert(key, errors);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::schema::Schema;

    fn schema(rule: &str) -> Schema {
        let root = json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}], "properties": {
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 9}}},
            "status": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 5}}},
        }});
        Schema::compile("example.com", "v1", "Well", &root).unwrap()
    }

    fn well(name: &str, size: u32) -> Value {
        json!({"apiVersion": "example.com/v1", "kind": "Well", "metadata": {"name": name}, "spec": {"size": size}})
    }

    fn is_fine(schema: &Schema, object: &Value, old: Option<&Value>) -> bool {
        let first = schema.check(object, old, "").is_empty();
        assert_eq!(schema.check(object, old, "").is_empty(), first, "it said otherwise the second time");
        first
    }

    #[test]
    fn what_differs_in_anything_that_is_looked_at_is_looked_at_anew() {
        let schema = schema("!has(self.spec.size) || self.spec.size != 3");
        assert!(is_fine(&schema, &well("a", 1), None));
        assert!(is_fine(&schema, &well("b", 1), None));
        assert!(!is_fine(&schema, &well("b", 3), None));
        assert!(!is_fine(&schema, &well("a", 10), None));
        assert_eq!(schema.judged.lock().unwrap().said.len(), 3, "a and b differ in their names only");
        let status = json!({"spec": {"size": 1}, "status": {"size": 6}});
        assert!(!schema.check(&status, None, "").is_empty());
        let changed = json!({"spec": {"size": 10}, "status": {"size": 5}});
        assert!(!schema.check(&changed, None, "").is_empty());
        assert!(schema.check(&changed, None, "status").is_empty(), "of a status write only the status is checked");
    }

    #[test]
    fn what_an_object_was_before_is_looked_at_too() {
        let schema = schema("self.spec.size >= oldSelf.spec.size");
        assert!(is_fine(&schema, &well("a", 2), None));
        assert!(is_fine(&schema, &well("a", 2), Some(&well("a", 1))));
        assert!(!is_fine(&schema, &well("a", 2), Some(&well("a", 3))));
    }

    #[test]
    fn a_rule_that_reads_the_metadata_is_asked_of_each_name() {
        for rule in ["self.metadata.name == 'a'", "'metadata' in self && self['metadata'].name == 'a'"] {
            let schema = schema(rule);
            assert!(is_fine(&schema, &well("a", 1), None), "{rule}");
            assert!(!is_fine(&schema, &well("b", 1), None), "{rule}");
        }
    }

    #[test]
    fn another_schema_says_for_itself() {
        assert!(is_fine(&schema("self.spec.size == 1"), &well("a", 1), None));
        assert!(!is_fine(&schema("self.spec.size == 2"), &well("a", 1), None));
    }
}
