//! Our nodes beside the operators they stand for, with much memory and with little.

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, SortOptions};
use arrow_select::concat::concat_batches;
use datafusion::common::ScalarValue;
use datafusion::datasource::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::functions_aggregate::{count::count_udaf, sum::sum_udaf};
use datafusion::functions_window::all_default_window_functions;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition};
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::windows::create_window_expr;
use datafusion::physical_plan::{InputOrderMode, collect};
use heliosdb_runtime::{Entropy, SeededEntropy};

use super::*;
use crate::exec::spill::Place;

fn schema() -> SchemaRef {
    let int = |name: &str| Field::new(name, DataType::Int64, true);
    let fields = vec![int("k"), int("o"), int("v")];
    let others = [Field::new("kept", DataType::Boolean, true), Field::new("long", DataType::Utf8, false)];
    Arc::new(Schema::new(fields.into_iter().chain(others).collect::<Vec<_>>()))
}

fn column(name: &str) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, schema().index_of(name).unwrap()))
}

fn by(name: &str) -> PhysicalSortExpr {
    PhysicalSortExpr { expr: column(name), options: SortOptions { descending: false, nulls_first: true } }
}

/// Rows in the order of k and o, in batches of any size; `keys` of k, the first of them NULL.
fn input(rows: usize, keys: usize, peers: i64) -> Arc<dyn ExecutionPlan> {
    let entropy = SeededEntropy::new(rows as u64);
    let random = |below: i64| (entropy.next_u64() % below as u64) as i64;
    let key = |row: usize| Some((row * keys / rows) as i64).filter(|key| *key > 0);
    let nullable = |value: i64| (value % 7 != 0).then_some(value);
    let columns: [ArrayRef; 5] = [
        Arc::new(Int64Array::from_iter((0..rows).map(key))),
        Arc::new(Int64Array::from_iter((0..rows).map(|row| Some(row as i64 / peers)))),
        Arc::new(Int64Array::from_iter((0..rows).map(|_| nullable(random(1000))))),
        Arc::new(BooleanArray::from_iter((0..rows).map(|_| [Some(true), Some(false), None][random(3) as usize]))),
        Arc::new(StringArray::from_iter_values((0..rows).map(|_| format!("{:060}", random(1_000_000))))),
    ];
    let all = RecordBatch::try_new(schema(), columns.to_vec()).unwrap();
    let (mut batches, mut at) = (Vec::new(), 0);
    while at < rows {
        let len = [0, 1, 3, 70, 200][random(5) as usize].min(rows - at);
        batches.push(all.slice(at, len));
        at += len;
    }
    let order = LexOrdering::new([by("k"), by("o")]).unwrap();
    let source = MemorySourceConfig::try_new(&[batches], schema(), None).unwrap();
    Arc::new(DataSourceExec::new(Arc::new(source.try_with_sort_information(vec![order]).unwrap())))
}

struct Windows {
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
    calls: Vec<Arc<dyn WindowExpr>>,
}

impl Windows {
    fn new(keyed: bool) -> Windows {
        Windows { partition_by: if keyed { vec![column("k")] } else { Vec::new() }, calls: Vec::new() }
    }

    fn add(&mut self, fun: WindowFunctionDefinition, args: &[Arc<dyn PhysicalExpr>], frame: WindowFrame, kept: bool) {
        let name = format!("w{}", self.calls.len());
        // Without PARTITION BY the input is in the order of k first.
        let order = if self.partition_by.is_empty() { vec![by("k"), by("o")] } else { vec![by("o")] };
        let filter = kept.then(|| column("kept"));
        let (by, frame) = (self.partition_by.as_slice(), Arc::new(frame));
        self.calls
            .push(create_window_expr(&fun, name, args, by, &order, frame, schema(), false, false, filter).unwrap());
    }

    fn aggregate(mut self, frame: WindowFrame, kept: bool) -> Windows {
        self.add(WindowFunctionDefinition::AggregateUDF(sum_udaf()), &[column("v")], frame.clone(), kept);
        self.add(WindowFunctionDefinition::AggregateUDF(count_udaf()), &[column("v")], frame, kept);
        self
    }

    fn function(mut self, name: &str, args: &[Arc<dyn PhysicalExpr>]) -> Windows {
        let found = all_default_window_functions().into_iter().find(|fun| fun.name() == name).unwrap();
        self.add(WindowFunctionDefinition::WindowUDF(found), args, whole(), false);
        self
    }
}

const NO_END: ScalarValue = ScalarValue::UInt64(None);

fn whole() -> WindowFrame {
    let (start, end) = (WindowFrameBound::Preceding(NO_END), WindowFrameBound::Following(NO_END));
    WindowFrame::new_bounds(WindowFrameUnits::Rows, start, end)
}

fn until_here(units: WindowFrameUnits) -> WindowFrame {
    WindowFrame::new_bounds(units, WindowFrameBound::Preceding(NO_END), WindowFrameBound::CurrentRow)
}

