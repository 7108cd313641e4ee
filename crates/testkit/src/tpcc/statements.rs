//! The mix's SQL, each statement prepared once a connection, when it is first needed.

use tokio::sync::OnceCell;
use tokio_postgres::{Client, Error, Statement};

/// A statement, and what the server made of it.
pub(super) struct Sql {
    text: String,
    prepared: OnceCell<Statement>,
}

impl Sql {
    fn new(text: impl Into<String>) -> Sql {
        Sql { text: text.into(), prepared: OnceCell::new() }
    }

    pub async fn on(&self, client: &Client) -> Result<Statement, Error> {
        self.prepared.get_or_try_init(|| client.prepare(&self.text)).await.cloned()
    }
}

macro_rules! statements {
    ($($name:ident: $sql:expr;)*) => {
        pub(super) struct Statements {
            $(pub $name: Sql,)*
            /// By district: an order line takes the district's text of its stock.
            pub take_stock: Vec<Sql>,
        }

        impl Statements {
            pub fn new() -> Statements {
                let take_stock = (1..=10).map(|district| Sql::new(take_stock_sql(district))).collect();
                Statements { $($name: Sql::new($sql),)* take_stock }
            }
        }
    };
}

fn take_stock_sql(district: i32) -> String {
    format!(
        "UPDATE stock SET s_quantity = CASE WHEN s_quantity >= $3 + 10 THEN s_quantity - $3 ELSE s_quantity - $3 + 91 END,
             s_ytd = s_ytd + $3, s_order_cnt = s_order_cnt + 1, s_remote_cnt = s_remote_cnt + $4
         WHERE s_w_id = $1 AND s_i_id = $2 RETURNING s_quantity, s_data, s_dist_{district:02}"
    )
}

statements! {
    warehouse_tax: "SELECT w_tax FROM warehouse WHERE w_id = $1";
    next_order: "UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = $1 AND d_id = $2
        RETURNING d_next_o_id - 1, d_tax";
    buyer: "SELECT c_discount, c_last, c_credit FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3";
    add_order: "INSERT INTO orders (o_w_id, o_d_id, o_id, o_c_id, o_entry_d, o_ol_cnt, o_all_local)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    add_new_order: "INSERT INTO new_order (no_w_id, no_d_id, no_o_id) VALUES ($1, $2, $3)";
    item: "SELECT i_price, i_name, i_data FROM item WHERE i_id = $1";
    add_line: "INSERT INTO order_line (ol_w_id, ol_d_id, ol_o_id, ol_number, ol_i_id, ol_supply_w_id, ol_quantity,
        ol_amount, ol_dist_info) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

    pay_warehouse: "UPDATE warehouse SET w_ytd = w_ytd + $2 WHERE w_id = $1
        RETURNING w_name, w_street_1, w_street_2, w_city, w_state, w_zip";
    pay_district: "UPDATE district SET d_ytd = d_ytd + $3 WHERE d_w_id = $1 AND d_id = $2
        RETURNING d_name, d_street_1, d_street_2, d_city, d_state, d_zip";
    customers_named: "SELECT c_id FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_last = $3 ORDER BY c_first";
    pay_customer: "UPDATE customer SET c_balance = c_balance - $4, c_ytd_payment = c_ytd_payment + $4,
            c_payment_cnt = c_payment_cnt + 1
        WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3 RETURNING c_credit, c_data, c_balance";
    customer_data: "UPDATE customer SET c_data = $4 WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3";
    add_history: "INSERT INTO history (h_c_d_id, h_c_w_id, h_c_id, h_d_id, h_w_id, h_date, h_amount, h_data)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    customer: "SELECT c_balance, c_first, c_middle, c_last FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3";
    last_order: "SELECT o_id, o_entry_d, o_carrier_id FROM orders WHERE o_w_id = $1 AND o_d_id = $2 AND o_c_id = $3
        ORDER BY o_id DESC LIMIT 1";
    lines: "SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d FROM order_line
        WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3";

    oldest: "SELECT no_o_id FROM new_order WHERE no_w_id = $1 AND no_d_id = $2 ORDER BY no_o_id LIMIT 1";
    take_oldest: "DELETE FROM new_order WHERE no_w_id = $1 AND no_d_id = $2 AND no_o_id = $3";
    carry: "UPDATE orders SET o_carrier_id = $4 WHERE o_w_id = $1 AND o_d_id = $2 AND o_id = $3 RETURNING o_c_id";
    deliver_lines: "UPDATE order_line SET ol_delivery_d = $4 WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3";
    order_total: "SELECT sum(ol_amount) FROM order_line WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3";
    charge: "UPDATE customer SET c_balance = c_balance + $4, c_delivery_cnt = c_delivery_cnt + 1
        WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3";

    next_order_id: "SELECT d_next_o_id FROM district WHERE d_w_id = $1 AND d_id = $2";
    low_stock: "SELECT count(DISTINCT s_i_id) FROM order_line, stock
        WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id >= $3 AND ol_o_id < $4
            AND s_w_id = $1 AND s_i_id = ol_i_id AND s_quantity < $5";
}
