//! Access control lists: the kernel's own form, and the text that tar programs write.
//!
//! We write both, the attribute for ourselves and the text for GNU tar and bsdtar. When only the
//! text is there it is turned into the attribute. Names of users cannot be: what they mean on the
//! reading host is not known. A list that has them without a number, as GNU tar writes them, is
//! looked up in the entries that the archive itself has shown by name and number.

use std::collections::HashMap;

/// The extended attributes that hold lists, with the keys of their texts.
pub(super) const ATTRIBUTES: [(&[u8], &str); 2] = [
    (b"system.posix_acl_access", "SCHILY.acl.access"),
    (b"system.posix_acl_default", "SCHILY.acl.default"),
];

/// The version of the kernel's form (linux/posix_acl_xattr.h).
const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;

/// The subject of an entry of a list: the kernel's tag, and the word in texts.
const TAGS: [(u16, &str); 6] = [
    (0x01, "user"),
    (0x02, "user"),
    (0x04, "group"),
    (0x08, "group"),
    (0x10, "mask"),
    (0x20, "other"),
];
const NAMED_USER: u16 = 0x02;
const NAMED_GROUP: u16 = 0x08;

/// Numbers of users and groups by name, as far as the archive has told.
#[derive(Debug, Default)]
pub(super) struct KnownNames {
    pub(super) users: HashMap<String, u32>,
    pub(super) groups: HashMap<String, u32>,
}

/// The text of a list in the kernel's form, with numbers for names; `None` if it is not one.
pub(super) fn to_text(attribute: &[u8]) -> Option<String> {
    let (version, entries) = attribute.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
        return None;
    }
    let mut texts = Vec::new();
    for &[t0, t1, p0, p1, id @ ..] in entries {
        let (tag, permissions) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]));
        let (_, word) = TAGS.iter().find(|(number, _)| *number == tag)?;
        let id = u32::from_le_bytes(id);
        let name =
            if tag == NAMED_USER || tag == NAMED_GROUP { id.to_string() } else { String::new() };
        let letter = |bit, letter| if permissions & bit != 0 { letter } else { '-' };
        texts.push(format!("{word}:{name}:{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x')));
    }
    Some(texts.join(","))
}

/// The kernel's form of a list in text; `None` if it is none, or has a name that is not known.
pub(super) fn from_text(text: &str, names: &KnownNames) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    let lines = text.split([',', '\n']).map(|line| line.split('#').next().unwrap_or("").trim());
    for line in lines.filter(|line| !line.is_empty()) {
        let mut parts = line.split(':');
        let (word, name, permissions) = (parts.next()?, parts.next()?, parts.next()?);
        // star and bsdtar give the number as a fourth part.
        let number = parts.next().and_then(|id| id.parse().ok());
        let id = |known: &HashMap<String, u32>| {
            number.or_else(|| name.parse().ok()).or_else(|| known.get(name).copied())
        };
        let (tag, id): (u16, u32) = match (word, name) {
            ("user" | "u", "") => (0x01, NO_ID),
            ("user" | "u", _) => (NAMED_USER, id(&names.users)?),
            ("group" | "g", "") => (0x04, NO_ID),
            ("group" | "g", _) => (NAMED_GROUP, id(&names.groups)?),
            ("mask" | "m", _) => (0x10, NO_ID),
            ("other" | "o", _) => (0x20, NO_ID),
            _ => return None,
        };
        let mut bits = 0_u16;
        for letter in permissions.chars() {
            bits |= match letter {
                'r' => 4,
                'w' => 2,
                'x' => 1,
                '-' => 0,
                _ => return None,
            };
        }
        entries.push((tag, bits, id));
    }
    // The kernel takes them only in this order.
    entries.sort_by_key(|&(tag, _, id)| (tag, id));
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_its_text() {
        let text = "user::rw-,user:12345:r-x,group::r--,group:54321:rw-,mask::rw-,other::---";
        let attribute = from_text(text, &KnownNames::default()).unwrap();
        assert_eq!(to_text(&attribute).as_deref(), Some(text));
        assert_eq!(to_text(&attribute[..10]), None);
    }

    #[test]
    fn names_count_only_with_a_number() {
        let mut names = KnownNames::default();
        assert_eq!(from_text("user::rw-,user:alice:r--", &names), None);
        let star = from_text("user::rw-,user:alice:r--:1000", &names);
        names.users.insert("alice".to_owned(), 1000);
        assert_eq!(from_text("user::rw-\nuser:alice:r--\n", &names), star);
        assert!(star.is_some());
    }
}
