//! The restic repository format, pure: bytes in, values out.
