//! Sticky hashing: which bucket a subject falls into, and which variant owns that bucket. Knows no requests.
//!
//! The hash is MurmurHash3 x86 32-bit with seed 0 over `salt` followed by the subject's bytes, scaled to
//! [`BUCKETS`] by a 64-bit multiplication. That is flagd's fractional evaluation: `(h * w) >> 32` is below `k`
//! for total weight `w` exactly when `(h * 100000) >> 32` is below `k * 100000 / w`, so an application that asks
//! flagd with the same key, targeting key and variants in the same order gets the answer the edge gave.

pub use crate::config::{BUCKETS, Slice};

/// MurmurHash3 x86 32-bit of the concatenation of `parts`, which are never copied together.
#[must_use]
pub fn murmur3(seed: u32, parts: &[&[u8]]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    fn mix(k: u32) -> u32 {
        k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2)
    }
    let mut hash = seed;
    let mut length: u32 = 0;
    let mut block: u32 = 0;
    for byte in parts.iter().copied().flatten() {
        block |= u32::from(*byte) << ((length & 3) << 3);
        length = length.wrapping_add(1);
        if length & 3 == 0 {
            hash = (hash ^ mix(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
            block = 0;
        }
    }
    if length & 3 != 0 {
        hash ^= mix(block);
    }
    hash ^= length;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The bucket, `0..BUCKETS`, of a subject under a salt.
///
/// Callers must not ask for an absent subject: the empty string hashes to bucket 0, which the first variant owns.
#[must_use]
pub fn bucket(salt: &[u8], subject: &[u8]) -> u32 {
    let scaled = u64::from(murmur3(0, &[salt, subject])).wrapping_mul(u64::from(BUCKETS)) >> 32;
    scaled as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn murmur3_agrees_with_the_published_vectors() {
        let vectors: &[(&[u8], u32, u32)] = &[
            (b"", 0, 0),
            (b"", 1, 0x514E_28B7),
            (b"", 0xffff_ffff, 0x81F1_6F39),
            (b"\xff\xff\xff\xff", 0, 0x7629_3B50),
            (b"\x21\x43\x65\x87", 0, 0xF55B_516B),
            (b"\x21\x43\x65\x87", 0x5082_EDEE, 0x2362_F9DE),
            (b"\x21\x43\x65", 0, 0x7E4A_8634),
            (b"\x21\x43", 0, 0xA0F7_B07A),
            (b"\x21", 0, 0x7266_1CF4),
            (b"\0\0\0\0", 0, 0x2362_F9DE),
            (b"\0\0\0", 0, 0x85F0_B427),
            (b"\0\0", 0, 0x30F4_C306),
            (b"\0", 0, 0x514E_28B7),
            (b"test", 0, 0xba6b_d213),
            (b"Hello, world!", 0, 0xc036_3e43),
            (b"Hello, world!", 0x9747_b28c, 0x2488_4CBA),
            (b"The quick brown fox jumps over the lazy dog", 0, 0x2e4f_f723),
            (b"The quick brown fox jumps over the lazy dog", 0x9747_b28c, 0x2FA8_26CD),
        ];
        for (input, seed, expected) in vectors {
            assert_eq!(murmur3(*seed, &[input]), *expected, "{input:?} seed {seed:#x}");
        }
    }

    #[test]
    fn scaling_equals_flagd_for_every_total_weight_that_divides_the_buckets() {
        for weight in [100u64, 1000, 100_000] {
            for n in 0..20_000u32 {
                let hash = murmur3(0, &[b"flag", &n.to_le_bytes()]);
                let flagd = (u64::from(hash) * weight) >> 32;
                let ours = u64::from(bucket(b"flag", &n.to_le_bytes()));
                assert_eq!(flagd, ours * weight / u64::from(BUCKETS));
            }
        }
    }

    /// The critical value of chi-square with 99 degrees of freedom at p = 0.0001.
    const CHI2_99: f64 = 161.0;

    fn chi_square(counts: &[u32]) -> f64 {
        let expected = counts.iter().sum::<u32>() as f64 / counts.len() as f64;
        counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn a_hundred_thousand_subjects_spread_evenly() {
        for salt in ["checkout", "search", "a"] {
            let mut counts = [0u32; 100];
            for n in 0..100_000 {
                counts[(bucket(salt.as_bytes(), format!("user-{n}").as_bytes()) / 1000) as usize] += 1;
            }
            let statistic = chi_square(&counts);
            assert!(statistic < CHI2_99, "{salt}: {statistic}");
        }
    }

    #[test]
    fn two_salts_are_independent() {
        let mut table = [0u32; 100];
        for n in 0..100_000 {
            let subject = format!("user-{n}");
            let a = bucket(b"checkout", subject.as_bytes()) / 10_000;
            let b = bucket(b"search", subject.as_bytes()) / 10_000;
            table[(a * 10 + b) as usize] += 1;
        }
        let statistic = chi_square(&table);
        assert!(statistic < CHI2_99, "{statistic}");
    }

    proptest! {
        #[test]
        fn splitting_the_input_does_not_change_the_hash(input: Vec<u8>, at: usize, seed: u32) {
            let at = at % (input.len() + 1);
            prop_assert_eq!(murmur3(seed, &[&input]), murmur3(seed, &[&input[..at], &input[at..]]));
        }

        #[test]
        fn a_bucket_is_in_range(salt: Vec<u8>, subject: Vec<u8>) {
            prop_assert!(bucket(&salt, &subject) < BUCKETS);
        }
    }
}
