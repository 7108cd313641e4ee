//! Which encoding a block gets: a pure function of what is known of its values and how warm they are.
//!
//! [`Profile`] holds exact statistics (bounds, common divisor, runs, distinct values, lengths), from which sizes of most
//! encodings follow; [`Sample`] holds sizes that only trying can tell (floats as decimals, text against the tables learnt so
//! far, nested blocks). [`choose`] weighs each size by what the encoding costs readers at that [`Temperature`] and takes
//! the least. Ties go to the encoding named first, so equal input gives equal bytes.

mod profile;

use std::fmt;

pub use profile::Profile;
pub(crate) use profile::{common, distinct, frame_of, frame_of_64, runs};

use crate::encoding::{constant, delta, dictionary, frame};
use crate::kind::Encoding;

/// How a block is likely to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temperature {
    /// Just frozen: written often, read by row. Quick to encode, any row in O(1).
    #[default]
    Young,
    /// Merged or loaded in bulk: read for long. Small, any row within microseconds, quick to scan.
    Settled,
    /// Hardly read: smallest, even if a row costs a block.
    Cold,
}

/// Sizes that were found by trying, in bytes of the whole block's body.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub sizes: Vec<(Encoding, usize)>,
}

/// An encoding that fits, and what it would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub encoding: Encoding,
    pub bytes: usize,
    /// Bytes times what readers pay for this encoding, in thousandths.
    pub cost: usize,
}

/// What was chosen, and from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub encoding: Encoding,
    pub temperature: Temperature,
    pub rows: usize,
    /// Cheapest first.
    pub candidates: Vec<Candidate>,
}

/// What readers and writers pay for an encoding, in thousandths of its bytes; `None`: not at this temperature.
fn weight(encoding: Encoding, temperature: Temperature) -> Option<usize> {
    use Encoding::*;
    use Temperature::*;
    Some(match (encoding, temperature) {
        (AllNull | Constant | Frame | Plain, _) => 1000,
        // Looking a value up costs more than adding a reference.
        (Dictionary, Young | Settled) => 1120,
        (Words, Young | Settled) => 1050,
        (Alp, Young | Settled) => 1020,
        (Runs | Sparse, Young) => 1100,
        (Runs | Sparse, Settled) => 1020,
        (Delta | Jumps | AlpDelta, Young) => 1200,
        (Delta | Jumps | AlpDelta | AlpRd, Settled) => 1100,
        (AlpRd, Young) => 1150,
        // Expanding text must pay for itself.
        (Fsst, Young) => 1110,
        (Fsst, Settled) => 1110,
        (Phrases, Settled) => 1050,
        // Searched and read many times as fast as other compressed strings: worth a quarter more.
        (Stencil, Young | Settled) => 800,
        (Zstd, Settled) => 1400,
        (Phrases | Zstd | Planes, Young) | (Planes, Settled) => return None,
        (_, Cold) => 1010,
    })
}

/// Whether an encoding may be used at all; measuring the others is wasted.
pub(crate) fn considered(encoding: Encoding, temperature: Temperature) -> bool {
    weight(encoding, temperature).is_some()
}

/// The cheapest encoding.
pub fn choose(sample: &Sample, profile: &Profile, temperature: Temperature) -> Plan {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut add = |encoding: Encoding, bytes: Option<usize>| {
        if let (Some(bytes), Some(weight)) = (bytes, weight(encoding, temperature)) {
            candidates.push(Candidate { encoding, bytes, cost: bytes.saturating_mul(weight) / 1000 });
        }
    };
    let rows = profile.rows;
    add(Encoding::Constant, (profile.distinct == Some(1)).then(|| constant_size(profile)));
    add(Encoding::Frame, profile.frame.map(|layout| frame::size(&layout, rows, profile.widest)));
    add(Encoding::Plain, Some(profile.plain_bytes));
    let fixed = profile.distinct.filter(|_| profile.width > 0);
    add(Encoding::Dictionary, fixed.map(|count| dictionary::size(count, profile.width, rows)));
    add(Encoding::Delta, profile.delta.map(|layout| delta::size(&layout, rows)));
    add(Encoding::Jumps, profile.jumps.map(|jumps| delta::jumps_size(&jumps, rows)));
    for (encoding, bytes) in &sample.sizes {
        add(*encoding, Some(*bytes));
    }
    candidates.sort_by_key(|candidate| (candidate.cost, candidate.encoding));
    let encoding = candidates.first().map_or(Encoding::Plain, |best| best.encoding);
    Plan { encoding, temperature, rows, candidates }
}

