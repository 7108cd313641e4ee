//! The five transactions (clause 2), statement by statement.

use std::time::SystemTime;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

use super::input::{Input, Line, Who};
use super::money::{Cents, Rate};
use super::statements::{Sql, Statements};

/// What became of a transaction that met no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Committed; a new order says which it was, a payment by what district.
    Ordered {
        district: i32,
        order: i32,
    },
    Paid {
        district: i32,
    },
    Other,
    /// A mistyped item.
    RolledBack,
}

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    Server(Error),
    /// The server answered what cannot be.
    Wrong(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Server(error)
    }
}

type Outcome<T> = Result<T, Trouble>;

/// One transaction of a terminal at warehouse `w`.
pub(super) struct Run<'a> {
    pub client: &'a Client,
    pub sql: &'a Statements,
    pub begin: &'a str,
    pub w: i32,
    pub districts: i32,
}

fn one(rows: Vec<Row>, what: &str) -> Outcome<Row> {
    match <[Row; 1]>::try_from(rows) {
        Ok([row]) => Ok(row),
        Err(rows) => Err(Trouble::Wrong(format!("{what} gave {} rows", rows.len()))),
    }
}

fn changed_one(count: u64, what: &str) -> Outcome<()> {
    if count == 1 { Ok(()) } else { Err(Trouble::Wrong(format!("{what} changed {count} rows"))) }
}

