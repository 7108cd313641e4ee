//! A session of large transactions: trees made and filled at once (spilling), rewritten whole, dropped.

use std::collections::BTreeMap;

use super::*;

/// A tree's rows and the value they all have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    rows: i64,
    value: i64,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Fill { tree: u64, rows: i64 },
    Rewrite(u64),
    Drop(u64),
}

/// What the loader was told, over all lives.
#[derive(Debug, Default)]
pub(super) struct LoaderModel {
    acknowledged: BTreeMap<u64, Content>,
    in_flight: Option<Work>,
}

impl LoaderModel {
    fn after(&self, work: Work) -> BTreeMap<u64, Content> {
        let mut trees = self.acknowledged.clone();
        match work {
            Work::Fill { tree, rows } => _ = trees.insert(tree, Content { rows, value: 0 }),
            Work::Drop(tree) => _ = trees.remove(&tree),
            Work::Rewrite(tree) => trees.get_mut(&tree).unwrap().value += 1,
        }
        trees
    }
}

impl World {
    /// Works until the machine dies.
    pub(super) async fn load(self: Arc<World>, rng: SeededEntropy) {
        loop {
            let work = {
                let mut model = self.loader.lock().unwrap();
                let known: Vec<u64> = model.acknowledged.keys().copied().collect();
                let pick = |rng: &SeededEntropy| known[rng.next_u64() as usize % known.len()];
                let work = match rng.next_u64() % 10 {
                    0..3 if !known.is_empty() => Work::Rewrite(pick(&rng)),
                    3..6 if known.len() > 1 => Work::Drop(pick(&rng)),
                    _ => {
                        let tree = self.shard.allocate_tree_id().unwrap().0;
                        Work::Fill { tree, rows: (rng.next_u64() % 300) as i64 + 1 }
                    }
                };
                model.in_flight = Some(work);
                work
            };
            if let Err(error) = self.perform(work).await {
                assert!(matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Unavailable), "{work:?}: {error:?}");
                return;
            }
            let mut model = self.loader.lock().unwrap();
            model.acknowledged = model.after(work);
            model.in_flight = None;
        }
    }

    async fn perform(&self, work: Work) -> Result<()> {
        let mut session = Session::begin(self)?;
        match work {
            Work::Fill { tree, rows } => {
                let tree = descriptor(tree);
                self.shard.define_tree(session.txn(), session.command, tree.clone())?;
                let ids: Vec<i64> = (0..rows).collect();
                for part in ids.chunks(50) {
                    session.insert(&tree, part.iter().map(|id| row(*id, 0)).collect()).await?;
                }
            }
            Work::Rewrite(tree) => {
                let rows = self.loader.lock().unwrap().acknowledged[&tree].rows;
                for id in 0..rows {
                    session.add(&descriptor(tree), id, 1).await?;
                }
            }
            Work::Drop(tree) => {
                let tree = descriptor(tree).tree;
                self.shard.lock_tree(session.txn(), tree, TreeLockMode::AccessExclusive, FOREVER).await?;
                self.shard.drop_tree(session.txn(), session.command, tree)?;
            }
        }
        session.commit().await
    }

    /// Every tree is as acknowledged, or as the transaction in flight would have left it.
    pub(super) fn check_loads(&self, snapshot: &Snapshot) -> Result<()> {
        let mut model = self.loader.lock().unwrap();
        let happened = model.in_flight.take().map(|work| (work, model.after(work)));
        let mut known: Vec<u64> = model.acknowledged.keys().copied().collect();
        known.extend(happened.iter().flat_map(|(_, trees)| trees.keys().copied()));
        let mut actual = BTreeMap::new();
        for tree in known {
            let tree_ref = descriptor(tree).tree;
            if self.shard.descriptor(None, tree_ref).is_none() {
                continue;
            }
            let rows = self.rows(&descriptor(tree), snapshot, 2)?;
            let value = rows.values().next().copied().unwrap_or(-1);
            assert!(rows.values().all(|other| *other == value), "tree {tree} is rewritten by half: {rows:?}");
            assert!(rows.keys().copied().eq(0..rows.len() as i64), "tree {tree} has holes: {rows:?}");
            actual.insert(tree, Content { rows: rows.len() as i64, value });
        }
        assert!(
            actual == model.acknowledged || happened.as_ref().is_some_and(|(_, trees)| *trees == actual),
            "acknowledged {:?}, in flight {happened:?}, found {actual:?}",
            model.acknowledged
        );
        model.acknowledged = actual;
        Ok(())
    }
}