fn around(rows: u64) -> WindowFrame {
    let rows = || ScalarValue::UInt64(Some(rows));
    let (start, end) = (WindowFrameBound::Preceding(rows()), WindowFrameBound::Following(rows()));
    WindowFrame::new_bounds(WindowFrameUnits::Rows, start, end)
}

fn place(bytes: usize) -> Place {
    Place::new(bytes, 100)
}

/// All rows, in order.
fn result(plan: &Arc<dyn ExecutionPlan>, place: &Place) -> Result<RecordBatch, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let rows = runtime.block_on(collect(Arc::clone(plan), Arc::clone(&place.context)));
    let rows = rows.map_err(|error| error.to_string());
    assert_eq!(place.held(), 0);
    Ok(concat_batches(&plan.schema(), &rows?).unwrap())
}

fn spilled(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.metrics().unwrap().spilled_rows().unwrap_or(0)
}

const ROWS: usize = 6_000;

/// Functions of every kind: of all rows of a partition, of those that FILTER keeps, of frames, of places.
fn kinds(keyed: bool) -> Vec<(&'static str, Windows)> {
    let new = || Windows::new(keyed);
    vec![
        ("of all", new().aggregate(whole(), false)),
        ("of all that are kept", new().aggregate(whole(), true)),
        ("of all and of frames", new().aggregate(whole(), false).aggregate(around(2), true)),
        ("of frames", new().aggregate(until_here(WindowFrameUnits::Range), false).aggregate(around(3), false)),
        ("of places", new().function("ntile", &[lit(7i64)]).function("percent_rank", &[]).function("rank", &[])),
        ("of other rows", new().function("lag", &[column("v")]).function("last_value", &[column("o")])),
        ("of all and of places", new().aggregate(whole(), false).function("row_number", &[])),
    ]
}

#[test]
fn whole_partitions_have_the_stock_operators_values_with_much_and_with_little_memory() {
    for (keyed, keys, little) in [(false, 1, 700_000), (true, 4, 250_000), (true, 1_500, 100_000)] {
        for (kind, windows) in kinds(keyed) {
            // What FILTER looks at is not known, so that rows stay as they are.
            let filtered = windows.calls.iter().any(|call| format!("{call:?}").contains("filter: Some"));
            let stage = WindowAggExec::try_new(windows.calls, input(ROWS, keys, 5), true).unwrap();
            let stock: Arc<dyn ExecutionPlan> = Arc::new(stage.clone());
            let expected = result(&stock, &place(1 << 30)).unwrap();
            assert_eq!(expected.num_rows(), ROWS);
            for bytes in [1 << 30, little] {
                let place = place(bytes);
                let plan: Arc<dyn ExecutionPlan> = Arc::new(WholeWindows::new(stage.clone()).unwrap());
                let found = match result(&plan, &place) {
                    Ok(found) => found,
                    Err(error) => {
                        assert!(
                            filtered && bytes == little && error.contains("Window[0]"),
                            "{kind} over {keys} keys: {error}"
                        );
                        continue;
                    }
                };
                assert!(found == expected, "{kind} over {keys} keys with {bytes} bytes");
                assert_eq!(
                    spilled(&plan) > 0,
                    bytes == little && keys < 100,
                    "{kind} over {keys} keys with {bytes} bytes"
                );
                assert_eq!(place.files(), 0);
            }
        }
    }
}

#[test]
fn an_aggregate_of_a_whole_partition_needs_no_memory_for_its_rows() {
    let windows = Windows::new(false).aggregate(whole(), false);
    let stage = WindowAggExec::try_new(windows.calls, input(ROWS, 1, 5), true).unwrap();
    let expected = result(&(Arc::new(stage.clone()) as _), &place(1 << 30)).unwrap();
    let plan: Arc<dyn ExecutionPlan> = Arc::new(WholeWindows::new(stage).unwrap());
    assert!(result(&plan, &place(4_000)).unwrap() == expected);
    assert_eq!(spilled(&plan), ROWS);
}

#[test]
fn places_that_memory_does_not_hold_are_said_to_be_too_much() {
    let windows = Windows::new(false).function("ntile", &[lit(7i64)]);
    let stage = WindowAggExec::try_new(windows.calls, input(ROWS, 1, 5), true).unwrap();
    let place = place(20_000);
    let error = result(&(Arc::new(WholeWindows::new(stage).unwrap()) as _), &place).unwrap_err();
    assert!(error.contains("Window[0]"), "{error}");
    assert_eq!(place.files(), 0);
}

