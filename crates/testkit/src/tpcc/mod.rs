//! A transaction mix like TPC-C's: nine tables, five transactions in plain SQL, and the consistency conditions between the tables.
//!
//! Not TPC-C: terminals do not think, so numbers are comparable only with what ran beside them. Invariants: the same seed
//! gives the same rows and the same transactions on any server; sums of money are whole cents, so the checks compare exactly;
//! a scale may be cut down, and every check holds at each.

mod check;
mod input;
mod load;
mod money;
mod pace;
mod random;
mod statements;
mod terminal;
mod transactions;

pub use check::check;
pub use input::Kind;
pub(crate) use load::copy;
pub use load::load;
pub use pace::Pace;
pub(crate) use random::Random;
pub use terminal::{Acknowledged, KindReport, Mistake, Terminal, TerminalReport};

/// How much data there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    pub warehouses: i32,
    pub items: i32,
    /// Of each warehouse.
    pub districts: i32,
    /// Of each district, and as many orders at the start.
    pub customers: i32,
}

impl Scale {
    /// The specification's.
    pub fn full(warehouses: i32) -> Scale {
        Scale { warehouses, items: 100_000, districts: 10, customers: 3_000 }
    }

    /// Small enough for tests.
    pub fn small(warehouses: i32) -> Scale {
        Scale { warehouses, items: 100, districts: 4, customers: 30 }
    }

    /// Orders of a district that are not delivered at the start: the last 30 in 100.
    fn undelivered(self) -> i32 {
        self.customers * 3 / 10
    }
}

/// The isolation levels the mix runs at, as BEGIN names them.
pub const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

const SCHEMA: &str = "
CREATE TABLE warehouse (w_id integer PRIMARY KEY, w_name varchar(10) NOT NULL, w_street_1 varchar(20) NOT NULL,
    w_street_2 varchar(20) NOT NULL, w_city varchar(20) NOT NULL, w_state char(2) NOT NULL, w_zip char(9) NOT NULL,
    w_tax numeric(4,4) NOT NULL, w_ytd numeric(12,2) NOT NULL);
CREATE TABLE district (d_w_id integer, d_id integer, d_name varchar(10) NOT NULL, d_street_1 varchar(20) NOT NULL,
    d_street_2 varchar(20) NOT NULL, d_city varchar(20) NOT NULL, d_state char(2) NOT NULL, d_zip char(9) NOT NULL,
    d_tax numeric(4,4) NOT NULL, d_ytd numeric(12,2) NOT NULL, d_next_o_id integer NOT NULL, PRIMARY KEY (d_w_id, d_id));
CREATE TABLE customer (c_w_id integer, c_d_id integer, c_id integer, c_first varchar(16) NOT NULL, c_middle char(2) NOT NULL,
    c_last varchar(16) NOT NULL, c_street_1 varchar(20) NOT NULL, c_street_2 varchar(20) NOT NULL, c_city varchar(20) NOT NULL,
    c_state char(2) NOT NULL, c_zip char(9) NOT NULL, c_phone char(16) NOT NULL, c_since timestamp NOT NULL,
    c_credit char(2) NOT NULL, c_credit_lim numeric(12,2) NOT NULL, c_discount numeric(4,4) NOT NULL,
    c_balance numeric(12,2) NOT NULL, c_ytd_payment numeric(12,2) NOT NULL, c_payment_cnt integer NOT NULL,
    c_delivery_cnt integer NOT NULL, c_data varchar(500) NOT NULL, PRIMARY KEY (c_w_id, c_d_id, c_id));
CREATE TABLE history (h_c_id integer NOT NULL, h_c_d_id integer NOT NULL, h_c_w_id integer NOT NULL, h_d_id integer NOT NULL,
    h_w_id integer NOT NULL, h_date timestamp NOT NULL, h_amount numeric(6,2) NOT NULL, h_data varchar(24) NOT NULL);
CREATE TABLE orders (o_w_id integer, o_d_id integer, o_id integer, o_c_id integer NOT NULL, o_entry_d timestamp NOT NULL,
    o_carrier_id integer, o_ol_cnt integer NOT NULL, o_all_local integer NOT NULL, PRIMARY KEY (o_w_id, o_d_id, o_id));
CREATE TABLE new_order (no_w_id integer, no_d_id integer, no_o_id integer, PRIMARY KEY (no_w_id, no_d_id, no_o_id));
CREATE TABLE order_line (ol_w_id integer, ol_d_id integer, ol_o_id integer, ol_number integer, ol_i_id integer NOT NULL,
    ol_supply_w_id integer NOT NULL, ol_delivery_d timestamp, ol_quantity integer NOT NULL, ol_amount numeric(6,2) NOT NULL,
    ol_dist_info char(24) NOT NULL, PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number));
CREATE TABLE item (i_id integer PRIMARY KEY, i_im_id integer NOT NULL, i_name varchar(24) NOT NULL,
    i_price numeric(5,2) NOT NULL, i_data varchar(50) NOT NULL);
CREATE TABLE stock (s_w_id integer, s_i_id integer, s_quantity integer NOT NULL, s_dist_01 char(24) NOT NULL,
    s_dist_02 char(24) NOT NULL, s_dist_03 char(24) NOT NULL, s_dist_04 char(24) NOT NULL, s_dist_05 char(24) NOT NULL,
    s_dist_06 char(24) NOT NULL, s_dist_07 char(24) NOT NULL, s_dist_08 char(24) NOT NULL, s_dist_09 char(24) NOT NULL,
    s_dist_10 char(24) NOT NULL, s_ytd integer NOT NULL, s_order_cnt integer NOT NULL, s_remote_cnt integer NOT NULL,
    s_data varchar(50) NOT NULL, PRIMARY KEY (s_w_id, s_i_id));
";

const INDEXES: &str = "
CREATE INDEX customer_name ON customer (c_w_id, c_d_id, c_last, c_first);
CREATE INDEX orders_customer ON orders (o_w_id, o_d_id, o_c_id, o_id);
";

pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {}", db.code().code(), db.message()),
        None => error.to_string(),
    }
}
