//! Extended attributes of files, without following links.

use std::io;
use std::path::Path;

use rustix::io::Errno;

/// The kernel's own limit for a value and for the list of names (`XATTR_SIZE_MAX`).
const VALUE_BYTES_MAX: usize = 64 << 10;

/// All attributes of the file itself with their full names, ordered by name; none where the file
/// system knows no attributes.
pub(crate) fn read(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut list = [0_u8; 4096];
    let names = match rustix::fs::llistxattr(path, &mut list[..]) {
        Ok(length) => list[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut list = vec![0; VALUE_BYTES_MAX];
            let length = rustix::fs::llistxattr(path, &mut list[..])?;
            list.truncate(length);
            list
        }
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut attributes = Vec::new();
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; VALUE_BYTES_MAX];
        match rustix::fs::lgetxattr(path, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                attributes.push((name.to_vec(), value));
            }
            // Removed since it was listed, or for privileged eyes only (`trusted.`).
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    attributes.sort();
    Ok(attributes)
}
