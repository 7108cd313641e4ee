//! EXPLAIN as JSON and YAML, with PostgreSQL's names for what it has too.

use serde_json::{Map, Value, json};

use super::explain::{Node, Report, Tier};

/// A list of one plan, as PostgreSQL gives it.
pub(super) fn json(report: &Report) -> String {
    let value = Value::Array(vec![value_of(report)]);
    serde_json::to_string_pretty(&value).expect("a Value is JSON")
}

pub(super) fn yaml(report: &Report) -> String {
    let mut out = String::new();
    if let Value::Object(fields) = value_of(report) {
        write_yaml(&fields, 0, true, &mut out);
    }
    out.trim_end().to_owned()
}

fn value_of(report: &Report) -> Value {
    let mut out = Map::new();
    out.insert("Plan".into(), plan(&report.plan));
    let (tier, why) = match report.tier {
        Tier::Direct => ("direct", None),
        Tier::Analytical(why) => ("analytical", Some(why)),
    };
    out.insert("Tier".into(), json!(tier));
    out.extend(why.map(|why| ("Tier Reason".to_owned(), json!(why))));
    out.extend(report.planning_ms.map(|ms| ("Planning Time".to_owned(), milliseconds(ms))));
    out.extend(report.execution_ms.map(|ms| ("Execution Time".to_owned(), milliseconds(ms))));
    Value::Object(out)
}

fn milliseconds(ms: f64) -> Value {
    json!((ms * 1000.0).round() / 1000.0)
}

fn plan(node: &Node) -> Value {
    let mut out = Map::new();
    let kind = node.title.split(" on ").next().unwrap_or("").split(" using ").next().unwrap_or("");
    out.insert("Node Type".into(), json!(kind));
    out.extend(node.relation.as_ref().map(|name| ("Relation Name".to_owned(), json!(name))));
    if let Some((_, index)) = node.title.split_once(" using ") {
        let index = index.split(" on ").next().unwrap_or(index);
        out.insert("Index Name".into(), json!(index));
    }
    out.extend(node.estimated_rows.map(|rows| ("Plan Rows".to_owned(), json!(rows))));
    if node.rows.is_some() || node.time_ms.is_some() {
        if let Some(ms) = node.time_ms {
            out.insert("Actual Startup Time".into(), json!(0.0));
            out.insert("Actual Total Time".into(), milliseconds(ms));
        }
        out.insert("Actual Rows".into(), json!(node.rows.unwrap_or(0)));
        out.insert("Actual Loops".into(), json!(1));
    }
    for line in node.details.iter().chain(&node.counters) {
        let (key, value) = line.split_once(": ").unwrap_or(("Detail", line));
        out.insert(key.to_owned(), json!(value));
    }
    if !node.children.is_empty() {
        out.insert("Plans".into(), Value::Array(node.children.iter().map(plan).collect()));
    }
    Value::Object(out)
}

/// Objects as indented `key: value` lines; `item`: the first line begins a list's item.
fn write_yaml(fields: &Map<String, Value>, depth: usize, item: bool, out: &mut String) {
    for (at, (key, value)) in fields.iter().enumerate() {
        let dash = if item && at == 0 {
            "- "
        } else if item {
            "  "
        } else {
            ""
        };
        let indent = " ".repeat(depth * 2);
        match value {
            Value::Object(inner) => {
                out.push_str(&format!("{indent}{dash}{key}: \n"));
                write_yaml(inner, depth + if item { 2 } else { 1 }, false, out);
            }
            Value::Array(items) => {
                out.push_str(&format!("{indent}{dash}{key}: \n"));
                for inner in items {
                    if let Value::Object(inner) = inner {
                        write_yaml(inner, depth + if item { 2 } else { 1 }, true, out);
                    }
                }
            }
            scalar => out.push_str(&format!("{indent}{dash}{key}: {scalar}\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(title: &str) -> Node {
        Node {
            title: title.to_owned(),
            relation: Some("t".to_owned()),
            details: vec!["Filter: a > 1".to_owned()],
            estimated_rows: Some(7),
            rows: None,
            time_ms: None,
            counters: Vec::new(),
            children: Vec::new(),
        }
    }

    #[test]
    fn plans_nest() {
        let plan = Node { children: vec![leaf("Index Scan using i on t")], relation: None, ..leaf("Sort") };
        let report =
            Report { plan, tier: Tier::Analytical("it groups rows"), planning_ms: Some(0.5), execution_ms: None };
        let value: Value = serde_json::from_str(&json(&report)).unwrap();
        let inner = &value[0]["Plan"]["Plans"][0];
        assert_eq!((inner["Node Type"].as_str(), inner["Index Name"].as_str()), (Some("Index Scan"), Some("i")));
        let yaml = yaml(&report);
        assert!(yaml.starts_with("- Plan: \n    Filter: \"a > 1\"\n"), "{yaml}");
        assert!(yaml.contains("\n      - Filter: \"a > 1\"\n        Index Name: \"i\"\n"), "{yaml}");
    }
}
