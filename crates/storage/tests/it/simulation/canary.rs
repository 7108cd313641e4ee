//! Shards with one rule broken, each of which must be caught within a number of seeds.

use heliosdb_runtime::Canary;

use super::run;

/// Seeds a broken rule may pass. How many it passes today is printed; if it becomes many more, the simulator has weakened.
const SEEDS: u64 = 200;

/// The first seed that notices, if one does.
fn caught_by(canary: Canary) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| Some((seed, run(seed, Some(canary)).err()?.0)))
}

#[test]
#[ignore = "minutes unless optimised: cargo xtask sim storage"]
fn every_broken_rule_is_noticed() {
    let caught: Vec<_> = std::thread::scope(|scope| {
        let halves = Canary::ALL.chunks(Canary::ALL.len().div_ceil(2));
        let threads = halves.map(|half| {
            scope.spawn(move || {
                let noticed = half.iter().map(|&canary| {
                    let caught = caught_by(canary);
                    println!("{canary:?} is noticed by {caught:?}");
                    (canary, caught)
                });
                noticed.collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let missed: Vec<_> = caught.iter().filter(|(_, caught)| caught.is_none()).map(|(canary, _)| canary).collect();
    assert!(missed.is_empty(), "{SEEDS} seeds did not notice {missed:?}");
}
