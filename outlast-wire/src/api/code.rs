//! Why a request had no success, for programs.

use outlast_types::codes;

codes! {
    /// The code of an answer that is no success. One without a code is not ours: a foreign server,
    /// or something on the way, gave it.
    pub enum ErrorCode {
        /// The request cannot be understood.
        BadRequest => "bad_request",
        /// Its address does not know its method.
        BadMethod => "bad_method",
        /// A name in its address is none that can be.
        BadName => "bad_name",
        /// Its body cannot be taken.
        BadBody => "bad_body",
        /// The client sent less than it announced.
        BrokenOff => "broken_off",
        TooSlow => "too_slow",
        TooLarge => "too_large",
        /// There is nothing at the address.
        NotFound => "not_found",
        AlreadyExists => "already_exists",
        /// The object does not have the bytes that were asked for.
        BadRange => "bad_range",
        /// The content is not what its name says.
        WrongHash => "wrong_hash",
        /// The content is what its name says, and the vault does not believe it.
        Unacceptable => "unacceptable",
        /// The certificate names nobody.
        NoIdentity => "no_identity",
        /// The certificate has ended. One that ended not long ago may be renewed, and nothing else.
        CertificateEnded => "certificate_ended",
        /// The certificate was revoked.
        CertificateRevoked => "certificate_revoked",
        /// No authority that is believed now leads to the certificate.
        CertificateUntrusted => "certificate_untrusted",
        /// The role may not do that.
        Refused => "refused",
        /// Policy allows no more, for now.
        OverLimit => "over_limit",
        /// The certificate, or the vault's policy, does not grant the workload.
        NotGranted => "not_granted",
        /// A media server asks without a ticket, or with one that does not allow it.
        NoTicket => "no_ticket",
        /// What must be signed is not.
        Unsigned => "unsigned",
        /// What is signed proves nothing, or not what it is used for.
        BadStatement => "bad_statement",
        /// What is signed is over a challenge that is too old, or older than what was heard. The
        /// answer carries a fresh one.
        StaleChallenge => "stale_challenge",
        /// The same request may succeed later.
        Busy => "busy",
        /// The disk is full.
        Full => "full",
        /// The store failed.
        Storage => "storage",
        /// The vault cannot do that now; its log says why.
        Unable => "unable",
        /// The server failed at this request; its log says how.
        Internal => "internal",
        UnknownWorkload => "unknown_workload",
        /// The workload has another name now, and is not to be had by that of before any more.
        FormerName => "former_name",
        /// No drop of this id is held, or known to be in quarantine.
        UnknownDrop => "unknown_drop",
        /// The workload's repository is not there, and something remembers it.
        RepositoryMissing => "repository_missing",
        /// Not one of the repositories that the vault remembers is there.
        RepositoriesAway => "repositories_away",
        /// Policy does not let the workload's instances have its backups back.
        FetchOff => "fetch_off",
        /// The backup is older than policy lets instances have back.
        TooOld => "too_old",
        /// The share does not prove that who asks belongs to the workload.
        Unproven => "unproven",
        /// The bill is of a version that proves nothing.
        BillVersion => "bill_version",
        /// The bill's snapshot cannot be published.
        BadBill => "bad_bill",
        /// What a shipment needs is not all there.
        MissingObjects => "missing_objects",
        /// An index names packs that are not there yet.
        PackMissing => "pack_missing",
        /// A part of an object begins elsewhere than where the last one ended. The answer says where.
        WrongOffset => "wrong_offset",
        /// The vault cannot be reached from the media server.
        VaultAway => "vault_away",
        /// The client is of a newer release than the server.
        UpgradeFirst => "upgrade_first",
        /// The media server takes nothing new.
        Draining => "draining",
        /// The vault holds another drop under this id.
        Contested => "contested",
        AlreadyPublished => "already_published",
        /// No certificate has this serial number or fingerprint.
        UnknownCertificate => "unknown_certificate",
        /// No token has this id.
        UnknownToken => "unknown_token",
        /// The token is not one of this vault, or the request was changed.
        BadToken => "bad_token",
        TokenRevoked => "token_revoked",
        TokenExpired => "token_expired",
        /// The token has served already.
        TokenUsed => "token_used",
        /// The token has served too often today.
        TokenLimit => "token_limit",
        /// The request is for another authority.
        OtherAuthority => "other_authority",
        /// Others issued the certificate, and renew it.
        NotRenewable => "not_renewable",
        /// The vault issues no certificates.
        NoIssuer => "no_issuer",
        /// A policy that cannot be used, or not while the vault is at work.
        BadPolicy => "bad_policy",
        /// An order that makes no sense.
        BadOrder => "bad_order",
        /// Nothing is released for now: the vault was just brought back.
        ReleasesWithheld => "releases_withheld",
        NothingWithheld => "nothing_withheld",
        /// A repository that is there is not begun anew.
        NothingMissing => "nothing_missing",
        /// Data was found damaged.
        Damaged => "damaged",
        /// There is no such snapshot of the workload.
        UnknownSnapshot => "unknown_snapshot",
        /// A drill of the workload is under way already, or too many are.
        DrillUnderWay => "drill_under_way",
        /// A backup was brought back, and is not what it should be; or it was not to be brought back.
        DrillFailed => "drill_failed",
        /// There is no report of that month, or not yet.
        UnknownMonth => "unknown_month",
    }
}
