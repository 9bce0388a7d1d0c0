//! `from_json` in a segment: decoded once for each document, and only the fields that the plan reads; and the raw test
//! of the undecoded bytes that goes before it.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use pyrite_engine::cast::Cast;
use pyrite_engine::functions::GetField;
use pyrite_engine::functions::kernel::KernelUdf;
use pyrite_engine::json::{FromJson, Needle, with_projection};

use super::segment::{column, unalias};

/// A document decoded once: the call with the fields it must decode, and the name under which the rest reads it.
#[derive(Debug)]
pub(super) struct Hoisted {
    pub(super) name: String,
    pub(super) call: Expr,
    original: Expr,
    /// Top-level fields read; `None` for all.
    fields: Option<BTreeSet<String>>,
}

/// Takes the `from_json` calls out of the expressions, which then read columns called `json#0` and so on.
pub(super) fn hoist(expressions: &mut [&mut Expr]) -> Result<Vec<Hoisted>> {
    let mut hoisted: Vec<Hoisted> = Vec::new();
    for expression in expressions.iter() {
        collect(expression, &mut hoisted)?;
    }
    for found in &mut hoisted {
        if let Some(fields) = &found.fields {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            found.call = with_projection(&found.original, &fields)?;
        }
    }
    for expression in expressions.iter_mut() {
        let taken = std::mem::take(*expression);
        **expression = replace(taken, &hoisted)?;
    }
    Ok(hoisted)
}

/// Lets `from_json` read binary columns as they are: the decoder takes bytes, so `CAST(value AS STRING)` below it would
/// only copy and check every record, also those that the raw test drops.
pub(super) fn read_bytes(expression: &mut Expr, schema: &Schema) -> Result<()> {
    let taken = std::mem::take(expression);
    *expression = taken
        .transform_up(|node| {
            let Expr::ScalarFunction(mut call) = node else { return Ok(Transformed::no(node)) };
            let bytes = FromJson::of(&call.func).and_then(|_| text_of_bytes(call.args.first()?, schema));
            match bytes {
                Some(bytes) => {
                    call.args[0] = bytes;
                    Ok(Transformed::yes(Expr::ScalarFunction(call)))
                }
                None => Ok(Transformed::no(Expr::ScalarFunction(call))),
            }
        })?
        .data;
    Ok(())
}

/// The binary column whose text an expression is.
fn text_of_bytes(expression: &Expr, schema: &Schema) -> Option<Expr> {
    let Expr::ScalarFunction(call) = unalias(expression) else { return None };
    let cast = call.func.inner().as_ref().downcast_ref::<KernelUdf<Cast>>()?;
    let Expr::Column(reference) = unalias(call.args.first()?) else { return None };
    let field = schema.field_with_name(&reference.name).ok()?;
    let is_text = cast.kernel().to == DataType::Utf8 && field.data_type() == &DataType::Binary;
    is_text.then(|| column(&reference.name))
}

fn collect(expression: &Expr, hoisted: &mut Vec<Hoisted>) -> Result<()> {
    expression.apply(|node| {
        if let Some((call, field)) = field_of_call(node) {
            note(call, Some(field), hoisted);
            // Arguments of the call are below it; nothing else of it is read.
            return Ok(TreeNodeRecursion::Jump);
        }
        if is_from_json(node) {
            note(node, None, hoisted);
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn note(call: &Expr, field: Option<&str>, hoisted: &mut Vec<Hoisted>) {
    let index = hoisted.iter().position(|found| found.original == *call).unwrap_or_else(|| {
        hoisted.push(Hoisted {
            name: format!("json#{}", hoisted.len()),
            call: call.clone(),
            original: call.clone(),
            fields: Some(BTreeSet::new()),
        });
        hoisted.len() - 1
    });
    let fields = &mut hoisted[index].fields;
    match (field, fields.as_mut()) {
        (Some(field), Some(fields)) => {
            fields.insert(field.to_owned());
        }
        (None, _) => *fields = None,
        (Some(_), None) => {}
    }
}

fn replace(expression: Expr, hoisted: &[Hoisted]) -> Result<Expr> {
    let replaced = expression.transform_down(|node| {
        Ok(match hoisted.iter().find(|found| found.original == node) {
            Some(found) => Transformed::new(column(&found.name), true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        })
    })?;
    Ok(replaced.data)
}

fn is_from_json(expression: &Expr) -> bool {
    matches!(expression, Expr::ScalarFunction(call) if FromJson::of(&call.func).is_some())
}

/// `from_json(..).field`: the call and the field's name.
fn field_of_call(expression: &Expr) -> Option<(&Expr, &str)> {
    let (name, call) = GetField::of(expression)?;
    is_from_json(call).then_some((call, name))
}

fn literal_text(expression: &Expr) -> Option<&str> {
    match unalias(expression) {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text),
        _ => None,
    }
}

/// The raw tests that conjuncts allow: for each, the column that holds the documents.
///
/// A conjunct counts when it holds only if some string field of a document contains, or is, one of some literals; a
/// document whose bytes hold none of them cannot pass the filter, whatever it decodes to.
pub(super) fn needles(conjuncts: &[Expr]) -> Vec<(String, Needle)> {
    conjuncts.iter().filter_map(needle).collect()
}

fn needle(conjunct: &Expr) -> Option<(String, Needle)> {
    let (operand, alternatives) = match conjunct {
        Expr::ScalarFunction(call) if call.func.name() == "contains" && call.args.len() == 2 => {
            (&call.args[0], vec![literal_text(&call.args[1])?])
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match literal_text(right) {
            Some(text) => (left.as_ref(), vec![text]),
            None => (right.as_ref(), vec![literal_text(left)?]),
        },
        Expr::InList(list) if !list.negated => {
            (list.expr.as_ref(), list.list.iter().map(literal_text).collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    };
    let (field, fold_case) = without_case(operand);
    let (call, name) = field_of_call(field)?;
    let document = document_column(call, name)?;
    let alternatives = alternatives.into_iter().map(|text| text.as_bytes().to_vec()).collect();
    Some((document, Needle { alternatives, fold_case }))
}

/// The operand below `lower` and `upper`.
fn without_case(expression: &Expr) -> (&Expr, bool) {
    match expression {
        Expr::ScalarFunction(call) if matches!(call.func.name(), "lower" | "upper") && call.args.len() == 1 => {
            (without_case(&call.args[0]).0, true)
        }
        other => (other, false),
    }
}

/// The column a `from_json` call decodes, when the raw bytes can tell of the field: a string, and no mode that must see
/// every document.
fn document_column(call: &Expr, field: &str) -> Option<String> {
    let Expr::ScalarFunction(call) = call else { return None };
    let udf = FromJson::of(&call.func)?;
    if !udf.raw_testable(field) {
        return None;
    }
    match unalias(call.args.first()?) {
        Expr::Column(reference) => Some(reference.name.clone()),
        _ => None,
    }
}
