//! Random numbers that can be replayed.

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end` − 1.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Small enough for an `int`.
    pub(crate) fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.next().to_be_bytes()[..4].try_into().unwrap())
    }

    /// Text of up to `length_max` letters; sometimes none at all.
    pub(crate) fn text(&mut self, length_max: u64) -> String {
        let length = self.below(length_max + 1);
        (0..length)
            .map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz "[usize::try_from(self.below(27)).unwrap()]))
            .collect()
    }
}
