//! What an expression reads of what it is about: so much decides what it says, and nothing else does.
use std::collections::BTreeSet;

use kube_cel::cel::{
    IdedExpr,
    common::ast::{
        Expr, LiteralValue,
        operators::{EQUALS, NOT_EQUALS},
    },
};
use serde::Serialize;
use serde_json::Value;

use super::rewrite::children;

/// Something that is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::apiserver) struct Read {
    /// The name of a variable, and the members that lead on from it.
    pub path: Vec<String>,
    /// Whether it is only compared with null, for which its type is enough.
    pub nullness: bool,
}

/// Collects every path that an expression follows. What it does with a value other than to follow a member takes the whole
/// value; a name that a loop gives to its items is taken for a variable of that name, which is more than is read.
pub(in crate::apiserver) fn collect(expression: &IdedExpr, found: &mut BTreeSet<Read>) {
    // The way through the children may change them, so it goes over a copy.
    follow(&mut expression.clone(), found);
}

fn follow(expression: &mut IdedExpr, found: &mut BTreeSet<Read>) {
    if let Some(path) = compared_with_null(expression) {
        found.insert(Read { path, nullness: true });
        return;
    }
    if let Some(path) = path(expression) {
        found.insert(Read { path, nullness: false });
        return;
    }
    let mut visit = |child: &mut IdedExpr| {
        follow(child, found);
        Ok(())
    };
    // The visitor never fails.
    let _ = children(expression, &mut visit);
}

fn compared_with_null(expression: &IdedExpr) -> Option<Vec<String>> {
    let Expr::Call(call) = &expression.expr else { return None };
    if !matches!(call.func_name.as_str(), EQUALS | NOT_EQUALS) || call.target.is_some() {
        return None;
    }
    match call.args.as_slice() {
        [one, IdedExpr { expr: Expr::Literal(LiteralValue::Null), .. }]
        | [IdedExpr { expr: Expr::Literal(LiteralValue::Null), .. }, one] => path(one),
        _ => None,
    }
}

fn path(expression: &IdedExpr) -> Option<Vec<String>> {
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

/// What is found where something is read.
#[derive(Debug, PartialEq, Serialize)]
pub(super) enum Found<'a> {
    Absent,
    Value(&'a Value),
    Type(&'static str),
}

/// What whoever reads that of a variable finds: how far the members lead, and what is there.
pub(super) fn find<'a>(root: &'a Value, read: &Read) -> (usize, Found<'a>) {
    let mut at = root;
    let members = read.path.get(1..).unwrap_or_default();
    for (depth, member) in members.iter().enumerate() {
        match at.as_object() {
            Some(map) => match map.get(member) {
                Some(next) => at = next,
                None => return (depth, Found::Absent),
            },
            None => return (depth, Found::Value(at)),
        }
    }
    (members.len(), if read.nullness { Found::Type(type_of(at)) } else { Found::Value(at) })
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int",
        Value::Number(number) if number.is_u64() => "uint",
        Value::Number(_) => "double",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::policy::Expressions;

    fn reads(source: &str) -> Vec<String> {
        let mut found = BTreeSet::new();
        collect(&Expressions::default().read(source).unwrap(), &mut found);
        let named = found.into_iter().map(|read| read.path.join(".") + if read.nullness { "?" } else { "" });
        named.filter(|path| !path.starts_with('@')).collect()
    }

    #[test]
    fn members_are_followed_and_whatever_else_is_done_takes_the_whole_value() {
        assert_eq!(reads("has(object.spec.a) && object.spec.b.c == 1"), ["object.spec.a", "object.spec.b.c"]);
        assert_eq!(reads("'k' in object.metadata.labels"), ["object.metadata.labels"]);
        assert_eq!(reads("object['spec'].a == 1"), ["object"]);
        assert_eq!(reads("(object == null ? oldObject : object).data.k == 'v'"), ["object", "object?", "oldObject"]);
        assert_eq!(reads("object.a != null && null == oldObject.b"), ["object.a?", "oldObject.b?"]);
        assert_eq!(reads("size(object.a) + object.b.size()"), ["object.a", "object.b"]);
        assert_eq!(reads("object.list.all(one, one.a == request.name)"), ["object.list", "one.a", "request.name"]);
        assert_eq!(reads("{'k': [object.a]}"), ["object.a"]);
        let asked = reads("authorizer.group('g').resource(object.r).name('n').check('v').allowed()");
        assert_eq!(asked, ["object.r"]);
    }

    #[test]
    fn absent_and_null_differ_and_so_does_where_a_way_ends() {
        let path = ["object", "a", "b"].map(str::to_owned).to_vec();
        let members = Read { path: path.clone(), nullness: false };
        let null = Read { path, nullness: true };
        let different =
            [json!({}), json!({"a": null}), json!({"a": {}}), json!({"a": {"b": null}}), json!({"a": 1}), json!(1)];
        for (index, one) in different.iter().enumerate() {
            for other in different.iter().skip(index + 1) {
                assert_ne!(find(one, &members), find(other, &members), "{one} and {other}");
            }
        }
        for (one, other, same) in [(json!({"c": 1}), json!({}), true), (json!(1), json!(null), false)] {
            let (one, other) = (json!({"a": {"b": one}}), json!({"a": {"b": other}}));
            assert_eq!(find(&one, &null) == find(&other, &null), same, "{one} and {other}");
        }
        assert_ne!(find(&json!({"a": {}}), &null), find(&json!({"a": {"b": null}}), &null));
        assert_ne!(find(&json!({"a": null}), &null), find(&json!({"a": 1}), &null));
        assert_eq!(find(&json!({"a": {"b": 1}, "c": 1}), &members), find(&json!({"a": {"b": 1}}), &members));
    }
}
