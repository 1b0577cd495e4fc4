//! Expressions of admission policies: parsed once, evaluated over JSON.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kube_cel::{
    KubeCelExt,
    cel::{Context, IdedExpr, Program, Value as Cel, objects::Key},
};
use serde_json::Value;

use super::rewrite::{ALLOWED, rewrite};

/// An expression that has been read.
pub(in crate::apiserver) type Expression = Arc<IdedExpr>;

/// Expressions by their text, so that each is read once.
#[derive(Clone, Default)]
pub(in crate::apiserver) struct Expressions(BTreeMap<String, Expression>);

impl Expressions {
    /// Reads an expression, or says what is wrong with it or unknown to this server.
    pub fn read(&mut self, source: &str) -> Result<Expression, String> {
        if let Some(known) = self.0.get(source) {
            return Ok(Arc::clone(known));
        }
        let program = Program::compile(source).map_err(|error| format!("compilation failed: {error}"))?;
        let mut expression = program.expression().clone();
        rewrite(&mut expression)?;
        let expression = Arc::new(expression);
        self.0.insert(source.to_owned(), Arc::clone(&expression));
        Ok(expression)
    }
}

/// Whether the caller may: asked with group, resource, name and verb.
pub(super) type Allowed = Arc<dyn Fn([&str; 4]) -> bool + Send + Sync>;

/// What expressions are evaluated over.
pub(super) struct Scope {
    context: Context<'static>,
    variables: HashMap<Key, Cel>,
    failed: BTreeMap<String, String>,
}

impl Scope {
    pub fn new(variables: &[(&str, &Value)], allowed: Allowed) -> Self {
        let mut context = Context::default().with_all();
        type Text = Arc<String>;
        context.add_function(ALLOWED, move |group: Text, resource: Text, name: Text, verb: Text| {
            allowed([&group, &resource, &name, &verb])
        });
        for (name, value) in variables {
            context.add_variable_from_value(*name, to_cel(value));
        }
        let mut scope = Self { context, variables: HashMap::new(), failed: BTreeMap::new() };
        scope.bind();
        scope
    }

    fn bind(&mut self) {
        self.context.add_variable_from_value("variables", Cel::Map(self.variables.clone().into()));
    }

    /// Adds `variables.<name>`; one that fails is reported by the expression that uses it.
    pub fn define(&mut self, name: &str, expression: &IdedExpr) {
        match self.evaluate(expression) {
            Ok(value) => {
                self.variables.insert(Key::String(Arc::new(name.to_owned())), value);
                self.bind();
            }
            Err(error) => {
                self.failed.insert(name.to_owned(), error);
            }
        }
    }

    pub fn evaluate(&self, expression: &IdedExpr) -> Result<Cel, String> {
        Cel::resolve(expression, &self.context).map_err(|error| {
            let error = error.to_string();
            match error.strip_prefix("No such key: ") {
                Some(key) => match self.failed.get(key) {
                    Some(cause) => {
                        format!("composited variable {key:?} fails to evaluate: {cause}")
                    }
                    None => format!("no such key: {key}"),
                },
                None => error,
            }
        })
    }
}

/// JSON as expressions see it.
fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => number
            .as_i64()
            .map(Cel::Int)
            .or_else(|| number.as_u64().map(Cel::UInt))
            .unwrap_or_else(|| Cel::Float(number.as_f64().unwrap_or(f64::NAN))),
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(map) => {
            let map: HashMap<Key, Cel> =
                map.iter().map(|(name, value)| (Key::String(Arc::new(name.clone())), to_cel(value))).collect();
            Cel::Map(map.into())
        }
    }
}

/// The result of an expression as JSON.
pub(super) fn to_json(value: &Cel) -> Result<Value, String> {
    match value {
        Cel::Null => Ok(Value::Null),
        Cel::Bool(flag) => Ok((*flag).into()),
        Cel::Int(number) => Ok((*number).into()),
        Cel::UInt(number) => Ok((*number).into()),
        Cel::Float(number) => Ok((*number).into()),
        Cel::String(text) => Ok(text.as_str().into()),
        Cel::List(items) => items.iter().map(to_json).collect(),
        Cel::Map(map) => {
            let members = map.map.iter().map(|(key, value)| match key {
                Key::String(name) => Ok((name.as_ref().clone(), to_json(value)?)),
                other => Err(format!("a key that is no string: {other:?}")),
            });
            members.collect::<Result<serde_json::Map<_, _>, _>>().map(Value::Object)
        }
        Cel::Timestamp(time) => Ok(time.to_rfc3339().into()),
        other => Err(format!("a value that JSON has no form for: {other:?}")),
    }
}
