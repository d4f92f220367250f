//! Inputs from inputs: seeded, so that a run can be repeated.

/// The longest input that is made, in bytes.
pub const INPUT_BYTES_MAX: usize = 64 << 10;

/// Numbers that limits and arithmetic stumble over.
const INTERESTING: [u64; 16] = [
    0,
    1,
    2,
    31,
    32,
    127,
    128,
    255,
    256,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_fffe,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

/// Pseudo-random numbers that depend on the seed alone (splitmix64).
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        let number = self.number() % end.max(1) as u64;
        usize::try_from(number).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    /// One of these, which are not none.
    pub fn one_of<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Changes inputs.
pub struct Mutator {
    random: Seeded,
    tokens: &'static [&'static str],
}

impl Mutator {
    /// A mutator that puts in `tokens`, too.
    pub fn new(seed: u64, tokens: &'static [&'static str]) -> Self {
        Self { random: Seeded::new(seed), tokens }
    }

    /// Something made of `input`, and maybe of a part of `other`.
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        // Mostly one change, sometimes many at once.
        let changes = 1 + self.random.number().trailing_zeros();
        for _ in 0..changes {
            self.change(&mut bytes, other);
        }
        bytes.truncate(INPUT_BYTES_MAX);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.random.below(bytes.len() + 1);
        let span = self.span(bytes.len() - at);
        match self.random.below(12) {
            0 | 1 => self.flip(bytes),
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.random.byte();
                }
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..at + span)),
            5 => {
                let copy = bytes[at..at + span].to_vec();
                let times = 1 + self.random.below(4);
                bytes.splice(at..at, copy.repeat(times));
            }
            6 => {
                let byte = self.random.byte();
                let count = self.span(64);
                bytes.splice(at..at, std::iter::repeat_n(byte, count));
            }
            7 => {
                let from = self.random.below(other.len() + 1);
                let length = self.span(other.len() - from);
                let replaced = if self.random.number() & 1 == 0 { span } else { 0 };
                bytes.splice(at..at + replaced, other[from..from + length].iter().copied());
            }
            8 => self.number(bytes, at),
            9 => self.decimal(bytes),
            _ => self.token(bytes, at, span),
        }
    }

    /// How much to take of `length`: mostly little.
    fn span(&mut self, length: usize) -> usize {
        let limit = if self.random.below(8) == 0 { length } else { length.min(16) };
        self.random.below(limit + 1)
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.random.below(bytes.len());
            bytes[at] ^= 1 << self.random.below(8);
        }
    }

    /// Writes a number over what is there, as the binary formats write lengths.
    fn number(&mut self, bytes: &mut [u8], at: usize) {
        let number = match self.random.below(3) {
            0 => bytes.len() as u64,
            1 => self.random.number() >> self.random.below(64),
            _ => *self.random.one_of(&INTERESTING),
        };
        let width = 1 << self.random.below(4);
        let big = self.random.number() & 1 == 0;
        let encoded = if big { number.to_be_bytes() } else { number.to_le_bytes() };
        let encoded = if big { &encoded[8 - width..] } else { &encoded[..width] };
        for (place, byte) in bytes.iter_mut().skip(at).zip(encoded) {
            *place = *byte;
        }
    }

    /// Puts another number in the place of one that is written in digits.
    fn decimal(&mut self, bytes: &mut Vec<u8>) {
        let from = self.random.below(bytes.len() + 1);
        let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
        let start = from + start;
        let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = match self.random.below(3) {
            0 => self.random.number() >> self.random.below(64),
            1 => self.random.number() % 10,
            _ => *self.random.one_of(&INTERESTING),
        };
        bytes.splice(start..start + digits, number.to_string().into_bytes());
    }

    fn token(&mut self, bytes: &mut Vec<u8>, at: usize, span: usize) {
        if self.tokens.is_empty() {
            return self.flip(bytes);
        }
        let token = *self.random.one_of(self.tokens);
        let replaced = if self.random.number() & 1 == 0 { span } else { 0 };
        bytes.splice(at..at + replaced, token.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_one_sequence_of_different_bounded_inputs() {
        let run = |seed| {
            let mut mutator = Mutator::new(seed, &["token"]);
            let mut input = b"{\"length\":1234}".to_vec();
            let step = |_| {
                input = mutator.mutate(&input, b"other");
                input.clone()
            };
            (0..2000).map(step).collect::<Vec<_>>()
        };
        let first = run(1);
        assert_eq!(first, run(1));
        assert_ne!(first, run(2));
        assert!(first.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
        let different: std::collections::BTreeSet<_> = first.iter().collect();
        assert!(different.len() > 100, "{}", different.len());
    }
}
