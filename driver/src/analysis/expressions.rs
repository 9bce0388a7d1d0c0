//! Expressions: names to columns, functions to what the registry builds, casts, fields, `CASE`.
//!
//! Aggregates and time windows are not expressions of a plan: the resolver puts them aside, a column of their own in
//! their place, and who asked for the expression gives them a node ([`super::aggregate`], [`super::project`]).

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;

use pyrite_engine::cast::{CastMode as EngineCastMode, parse_date, parse_timestamp, parse_timestamp_ntz};
use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::functions::{GetField, Typed, explicit_cast, extract_value, kernel};
use pyrite_engine::types::{Zone, parse_type, quote_identifier, sql_name};

use super::attribute::{Attribute, attribute_of};
use super::literals::literal;
use super::names::{Found, find, parse_name, same_name, unresolved_column};
use super::pending::{PendingAggregate, PendingWindow};
use super::unresolved::{CastMode, CastTarget, SortKey, UnresolvedExpr};
use super::{Session, errors};
use crate::sql;

/// The deepest nesting of expressions; deeper ones are refused instead of overflowing the stack.
const DEPTH_MAX: usize = 400;

/// A resolved expression, and the name it brings along when it has one of its own: a column's, a field's, an alias.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub typed: Typed,
    pub named: Option<String>,
    /// The name of the column below a cast, which names the cast when nothing else does.
    pub cast_of: Option<String>,
    /// Whether the user gave the name with `AS`.
    pub aliased: bool,
}

impl Resolved {
    /// An expression without a name of its own.
    pub(super) fn plain(typed: Typed) -> Self {
        Resolved { typed, named: None, cast_of: None, aliased: false }
    }

    /// A column or a field, with its name.
    pub(super) fn named(typed: Typed, name: impl Into<String>) -> Self {
        Resolved { named: Some(name.into()), ..Resolved::plain(typed) }
    }

    /// The expression as a user's `AS` names it.
    pub fn alias(self, name: &str) -> Self {
        Resolved { named: Some(name.to_owned()), aliased: true, ..self }
    }

    /// The name of the column that this expression becomes.
    pub fn column_name(&self) -> &str {
        self.named.as_ref().or(self.cast_of.as_ref()).unwrap_or(&self.typed.name)
    }
}

/// Resolves expressions over the columns of a scope.
pub(super) struct Resolver<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) scope: &'a [Attribute],
    /// Columns below the scope, for names that it lacks: a `HAVING`, an `ORDER BY` of a dropped column.
    pub(super) below: &'a [Attribute],
    /// Windows of grouping keys, which a select list may name: `window.start`.
    windows_in_scope: Vec<Attribute>,
    /// Aliases of the same select list that stand further left, which Spark lets names refer to.
    lateral: Vec<Resolved>,
    pub aggregates: Vec<PendingAggregate>,
    pub windows: Vec<PendingWindow>,
    depth: usize,
}

impl<'a> Resolver<'a> {
    pub fn new(session: &'a Session<'a>, scope: &'a [Attribute]) -> Self {
        Resolver {
            session,
            scope,
            below: &[],
            windows_in_scope: Vec::new(),
            lateral: Vec::new(),
            aggregates: Vec::new(),
            windows: Vec::new(),
            depth: 0,
        }
    }

    /// Names that the scope lacks are looked for in `below`; arguments of aggregates in `below` first.
    pub fn with_below(mut self, below: &'a [Attribute]) -> Self {
        self.below = below;
        self
    }

    /// From here on, names may refer to the windows seen so far, as SQL's select list does to those of its `GROUP BY`.
    pub fn bring_windows_into_scope(&mut self) {
        let attribute = |pending: &PendingWindow| {
            Attribute::new(
                &pending.window.name,
                pending.column.clone(),
                DataType::Struct(pending.fields.clone()),
                false,
            )
        };
        self.windows_in_scope = self.windows.iter().map(attribute).collect();
    }

    /// One item of a select list; later items may refer to its alias.
    pub fn select_item(&mut self, expr: &UnresolvedExpr) -> Result<Vec<Resolved>, SparkError> {
        let items = self.list_item(expr)?;
        self.lateral.extend(items.iter().filter(|item| item.aliased).cloned());
        Ok(items)
    }

    /// One item of a list, which stars expand to several.
    pub fn list_item(&mut self, expr: &UnresolvedExpr) -> Result<Vec<Resolved>, SparkError> {
        match expr {
            UnresolvedExpr::Star { target } => self.star(target.as_deref()),
            UnresolvedExpr::Sql(text) => self.list_item(&sql::parse_expression(text)?),
            other => Ok(vec![self.resolve(other)?]),
        }
    }

