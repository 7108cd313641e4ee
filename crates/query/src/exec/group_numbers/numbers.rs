//! The numbers a statement has given, and what they stand for.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use arrow_array::{Array, ArrayRef, Int32Array};
use arrow_schema::{Field, Schema};
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use parking_lot::Mutex;

use crate::exec::determined_keys::{new_groups, of_new_groups};

/// All numberings of a statement. A plan's go with the plan: one that is made anew for each row of another has new ones.
#[derive(Default)]
pub(crate) struct GroupNumbers(Mutex<HashMap<u64, Weak<Numbers>>>);

impl GroupNumbers {
    /// Those that the steps of one plan share.
    pub(super) fn of(&self, numbering: u64, memory: &Arc<dyn MemoryPool>) -> Arc<Numbers> {
        let mut known = self.0.lock();
        if let Some(numbers) = known.get(&numbering).and_then(Weak::upgrade) {
            return numbers;
        }
        let memory = MemoryConsumer::new("GroupNumbers").register(memory);
        let numbers = Arc::new(Numbers(Mutex::new(Table { known: None, values: Vec::new(), count: 0, memory })));
        known.retain(|_, numbers| numbers.strong_count() > 0);
        known.insert(numbering, Arc::downgrade(&numbers));
        numbers
    }
}

impl fmt::Debug for GroupNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupNumbers")
    }
}

/// One numbering's.
pub(super) struct Numbers(Mutex<Table>);

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers")
    }
}

struct Table {
    known: Option<Box<dyn GroupValues>>,
    /// Of each key the values of all numbers, in pieces.
    values: Vec<Vec<ArrayRef>>,
    count: usize,
    memory: MemoryReservation,
}

impl Numbers {
    /// The number of each row.
    pub fn number(&self, keys: &[ArrayRef]) -> DfResult<Int32Array> {
        let mut table = self.0.lock();
        let table = &mut *table;
        let known = match &mut table.known {
            Some(known) => known,
            None => {
                let field = |(at, key): (usize, &ArrayRef)| Field::new(at.to_string(), key.data_type().clone(), true);
                let schema = Schema::new(keys.iter().enumerate().map(field).collect::<Vec<_>>());
                table.values = vec![Vec::new(); keys.len()];
                table.known.insert(new_group_values(Arc::new(schema), &GroupOrdering::None)?)
            }
        };
        let mut numbers = Vec::new();
        known.intern(keys, &mut numbers)?;
        let count = known.len();
        if count > table.count {
            let rows = new_groups(&numbers, table.count, count);
            for (values, key) in table.values.iter_mut().zip(keys) {
                values.push(of_new_groups(key, &rows)?);
            }
            table.count = count;
            let kept: usize = table.values.iter().flatten().map(|piece| piece.get_array_memory_size()).sum();
            table.memory.try_resize(known.size() + kept)?;
        }
        let small = |number: usize| i32::try_from(number);
        let numbers = numbers.into_iter().map(small).collect::<Result<Vec<i32>, _>>();
        numbers.map(Int32Array::from).map_err(|_| DataFusionError::Internal("more groups than numbers".into()))
    }

    /// What numbers stand for, key by key.
    pub fn spell(&self, numbers: &Int32Array) -> DfResult<Vec<ArrayRef>> {
        let mut whole = Vec::new();
        {
            let mut table = self.0.lock();
            for pieces in &mut table.values {
                if pieces.len() > 1 {
                    let all: Vec<&dyn Array> = pieces.iter().map(|piece| piece.as_ref()).collect();
                    *pieces = vec![arrow_select::concat::concat(&all)?];
                }
                whole.extend(pieces.first().cloned());
            }
        }
        let values = whole.iter().map(|values| arrow_select::take::take(values, numbers, None));
        Ok(values.collect::<Result<Vec<_>, _>>()?)
    }
}
