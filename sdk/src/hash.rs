//! A hash that tables may be built on.

/// 64 well-mixed bits of `bytes`, the same on every node and in every version of this crate: records may hold them.
///
/// FNV-1a with a final mixing. No defence against somebody who looks for collisions: use it where many equal hashes cost
/// time but never a wrong answer.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records on disk hold these numbers: a change here is a change of every schema that uses them.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(stable_hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(stable_hash(b"user/42"), 12_344_894_426_112_165_629);
    }

    #[test]
    fn similar_keys_spread_over_the_whole_range() {
        let mut buckets = [0u32; 16];
        for number in 0..16_000 {
            buckets[(stable_hash(format!("key:{number:06}").as_bytes()) >> 60) as usize] += 1;
        }
        assert!(buckets.iter().all(|count| (800..1200).contains(count)), "{buckets:?}");
    }
}
