//! What a transaction is asked to do, chosen before it begins so that a retry does the same.

use super::money::Cents;
use super::random::Random;

/// The five transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    NewOrder,
    Payment,
    OrderStatus,
    Delivery,
    StockLevel,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::NewOrder, Kind::Payment, Kind::OrderStatus, Kind::Delivery, Kind::StockLevel];

    pub fn name(self) -> &'static str {
        match self {
            Kind::NewOrder => "new-order",
            Kind::Payment => "payment",
            Kind::OrderStatus => "order-status",
            Kind::Delivery => "delivery",
            Kind::StockLevel => "stock-level",
        }
    }
}

/// A customer as the terminal's user knows them.
#[derive(Clone, Debug)]
pub(super) enum Who {
    Id(i32),
    LastName(String),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub item: i32,
    pub supplier: i32,
    pub quantity: i32,
}

#[derive(Clone, Debug)]
pub(super) enum Input {
    NewOrder { district: i32, customer: i32, lines: Vec<Line> },
    Payment { district: i32, customer_warehouse: i32, customer_district: i32, customer: Who, amount: Cents },
    OrderStatus { district: i32, customer: Who },
    Delivery { carrier: i32 },
    StockLevel { district: i32, threshold: i32 },
}

impl Input {
    pub fn kind(&self) -> Kind {
        match self {
            Input::NewOrder { .. } => Kind::NewOrder,
            Input::Payment { .. } => Kind::Payment,
            Input::OrderStatus { .. } => Kind::OrderStatus,
            Input::Delivery { .. } => Kind::Delivery,
            Input::StockLevel { .. } => Kind::StockLevel,
        }
    }

    /// The next transaction of a terminal at this warehouse, in the specification's shares.
    pub fn choose(r: &mut Random, warehouse: i32) -> Input {
        let district = r.between(1, r.scale.districts);
        match r.between(1, 100) {
            1..=45 => new_order(r, warehouse, district),
            46..=88 => {
                let amount = Cents(i64::from(r.between(100, 500_000)));
                let remote = r.scale.warehouses > 1 && r.percent(15);
                let (customer_warehouse, customer_district) = match remote {
                    true => (another(r, warehouse), r.between(1, r.scale.districts)),
                    false => (warehouse, district),
                };
                let customer = who(r);
                Input::Payment { district, customer_warehouse, customer_district, customer, amount }
            }
            89..=92 => Input::OrderStatus { district, customer: who(r) },
            93..=96 => Input::Delivery { carrier: r.between(1, 10) },
            _ => Input::StockLevel { district, threshold: r.between(10, 20) },
        }
    }
}

fn new_order(r: &mut Random, warehouse: i32, district: i32) -> Input {
    let customer = r.customer();
    let mut lines: Vec<Line> = Vec::new();
    for _ in 0..r.between(5, 15) {
        let item = r.item();
        let supplier = if r.scale.warehouses > 1 && r.percent(1) { another(r, warehouse) } else { warehouse };
        lines.push(Line { item, supplier, quantity: r.between(1, 10) });
    }
    // One order of stock rows for all, so that orders wait for each other rather than deadlock.
    lines.sort_by_key(|line| (line.supplier, line.item));
    if r.percent(1)
        && let Some(last) = lines.last_mut()
    {
        // A mistyped item: the transaction rolls back.
        last.item = r.scale.items + 1;
    }
    Input::NewOrder { district, customer, lines }
}

fn another(r: &mut Random, warehouse: i32) -> i32 {
    let step = r.between(1, r.scale.warehouses - 1);
    (warehouse - 1 + step) % r.scale.warehouses + 1
}

fn who(r: &mut Random) -> Who {
    if r.percent(60) { Who::LastName(r.last_name()) } else { Who::Id(r.customer()) }
}
