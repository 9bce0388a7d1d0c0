//! Relations. What has no place in the unresolved form and does not change the rows is passed over (hints,
//! repartitioning); everything else is refused by the name that programs use.

use std::collections::BTreeMap;

use bytes::Bytes;
use pyrite_driver::analysis::unresolved::{Read, Relation, RelationNode, UnresolvedExpr};
use pyrite_engine::error::SparkError;

use super::expressions::{alias, expression, expressions, sort_key};
use super::{local_data, required};
use crate::session::Session;
use crate::wire;
use crate::wire::relation::RelType;
use crate::wire::{aggregate, read, set_operation};

/// Transcribes the relations of one plan.
pub struct Transcriber<'a> {
    /// Whose uploads a relation may name.
    pub session: &'a Session,
    /// The names that `WithRelations` brings, by lower-case name.
    pub views: BTreeMap<String, Relation>,
}

impl Transcriber<'_> {
    /// Transcribes a relation with its client id.
    pub fn relation(&mut self, relation: wire::Relation) -> Result<Relation, SparkError> {
        let plan_id = relation.common.and_then(|common| common.plan_id);
        let rel_type = required(relation.rel_type, "rel_type")?;
        // These say where and how to compute, not what: the rows are their input's.
        match rel_type {
            RelType::Hint(hint) => return self.input(hint.input),
            RelType::Repartition(repartition) => return self.input(repartition.input),
            RelType::RepartitionByExpression(repartition) => return self.input(repartition.input),
            _ => {}
        }
        Ok(Relation { plan_id, node: self.node(rel_type)? })
    }

    fn input(&mut self, input: Option<Box<wire::Relation>>) -> Result<Relation, SparkError> {
        self.relation(*required(input, "input")?)
    }

    fn boxed(&mut self, input: Option<Box<wire::Relation>>) -> Result<Box<Relation>, SparkError> {
        Ok(Box::new(self.input(input)?))
    }

    fn node(&mut self, rel_type: RelType) -> Result<RelationNode, SparkError> {
        Ok(match rel_type {
            RelType::Read(read) => self::read(read)?,
            RelType::LocalRelation(local) => self::local(local.data, local.schema)?,
            RelType::CachedLocalRelation(cached) => self.cached_local(&cached.hash)?,
            RelType::ChunkedCachedLocalRelation(cached) => self.chunked_local(&cached)?,
            RelType::Range(range) => {
                RelationNode::Range { start: range.start.unwrap_or(0), end: range.end, step: range.step }
            }
            RelType::Sql(sql) => self::sql(sql)?,
            RelType::WithRelations(with) => return self.with_relations(*with),
            RelType::Project(project) => RelationNode::Project {
                input: match project.input {
                    Some(input) => Some(Box::new(self.relation(*input)?)),
                    None => None,
                },
                expressions: expressions(project.expressions)?,
            },
            RelType::Filter(filter) => RelationNode::Filter {
                input: self.boxed(filter.input)?,
                condition: expression(required(filter.condition, "condition")?)?,
            },
            RelType::Aggregate(aggregate) => self.aggregate(*aggregate)?,
            RelType::SetOp(set) => self.set_operation(*set)?,
            RelType::Sort(sort) => RelationNode::Sort {
                input: self.boxed(sort.input)?,
                keys: sort.order.into_iter().map(sort_key).collect::<Result<_, _>>()?,
            },
            RelType::Limit(limit) => {
                RelationNode::Limit { input: self.boxed(limit.input)?, count: i64::from(limit.limit) }
            }
            RelType::Offset(offset) => {
                RelationNode::Offset { input: self.boxed(offset.input)?, count: i64::from(offset.offset) }
            }
            RelType::Deduplicate(deduplicate) => RelationNode::Deduplicate {
                all_columns: deduplicate.all_columns_as_keys(),
                within_watermark: deduplicate.within_watermark(),
                input: self.boxed(deduplicate.input)?,
                columns: deduplicate.column_names,
            },
            RelType::WithWatermark(watermark) => RelationNode::WithWatermark {
                input: self.boxed(watermark.input)?,
                column: watermark.event_time,
                delay: watermark.delay_threshold,
            },
            other => return self.columns_node(other),
        })
    }

    /// The relations that name, add or take away columns.
    fn columns_node(&mut self, rel_type: RelType) -> Result<RelationNode, SparkError> {
        Ok(match rel_type {
            RelType::WithColumns(with) => RelationNode::WithColumns {
                input: self.boxed(with.input)?,
                columns: with.aliases.into_iter().map(named_column).collect::<Result<_, _>>()?,
            },
            RelType::WithColumnsRenamed(with) => RelationNode::WithColumnsRenamed {
                input: self.boxed(with.input)?,
                renames: renames(with.renames, with.rename_columns_map),
            },
            RelType::Drop(drop) => RelationNode::Drop {
                input: self.boxed(drop.input)?,
                names: drop.column_names,
                columns: expressions(drop.columns)?,
            },
            RelType::SubqueryAlias(named) => {
                RelationNode::SubqueryAlias { input: self.boxed(named.input)?, alias: named.alias }
            }
            RelType::ToDf(to_df) => RelationNode::ToDf { input: self.boxed(to_df.input)?, names: to_df.column_names },
            other => return Err(SparkError::unsupported(name_of(&other))),
        })
    }

    fn aggregate(&mut self, aggregate: wire::Aggregate) -> Result<RelationNode, SparkError> {
        match aggregate.group_type() {
            aggregate::GroupType::Groupby => {}
            aggregate::GroupType::Rollup => return Err(SparkError::unsupported("`rollup`")),
            aggregate::GroupType::Cube => return Err(SparkError::unsupported("`cube`")),
            aggregate::GroupType::Pivot => return Err(SparkError::unsupported("`pivot`")),
            aggregate::GroupType::GroupingSets => return Err(SparkError::unsupported("`groupingSets`")),
            aggregate::GroupType::Unspecified => {
                return Err(crate::error::invalid_plan("the aggregation has no group type"));
            }
        }
        Ok(RelationNode::Aggregate {
            input: self.boxed(aggregate.input)?,
            grouping: expressions(aggregate.grouping_expressions)?,
            aggregates: expressions(aggregate.aggregate_expressions)?,
        })
    }

    fn set_operation(&mut self, set: wire::SetOperation) -> Result<RelationNode, SparkError> {
        match set.set_op_type() {
            set_operation::SetOpType::Union => {}
            set_operation::SetOpType::Intersect => return Err(SparkError::unsupported("`intersect`")),
            set_operation::SetOpType::Except => return Err(SparkError::unsupported("`exceptAll`/`subtract`")),
            set_operation::SetOpType::Unspecified => {
                return Err(crate::error::invalid_plan("the set operation has no type"));
            }
        }
        let (by_name, allow_missing, all) = (set.by_name(), set.allow_missing_columns(), set.is_all.unwrap_or(true));
        let union = RelationNode::Union {
            left: self.boxed(set.left_input)?,
            right: self.boxed(set.right_input)?,
            by_name,
            allow_missing,
        };
        if all {
            return Ok(union);
        }
        Ok(RelationNode::Deduplicate {
            input: Box::new(Relation { plan_id: None, node: union }),
            columns: Vec::new(),
            all_columns: true,
            within_watermark: false,
        })
    }

    fn with_relations(&mut self, with: wire::WithRelations) -> Result<RelationNode, SparkError> {
        for reference in with.references {
            let relation = self.relation(reference)?;
            if let RelationNode::SubqueryAlias { input, alias } = relation.node {
                self.views.insert(alias.to_lowercase(), *input);
            } else {
                return Err(SparkError::unsupported("a subquery of another DataFrame"));
            }
        }
        Ok(self.input(with.root)?.node)
    }

    fn cached_local(&self, hash: &str) -> Result<RelationNode, SparkError> {
        // The upload is the LocalRelation message itself.
        let data = self.upload(hash)?;
        let message: wire::LocalRelation = crate::codec::decode(data)
            .map_err(|status| crate::error::invalid_plan(format!("the uploaded relation: {}", status.message())))?;
        local(message.data, message.schema)
    }

    fn chunked_local(&self, cached: &wire::ChunkedCachedLocalRelation) -> Result<RelationNode, SparkError> {
        let schema = match &cached.schema_hash {
            Some(hash) => Some(
                String::from_utf8(self.upload(hash)?.to_vec())
                    .map_err(|_| crate::error::invalid_plan("the uploaded schema is no UTF-8 text"))?,
            ),
            None => None,
        };
        let mut batches = Vec::new();
        for hash in &cached.data_hashes {
            batches.extend(local_data::decode(&self.upload(hash)?)?);
        }
        Ok(RelationNode::Local { batches, schema })
    }

    fn upload(&self, hash: &str) -> Result<Bytes, SparkError> {
        self.session.artifacts.lock().get(&format!("cache/{hash}")).ok_or_else(|| {
            crate::error::invalid_plan(format!("no uploaded data with the hash {hash}; create the DataFrame again"))
        })
    }
}

