//! The promises of the share, against real files, real processes and other tar programs.
//!
//! `cfg(test)` tells clippy that the helpers here are tests too.

#[cfg(test)]
mod adopting;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod full;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod letting_go;
#[cfg(test)]
mod life;
#[cfg(test)]
mod races;
#[cfg(test)]
mod scanning;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tar_judges;