    /// One expression.
    pub fn resolve(&mut self, expr: &UnresolvedExpr) -> Result<Resolved, SparkError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SparkError::unsupported(format!("an expression nested deeper than {DEPTH_MAX}")));
        }
        let resolved = self.resolve_one(expr);
        self.depth -= 1;
        resolved
    }

    fn resolve_one(&mut self, expr: &UnresolvedExpr) -> Result<Resolved, SparkError> {
        match expr {
            UnresolvedExpr::Attribute { name, plan_id } => self.attribute(name, *plan_id),
            UnresolvedExpr::Literal(value) => Ok(Resolved::plain(literal(value.clone(), self.session.settings))),
            UnresolvedExpr::Function { name, args, distinct } => self.function(name, args, *distinct),
            UnresolvedExpr::Alias { child, names } => {
                let [name] = names.as_slice() else {
                    return Err(SparkError::unsupported("an alias of several names"));
                };
                let child = self.resolve(child)?;
                Ok(child.alias(name))
            }
            UnresolvedExpr::Cast { child, to, mode } => self.cast(child, to, *mode),
            UnresolvedExpr::Star { .. } => Err(errors::star_outside_of_list()),
            UnresolvedExpr::Sql(text) => self.resolve(&sql::parse_expression(text)?),
            UnresolvedExpr::ExtractValue { child, key } => {
                let child = self.resolve(child)?.typed;
                let key = self.resolve(key)?.typed;
                Ok(Resolved::plain(self.extract(child, key)?))
            }
            UnresolvedExpr::Sort(key) => {
                let SortKey { expression, .. } = key.as_ref();
                self.resolve(expression)
            }
            UnresolvedExpr::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref())
            }
        }
    }

    fn star(&mut self, target: Option<&str>) -> Result<Vec<Resolved>, SparkError> {
        let Some(target) = target else {
            return Ok(self.scope.iter().map(column_of).collect());
        };
        let parts = parse_name(target.strip_suffix(".*").unwrap_or(target))?;
        let qualified: Vec<Resolved> = self
            .scope
            .iter()
            .filter(|attribute| super::names::is_qualified(attribute, &parts))
            .map(column_of)
            .collect();
        if !qualified.is_empty() {
            return Ok(qualified);
        }
        let base = match find(&parts, self.scope)? {
            Some(found) => self.fields_of(as_written(&found), found.fields)?.typed,
            None => return Err(errors::cannot_expand_star(&parts.join("."), self.scope)),
        };
        let DataType::Struct(fields) = base.data_type.clone() else { return Err(errors::star_of_scalar(&parts)) };
        let mut expanded = Vec::with_capacity(fields.len());
        for field in &fields {
            let typed = field_of(&base, field.name(), field.data_type(), field.is_nullable());
            expanded.push(Resolved::named(typed, field.name()));
        }
        Ok(expanded)
    }

    fn attribute(&mut self, name: &str, plan_id: Option<i64>) -> Result<Resolved, SparkError> {
        let parts = parse_name(name)?;
        if let Some(found) = plan_id.and_then(|plan_id| self.by_plan_id(plan_id, &parts).transpose()) {
            return found;
        }
        for scope in [self.scope, self.windows_in_scope.as_slice(), self.below] {
            if let Some(found) = find(&parts, scope)? {
                return self.fields_of(as_written(&found), found.fields);
            }
        }
        let mut aliases = self.lateral.iter().filter(|item| same_name(item.column_name(), &parts[0]));
        if let (Some(item), None) = (aliases.next(), aliases.next()) {
            let name = format!("lateralAliasReference({})", parts[0]);
            let base = Resolved::named(item.typed.clone().named(name), &parts[0]);
            return self.fields_of(base, &parts[1..]);
        }
        match niladic(&parts) {
            Some(function) => self.function(function, &[], false),
            None => Err(unresolved_column(name, self.scope)),
        }
    }

    /// `df["x"]`: the column of that very relation, where it is still there; else by name.
    fn by_plan_id(&self, plan_id: i64, parts: &[String]) -> Result<Option<Resolved>, SparkError> {
        let outputs = self.session.plan_outputs.borrow();
        let Some(output) = outputs.get(&plan_id) else { return Ok(None) };
        let Some(found) = find(parts, output)? else { return Ok(None) };
        let here = self.scope.iter().chain(self.below).find(|attribute| attribute.column == found.attribute.column);
        here.map(|attribute| self.fields_of(as_written(&Found { attribute, ..found }), found.fields)).transpose()
    }

    fn fields_of(&self, base: Resolved, fields: &[String]) -> Result<Resolved, SparkError> {
        let mut resolved = base;
        for field in fields {
            let key = Typed::literal(ScalarValue::Utf8(Some(field.clone())));
            let typed = self.extract(resolved.typed, key)?;
            resolved = Resolved::named(typed, field);
        }
        Ok(resolved)
    }

    /// `child[key]`: a field, an element, a value.
    fn extract(&self, child: Typed, key: Typed) -> Result<Typed, SparkError> {
        let settings = self.session.settings;
        let written = key.literal_text().map(|name| format!("{}.{}", child.name, quote_identifier(name)));
        let is_field = matches!(child.data_type, DataType::Struct(_));
        let typed = extract_value(child, key, settings)?;
        // As Spark: the name of a struct's field is the one that was asked for.
        Ok(match written {
            Some(written) if is_field => typed.named(written),
            _ => typed,
        })
    }

    fn case(
        &mut self,
        operand: Option<&UnresolvedExpr>,
        branches: &[(UnresolvedExpr, UnresolvedExpr)],
        otherwise: Option<&UnresolvedExpr>,
    ) -> Result<Resolved, SparkError> {
        let operand = operand.map(|operand| self.resolve(operand)).transpose()?;
        let mut args = Vec::with_capacity(branches.len() * 2 + 1);
        for (condition, value) in branches {
            let condition = self.resolve(condition)?.typed;
            args.push(match &operand {
                Some(operand) => self.scalar("==", vec![operand.typed.clone(), condition])?,
                None => condition,
            });
            args.push(self.resolve(value)?.typed);
        }
        if let Some(otherwise) = otherwise {
            args.push(self.resolve(otherwise)?.typed);
        }
        Ok(Resolved::plain(self.scalar("when", args)?))
    }

    fn cast(&mut self, child: &UnresolvedExpr, to: &CastTarget, mode: CastMode) -> Result<Resolved, SparkError> {
        let child = self.resolve(child)?;
        let to = match to {
            CastTarget::Ddl(text) => parse_type(text)?,
            CastTarget::Type(data_type) => data_type.clone(),
        };
        let settings = self.session.settings;
        if let (CastMode::Ansi, Some(text)) = (mode, child.typed.literal_text())
            && let Some(value) = typed_literal(text, &to, &settings.zone()?)
        {
            return Ok(Resolved::plain(literal(value?, settings)));
        }
        let engine_mode = match mode {
            CastMode::Session => settings.cast_mode(),
            CastMode::Ansi => EngineCastMode::Ansi,
            CastMode::Legacy => EngineCastMode::Legacy,
            CastMode::Try => EngineCastMode::Try,
        };
        let typed = explicit_cast(child.typed, &to, engine_mode, settings)?;
        Ok(Resolved { cast_of: child.named.or(child.cast_of), ..Resolved::plain(typed) })
    }
}

