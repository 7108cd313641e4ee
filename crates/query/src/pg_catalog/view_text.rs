//! A view's query as text that means the same now: relations and columns by the names they have today.

use sqlparser::ast::{self, ObjectName, ObjectNamePart, TableAliasColumnDef, TableFactor};

use super::facts::{Facts, quote_identifier, split_qualified};
use crate::bind;
use crate::catalog::{ViewInfo, ViewName};

pub(super) fn view_text(facts: &Facts, view: &ViewInfo) -> String {
    let Ok(mut query) = bind::parse_query(&view.query) else { return view.query.clone() };
    let mut names = Today { facts, names: &view.names };
    let _: std::ops::ControlFlow<()> = ast::VisitMut::visit(&mut query, &mut names);
    query.to_string()
}

struct Today<'a> {
    facts: &'a Facts,
    names: &'a [ViewName],
}

impl ast::VisitorMut for Today<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> std::ops::ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor
            && let Ok((schema, table)) = bind::object_name(name)
            && let Some(known) = self.names.iter().find(|known| known.schema == schema && known.name == table)
            && let Some(relation) = self.facts.catalog.relations.get(&known.relation)
            && let Some(shown) = self.facts.shown_name(known.relation)
            && let Ok((schema, current)) = split_qualified(&shown)
        {
            let ident = |name: &str| {
                let quoted = quote_identifier(name) != name;
                if quoted { ast::Ident::with_quote('"', name) } else { ast::Ident::new(name) }
            };
            let parts = schema.iter().map(String::as_str).chain([current.as_str()]);
            *name = ObjectName(parts.map(|part| ObjectNamePart::Identifier(ident(part))).collect());
            let renamed = known.columns.iter().any(|(attribute, old)| {
                relation.columns.iter().any(|column| column.attribute == *attribute && column.name != *old)
            });
            if (current != known.name || renamed) && alias.is_none() {
                *alias =
                    Some(ast::TableAlias { explicit: false, name: ident(&known.name), columns: Vec::new(), at: None });
            }
            if let Some(alias) = alias.as_mut().filter(|alias| renamed && alias.columns.is_empty()) {
                let live = known
                    .columns
                    .iter()
                    .filter(|(attribute, _)| relation.columns.iter().any(|column| column.attribute == *attribute));
                alias.columns =
                    live.map(|(_, old)| TableAliasColumnDef { name: ident(old), data_type: None }).collect();
            }
        }
        std::ops::ControlFlow::Continue(())
    }
}
