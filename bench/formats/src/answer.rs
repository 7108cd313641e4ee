//! What the questions ask, so that every format is asked the same and their answers can be compared.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal64Type, Decimal128Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

/// TPC-H Q6: shipped in 1994, discount 0.05 to 0.07, quantity below 24. Dates in days, money in cents.
pub mod q6 {
    pub const FROM: i32 = 8766;
    pub const TO: i32 = 9131;
    pub const DISCOUNT: (i64, i64) = (5, 7);
    pub const QUANTITY: i64 = 2400;
}

/// The other question: order key, price and discount of rows shipped since 1997-06-01, one in five.
pub const SCAN_FROM: i32 = 10_013;

/// Columns of lineitem.
pub mod column {
    pub const ORDERKEY: usize = 0;
    pub const QUANTITY: usize = 4;
    pub const PRICE: usize = 5;
    pub const DISCOUNT: usize = 6;
    pub const SHIPDATE: usize = 10;
}

/// Rows, and sums that no wrong row leaves as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub rows: usize,
    pub sum: i64,
}

fn cents(array: &ArrayRef) -> std::borrow::Cow<'_, [i64]> {
    match array.data_type() {
        DataType::Decimal64(..) => array.as_primitive::<Decimal64Type>().values().as_ref().into(),
        DataType::Decimal128(..) => {
            array.as_primitive::<Decimal128Type>().values().iter().map(|v| *v as i64).collect::<Vec<i64>>().into()
        }
        other => panic!("no money in {other}"),
    }
}

impl Answer {
    /// Adds price * discount.
    pub fn revenue(&mut self, price: &ArrayRef, discount: &ArrayRef) {
        self.rows += price.len();
        self.sum += cents(price).iter().zip(cents(discount).iter()).map(|(a, b)| a * b).sum::<i64>();
    }

    /// Adds order key, price and discount.
    pub fn scanned(&mut self, key: &ArrayRef, price: &ArrayRef, discount: &ArrayRef) {
        self.rows += key.len();
        let keys = key.as_primitive::<Int64Type>().values().iter().sum::<i64>();
        let money = cents(price).iter().zip(cents(discount).iter()).map(|(a, b)| a * 16 + b).sum::<i64>();
        self.sum += keys + money;
    }
}