fn read(message: wire::Read) -> Result<RelationNode, SparkError> {
    let streaming = message.is_streaming;
    Ok(match required(message.read_type, "read_type")? {
        read::ReadType::NamedTable(table) => RelationNode::NamedTable { name: table.unparsed_identifier, streaming },
        read::ReadType::DataSource(source) => {
            if !source.predicates.is_empty() {
                return Err(SparkError::unsupported("`read.jdbc` with predicates"));
            }
            RelationNode::Read(Read {
                // As Spark, `spark.sql.sources.default`.
                format: source
                    .format
                    .filter(|name| !name.is_empty())
                    .unwrap_or_else(|| "parquet".to_owned())
                    .to_lowercase(),
                schema: source.schema.filter(|text| !text.trim().is_empty()),
                options: source.options.into_iter().collect(),
                paths: source.paths,
                streaming,
            })
        }
    })
}

fn local(data: Option<Bytes>, schema: Option<String>) -> Result<RelationNode, SparkError> {
    let batches = match (&data, &schema) {
        (Some(data), _) => local_data::decode(data)?,
        (None, Some(schema)) => local_data::empty(schema)?,
        (None, None) => return Err(crate::error::invalid_plan("a local relation has neither data nor schema")),
    };
    Ok(RelationNode::Local { batches, schema })
}

