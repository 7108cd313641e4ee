//! What the step makes of batches.

use arrow_array::{Decimal64Array, Int16Array, StringViewArray};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::collect;

use super::*;

fn run(batches: Vec<Vec<ArrayRef>>, sums: &[usize]) -> Vec<RecordBatch> {
    let field = |column: &ArrayRef| Field::new("c", column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(batches[0].iter().map(field).collect::<Vec<_>>()));
    let batch = |columns| RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let batches: Vec<RecordBatch> = batches.into_iter().map(batch).collect();
    let plan: Arc<dyn ExecutionPlan> = MemorySourceConfig::try_new_exec(&[batches], Arc::clone(&schema), None).unwrap();
    let kind = |at: &usize| (*at, sum_type(schema.field(*at).data_type()).unwrap());
    let plan = merged(&plan, sums.iter().map(kind).collect());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(collect(plan, Arc::new(TaskContext::default()))).unwrap()
}

#[test]
fn equal_neighbours_are_one_row_with_their_sum() {
    let keys = StringViewArray::from_iter([Some("a"), Some("a"), None, None, Some("b"), Some("a"), Some("a")]);
    let tiny = Int16Array::from_iter([Some(32767), Some(32767), None, None, Some(-5), None, Some(7)]);
    let price = Decimal64Array::from_iter_values([99, 99, 1, 2, 3, 4, 5]).with_precision_and_scale(2, 1).unwrap();
    let out = run(vec![vec![Arc::new(keys), Arc::new(tiny), Arc::new(price)]], &[1, 2]);
    let [out] = out.as_slice() else { panic!("{} batches", out.len()) };
    assert_eq!(out.column(0).as_string_view(), &StringViewArray::from_iter([Some("a"), None, Some("b"), Some("a")]));
    let tiny: Vec<Option<i64>> = out.column(1).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(tiny, [Some(65534), None, Some(-5), Some(7)]);
    assert_eq!(out.column(2).data_type(), &DataType::Decimal128(38, 1));
    assert_eq!(out.column(2).as_primitive::<Decimal128Type>().values(), &[198, 3, 3, 9]);
}

#[test]
fn sums_go_beyond_the_type_of_their_values() {
    let values = Arc::new(PrimitiveArray::<Int64Type>::from_iter_values([i64::MAX; 3])) as ArrayRef;
    let keys = Arc::new(Int16Array::from_iter_values([1; 3])) as ArrayRef;
    let out = run(vec![vec![keys, values]], &[1]);
    assert_eq!(out[0].column(1).as_primitive::<Decimal128Type>().values(), &[3 * i128::from(i64::MAX)]);
}

#[test]
fn runs_are_looked_for_only_where_there_are_some() {
    let batch = |keys: &[i16]| vec![Arc::new(Int16Array::from(keys.to_vec())) as ArrayRef];
    let differ: Vec<i16> = (0..LOOK_ROWS as i16).collect();
    let same = [7; 5000];
    let rows = |out: Vec<RecordBatch>| out.iter().map(RecordBatch::num_rows).sum::<usize>();
    // Given up after the first batch, not before it.
    assert_eq!(rows(run(vec![batch(&differ), batch(&same)], &[])), LOOK_ROWS + same.len());
    assert_eq!(rows(run(vec![batch(&differ[..100]), batch(&same)], &[])), 101);
    assert_eq!(rows(run(vec![batch(&same), batch(&same), batch(&differ[..4000])], &[])), 4002);
}