/// `date '...'` and `timestamp '...'`: the value at once, as Spark's parser has it. `None` for other types.
fn typed_literal(text: &str, to: &DataType, zone: &Zone) -> Option<Result<ScalarValue, SparkError>> {
    let value = match to {
        DataType::Date32 => parse_date(text).map(|days| ScalarValue::Date32(Some(days))),
        DataType::Timestamp(_, Some(zone_name)) => parse_timestamp(text, zone)
            .map(|micros| ScalarValue::TimestampMicrosecond(Some(micros), Some(zone_name.clone()))),
        DataType::Timestamp(_, None) => {
            parse_timestamp_ntz(text).map(|micros| ScalarValue::TimestampMicrosecond(Some(micros), None))
        }
        _ => return None,
    };
    Some(value.ok_or_else(|| {
        let type_name = sql_name(to);
        let message = format!("The value of the typed literal \"{type_name}\" is invalid: '{text}'.");
        SparkError::new(ExceptionKind::Parse, "INVALID_TYPED_LITERAL", "42604", message)
            .with("valueType", format!("\"{type_name}\""))
            .with("value", format!("'{text}'"))
    }))
}

/// Functions that Spark also calls without parentheses, when no column has the name.
fn niladic(parts: &[String]) -> Option<&'static str> {
    let [name] = parts else { return None };
    ["current_timestamp", "current_date", "localtimestamp", "current_timezone"]
        .into_iter()
        .find(|function| name.eq_ignore_ascii_case(function))
}

/// A column of the scope.
pub(super) fn column_of(attribute: &Attribute) -> Resolved {
    let typed = Typed {
        expr: attribute.expr(),
        data_type: attribute.data_type.clone(),
        nullable: attribute.nullable,
        name: attribute.name.clone(),
        literal: None,
    };
    Resolved::named(typed, &attribute.name)
}

/// What a name found, under the name as the user wrote it, which is what Spark shows.
fn as_written(found: &Found<'_>) -> Resolved {
    let column = column_of(found.attribute);
    Resolved::named(column.typed.named(found.written), found.written)
}

fn field_of(base: &Typed, field: &str, data_type: &DataType, nullable: bool) -> Typed {
    Typed {
        expr: kernel::call(GetField { name: field.to_owned() }, vec![base.expr.clone()]),
        data_type: data_type.clone(),
        nullable: base.nullable || nullable,
        name: format!("{}.{field}", base.name),
        literal: None,
    }
}

/// The watermark that an expression inherits: that of the column it is.
pub(super) fn watermark_of(expr: &Expr, scope: &[Attribute]) -> Option<i64> {
    attribute_of(expr, scope).and_then(|attribute| attribute.watermark_us)
}
