//! Which order to join relations in: a pure search over estimates.
//!
//! Orders are left-deep: each step joins one more relation to what is there, and the executor hashes the smaller side of
//! each step. Up to [`EXHAUSTIVE`] relations every order is weighed (by sets, Selinger's way); beyond, the cheapest next
//! relation is taken each time.

/// Relations up to which the search is exhaustive; 2^10 sets times 10 next relations are quick.
const EXHAUSTIVE: usize = 10;
/// A hash table costs about this much more per row than probing it.
const BUILD_COST: f64 = 2.0;

/// What is guessed of a join graph.
pub(super) struct Graph {
    /// Rows of each relation after its own conditions, at least one.
    pub rows: Vec<f64>,
    pub edges: Vec<Edge>,
}

/// A condition between relations: the share of pairs it keeps.
pub(super) struct Edge {
    /// The relations it names, one bit each.
    pub relations: u64,
    pub selectivity: f64,
}

/// A state of the search: some relations joined.
#[derive(Clone, Copy)]
struct Step {
    rows: f64,
    cost: f64,
    last: usize,
    before: u64,
}

impl Graph {
    /// The cheapest order found, as positions in `rows`.
    pub fn order(&self) -> Vec<usize> {
        if self.rows.len() <= EXHAUSTIVE { self.exhaustive() } else { self.greedy() }
    }

    /// An order drawn by a seed, products only where nothing connects; every such order may come.
    pub fn drawn(&self, seed: u64) -> Vec<usize> {
        let count = self.rows.len();
        let (mut order, mut joined, mut state) = (Vec::with_capacity(count), 0, seed);
        while order.len() < count {
            let outside: Vec<usize> = (0..count).filter(|next| joined & bit(*next) == 0).collect();
            let connected: Vec<usize> =
                outside.iter().copied().filter(|next| self.kept(joined, *next).is_some()).collect();
            let choices = if connected.is_empty() { outside } else { connected };
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let Some(next) = choices.get(((z ^ (z >> 31)) % choices.len().max(1) as u64) as usize) else { break };
            order.push(*next);
            joined |= bit(*next);
        }
        order
    }

    /// The share of pairs kept by the conditions that adding `next` to `joined` completes; `None` if there are none.
    fn kept(&self, joined: u64, next: usize) -> Option<f64> {
        let with = joined | bit(next);
        let completed = |edge: &&Edge| {
            edge.relations & bit(next) != 0 && edge.relations & joined != 0 && edge.relations & !with == 0
        };
        self.edges.iter().filter(completed).map(|edge| edge.selectivity).reduce(|a, b| a * b)
    }

    fn add(&self, step: Step, joined: u64, next: usize, kept: Option<f64>) -> Step {
        let right = self.rows_of(next);
        let rows = (step.rows * right * kept.unwrap_or(1.0)).max(1.0);
        let (build, probe) = if step.rows < right { (step.rows, right) } else { (right, step.rows) };
        Step { rows, cost: step.cost + build * BUILD_COST + probe + rows, last: next, before: joined }
    }

    fn rows_of(&self, relation: usize) -> f64 {
        self.rows.get(relation).copied().unwrap_or(1.0)
    }

    fn first(&self, relation: usize) -> Step {
        Step { rows: self.rows_of(relation), cost: 0.0, last: relation, before: 0 }
    }

    fn exhaustive(&self) -> Vec<usize> {
        let count = self.rows.len();
        let mut best: Vec<Option<Step>> = vec![None; 1 << count];
        for relation in 0..count {
            if let Some(place) = best.get_mut(1 << relation) {
                *place = Some(self.first(relation));
            }
        }
        for joined in 1u64..(1 << count) {
            let Some(step) = best.get(joined as usize).copied().flatten() else { continue };
            let outside = |next: &usize| joined & bit(*next) == 0;
            let choices: Vec<(usize, Option<f64>)> =
                (0..count).filter(outside).map(|next| (next, self.kept(joined, next))).collect();
            // A product of everything with everything only where nothing connects.
            let connected = choices.iter().any(|(_, kept)| kept.is_some());
            for (next, kept) in choices.into_iter().filter(|(_, kept)| kept.is_some() || !connected) {
                let candidate = self.add(step, joined, next, kept);
                if let Some(place) = best.get_mut((joined | bit(next)) as usize)
                    && place.is_none_or(|known| candidate.cost < known.cost)
                {
                    *place = Some(candidate);
                }
            }
        }
        let mut order = Vec::new();
        let mut set = (1u64 << count) - 1;
        while let Some(step) = best.get(set as usize).copied().flatten() {
            order.push(step.last);
            set = step.before;
            if set == 0 {
                break;
            }
        }
        order.reverse();
        order
    }

