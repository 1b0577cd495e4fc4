//! What the CEL interpreter lacks, said in what it has: object construction (`JSONPatch{…}`, `Object.spec{…}`) becomes a
//! map, `list.transformList(i, v, …)` becomes a `map` over the list's indices, and a question to the `authorizer` becomes
//! a call of [`ALLOWED`].
use kube_cel::cel::{
    IdedExpr, Program,
    common::ast::{EntryExpr, Expr, IdedEntryExpr, LiteralValue, MapEntryExpr, MapExpr},
};

/// The function that is asked instead of the `authorizer`: group, resource, name and verb.
pub(super) const ALLOWED: &str = "tk_allowed";

/// Rewrites an expression in place; the error names what cannot be evaluated here.
pub(super) fn rewrite(expression: &mut IdedExpr) -> Result<(), String> {
    ask_allowed(expression)?;
    if matches!(&expression.expr, Expr::Ident(name) if name == "authorizer") {
        let form = "authorizer.group(…).resource(…).name(…).check(…).allowed()";
        return Err(format!("testkit apiserver: the authorizer is known here only as {form}"));
    }
    children(expression, &mut rewrite)?;
    if let Expr::Struct(made) = &mut expression.expr {
        let entries = std::mem::take(&mut made.entries);
        expression.expr = Expr::Map(MapExpr { entries: entries.into_iter().map(field_to_entry).collect() });
    }
    let two_variables = matches!(&expression.expr, Expr::Call(call) if call.func_name == "transformList");
    if two_variables {
        *expression = transform_list(expression)?;
    }
    Ok(())
}

/// Replaces `authorizer.group(g).resource(r).name(n).check(v).allowed()`; anything else stays as it is.
fn ask_allowed(expression: &mut IdedExpr) -> Result<(), String> {
    let mut args = Vec::new();
    let mut at = &*expression;
    for (method, takes) in [("allowed", 0), ("check", 1), ("name", 1), ("resource", 1), ("group", 1)] {
        let Expr::Call(call) = &at.expr else { return Ok(()) };
        let (true, Some(target)) = (call.func_name == method && call.args.len() == takes, call.target.as_deref())
        else {
            return Ok(());
        };
        args.extend(call.args.iter().cloned());
        at = target;
    }
    if !matches!(&at.expr, Expr::Ident(name) if name == "authorizer") {
        return Ok(());
    }
    args.reverse();
    let mut whole = parse(&format!("{ALLOWED}(tk_0, tk_1, tk_2, tk_3)"))?;
    for (index, arg) in args.iter().enumerate() {
        substitute(&mut whole, &format!("tk_{index}"), arg);
    }
    *expression = whole;
    Ok(())
}

fn parse(source: &str) -> Result<IdedExpr, String> {
    Program::compile(source).map(|program| program.expression().clone()).map_err(|error| error.to_string())
}

fn field_to_entry(entry: IdedEntryExpr) -> IdedEntryExpr {
    let expr = match entry.expr {
        EntryExpr::StructField(field) => EntryExpr::MapEntry(MapEntryExpr {
            key: IdedExpr { id: entry.id, expr: Expr::Literal(LiteralValue::String(field.field.as_str().into())) },
            value: field.value,
            optional: field.optional,
        }),
        other => other,
    };
    IdedEntryExpr { id: entry.id, expr }
}

/// Runs over the direct children of an expression.
pub(super) fn children(
    expression: &mut IdedExpr,
    visit: &mut dyn FnMut(&mut IdedExpr) -> Result<(), String>,
) -> Result<(), String> {
    match &mut expression.expr {
        Expr::Call(call) => {
            let target = call.target.as_deref_mut().into_iter();
            target.chain(call.args.iter_mut()).try_for_each(visit)
        }
        Expr::Comprehension(loops) => {
            let parts = [
                &mut loops.iter_range,
                &mut loops.accu_init,
                &mut loops.loop_cond,
                &mut loops.loop_step,
                &mut loops.result,
            ];
            parts.into_iter().try_for_each(visit)
        }
        Expr::List(list) => list.elements.iter_mut().try_for_each(visit),
        Expr::Select(select) => visit(&mut select.operand),
        Expr::Map(MapExpr { entries }) => entries.iter_mut().try_for_each(|entry| entry_children(entry, visit)),
        Expr::Struct(made) => made.entries.iter_mut().try_for_each(|entry| entry_children(entry, visit)),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Ok(()),
    }
}

fn entry_children(
    entry: &mut IdedEntryExpr,
    visit: &mut dyn FnMut(&mut IdedExpr) -> Result<(), String>,
) -> Result<(), String> {
    match &mut entry.expr {
        EntryExpr::StructField(field) => visit(&mut field.value),
        EntryExpr::MapEntry(member) => {
            visit(&mut member.key)?;
            visit(&mut member.value)
        }
    }
}

/// Replaces a free identifier by an expression.
fn substitute(expression: &mut IdedExpr, name: &str, with: &IdedExpr) {
    if matches!(&expression.expr, Expr::Ident(ident) if ident == name) {
        *expression = with.clone();
        return;
    }
    let mut visit = |child: &mut IdedExpr| {
        substitute(child, name, with);
        Ok(())
    };
    // The visitor never fails.
    let _ = children(expression, &mut visit);
}

fn transform_list(expression: &IdedExpr) -> Result<IdedExpr, String> {
    let unknown = || "testkit apiserver: this form of transformList is not known".to_owned();
    let Expr::Call(call) = &expression.expr else {
        return Err(unknown());
    };
    let list = call.target.as_deref().ok_or_else(unknown)?;
    let (index, item, condition, result) = match call.args.as_slice() {
        [index, item, result] => (index, item, None, result),
        [index, item, condition, result] => (index, item, Some(condition), result),
        _ => return Err(unknown()),
    };
    let (Expr::Ident(index), Expr::Ident(item)) = (&index.expr, &item.expr) else {
        return Err(unknown());
    };
    let mut whole = parse(&format!("lists.range(size(tk_list)).map({index}, tk_condition, tk_result)"))?;
    let mut each = parse(&format!("tk_list[{index}]"))?;
    substitute(&mut each, "tk_list", list);
    let always = parse("true")?;
    for (placeholder, part) in [("tk_condition", condition.unwrap_or(&always)), ("tk_result", result)] {
        let mut part = part.clone();
        substitute(&mut part, item, &each);
        substitute(&mut whole, placeholder, &part);
    }
    substitute(&mut whole, "tk_list", list);
    Ok(whole)
}
