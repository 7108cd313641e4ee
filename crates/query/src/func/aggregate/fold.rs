//! Aggregates of single values: a [`Fold`] sees one row at a time and can be saved to bytes and merged. Slower than DataFusion's
//! columnar accumulators; used where those have no PostgreSQL semantics. DISTINCT is handled here, before the fold.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use heliosdb_contracts::{arrow_type, datum_at};
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, RowLayout, RowView, encode_key, encode_row};

use super::ordered::OrderedAccumulator;
use crate::exec::{check_cancelled, scalar_of, to_datafusion};

/// The running state of one group.
pub(super) trait Fold: Send + Sync {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()>;
    /// What another fold of the same kind needs to go on; read back by [`Fold::merge`].
    fn save(&self) -> Result<Vec<u8>>;
    fn merge(&mut self, saved: &[u8]) -> Result<()>;
    fn finish(&self) -> Result<Datum>;
    /// Bytes it holds beside itself, if `came` have come: all of them, unless it says something else.
    fn bytes(&self, came: usize) -> usize {
        came
    }
    /// Rows will leave again: what that takes is kept from now on.
    fn start_sliding(&mut self) {}
    /// Whether [`Fold::remove`] can take a row out again, the first that came.
    fn forgets(&self) -> bool {
        false
    }
    fn remove(&mut self, _args: &[DatumRef<'_>]) -> Result<()> {
        Err(Error::internal("this fold keeps every row"))
    }
}

type Make = dyn Fn() -> Box<dyn Fold> + Send + Sync;

#[derive(Clone)]
pub(super) struct FoldAggregate {
    name: String,
    key: String,
    arguments: Vec<PhysicalType>,
    returns: PhysicalType,
    /// Rows whose first argument is NULL do not reach the fold.
    skip_nulls: bool,
    /// Equal rows reach it once.
    distinct: bool,
    signature: Signature,
    make: Arc<Make>,
}

impl FoldAggregate {
    pub fn new<F: Fold + 'static>(
        name: &str,
        key: String,
        arguments: Vec<PhysicalType>,
        returns: PhysicalType,
        skip_nulls: bool,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> FoldAggregate {
        let signature = Signature::user_defined(Volatility::Immutable);
        let make = move || Box::new(make()) as Box<dyn Fold>;
        FoldAggregate {
            name: name.to_owned(),
            key,
            arguments,
            returns,
            skip_nulls,
            distinct: false,
            signature,
            make: Arc::new(make),
        }
    }

    /// The same over distinct rows, however the plan calls it. It has a name of its own: what is called `sum` the optimiser takes
    /// apart into sums of groups, when beside it only one argument is distinct.
    pub fn distinct(mut self) -> FoldAggregate {
        self.distinct = true;
        self.name.push_str(" distinct");
        self.key.push_str(" distinct");
        self
    }

    pub fn arguments(&self) -> &[PhysicalType] {
        &self.arguments
    }

    pub fn fold(&self) -> Box<dyn Fold> {
        (self.make)()
    }

    /// Rows whose first argument is NULL do not reach most folds.
    pub fn skips(&self, row: &[DatumRef<'_>]) -> bool {
        self.skip_nulls && row.first().is_some_and(DatumRef::is_null)
    }

    pub fn returns(&self) -> PhysicalType {
        self.returns
    }
}

impl fmt::Debug for FoldAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

impl PartialEq for FoldAggregate {
    fn eq(&self, other: &FoldAggregate) -> bool {
        (&self.name, &self.key, &self.arguments, self.returns)
            == (&other.name, &other.key, &other.arguments, other.returns)
    }
}

impl Eq for FoldAggregate {}

impl Hash for FoldAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.key).hash(state);
    }
}

impl AggregateUDFImpl for FoldAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(arrow_type(self.returns))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DataFusionResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[state]", args.name), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DataFusionResult<Box<dyn Accumulator>> {
        if !args.order_bys.is_empty() {
            return Ok(Box::new(OrderedAccumulator::new(self.clone(), &args)));
        }
        Ok(Box::new(FoldAccumulator {
            function: self.clone(),
            fold: (self.make)(),
            distinct: (args.is_distinct || self.distinct).then(BTreeMap::new),
            bytes: 0,
        }))
    }

    /// Sorted input or not, the same accumulator does.
    fn with_beneficial_ordering(
        self: Arc<Self>,
        _satisfied: bool,
    ) -> DataFusionResult<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn create_sliding_accumulator(&self, _args: AccumulatorArgs<'_>) -> DataFusionResult<Box<dyn Accumulator>> {
        let mut fold = (self.make)();
        if fold.forgets() {
            fold.start_sliding();
            return Ok(Box::new(ForgettingFold { function: self.clone(), fold }));
        }
        Ok(Box::new(SlidingFold::new(self.clone())))
    }

    fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
        use datafusion::logical_expr::utils::AggregateOrderSensitivity;
        // Only where the binder gave an ORDER BY; the accumulator sorts by itself, but sorted input makes that cheap.
        match self.name.as_str() {
            "string_agg" | "array_agg" | "json_agg" | "jsonb_agg" | "json_object_agg" | "jsonb_object_agg" => {
                AggregateOrderSensitivity::SoftRequirement
            }
            _ => AggregateOrderSensitivity::Insensitive,
        }
    }
}

