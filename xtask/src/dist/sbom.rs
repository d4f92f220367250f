//! The list of what is in a release, as CycloneDX: <https://cyclonedx.org>.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::archive::sha256;
use super::contents::date;
use super::image::Library;
use super::packages::{Package, Packages};

/// Makes the document: the packages that the program is built from, and what the image has beside it.
pub(super) fn document(packages: &Packages, libraries: &[Library], moment: u64) -> Result<Vec<u8>> {
    let program = packages.all.get(&packages.program).context("the program is a package")?;
    let mut itself = component(&packages.program, program);
    itself["type"] = json!("application");
    let others = packages.all.iter().filter(|(name, _)| **name != packages.program);
    let mut components: Vec<Value> =
        others.map(|(name, package)| component(name, package)).collect();
    components.extend(libraries.iter().map(of_system));
    let dependencies = packages.all.iter();
    let mut dependencies: Vec<Value> = dependencies
        .map(|(name, package)| json!({ "ref": name, "dependsOn": package.uses }))
        .collect();
    dependencies.extend(libraries.iter().map(|it| json!({ "ref": it.purl() })));
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "timestamp": date(moment)?, "component": itself },
        "components": components,
        "dependencies": dependencies,
    });
    // A number of its own that is the same when it is made again.
    document["serialNumber"] = json!(serial(&sha256(document.to_string().as_bytes())));
    let mut text = serde_json::to_vec_pretty(&document).context("write the list as JSON")?;
    text.push(b'\n');
    Ok(text)
}

fn component(name: &str, package: &Package) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": name,
        "name": package.name,
        "version": package.version,
    });
    if let Some(licence) = &package.licence {
        // Written so in old manifests.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(checksum) = &package.checksum {
        component["purl"] = json!(name);
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

fn of_system(library: &Library) -> Value {
    json!({
        "type": "library",
        "bom-ref": library.purl(),
        "purl": library.purl(),
        "name": library.package,
        "version": library.version,
        "scope": "optional",
        "description": "in the image for containers only, from the system that it was made on",
    })
}

/// A UUID of digits that are given (version 8, of RFC 9562).
fn serial(digits: &str) -> String {
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}
