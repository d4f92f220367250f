//! What a share can move in an hour, and what it costs: EFS in its three throughput modes, and Azure Files.

use crate::description::{Mode, Site};
use crate::flaw::Flaw;
use crate::prices::Here;

pub(crate) const MIB: f64 = 1_048_576.0;
pub(crate) const GIB: f64 = 1_073_741_824.0;
pub(crate) const TIB: f64 = 1_099_511_627_776.0;
const HOUR: f64 = 3600.0;

/// EFS meters a byte that is read as a third of one, where throughput is metered.
pub(crate) const EFS_READS_FOR_ONE: f64 = 3.0;
/// A metadata call is metered as so many bytes.
pub(crate) const METADATA_CALL: f64 = 4096.0;
/// Bursting: bytes a second for each GiB that is stored, the least, and how fast credits may be spent.
pub(crate) const BURSTING_PER_GIB: f64 = 50.0 * 1024.0;
pub(crate) const BURSTING_LEAST: f64 = MIB;
pub(crate) const BURST: f64 = 100.0 * MIB;
/// Credits at the beginning, and the most for each TiB that is stored.
pub(crate) const CREDITS: f64 = 2.1 * TIB;
/// Elastic: what one client may move.
pub(crate) const ELASTIC_CLIENT: f64 = 1500.0 * MIB;
/// The most that can be provisioned: MiB a second.
pub(crate) const PROVISIONED_MOST: f64 = 3072.0;
/// The least and the most of a provisioned Azure share: GiB.
pub(crate) const AZURE_LEAST: f64 = 100.0;
pub(crate) const AZURE_MOST: f64 = 102_400.0;
/// What a standard Azure share moves in a second.
pub(crate) const AZURE_STANDARD: f64 = 60.0 * MIB;
/// Bytes that one transaction with an Azure share moves at most.
pub(crate) const AZURE_TRANSACTION: f64 = MIB;

/// What a share can move.
pub(crate) trait Throughput {
    /// Metered bytes that can be moved in the next hour while so much lies there.
    fn capacity(&mut self, resident: f64) -> f64;
    /// Metered bytes that were moved in it.
    fn used(&mut self, metered: f64);
    /// Bytes that can be read for one that is metered.
    fn reads_for_one(&self) -> f64;
    fn credits(&self) -> f64 {
        0.0
    }
}

/// EFS with Bursting throughput.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bursting {
    credits: f64,
    most: f64,
    earned: f64,
}

impl Bursting {
    pub(crate) fn new() -> Self {
        Self { credits: CREDITS, most: CREDITS, earned: 0.0 }
    }

    /// Bytes a second that it may move for ever while so much lies there.
    pub(crate) fn baseline(resident: f64) -> f64 {
        (resident / GIB * BURSTING_PER_GIB).max(BURSTING_LEAST)
    }
}

impl Throughput for Bursting {
    fn capacity(&mut self, resident: f64) -> f64 {
        self.earned = Self::baseline(resident) * HOUR;
        self.most = CREDITS * (resident / TIB).max(1.0);
        let burst = BURST * (resident / TIB).max(1.0) * HOUR;
        burst.min(self.credits + self.earned)
    }

    fn used(&mut self, metered: f64) {
        self.credits = (self.credits + self.earned - metered).clamp(0.0, self.most);
    }

    fn reads_for_one(&self) -> f64 {
        EFS_READS_FOR_ONE
    }

    fn credits(&self) -> f64 {
        self.credits
    }
}

/// The same rate at all times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steady {
    /// Bytes a second.
    pub(crate) rate: f64,
    pub(crate) reads_for_one: f64,
}

impl Throughput for Steady {
    fn capacity(&mut self, _resident: f64) -> f64 {
        self.rate * HOUR
    }

    fn used(&mut self, _metered: f64) {}

    fn reads_for_one(&self) -> f64 {
        self.reads_for_one
    }
}

/// A kind of share with the size that is paid for, where one is: MiB a second of provisioned EFS, GiB of
/// provisioned Azure Files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bought {
    pub(crate) mode: Mode,
    pub(crate) amount: f64,
}

