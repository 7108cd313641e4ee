//! Numbers, dates, floats, uuids, intervals.

use heliosdb_types::{PhysicalType, Result};

use super::nested::Nested;
use super::{Body, ColumnEncoder, Values};
use crate::arrays::{Lane, with_lane};
use crate::choose::{
    Plan, Profile, Sample, Temperature, choose, common, considered, distinct, frame_of, frame_of_64, runs,
};
use crate::decimals;
use crate::encoding::planes::Planes;
use crate::encoding::{alp, alp_delta, alp_rd, delta, dictionary, frame, planes};
use crate::kind::{Encoding, Kind};
use crate::layout::Writer;
use crate::order::fixed_key;
use crate::packed::width_of;

/// Whole numbers below this many bits gain nothing from a dictionary.
const DICTIONARY_WIDTH_MIN: u8 = 4;

/// Differences that may be exceptions: they slow readers, who add them by themselves.
fn jumps_one_in(temperature: Temperature) -> usize {
    match temperature {
        Temperature::Young => 64,
        Temperature::Settled | Temperature::Cold => 7,
    }
}

/// Distinct values and codes, if they are few enough.
type Found<T> = Option<(Vec<T>, Vec<u32>)>;

/// Values as they are.
fn plain_body<L: Lane>(values: impl Iterator<Item = L>) -> Body {
    let mut writer = Writer::default();
    writer.words(&values.collect::<Vec<L>>());
    Body { encoding: Encoding::Plain, section: None, bytes: writer.into_unaligned() }
}

