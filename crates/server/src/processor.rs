//! Whether the processor has the instructions this build was made for (`.cargo/config.toml` says which).
//!
//! Invariant: nothing here formats, copies or allocates, since code that does is made of the very instructions that may be missing.

/// What to tell whoever runs this build on a processor it was not made for.
pub const UNSUITABLE: &str = "heliosdb: this build is for x86-64-v3 processors (with AVX2, BMI2 and FMA: Intel since Haswell, AMD since Zen), \
and this one is older, or a virtual machine hides what it has.\n\
HINT: give the virtual machine its host's processor, or build for any x86-64: \
RUSTFLAGS=\"-C target-cpu=x86-64\" cargo build --profile dist -p heliosdb-server\n";

/// Whether this build can run here. Asks the processor itself: what the standard library would say of an instruction set that a
/// build takes for granted is that it is there.
#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
pub fn is_suitable() -> bool {
    use std::arch::x86_64::__cpuid_count;

    let (basic, extended) = (__cpuid_count(0, 0).eax, __cpuid_count(0x8000_0000, 0).eax);
    if basic < 7 || extended < 0x8000_0001 {
        return false;
    }
    has_all(__cpuid_count(1, 0).ecx, __cpuid_count(7, 0).ebx, __cpuid_count(0x8000_0001, 0).ecx)
}

/// Other processors have what their builds take for granted.
#[cfg(not(all(target_arch = "x86_64", target_feature = "avx2")))]
pub fn is_suitable() -> bool {
    true
}

/// Whether all of x86-64-v3 is in the registers that tell: `ecx` of leaf 1, `ebx` of leaf 7, `ecx` of leaf 0x8000_0001.
#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
fn has_all(leaf_1: u32, leaf_7: u32, leaf_extended: u32) -> bool {
    const FMA: u32 = 1 << 12;
    const MOVBE: u32 = 1 << 22;
    /// The system keeps wide registers when it switches tasks.
    const OSXSAVE: u32 = 1 << 27;
    const AVX: u32 = 1 << 28;
    const F16C: u32 = 1 << 29;
    const BMI1: u32 = 1 << 3;
    const AVX2: u32 = 1 << 5;
    const BMI2: u32 = 1 << 8;
    const LZCNT: u32 = 1 << 5;
    let all = |has: u32, wanted: u32| has & wanted == wanted;
    all(leaf_1, FMA | MOVBE | OSXSAVE | AVX | F16C) && all(leaf_7, BMI1 | AVX2 | BMI2) && all(leaf_extended, LZCNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_this_has_the_instructions() {
        assert!(is_suitable());
    }

    #[test]
    #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
    fn every_instruction_set_is_asked_for() {
        let all = [1 << 12 | 1 << 22 | 1 << 27 | 1 << 28 | 1 << 29, 1 << 3 | 1 << 5 | 1 << 8, 1 << 5];
        assert!(has_all(all[0], all[1], all[2]));
        for (leaf, bit) in
            (0..3).flat_map(|leaf| (0..32).map(move |bit| (leaf, bit))).filter(|(l, b)| all[*l] >> b & 1 == 1)
        {
            let mut without = all;
            without[leaf] &= !(1 << bit);
            assert!(!has_all(without[0], without[1], without[2]), "leaf {leaf} without bit {bit}");
        }
    }
}