fn constant_size(profile: &Profile) -> usize {
    if profile.width > 0 {
        profile.width
    } else {
        constant::size(&[], heliosdb_types::PhysicalType::Text) + profile.longest
    }
}

impl Plan {
    /// One line an encoding, the chosen one first: for people.
    pub fn explain(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} for {} {:?} rows", self.encoding, self.rows, self.temperature)?;
        for Candidate { encoding, bytes, cost } in &self.candidates {
            let bits = *bytes as f64 * 8.0 / self.rows.max(1) as f64;
            writeln!(f, "  {:<10} {bytes:>9} bytes {bits:>7.2} bits a row, cost {cost}", format!("{encoding:?}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(rows: usize) -> Profile {
        Profile { rows, width: 8, runs: rows, plain_bytes: rows * 8, ..Profile::default() }
    }

    fn tried(sizes: &[(Encoding, usize)]) -> Sample {
        Sample { sizes: sizes.to_vec() }
    }

    #[test]
    fn plain_is_what_is_left() {
        for temperature in [Temperature::Young, Temperature::Settled, Temperature::Cold] {
            let plan = choose(&Sample::default(), &profile(1000), temperature);
            assert_eq!((plan.encoding, plan.candidates.len()), (Encoding::Plain, 1));
        }
    }

    #[test]
    fn sizes_are_weighed_by_what_readers_pay() {
        // A twentieth less is not worth looking for the run in a young block; an eighth is.
        let frame = frame::Layout { reference: 0, step: 1, packed_max: 255, patches: 0 };
        let profile = Profile { frame: Some(frame), widest: 255, ..profile(8192) };
        let bytes = frame::size(&frame, 8192, 255);
        for (part, young, settled) in [
            (99, Encoding::Frame, Encoding::Frame),
            (95, Encoding::Frame, Encoding::Runs),
            (88, Encoding::Runs, Encoding::Runs),
        ] {
            let sample = tried(&[(Encoding::Runs, bytes * part / 100), (Encoding::AlpRd, bytes)]);
            assert_eq!(choose(&sample, &profile, Temperature::Young).encoding, young, "{part}");
            assert_eq!(choose(&sample, &profile, Temperature::Settled).encoding, settled, "{part}");
        }
    }

    #[test]
    fn temperatures_bar_what_their_readers_cannot_pay() {
        let sample =
            tried(&[(Encoding::Planes, 10), (Encoding::Phrases, 20), (Encoding::Zstd, 30), (Encoding::Fsst, 900)]);
        let chosen = |temperature| choose(&sample, &profile(1000), temperature).encoding;
        assert_eq!(chosen(Temperature::Young), Encoding::Fsst);
        assert_eq!(chosen(Temperature::Settled), Encoding::Phrases);
        assert_eq!(chosen(Temperature::Cold), Encoding::Planes);
        let barred = |encoding, temperature| !considered(encoding, temperature);
        assert!(barred(Encoding::Phrases, Temperature::Young) && barred(Encoding::Planes, Temperature::Settled));
        assert!(Encoding::ALL.into_iter().all(|encoding| considered(encoding, Temperature::Cold)));
    }

    #[test]
    fn ties_go_to_the_encoding_named_first_whatever_the_order() {
        let sizes = [(Encoding::Runs, 500), (Encoding::Sparse, 500)];
        let mut other_way = sizes;
        other_way.reverse();
        for sizes in [sizes, other_way] {
            assert_eq!(choose(&tried(&sizes), &profile(1000), Temperature::Settled).encoding, Encoding::Runs);
        }
    }

    #[test]
    fn one_value_is_constant() {
        let profile = Profile { distinct: Some(1), runs: 1, ..profile(1000) };
        let plan = choose(&tried(&[(Encoding::Runs, 40)]), &profile, Temperature::Young);
        assert_eq!(plan.encoding, Encoding::Constant);
        let lines: Vec<String> = plan.explain().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "Constant for 1000 Young rows");
        assert!(lines[1].starts_with("  Constant") && lines[1].contains("bits a row"), "{lines:?}");
        assert_eq!(lines.len(), 1 + plan.candidates.len());
        assert!(plan.candidates.is_sorted_by_key(|candidate| candidate.cost));
    }
}