impl ColumnEncoder {
    pub(super) fn encode_whole(&mut self, numbers: &[i64], depth: usize) -> Result<(Body, Option<Plan>)> {
        if self.forced(depth) == Some(Encoding::Plain) {
            let physical = self.physical;
            return Ok((with_lane!(physical, L => plain_body(numbers.iter().map(|v| L::cut64(*v as u64)))), None));
        }
        let (low, high) = numbers.iter().fold((i64::MAX, i64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        let forced = self.forced(depth);
        if low == high && forced.is_none_or(|forced| forced == Encoding::Constant) {
            return Ok((self.constant(self.narrow(low).as_slice()), None));
        }
        let (layout, distances) = frame_of_64(numbers, low, high);
        let widest = high.wrapping_sub(low) as u64 / layout.step;
        let width = width_of(layout.packed_max);
        let useful = 1_usize << width.saturating_sub(1).min(30);
        let found = match forced {
            Some(Encoding::Dictionary) => distinct(numbers, usize::MAX),
            None if width > DICTIONARY_WIDTH_MIN => distinct(numbers, self.distinct_max(numbers.len()).min(useful)),
            _ => None,
        };
        let mut profile = self.profile(numbers, &found);
        (profile.frame, profile.widest, profile.delta) = (Some(layout), widest, delta::layout(numbers, low, high));
        let one_in = jumps_one_in(self.options.temperature);
        profile.jumps = profile.delta.and_then(|plain| match forced {
            // By force it is written without exceptions where there are none.
            Some(Encoding::Jumps) => {
                Some(delta::jumps(numbers, &plain, usize::MAX, one_in).unwrap_or(delta::Jumps::none(plain)))
            }
            Some(_) => None,
            None => {
                let limit = frame::size(&layout, numbers.len(), widest).min(delta::size(&plain, numbers.len()));
                delta::jumps(numbers, &plain, limit, one_in)
            }
        });
        let mut sample = Sample::default();
        let wrap = |values: Vec<i64>| Values::Whole(values);
        let nested = self.try_nested(numbers, &profile, depth, &mut sample, wrap)?;
        let packed = self.try_planes(&mut sample, depth, numbers.iter().map(|v| *v as u64), true)?;
        let plan = choose(&sample, &profile, self.options.temperature);
        let chosen = forced.unwrap_or(plan.encoding);
        let mut writer = Writer::default();
        match chosen {
            Encoding::Frame => frame::write(&mut writer, &layout, &distances),
            Encoding::Delta => match &profile.delta {
                Some(layout) => delta::write(&mut writer, layout, numbers),
                None => return Err(self.misfit()),
            },
            Encoding::Jumps => match &profile.jumps {
                Some(jumps) => delta::write_jumps(&mut writer, &jumps.layout, numbers),
                None => return Err(self.misfit()),
            },
            Encoding::Plain => {
                let physical = self.physical;
                let body = with_lane!(physical, L => plain_body(numbers.iter().map(|v| L::cut64(*v as u64))));
                return Ok((body, Some(plan)));
            }
            Encoding::Dictionary => with_lane!(self.physical, L => {
                self.write_dictionary(&mut writer, found, |v| i128::from(*v), |v| L::cut64(*v as u64))?;
            }),
            other => return Ok((self.measured(other, nested, packed)?, Some(plan))),
        }
        Ok((Body { encoding: chosen, section: None, bytes: writer.into_unaligned() }, Some(plan)))
    }

    pub(super) fn encode_floats(&mut self, bits: &[u64], depth: usize) -> Result<(Body, Option<Plan>)> {
        let forced = self.forced(depth);
        let physical = self.physical;
        if forced == Some(Encoding::Plain) {
            return Ok((with_lane!(physical, L => plain_body(bits.iter().map(|v| L::cut64(*v)))), None));
        }
        let narrow = self.physical == PhysicalType::Float32;
        let width = if narrow { 32 } else { 64 };
        if bits.windows(2).all(|pair| pair[0] == pair[1]) && forced.is_none_or(|forced| forced == Encoding::Constant) {
            return Ok((self.constant(self.narrow(bits[0] as i64).as_slice()), None));
        }
        let found = match forced {
            Some(Encoding::Dictionary) => distinct(bits, usize::MAX),
            None => distinct(bits, self.distinct_max(bits.len())),
            _ => None,
        };
        let profile = self.profile(bits, &found);
        let mut sample = Sample::default();
        let nested = self.try_nested(bits, &profile, depth, &mut sample, Values::Float)?;
        let scaled = match narrow {
            true => decimals::scale(&bits.iter().map(|bits| f32::from_bits(*bits as u32)).collect::<Vec<f32>>()),
            false => decimals::scale(&bits.iter().map(|bits| f64::from_bits(*bits)).collect::<Vec<f64>>()),
        };
        let scaled_bytes = alp::size(&scaled, width as u8);
        sample.sizes.push((Encoding::Alp, scaled_bytes));
        let limit = if forced == Some(Encoding::AlpDelta) { usize::MAX } else { scaled_bytes };
        let wandering = alp_delta::layout(&scaled, width as u8, limit, jumps_one_in(self.options.temperature));
        sample.sizes.extend(wandering.map(|(_, bytes)| (Encoding::AlpDelta, bytes)));
        // Decimals leave little to gain for the other encodings of floats.
        let split = (forced.is_some() || scaled_bytes > profile.plain_bytes / 2).then(|| alp_rd::split(bits, width));
        sample.sizes.extend(split.as_ref().map(|split| (Encoding::AlpRd, alp_rd::size(split))));
        let packed = self.try_planes(&mut sample, depth, bits.iter().copied(), false)?;
        let plan = choose(&sample, &profile, self.options.temperature);
        let chosen = forced.unwrap_or(plan.encoding);
        let mut writer = Writer::default();
        match (chosen, split) {
            (Encoding::Alp, _) => alp::write(&mut writer, &scaled),
            (Encoding::AlpDelta, _) => match &wandering {
                Some((layout, _)) => alp_delta::write(&mut writer, layout, &scaled),
                None => return Err(self.misfit()),
            },
            (Encoding::AlpRd, Some(split)) => alp_rd::write(&mut writer, &split),
            (Encoding::Plain, _) => {
                let body = with_lane!(physical, L => plain_body(bits.iter().map(|v| L::cut64(*v))));
                return Ok((body, Some(plan)));
            }
            (Encoding::Dictionary, _) => with_lane!(physical, L => {
                let key = |v: &u64| (fixed_key(&v.to_le_bytes()[..width as usize / 8], physical), *v);
                self.write_dictionary(&mut writer, found, key, |v| L::cut64(*v))?;
            }),
            (other, _) => return Ok((self.measured(other, nested, packed)?, Some(plan))),
        }
        Ok((Body { encoding: chosen, section: None, bytes: writer.into_unaligned() }, Some(plan)))
    }

    pub(super) fn encode_wide(&mut self, words: &[i128], depth: usize) -> Result<(Body, Option<Plan>)> {
        let forced = self.forced(depth);
        let physical = self.physical;
        if forced == Some(Encoding::Plain) {
            return Ok((plain_body(words.iter().copied()), None));
        }
        if words.windows(2).all(|pair| pair[0] == pair[1]) && forced.is_none_or(|forced| forced == Encoding::Constant) {
            return Ok((self.constant(&words[0].to_le_bytes()), None));
        }
        let found = match forced {
            Some(Encoding::Dictionary) => distinct(words, usize::MAX),
            None => distinct(words, self.distinct_max(words.len())),
            _ => None,
        };
        let mut profile = self.profile(words, &found);
        let frame = frame_of(words).filter(|_| Kind::of(physical) == Kind::Wide);
        if let Some((layout, distances)) = &frame {
            profile.frame = Some(*layout);
            profile.widest = distances.iter().copied().max().unwrap_or(0);
        }
        let mut sample = Sample::default();
        let nested = self.try_nested(words, &profile, depth, &mut sample, Values::Wide)?;
        let plan = choose(&sample, &profile, self.options.temperature);
        let chosen = forced.unwrap_or(plan.encoding);
        let mut writer = Writer::default();
        match (chosen, frame) {
            (Encoding::Frame, Some((layout, distances))) => frame::write(&mut writer, &layout, &distances),
            (Encoding::Plain, _) => return Ok((plain_body(words.iter().copied()), Some(plan))),
            (Encoding::Dictionary, _) => {
                let key = |v: &i128| (fixed_key(&v.to_le_bytes(), physical), *v);
                self.write_dictionary(&mut writer, found, key, |v| *v)?;
            }
            (other, _) => return Ok((self.measured(other, nested, None)?, Some(plan))),
        }
        Ok((Body { encoding: chosen, section: None, bytes: writer.into_unaligned() }, Some(plan)))
    }

    /// A value of the column's width.
    fn narrow(&self, value: i64) -> Vec<u8> {
        value.to_le_bytes().into_iter().take(Kind::of(self.physical).width()).collect()
    }

    fn distinct_max(&self, rows: usize) -> usize {
        self.options.dictionary_values_max.min(rows / 4).max(1)
    }

    fn profile<T: Copy + PartialEq>(&self, values: &[T], found: &Found<T>) -> Profile {
        let width = Kind::of(self.physical).width();
        Profile {
            rows: values.len(),
            width,
            distinct: found.as_ref().map(|(found, _)| found.len()),
            runs: runs(values),
            common: common(values),
            plain_bytes: width * values.len(),
            ..Profile::default()
        }
    }

    fn try_planes(
        &self,
        sample: &mut Sample,
        depth: usize,
        numbers: impl Iterator<Item = u64>,
        whole: bool,
    ) -> Result<Option<Planes>> {
        let wanted = match self.forced(depth) {
            Some(forced) => forced == Encoding::Planes,
            None => considered(Encoding::Planes, self.options.temperature),
        };
        if !wanted {
            return Ok(None);
        }
        let width = Kind::of(self.physical).width();
        let packed = planes::compress(&numbers.collect::<Vec<u64>>(), width, whole)?;
        sample.sizes.push((Encoding::Planes, planes::size(&packed)));
        Ok(Some(packed))
    }

    /// What was written while measuring.
    fn measured(&self, chosen: Encoding, nested: Vec<Nested>, packed: Option<Planes>) -> Result<Body> {
        if let (Encoding::Planes, Some(packed)) = (chosen, packed) {
            let mut writer = Writer::default();
            planes::write(&mut writer, &packed);
            return Ok(Body { encoding: Encoding::Planes, section: None, bytes: writer.into_unaligned() });
        }
        let nested = nested.into_iter().find(|nested| nested.encoding() == chosen);
        nested.map(Nested::into_body).ok_or_else(|| self.misfit())
    }

    fn write_dictionary<T: Copy, K: Ord, L: Lane>(
        &self,
        writer: &mut Writer,
        found: Found<T>,
        key: impl Fn(&T) -> K,
        lane: impl Fn(&T) -> L,
    ) -> Result<()> {
        let (mut values, mut codes) = found.ok_or_else(|| self.misfit())?;
        dictionary::sort(&mut values, &mut codes, key);
        dictionary::write(writer, &values.iter().map(lane).collect::<Vec<L>>(), &codes);
        Ok(())
    }
}