/// Key to encoded row: PostgreSQL finds distinct values by sorting, so they come sorted.
type Distinct = BTreeMap<Vec<u8>, Vec<u8>>;
/// What a row costs there beside its bytes.
const DISTINCT_BYTES: usize = 64;

struct FoldAccumulator {
    function: FoldAggregate,
    fold: Box<dyn Fold>,
    /// Rows seen, by the key their values compare by.
    distinct: Option<Distinct>,
    /// Of the rows that came, or of those that are different.
    bytes: usize,
}

impl fmt::Debug for FoldAccumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.function)
    }
}

impl FoldAccumulator {
    fn add(&mut self, row: &[DatumRef<'_>]) -> Result<()> {
        if self.function.skips(row) {
            return Ok(());
        }
        let Some(distinct) = &mut self.distinct else {
            self.bytes += row.iter().map(datum_bytes).sum::<usize>();
            return self.fold.add(row);
        };
        let mut key = Vec::new();
        for value in row {
            // The last two bytes are the display scale: 1.0 and 1.00 are one value.
            let value = match value {
                DatumRef::Numeric(bytes) => {
                    DatumRef::Bytes(bytes.split_last_chunk::<2>().map_or(bytes, |(key, _)| key))
                }
                other => *other,
            };
            encode_key(&mut key, value, false);
        }
        let mut encoded = Vec::new();
        encode_row(&self.function.arguments, row, &mut encoded)?;
        if let Entry::Vacant(place) = distinct.entry(key) {
            self.bytes += place.key().len() + encoded.len() + DISTINCT_BYTES;
            place.insert(encoded);
        }
        Ok(())
    }

    /// Distinct rows in their order.
    fn distinct_rows(&self) -> Vec<&Vec<u8>> {
        self.distinct.iter().flat_map(BTreeMap::values).collect()
    }
}

pub(super) fn datum_bytes(value: &DatumRef<'_>) -> usize {
    match value {
        DatumRef::Text(text) => text.len(),
        DatumRef::Bytes(bytes) | DatumRef::Numeric(bytes) => bytes.len(),
        _ => 16,
    }
}

impl Accumulator for FoldAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut args = Vec::with_capacity(values.len());
        let arguments = self.function.arguments.clone();
        for row in 0..rows {
            args.clear();
            for (array, physical) in values.iter().zip(&arguments) {
                args.push(datum_at(array, row, *physical).map_err(to_datafusion)?);
            }
            self.add(&args).map_err(to_datafusion)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let mut finish = || -> Result<ScalarValue> {
            check_cancelled()?;
            if self.distinct.is_some() {
                let layout = RowLayout::new(&self.function.arguments);
                let mut fold = (self.function.make)();
                for row in self.distinct_rows() {
                    let view = RowView::new(&layout, row)?;
                    let args = (0..layout.len()).map(|i| view.get(i)).collect::<Result<Vec<_>>>()?;
                    fold.add(&args)?;
                }
                self.fold = fold;
            }
            scalar_of(self.function.returns, self.fold.finish()?.as_ref())
        };
        finish().map_err(to_datafusion)
    }

    fn size(&self) -> usize {
        let held = if self.distinct.is_some() { self.bytes } else { self.fold.bytes(self.bytes) };
        size_of::<FoldAccumulator>() + size_of_val(&*self.fold) + held
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let saved = match &self.distinct {
            None => self.fold.save().map_err(to_datafusion)?,
            Some(_) => {
                let mut out = Vec::new();
                for row in self.distinct_rows() {
                    push_part(row, &mut out);
                }
                out
            }
        };
        Ok(vec![ScalarValue::Binary(Some(saved))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let Some(saved) = states.first() else { return Ok(()) };
        for bytes in saved.as_binary::<i32>().iter().flatten() {
            self.merge(bytes).map_err(to_datafusion)?;
        }
        Ok(())
    }
}

impl FoldAccumulator {
    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        if self.distinct.is_none() {
            self.bytes += bytes.len();
            return self.fold.merge(bytes);
        }
        let layout = RowLayout::new(&self.function.arguments);
        for row in parts(bytes)? {
            let view = RowView::new(&layout, row)?;
            let args = (0..layout.len()).map(|i| view.get(i)).collect::<Result<Vec<_>>>()?;
            self.add(&args)?;
        }
        Ok(())
    }
}

/// A fold over a moving window frame that can take rows out again.
struct ForgettingFold {
    function: FoldAggregate,
    fold: Box<dyn Fold>,
}

impl fmt::Debug for ForgettingFold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.function)
    }
}