    /// From each start the cheapest next relation; the cheapest of these orders.
    fn greedy(&self) -> Vec<usize> {
        let count = self.rows.len();
        let from = |start: usize| {
            let (mut order, mut joined, mut step) = (vec![start], bit(start), self.first(start));
            while order.len() < count {
                let outside = (0..count).filter(|next| joined & bit(*next) == 0);
                let choices = outside.map(|next| (next, self.kept(joined, next))).collect::<Vec<_>>();
                let connected = choices.iter().any(|(_, kept)| kept.is_some());
                let steps = choices
                    .into_iter()
                    .filter(|(_, kept)| kept.is_some() || !connected)
                    .map(|(next, kept)| self.add(step, joined, next, kept));
                let Some(cheapest) = steps.min_by(|a, b| a.cost.total_cmp(&b.cost)) else { break };
                order.push(cheapest.last);
                joined |= bit(cheapest.last);
                step = cheapest;
            }
            (step.cost, order)
        };
        let orders = (0..count).map(from);
        orders.min_by(|(a, _), (b, _)| a.total_cmp(b)).map_or_else(|| (0..count).collect(), |(_, order)| order)
    }
}

pub(super) fn bit(relation: usize) -> u64 {
    1u64 << relation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(rows: &[f64], edges: &[(usize, usize, f64)]) -> Graph {
        let edge = |&(a, b, selectivity): &(usize, usize, f64)| Edge { relations: bit(a) | bit(b), selectivity };
        Graph { rows: rows.to_vec(), edges: edges.iter().map(edge).collect() }
    }

    #[test]
    fn a_selective_relation_comes_before_the_large_ones() {
        // fact(0) - small dimension(1), fact - filtered dimension(2): the filtered one first.
        let star = graph(&[6e6, 1e4, 10.0], &[(0, 1, 1e-4), (0, 2, 1e-5)]);
        let order = star.order();
        assert_eq!(order.last(), Some(&1));
        assert_eq!(order.len(), 3);
    }

    #[test]
    fn products_only_where_nothing_connects() {
        // a(0) - b(1), c(2) - d(3), b - c: a chain of four; the two small ends do not meet first.
        let chain = graph(&[5.0, 1e5, 1e5, 5.0], &[(0, 1, 1e-5), (1, 2, 1e-5), (2, 3, 1e-5)]);
        let order = chain.order();
        for (at, relation) in order.iter().enumerate().skip(1) {
            assert!(order[..at].iter().any(|before| before.abs_diff(*relation) == 1), "{order:?}");
        }
        assert_eq!(graph(&[3.0, 2.0], &[]).order().len(), 2);
    }

    #[test]
    fn orders_are_drawn_from_all_that_need_no_product() {
        let chain = graph(&[5.0, 1e5, 1e5, 5.0], &[(0, 1, 1e-5), (1, 2, 1e-5), (2, 3, 1e-5)]);
        let orders: std::collections::BTreeSet<Vec<usize>> = (1..500).map(|seed| chain.drawn(seed)).collect();
        // A chain of four is built up from a start by one end or the other: 1 + 3 + 3 + 1.
        assert_eq!(orders.len(), 8, "{orders:?}");
        assert_eq!(chain.drawn(7), chain.drawn(7));
        assert_eq!(graph(&[3.0, 2.0, 4.0], &[]).drawn(1).len(), 3);
    }

    #[test]
    fn the_greedy_order_is_as_good_as_the_best_of_chains_and_stars() {
        // A fact of a million rows and eleven dimensions, of which two are filtered: these come first whatever follows.
        let rows: Vec<f64> = [1e6].into_iter().chain((0..11).map(|n| if n % 5 == 2 { 3.0 } else { 1000.0 })).collect();
        let edges: Vec<(usize, usize, f64)> = (1..12).map(|n| (0, n, 1e-3)).collect();
        let star = graph(&rows, &edges);
        let order = star.order();
        let filtered: Vec<usize> = (1..12).filter(|n| rows[*n] == 3.0).collect();
        let place = |n: &usize| order.iter().position(|at| at == n).unwrap();
        assert!(filtered.iter().all(|n| place(n) <= filtered.len()), "{order:?}");
        let cost = |order: &[usize]| {
            let first = (bit(order[0]), star.first(order[0]));
            let add = |(joined, step): (u64, Step), next: &usize| {
                (joined | bit(*next), star.add(step, joined, *next, star.kept(joined, *next)))
            };
            order[1..].iter().fold(first, add).1.cost
        };
        let drawn = (1..2000).map(|seed| cost(&star.drawn(seed))).fold(f64::INFINITY, f64::min);
        assert!(cost(&order) <= drawn, "{} beside the best drawn, {drawn}", cost(&order));
    }

    #[test]
    fn many_relations_are_ordered_greedily() {
        let rows: Vec<f64> = (0..14).map(|n| 10f64.powi(n % 5 + 1)).collect();
        let edges: Vec<(usize, usize, f64)> = (1..14).map(|n| (n - 1, n, 1e-3)).collect();
        let mut order = graph(&rows, &edges).order();
        order.sort_unstable();
        assert_eq!(order, (0..14).collect::<Vec<_>>());
    }
}
