//! Temporary views: a name for a relation as the client sent it; it is analyzed again wherever it is used, and means
//! there what it meant when the view was made.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyrite_driver::analysis::unresolved::{Relation, RelationNode, ViewScope};
use pyrite_engine::error::SparkError;
use pyrite_engine::types::quote_identifier;

/// A named relation.
#[derive(Debug, Clone)]
pub struct View {
    /// As the program wrote it.
    pub name: String,
    /// The relation behind the name.
    pub relation: Arc<Relation>,
}

/// The temporary views of one session; names compare without case, as Spark.
#[derive(Debug, Clone, Default)]
pub struct Views {
    by_name: BTreeMap<String, View>,
}

impl Views {
    /// Gives the name to the relation. Without `replace`, a name that is taken is an error.
    pub fn create(&mut self, name: &str, relation: Relation, replace: bool) -> Result<(), SparkError> {
        let key = name.to_lowercase();
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(SparkError::analysis("_LEGACY_ERROR_TEMP_1321", "", format!("Invalid view name: {name}."))
                .with("viewName", name));
        }
        if !replace && self.by_name.contains_key(&key) {
            let quoted = quote_identifier(name);
            return Err(SparkError::analysis(
                "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS",
                "42P07",
                format!(
                    "Cannot create the temporary view {quoted} because it already exists. Choose a different name, drop or \
                     replace the existing view, or add the IF NOT EXISTS clause to tolerate pre-existing objects."
                ),
            )
            .with("relationName", quoted));
        }
        let node = RelationNode::View { input: Box::new(relation), views: self.scope() };
        let relation = Arc::new(Relation { plan_id: None, node });
        self.by_name.insert(key, View { name: name.to_owned(), relation });
        Ok(())
    }

    fn scope(&self) -> ViewScope {
        Arc::new(self.by_name.iter().map(|(name, view)| (name.clone(), view.relation.clone())).collect())
    }

    /// The view of this name.
    pub fn get(&self, name: &str) -> Option<&View> {
        self.by_name.get(&name.to_lowercase())
    }

    /// Takes a view away; false when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.by_name.remove(&name.to_lowercase()).is_some()
    }

    /// All views, by name.
    pub fn iter(&self) -> impl Iterator<Item = &View> {
        self.by_name.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation() -> Relation {
        Relation { plan_id: None, node: RelationNode::Range { start: 0, end: 1, step: 1 } }
    }

    #[test]
    fn names_compare_without_case_and_are_replaced_only_when_asked() {
        let mut views = Views::default();
        views.create("Events", relation(), false).unwrap();
        assert!(views.get("EVENTS").is_some());
        let taken = views.create("events", relation(), false).unwrap_err();
        assert_eq!(taken.class, "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS");
        views.create("events", relation(), true).unwrap();
        assert!(views.remove("eVents"));
        assert!(!views.remove("events"));
    }

    #[test]
    fn a_name_with_a_blank_is_refused() {
        assert!(Views::default().create("a b", relation(), true).is_err());
    }
}