impl ForgettingFold {
    fn each(
        &mut self,
        values: &[ArrayRef],
        what: fn(&mut dyn Fold, &[DatumRef<'_>]) -> Result<()>,
    ) -> DataFusionResult<()> {
        for row in 0..values.first().map_or(0, |array| array.len()) {
            let args =
                values.iter().zip(&self.function.arguments).map(|(array, physical)| datum_at(array, row, *physical));
            let args = args.collect::<Result<Vec<_>>>().map_err(to_datafusion)?;
            if !self.function.skips(&args) {
                what(self.fold.as_mut(), &args).map_err(to_datafusion)?;
            }
        }
        Ok(())
    }
}

impl Accumulator for ForgettingFold {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.each(values, |fold, args| fold.add(args))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.each(values, |fold, args| fold.remove(args))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        check_cancelled().map_err(to_datafusion)?;
        let value = self.fold.finish().map_err(to_datafusion)?;
        scalar_of(self.function.returns, value.as_ref()).map_err(to_datafusion)
    }

    fn size(&self) -> usize {
        size_of::<ForgettingFold>()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Err(to_datafusion(Error::internal("a window frame has no partial state")))
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> DataFusionResult<()> {
        Err(to_datafusion(Error::internal("a window frame has no partial state")))
    }
}

/// A fold over a moving window frame: most folds cannot forget a row, so the frame's rows are kept, and folded anew when some have left it.
struct SlidingFold {
    function: FoldAggregate,
    rows: VecDeque<Vec<u8>>,
    /// Of all rows; `None` since some left.
    fold: Option<Box<dyn Fold>>,
    /// What it comes to, as long as the frame stays.
    value: Option<ScalarValue>,
}

impl SlidingFold {
    fn new(function: FoldAggregate) -> SlidingFold {
        SlidingFold { function, rows: VecDeque::new(), fold: None, value: None }
    }

    fn refolded(&self) -> Result<Box<dyn Fold>> {
        let layout = RowLayout::new(&self.function.arguments);
        let mut fold = (self.function.make)();
        for row in &self.rows {
            let view = RowView::new(&layout, row)?;
            let args = (0..layout.len()).map(|i| view.get(i)).collect::<Result<Vec<_>>>()?;
            if !self.function.skips(&args) {
                fold.add(&args)?;
            }
        }
        Ok(fold)
    }
}

impl fmt::Debug for SlidingFold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.function)
    }
}

impl Accumulator for SlidingFold {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        for row in 0..values.first().map_or(0, |array| array.len()) {
            let args =
                values.iter().zip(&self.function.arguments).map(|(array, physical)| datum_at(array, row, *physical));
            let args = args.collect::<Result<Vec<_>>>().map_err(to_datafusion)?;
            let mut encoded = Vec::new();
            encode_row(&self.function.arguments, &args, &mut encoded).map_err(to_datafusion)?;
            self.rows.push_back(encoded);
            self.value = None;
            if let Some(fold) = &mut self.fold
                && !self.function.skips(&args)
            {
                fold.add(&args).map_err(to_datafusion)?;
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let rows = values.first().map_or(0, |array| array.len()).min(self.rows.len());
        if rows > 0 {
            self.rows.drain(..rows);
            (self.fold, self.value) = (None, None);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let mut finish = || -> Result<ScalarValue> {
            check_cancelled()?;
            if let Some(value) = &self.value {
                return Ok(value.clone());
            }
            let fold = match self.fold.take() {
                Some(fold) => fold,
                None => self.refolded()?,
            };
            let value = scalar_of(self.function.returns, fold.finish()?.as_ref())?;
            (self.fold, self.value) = (Some(fold), Some(value.clone()));
            Ok(value)
        };
        finish().map_err(to_datafusion)
    }

    fn size(&self) -> usize {
        size_of::<SlidingFold>() + self.rows.iter().map(Vec::capacity).sum::<usize>()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Err(to_datafusion(Error::internal("a window frame has no partial state")))
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> DataFusionResult<()> {
        Err(to_datafusion(Error::internal("a window frame has no partial state")))
    }
}

/// Appends a part with its length before it.
pub(super) fn push_part(part: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(part.len() as u32).to_le_bytes());
    out.extend_from_slice(part);
}

/// Splits length-prefixed parts.
pub(super) fn parts(bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let damaged = || Error::internal("damaged aggregate state");
    let mut rest = bytes;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (len, tail) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (part, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(damaged)?;
        out.push(part);
        rest = tail;
    }
    Ok(out)
}
