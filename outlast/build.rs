//! Compiles `src/malloc.c` and links it into the binary. As an object of its own: nobody calls it,
//! so that a linker would leave it out of a library.

use std::error::Error;
use std::io::{self, Write};

const SOURCE: &str = "src/malloc.c";

fn main() -> Result<(), Box<dyn Error>> {
    let mut directives = io::stdout().lock();
    writeln!(directives, "cargo::rerun-if-changed={SOURCE}")?;
    for object in cc::Build::new().file(SOURCE).try_compile_intermediates()? {
        writeln!(directives, "cargo::rustc-link-arg-bins={}", object.display())?;
    }
    Ok(())
}
