//! What the statuses of products mean, and what to do.

use crate::evidence::Outcome;

/// A status in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    pub words: &'static str,
    /// What to do, and who does it.
    pub advice: &'static str,
}

/// Statuses of NetBackup, with what they mean here.
const NETBACKUP: [(&[i64], Meaning); 20] = [
    (&[0], Meaning { words: "it ended well", advice: "nothing" }),
    (
        &[1],
        Meaning {
            words: "partially successful: files were passed over or changed",
            advice: "only what its list of files proves counts; the backup team looks in its log for the files, as \
                     nothing in this directory ever changes",
        },
    ),
    (
        &[2, 6],
        Meaning {
            words: "none of the requested files were backed up",
            advice: "the backup team runs it again, and sees that the policy names the directory",
        },
    ),
    (
        &[13],
        Meaning {
            words: "a file could not be read",
            advice: "the platform team sees that the directory is on a local disk of this host; the job is run again",
        },
    ),
    (
        &[24, 40, 41, 76],
        Meaning {
            words: "the connection between client and server broke or timed out",
            advice: "the backup team looks at the line and at CLIENT_READ_TIMEOUT; the job is run again",
        },
    ),
    (
        &[54, 57, 58, 59],
        Meaning {
            words: "the server did not reach this client",
            advice: "the backup team sees that the client runs on this host and that its server may speak with it",
        },
    ),
    (
        &[71],
        Meaning {
            words: "none of the files in the file list exist",
            advice: "the directory is missing or not mounted: the platform team brings it back, and the backup team \
                     compares the policy's file list with the directory's path",
        },
    ),
    (
        &[73],
        Meaning {
            words: "bpstart_notify failed",
            advice: "the job's log has what the script said; `outlast handover status` tells why it refused",
        },
    ),
    (
        &[74],
        Meaning {
            words: "bpstart_notify took longer than BPSTART_TIMEOUT",
            advice: "the platform team looks at the disk of this host, as the script takes milliseconds; the job is run again",
        },
    ),
    (
        &[75],
        Meaning {
            words: "bpend_notify took longer than BPEND_TIMEOUT",
            advice: "the platform team looks at the disk of this host; the data may be stored, which the confirmer finds out",
        },
    ),
    (
        &[77],
        Meaning {
            words: "a command that the policy runs ended with a status of its own",
            advice: "the backup team reads the job's log",
        },
    ),
    (
        &[84, 85, 86],
        Meaning {
            words: "the media could not be written or read",
            advice: "the backup team looks at drive and media; the data stays here meanwhile",
        },
    ),
    (
        &[96],
        Meaning {
            words: "there is no media left for it",
            advice: "the backup team adds media or lets some expire; the data stays here meanwhile",
        },
    ),
    (
        &[129],
        Meaning {
            words: "the disk storage unit is full",
            advice: "the backup team makes room in it; the data stays here meanwhile",
        },
    ),
    (
        &[150],
        Meaning {
            words: "an administrator ended it",
            advice: "the backup team knows why; the next job takes what this one left",
        },
    ),
    (
        &[156],
        Meaning {
            words: "the snapshot failed",
            advice: "the backup team switches snapshots and open-file options off for this policy: nothing here changes \
                     while it is read",
        },
    ),
    (
        &[191],
        Meaning {
            words: "no image was successfully processed",
            advice: "the backup team reads the job's log",
        },
    ),
    (
        &[196],
        Meaning {
            words: "its window closed before it could begin",
            advice: "the backup team looks at the schedule's window; the next job takes what this one left",
        },
    ),
    (
        &[1000],
        Meaning {
            words: "the client is offline for its server",
            advice: "the backup team brings the client back online; the next job takes what this one left",
        },
    ),
    (
        &[2074, 2106],
        Meaning {
            words: "a storage volume or its server is down",
            advice: "the backup team brings it up; the data stays here meanwhile",
        },
    ),
];

const UNKNOWN: Meaning = Meaning {
    words: "a status that Outlast has no words for",
    advice: "the backup team looks it up in its product's guide; the data stays here meanwhile",
};

/// What a status of NetBackup means.
pub fn netbackup(status: i64) -> Meaning {
    let found = NETBACKUP.iter().find(|(statuses, _)| statuses.contains(&status));
    found.map_or(UNKNOWN, |(_, meaning)| *meaning)
}

/// How a job of NetBackup ended.
pub fn netbackup_outcome(status: i64) -> Outcome {
    match status {
        0 => Outcome::Well,
        1 => Outcome::Partial,
        _ => {
            let Meaning { words, advice } = netbackup(status);
            Outcome::Failed { status, words: format!("{words}; {advice}") }
        }
    }
}

/// How a job of Bacula ended, by the letter of its status; `None` if it has not.
pub fn bacula_outcome(letter: char) -> Option<Outcome> {
    let (words, advice) = match letter {
        'T' => return Some(Outcome::Well),
        // With warnings: some file may be missing.
        'W' => return Some(Outcome::Partial),
        'A' => ("it was cancelled", "the next job takes what this one left"),
        'E' => {
            ("it ended with an error", "the backup team reads the job's log; the data stays here")
        }
        'e' => ("it ended with errors that are not fatal", "the backup team reads the job's log"),
        'f' => (
            "it ended with a fatal error",
            "the job's log says whether a script refused, the storage is full or the line broke; the data stays here",
        ),
        'D' => ("it found differences", "the backup team reads the job's log"),
        'I' => ("it is incomplete", "the backup team lets it go on or runs it again"),
        // It was made, waits for something, or runs.
        'C' | 'R' | 'B' | 'F' | 'S' | 'm' | 'M' | 's' | 'j' | 'c' | 'd' | 't' | 'p' | 'a' | 'i'
        | 'l' | 'L' | 'q' => {
            return None;
        }
        _ => (
            "its status is none that Outlast knows",
            "the backup team looks it up in its product's guide",
        ),
    };
    // Its statuses are letters, so there is no number to tell.
    Some(Outcome::Failed { status: 0, words: format!("JobStatus {letter}: {words}; {advice}") })
}
