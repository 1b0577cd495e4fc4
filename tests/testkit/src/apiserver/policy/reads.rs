//! What an expression reads of what it is about: so much decides what it says, and nothing else does.
use std::collections::BTreeSet;

use kube_cel::cel::{IdedExpr, common::ast::Expr};
use serde_json::Value;

use super::rewrite::children;

/// The name of a variable, and the members that lead on from it.
pub(in crate::apiserver) type Path = Vec<String>;

/// Collects every path that an expression follows. What it does with a value other than to follow a member takes the whole
/// value; a name that a loop gives to its items is taken for a variable of that name, which is more than is read.
pub(in crate::apiserver) fn collect(expression: &IdedExpr, found: &mut BTreeSet<Path>) {
    // The way through the children may change them, so it goes over a copy.
    follow(&mut expression.clone(), found);
}

fn follow(expression: &mut IdedExpr, found: &mut BTreeSet<Path>) {
    if let Some(path) = path(expression) {
        found.insert(path);
        return;
    }
    let mut visit = |child: &mut IdedExpr| {
        follow(child, found);
        Ok(())
    };
    // The visitor never fails.
    let _ = children(expression, &mut visit);
}

fn path(expression: &IdedExpr) -> Option<Path> {
    match &expression.expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) => {
            let mut path = path(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        _ => None,
    }
}

/// What whoever follows these members finds: how far they lead, whether something is there, and what.
pub(super) fn find<'a>(root: &'a Value, members: &[String]) -> (usize, bool, &'a Value) {
    let mut at = root;
    for (depth, member) in members.iter().enumerate() {
        match at.as_object() {
            Some(map) => match map.get(member) {
                Some(next) => at = next,
                None => return (depth, false, &Value::Null),
            },
            None => return (depth, true, at),
        }
    }
    (members.len(), true, at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::policy::Expressions;

    fn reads(source: &str) -> Vec<String> {
        let mut found = BTreeSet::new();
        collect(&Expressions::default().read(source).unwrap(), &mut found);
        found.into_iter().map(|path| path.join(".")).filter(|path| !path.starts_with('@')).collect()
    }

    #[test]
    fn members_are_followed_and_whatever_else_is_done_takes_the_whole_value() {
        assert_eq!(reads("has(object.spec.a) && object.spec.b.c == 1"), ["object.spec.a", "object.spec.b.c"]);
        assert_eq!(reads("'k' in object.metadata.labels"), ["object.metadata.labels"]);
        assert_eq!(reads("object['spec'].a == 1"), ["object"]);
        assert_eq!(reads("(object == null ? oldObject : object).data.k == 'v'"), ["object", "oldObject"]);
        assert_eq!(reads("size(object.a) + object.b.size()"), ["object.a", "object.b"]);
        assert_eq!(reads("object.list.all(one, one.a == request.name)"), ["object.list", "one.a", "request.name"]);
        assert_eq!(reads("{'k': [object.a]}"), ["object.a"]);
        let asked = reads("authorizer.group('g').resource(object.r).name('n').check('v').allowed()");
        assert_eq!(asked, ["object.r"]);
    }

    #[test]
    fn absent_and_null_differ_and_so_does_where_a_way_ends() {
        let members = ["a".to_owned(), "b".to_owned()];
        let different =
            [json!({}), json!({"a": null}), json!({"a": {}}), json!({"a": {"b": null}}), json!({"a": 1}), json!(1)];
        for (index, one) in different.iter().enumerate() {
            for other in different.iter().skip(index + 1) {
                assert_ne!(find(one, &members), find(other, &members), "{one} and {other}");
            }
        }
        assert_eq!(find(&json!({"a": {"b": 1}, "c": 1}), &members), find(&json!({"a": {"b": 1}}), &members));
    }
}