impl Bought {
    pub(crate) fn throughput(self) -> Box<dyn Throughput> {
        let steady = |rate, reads_for_one| Box::new(Steady { rate, reads_for_one });
        match self.mode {
            Mode::Bursting => Box::new(Bursting::new()),
            Mode::Provisioned => steady(self.amount * MIB, EFS_READS_FOR_ONE),
            Mode::Elastic => steady(ELASTIC_CLIENT, 1.0),
            Mode::SmbStandard => steady(AZURE_STANDARD, 1.0),
            Mode::SmbPremium | Mode::NfsPremium => steady(azure_rate(self.amount), 1.0),
        }
    }
}

/// Bytes a second of a provisioned Azure share of so many GiB.
pub(crate) fn azure_rate(gib: f64) -> f64 {
    (100.0 + (0.04 * gib).ceil() + (0.06 * gib).ceil()) * MIB
}

/// What goes on at a share in one month.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Traffic {
    /// Bytes that lie there, on average.
    pub(crate) resident: f64,
    pub(crate) written: f64,
    pub(crate) read: f64,
    /// Metadata calls.
    pub(crate) calls: f64,
}

/// What it costs in a month: storage, and throughput or transactions.
pub(crate) fn cost(
    bought: Bought,
    site: &Site,
    traffic: &Traffic,
    prices: Here<'_>,
) -> Result<(f64, f64), Flaw> {
    let Traffic { resident, written, read, calls } = *traffic;
    let looking = calls * METADATA_CALL;
    let efs = || {
        let key = if site.one_zone { "efs_one_zone_gib_month" } else { "efs_gib_month" };
        Ok::<_, Flaw>(resident / GIB * prices.price(key)?)
    };
    match bought.mode {
        Mode::Bursting => Ok((efs()?, 0.0)),
        Mode::Provisioned => {
            Ok((efs()?, bought.amount * prices.price("efs_provisioned_mibs_month")?))
        }
        Mode::Elastic => {
            let reading = (read + looking) / GIB * prices.price("efs_elastic_read_gib")?;
            let writing = written / GIB * prices.price("efs_elastic_write_gib")?;
            Ok((efs()?, reading + writing))
        }
        Mode::SmbStandard => {
            let storage = resident / GIB * prices.price("files_standard_gib_month")?;
            let writes = written / AZURE_TRANSACTION / 1e4 * prices.price("files_write_10k")?;
            let reads = read / AZURE_TRANSACTION / 1e4 * prices.price("files_read_10k")?;
            let lists = calls / 1e4 * prices.price("files_list_10k")?;
            Ok((storage, writes + reads + lists))
        }
        Mode::SmbPremium | Mode::NfsPremium => {
            let key = if bought.mode == Mode::NfsPremium {
                "files_nfs_gib_month"
            } else {
                "files_premium_gib_month"
            };
            Ok((bought.amount * prices.price(key)?, 0.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_spent_above_the_baseline_and_earned_below_it() {
        let mut share = Bursting::new();
        // 1 MiB/s is the least, and 2.1 TiB of credits are there: 100 MiB/s it is.
        assert_eq!(share.capacity(0.0), 100.0 * MIB * 3600.0);
        share.used(100.0 * MIB * 3600.0);
        assert_eq!(share.credits(), CREDITS - 99.0 * MIB * 3600.0);
        // 2.1 TiB = 2,202,009.6 MiB; at 99 MiB/s they last for 22,242 s, so 6.2 h.
        let mut hours = 1;
        while share.capacity(0.0) >= 100.0 * MIB * 3600.0 {
            share.used(100.0 * MIB * 3600.0);
            hours += 1;
        }
        assert_eq!(hours, 6);
        share.used(share.credits + share.earned);
        assert_eq!(share.capacity(0.0), MIB * 3600.0, "the floor is left");
        // 512 GiB earn 25 MiB/s; idle, in a day 2.06 TiB come back.
        share.capacity(512.0 * GIB);
        share.used(0.0);
        assert_eq!(share.credits(), 25.0 * MIB * 3600.0);
    }

    #[test]
    fn more_than_a_tebibyte_bursts_in_proportion() {
        let mut share = Bursting::new();
        assert_eq!(share.capacity(2.0 * TIB), 200.0 * MIB * 3600.0);
        assert_eq!(Bursting::baseline(2.0 * TIB), 100.0 * MIB);
    }
}