#[test]
fn rows_without_columns_are_numbered_too() {
    let none = Arc::new(Schema::empty());
    let options = |rows| RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = |rows| RecordBatch::try_new_with_options(Arc::clone(&none), vec![], &options(rows));
    let batches = [3, 100, 1_000].map(|rows| batch(rows).unwrap()).to_vec();
    let source = MemorySourceConfig::try_new_exec(&[batches], Arc::clone(&none), None).unwrap();
    let count = WindowFunctionDefinition::AggregateUDF(count_udaf());
    let frame = Arc::new(whole());
    let calls =
        create_window_expr(&count, "n".into(), &[lit(1i64)], &[], &[], frame, none, false, false, None).unwrap();
    let stage = WindowAggExec::try_new(vec![calls], source, true).unwrap();
    for bytes in [1 << 30, 2_000] {
        let found = result(&(Arc::new(WholeWindows::new(stage.clone()).unwrap()) as _), &place(bytes)).unwrap();
        assert!(found.column(0).as_ref() == &Int64Array::from(vec![1_103; 1_103]) as &dyn arrow_array::Array);
    }
}

#[test]
fn streamed_functions_have_the_stock_operators_values_and_are_counted() {
    for (keyed, keys) in [(false, 1), (true, 4)] {
        let ranges =
            Windows::new(keyed).aggregate(until_here(WindowFrameUnits::Range), true).aggregate(around(50), false);
        let calls = ranges.function("row_number", &[]).calls;
        // One value of the order for 2,000 rows: none goes on before the last has come.
        for (peers, enough) in [(5, true), (2_000, false)] {
            let input = input(ROWS, keys, peers);
            let stage = BoundedWindowAggExec::try_new(calls.clone(), input, InputOrderMode::Sorted, true).unwrap();
            let expected = result(&(Arc::new(stage.clone()) as _), &place(1 << 30)).unwrap();
            let node = || Arc::new(CountedWindows::new(stage.clone()).unwrap()) as Arc<dyn ExecutionPlan>;
            assert!(result(&node(), &place(1 << 30)).unwrap() == expected);
            match result(&node(), &place(200_000)) {
                Ok(found) => assert!(enough && found == expected),
                Err(error) => assert!(!enough && error.contains("Window[0]"), "{error}"),
            }
        }
    }
}

/// So many before the row, in values of the key or in groups of peers.
fn from_before(units: WindowFrameUnits, distance: u64) -> WindowFrame {
    let distance = match units {
        WindowFrameUnits::Range => ScalarValue::Int64(Some(distance as i64)),
        _ => ScalarValue::UInt64(Some(distance)),
    };
    WindowFrame::new_bounds(units, WindowFrameBound::Preceding(distance), WindowFrameBound::CurrentRow)
}

#[test]
fn frames_at_a_distance_are_counted() {
    for units in [WindowFrameUnits::Range, WindowFrameUnits::Groups] {
        for (distance, enough) in [(100, true), (4_000, false)] {
            let calls = Windows::new(true).aggregate(from_before(units, distance), false).calls;
            let stage = BoundedWindowAggExec::try_new(calls, input(ROWS, 1, 1), InputOrderMode::Sorted, true).unwrap();
            let expected = result(&(Arc::new(stage.clone()) as _), &place(1 << 30)).unwrap();
            let node: Arc<dyn ExecutionPlan> = Arc::new(CountedWindows::new(stage).unwrap());
            match result(&node, &place(300_000)) {
                Ok(found) => assert!(enough && found == expected, "{units:?} {distance}"),
                Err(error) => assert!(!enough && error.contains("Window[0]"), "{units:?} {distance}: {error}"),
            }
        }
    }
}

#[test]
fn what_frames_reach_back_to_is_what_they_begin_with() {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;

    for (keys, peers) in [(1, 1), (4, 5), (300, 3), (2, 700)] {
        let rows = result(&input(ROWS, keys, peers), &place(1 << 30)).unwrap();
        let column = |at: usize| rows.column(at).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
        let (partition, order) = (column(0), column(1));
        for (units, distance) in [
            (WindowFrameUnits::Range, 0),
            (WindowFrameUnits::Range, 40),
            (WindowFrameUnits::Groups, 0),
            (WindowFrameUnits::Groups, 3),
            (WindowFrameUnits::Groups, 90),
        ] {
            let begins = |row: usize| {
                let peers = (0..=row).filter(|at| partition[*at] == partition[row]);
                let (mut begin, mut groups, mut last) = (row, 0, order[row]);
                for at in peers.rev() {
                    groups += u64::from(order[at] != last);
                    last = order[at];
                    let within = match units {
                        WindowFrameUnits::Range => order[at].unwrap() >= order[row].unwrap() - distance as i64,
                        _ => groups <= distance,
                    };
                    if !within {
                        break;
                    }
                    begin = at;
                }
                begin
            };
            let calls = Windows::new(true).aggregate(from_before(units, distance), false).calls;
            let mut reach = super::reach::Reach::new(&calls).unwrap();
            let (mut at, mut step) = (0, 0);
            while at < ROWS {
                step = (step * 7 + 3) % 211;
                let len = step.min(ROWS - at);
                reach.push(&rows.slice(at, len)).unwrap();
                at += len;
                let given = at.saturating_sub(step % 50);
                let expected = given.checked_sub(1).map_or(0, |row| given - begins(row));
                assert_eq!(reach.back(given).unwrap(), expected, "{units:?} {distance}, {given} rows of {keys} keys");
            }
        }
    }
}
