//! What the writers know: every transfer they made, and whether the server said it was committed.

use std::collections::BTreeMap;

/// Accounts the transfers move money between.
pub const ACCOUNTS: i32 = 64;
/// Each account's balance at the start.
pub const OPENING_BALANCE: i64 = 1_000;

/// One ledger row: a transfer of `amount` from one account to another, with a note that may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub from: i32,
    pub to: i32,
    pub amount: i64,
    pub note: String,
}

/// What a transaction does to one ledger row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new transfer; the accounts move with it.
    Insert(Transfer),
    /// Another note on an old transfer.
    Renote(String),
    /// The transfer is undone: its row is deleted and the money goes back.
    Undo,
}

/// One writer's ledger. Writers never touch each other's ledger rows, only the same accounts.
#[derive(Clone, Debug, Default)]
pub struct WriterModel {
    /// Rows the server has acknowledged, by number.
    pub acknowledged: BTreeMap<i64, Transfer>,
    /// The transaction whose COMMIT was sent but not answered: it may have happened, wholly or not at all.
    pub in_flight: Option<(i64, Change)>,
    pub next: i64,
    pub commits: u64,
}

impl WriterModel {
    /// The ledger if `change` to row `number` happened.
    pub fn after(&self, number: i64, change: &Change) -> BTreeMap<i64, Transfer> {
        let mut rows = self.acknowledged.clone();
        match change {
            Change::Insert(transfer) => {
                rows.insert(number, transfer.clone());
            }
            Change::Renote(note) => {
                if let Some(row) = rows.get_mut(&number) {
                    row.note.clone_from(note);
                }
            }
            Change::Undo => {
                rows.remove(&number);
            }
        }
        rows
    }

    /// The server acknowledged the transaction in flight.
    pub fn acknowledge(&mut self) {
        if let Some((number, change)) = self.in_flight.take() {
            self.acknowledged = self.after(number, &change);
            self.commits += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_counts_before_it_is_acknowledged() {
        let mut model = WriterModel::default();
        let transfer = Transfer { from: 1, to: 2, amount: 5, note: "a".into() };
        model.in_flight = Some((0, Change::Insert(transfer.clone())));
        assert!(model.acknowledged.is_empty());
        model.acknowledge();
        assert_eq!(model.acknowledged.get(&0), Some(&transfer));
        assert!(model.after(0, &Change::Undo).is_empty());
    }
}
