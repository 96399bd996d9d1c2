//! Numbers and texts that the same seed makes again.

/// What a text is made of.
const WORDS: [&str; 56] = [
    "the", "a", "and", "of", "to", "in", "is", "it", "you", "that", "was", "for", "on", "are", "with", "they", "be",
    "this", "have", "from", "not", "but", "what", "all", "when", "we", "there", "can", "your", "which", "their",
    "said", "server", "channel", "message", "someone", "tonight", "tomorrow", "maybe", "please", "thanks", "again",
    "music", "stream", "update", "version", "lol", "ok", "yes", "nope", "hello", "everyone", "anybody", "why", "how",
    "about",
];

/// Rare ones, there to trip whoever escapes, splits or trims.
const TRICKY: [&str; 8] = ["\"so\"", "it's", "C:\\new", "line\nend", "tab\tstop", "naïve", "日本語", "😀👍🏽"];

/// A text of some words; short ones are the most frequent.
pub(crate) fn text(random: &mut Random) -> String {
    if random.percent(1) {
        return String::new();
    }
    let length = 20 + (180.0 * random.fraction().powi(2)) as usize;
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(if random.percent(2) { random.one_of(&TRICKY) } else { word(random) });
    }
    text
}

pub(crate) fn word(random: &mut Random) -> &'static str {
    random.one_of(&WORDS)
}

/// `SplitMix64`: small, fast, and the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// More than 0, at most 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// `from` or more, less than `to`.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % (to - from).max(1).unsigned_abs()) as i64
    }

    pub(crate) fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.between(0, all.len() as i64) as usize]
    }

    /// From six hours, so that nothing expires during a test, to thirty days.
    pub(crate) fn ttl(&mut self) -> i32 {
        (21_600.0 * 120_f64.powf(self.fraction())) as i32
    }
}