#[allow(deprecated, reason = "older clients send the older fields")]
fn sql(sql: wire::Sql) -> Result<RelationNode, SparkError> {
    let plain = sql.args.is_empty()
        && sql.pos_args.is_empty()
        && sql.named_arguments.is_empty()
        && sql.pos_arguments.is_empty();
    if !plain {
        return Err(SparkError::unsupported("`spark.sql` with `args`"));
    }
    Ok(RelationNode::Sql { text: sql.query })
}

fn named_column(column: wire::expression::Alias) -> Result<(String, UnresolvedExpr), SparkError> {
    match alias(column)? {
        UnresolvedExpr::Alias { child, mut names } if names.len() == 1 => Ok((names.remove(0), *child)),
        _ => Err(SparkError::unsupported("`withColumn` of a generator with several names")),
    }
}

fn renames(
    list: Vec<wire::with_columns_renamed::Rename>,
    map: std::collections::HashMap<String, String>,
) -> Vec<(String, String)> {
    if list.is_empty() {
        // Older clients; a map has no order, so one is made.
        return map.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
    }
    list.into_iter().map(|rename| (rename.col_name, rename.new_col_name)).collect()
}

/// What a program calls the relation that Pyrite does not have yet.
pub fn name_of(rel_type: &RelType) -> &'static str {
    match rel_type {
        RelType::Join(_) => "`join`",
        RelType::AsOfJoin(_) | RelType::LateralJoin(_) | RelType::NearestByJoin(_) => "a join of this kind",
        RelType::Sample(_) => "`sample`",
        RelType::Tail(_) => "`tail` inside a plan",
        RelType::ShowString(_) | RelType::HtmlString(_) => "`show` inside a plan",
        RelType::Unpivot(_) => "`unpivot`/`melt`",
        RelType::Transpose(_) => "`transpose`",
        RelType::ToSchema(_) => "`DataFrame.to(schema)`",
        RelType::MapPartitions(_) => "`mapInPandas`/`mapInArrow`",
        RelType::GroupMap(_) | RelType::CoGroupMap(_) => "`applyInPandas`/`applyInArrow`/`transformWithState`",
        RelType::ApplyInPandasWithState(_) => "`applyInPandasWithState`",
        RelType::CollectMetrics(_) => "`observe`",
        RelType::Parse(_) => "`read.json`/`read.csv` of a DataFrame",
        RelType::CachedRemoteRelation(_) => "a checkpointed DataFrame",
        RelType::CommonInlineUserDefinedTableFunction(_) => "a user-defined table function",
        RelType::UnresolvedTableValuedFunction(_) => "a table-valued function",
        RelType::CommonInlineUserDefinedDataSource(_) => "a Python data source",
        RelType::RelationChanges(_) => "`readStream.changes`",
        RelType::Zip(_) => "`zip`",
        RelType::FillNa(_) => "`fillna`",
        RelType::DropNa(_) => "`dropna`",
        RelType::Replace(_) => "`replace`",
        RelType::Summary(_) | RelType::Describe(_) => "`describe`/`summary`",
        RelType::Crosstab(_)
        | RelType::Cov(_)
        | RelType::Corr(_)
        | RelType::ApproxQuantile(_)
        | RelType::FreqItems(_)
        | RelType::SampleBy(_) => "`DataFrame.stat`",
        RelType::Catalog(_) => "this function of `spark.catalog`",
        RelType::MlRelation(_) => "machine learning (`pyspark.ml`)",
        _ => "this relation",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Conf, SessionKey};

    fn session() -> Session {
        Session::new(SessionKey { user_id: String::new(), session_id: "s".to_owned() }, Conf::default())
    }

    fn wire_relation(rel_type: RelType, plan_id: i64) -> wire::Relation {
        let common = wire::RelationCommon { plan_id: Some(plan_id), ..Default::default() };
        wire::Relation { common: Some(common), rel_type: Some(rel_type) }
    }

    fn kafka() -> wire::Relation {
        let source =
            read::DataSource { format: Some("Kafka".to_owned()), schema: Some(String::new()), ..Default::default() };
        let read = wire::Read { is_streaming: true, read_type: Some(read::ReadType::DataSource(source)) };
        wire_relation(RelType::Read(read), 1)
    }

    #[test]
    fn a_source_under_a_watermark_keeps_its_ids() {
        let watermark = wire::WithWatermark {
            input: Some(Box::new(kafka())),
            event_time: "ts".to_owned(),
            delay_threshold: "30 seconds".to_owned(),
        };
        let result =
            super::super::relation(&session(), wire_relation(RelType::WithWatermark(Box::new(watermark)), 2)).unwrap();
        assert_eq!(result.relation.plan_id, Some(2));
        let RelationNode::WithWatermark { input, column, .. } = result.relation.node else { panic!("a watermark") };
        assert_eq!((input.plan_id, column.as_str()), (Some(1), "ts"));
        let RelationNode::Read(read) = input.node else { panic!("a source") };
        assert_eq!((read.format.as_str(), read.schema, read.streaming), ("kafka", None, true));
    }

    #[test]
    fn repartitioning_is_passed_over_and_a_join_refused() {
        let repartition = wire::Repartition { input: Some(Box::new(kafka())), num_partitions: 4, shuffle: Some(true) };
        let result =
            super::super::relation(&session(), wire_relation(RelType::Repartition(Box::new(repartition)), 2)).unwrap();
        assert!(matches!(result.relation.node, RelationNode::Read(_)));
        let join = wire_relation(RelType::Join(Box::default()), 3);
        assert!(super::super::relation(&session(), join).unwrap_err().message.contains("`join`"));
    }

    #[test]
    fn names_that_come_with_the_plan_are_its_own() {
        let named =
            wire::SubqueryAlias { input: Some(Box::new(kafka())), alias: "Tab".to_owned(), qualifier: Vec::new() };
        let with = wire::WithRelations {
            root: Some(Box::new(wire_relation(
                RelType::Sql(wire::Sql { query: "select 1".to_owned(), ..Default::default() }),
                5,
            ))),
            references: vec![wire_relation(RelType::SubqueryAlias(Box::new(named)), 6)],
        };
        let result =
            super::super::relation(&session(), wire_relation(RelType::WithRelations(Box::new(with)), 7)).unwrap();
        assert!(matches!(result.relation.node, RelationNode::Sql { .. }));
        assert!(result.views.contains_key("tab"));
    }
}