impl Run<'_> {
    async fn query(&self, sql: &Sql, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.client.query(&sql.on(self.client).await?, values).await
    }

    async fn query_opt(&self, sql: &Sql, values: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, Error> {
        self.client.query_opt(&sql.on(self.client).await?, values).await
    }

    async fn execute(&self, sql: &Sql, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        self.client.execute(&sql.on(self.client).await?, values).await
    }

    pub async fn transact(&self, input: &Input) -> Outcome<Done> {
        self.client.batch_execute(self.begin).await?;
        let done = match input {
            Input::NewOrder { district, customer, lines } => self.new_order(*district, *customer, lines).await?,
            Input::Payment { district, customer_warehouse, customer_district, customer, amount } => {
                self.payment(*district, (*customer_warehouse, *customer_district, customer), *amount).await?
            }
            Input::OrderStatus { district, customer } => self.order_status(*district, customer).await?,
            Input::Delivery { carrier } => self.delivery(*carrier).await?,
            Input::StockLevel { district, threshold } => self.stock_level(*district, *threshold).await?,
        };
        let end = if done == Done::RolledBack { "ROLLBACK" } else { "COMMIT" };
        self.client.batch_execute(end).await?;
        Ok(done)
    }

    async fn new_order(&self, d: i32, customer: i32, lines: &[Line]) -> Outcome<Done> {
        let (sql, w) = (self.sql, self.w);
        let tax: Rate = one(self.query(&sql.warehouse_tax, &[&w]).await?, "the warehouse")?.try_get(0)?;
        let next = one(self.query(&sql.next_order, &[&w, &d]).await?, "the district's next order")?;
        let (order, district_tax): (i32, Rate) = (next.try_get(0)?, next.try_get(1)?);
        let buyer = one(self.query(&sql.buyer, &[&w, &d, &customer]).await?, "the buyer")?;
        let discount: Rate = buyer.try_get(0)?;
        let local = i32::from(lines.iter().all(|line| line.supplier == w));
        let values: [&(dyn ToSql + Sync); 7] =
            [&w, &d, &order, &customer, &SystemTime::now(), &(lines.len() as i32), &local];
        changed_one(self.execute(&sql.add_order, &values).await?, "a new order")?;
        changed_one(self.execute(&sql.add_new_order, &[&w, &d, &order]).await?, "a new order's mark")?;
        let mut total = 0;
        for (number, line) in (1i32..).zip(lines) {
            let Some(item) = self.query_opt(&sql.item, &[&line.item]).await? else { return Ok(Done::RolledBack) };
            let price: Cents = item.try_get(0)?;
            let remote = i32::from(line.supplier != w);
            let take = &sql.take_stock[(d - 1) as usize];
            let values: [&(dyn ToSql + Sync); 4] = [&line.supplier, &line.item, &line.quantity, &remote];
            let stock = one(self.query(take, &values).await?, "the stock of an item")?;
            let quantity: i32 = stock.try_get(0)?;
            if quantity < 0 {
                return Err(Trouble::Wrong(format!("a stock of {quantity}")));
            }
            let district_text: &str = stock.try_get(2)?;
            let amount = Cents(price.0 * i64::from(line.quantity));
            total += amount.0;
            let values: [&(dyn ToSql + Sync); 9] =
                [&w, &d, &order, &number, &line.item, &line.supplier, &line.quantity, &amount, &district_text];
            changed_one(self.execute(&sql.add_line, &values).await?, "a new order line")?;
        }
        // What the terminal would show.
        let _ = total * (10_000 - discount.0) * (10_000 + tax.0 + district_tax.0);
        Ok(Done::Ordered { district: d, order })
    }

    async fn payment(&self, d: i32, (cw, cd, customer): (i32, i32, &Who), amount: Cents) -> Outcome<Done> {
        let (sql, w) = (self.sql, self.w);
        let warehouse = one(self.query(&sql.pay_warehouse, &[&w, &amount]).await?, "paying the warehouse")?;
        let district = one(self.query(&sql.pay_district, &[&w, &d, &amount]).await?, "paying the district")?;
        let c = self.customer_id((cw, cd), customer).await?;
        let values: [&(dyn ToSql + Sync); 4] = [&cw, &cd, &c, &amount];
        let paid = one(self.query(&sql.pay_customer, &values).await?, "a customer's payment")?;
        if paid.try_get::<_, &str>(0)? == "BC" {
            let old: &str = paid.try_get(1)?;
            let data: String = format!("{c} {cd} {cw} {d} {w} {} | {old}", amount.0).chars().take(500).collect();
            let values: [&(dyn ToSql + Sync); 4] = [&cw, &cd, &c, &data];
            changed_one(self.execute(&sql.customer_data, &values).await?, "a customer's data")?;
        }
        let names = format!("{}    {}", warehouse.try_get::<_, &str>(0)?, district.try_get::<_, &str>(0)?);
        let values: [&(dyn ToSql + Sync); 8] = [&cd, &cw, &c, &d, &w, &SystemTime::now(), &amount, &names];
        changed_one(self.execute(&sql.add_history, &values).await?, "a payment's history")?;
        Ok(Done::Paid { district: d })
    }

    /// By name: the one in the middle, ordered by first name.
    async fn customer_id(&self, (w, d): (i32, i32), who: &Who) -> Outcome<i32> {
        let name = match who {
            Who::Id(id) => return Ok(*id),
            Who::LastName(name) => name,
        };
        let rows = self.query(&self.sql.customers_named, &[&w, &d, name]).await?;
        let middle = rows.len().div_ceil(2).checked_sub(1).and_then(|at| rows.get(at));
        let row = middle.ok_or_else(|| Trouble::Wrong(format!("nobody in {w}, {d} is called {name}")))?;
        Ok(row.try_get(0)?)
    }

    async fn order_status(&self, d: i32, customer: &Who) -> Outcome<Done> {
        let (sql, w) = (self.sql, self.w);
        let c = self.customer_id((w, d), customer).await?;
        one(self.query(&sql.customer, &[&w, &d, &c]).await?, "a customer")?;
        // Everybody has ordered once at the start.
        let order: i32 =
            one(self.query(&sql.last_order, &[&w, &d, &c]).await?, "a customer's last order")?.try_get(0)?;
        let lines = self.query(&sql.lines, &[&w, &d, &order]).await?;
        if !(5..=15).contains(&lines.len()) {
            return Err(Trouble::Wrong(format!("order {order} of {w}, {d} has {} lines", lines.len())));
        }
        Ok(Done::Other)
    }

    async fn delivery(&self, carrier: i32) -> Outcome<Done> {
        for d in 1..=self.districts {
            self.deliver(d, carrier).await?;
        }
        Ok(Done::Other)
    }

    async fn deliver(&self, d: i32, carrier: i32) -> Outcome<()> {
        let (sql, w) = (self.sql, self.w);
        let order: i32 = loop {
            let Some(oldest) = self.query_opt(&sql.oldest, &[&w, &d]).await? else { return Ok(()) };
            let order = oldest.try_get(0)?;
            // Somebody else may have delivered it meanwhile.
            if self.execute(&sql.take_oldest, &[&w, &d, &order]).await? == 1 {
                break order;
            }
        };
        let values: [&(dyn ToSql + Sync); 4] = [&w, &d, &order, &carrier];
        let c: i32 = one(self.query(&sql.carry, &values).await?, "an order that is carried")?.try_get(0)?;
        let values: [&(dyn ToSql + Sync); 4] = [&w, &d, &order, &SystemTime::now()];
        self.execute(&sql.deliver_lines, &values).await?;
        let total: Cents =
            one(self.query(&sql.order_total, &[&w, &d, &order]).await?, "an order's total")?.try_get(0)?;
        let values: [&(dyn ToSql + Sync); 4] = [&w, &d, &c, &total];
        changed_one(self.execute(&sql.charge, &values).await?, "charging a customer")
    }

    async fn stock_level(&self, d: i32, threshold: i32) -> Outcome<Done> {
        let (sql, w) = (self.sql, self.w);
        let next: i32 = one(self.query(&sql.next_order_id, &[&w, &d]).await?, "a district")?.try_get(0)?;
        let values: [&(dyn ToSql + Sync); 5] = [&w, &d, &(next - 20), &next, &threshold];
        one(self.query(&sql.low_stock, &values).await?, "the stock level")?.try_get::<_, i64>(0)?;
        Ok(Done::Other)
    }
}
